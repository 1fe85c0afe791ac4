"""Squares cut out of pictures once and kept decoded: training then never waits for a JPEG decoder.

A bank is one array file beside a list of what it holds. It is made once for a set of samples and used
by every run on them; a training step draws a square, degrades it and crops it smaller.
"""

from __future__ import annotations

import dataclasses
import io
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pixelkin.config import build
from pixelkin.data import digest, picture_of
from pixelkin.errors import DataError, ImageError
from pixelkin.files import write_atomically
from pixelkin.processes import mapped
from pixelkin.types import Pixels, Sample


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """What a bank holds.

    Attributes:
        sha256: digest of the samples it was made of.
        side: of a square, pixels.
        most: squares cut of one picture at the most.
        seed: of where they are cut.
        first: place of each sample's first square; one more entry than there are samples. A sample
            that cannot be read has none.
        heights: of each square's part that is picture, pixels.
        widths: likewise.
    """

    sha256: str
    side: int
    most: int
    seed: int
    first: tuple[int, ...]
    heights: tuple[int, ...]
    widths: tuple[int, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Square:
    """A part of a picture.

    Attributes:
        pixels: uint8 (h, w, 3).
        taught: a teacher's logit of it, where there is a teacher.
    """

    pixels: Pixels
    taught: float | None = None


class Bank:
    """The squares of a list of samples.

    Args:
        folder: where `make_bank` put it.
        samples: those it was made of, in order.

    Raises:
        DataError: there is none, or it is of other samples.
    """

    def __init__(self, folder: Path, samples: Sequence[Sample]) -> None:
        try:
            self.contents = build(Contents, json.loads((folder / "bank.json").read_text("utf-8")))
        except FileNotFoundError as error:
            raise DataError(f"{folder} holds no bank of squares") from error
        if self.contents.sha256 != digest(samples):
            raise DataError(
                f"the bank in {folder} was made of other images: delete the folder to make it anew"
            )
        side = self.contents.side
        count = len(self.contents.heights)
        self._squares: NDArray[np.uint8] = np.memmap(
            folder / "bank.u8", np.uint8, mode="r", shape=(count, side, side, 3)
        )
        self._taught: NDArray[np.float32] | None = None
        self._folder = folder

    def __len__(self) -> int:
        return len(self.contents.heights)

    def __getitem__(self, square: int) -> Pixels:
        """The square at a place of the bank, uint8 (h, w, 3)."""
        # A copy: torch takes no array that it must not write to, as those of a file mapped to read are.
        return np.array(
            self._squares[square, : self.contents.heights[square], : self.contents.widths[square]]
        )

    def square(self, place: int, rng: np.random.Generator) -> Square:
        """One square of the sample at ``place``, drawn from those that it has.

        Raises:
            ImageError: the sample could not be read when the bank was made.
        """
        start, end = self.contents.first[place : place + 2]
        if start == end:
            raise ImageError("it could not be read when the bank was made")
        chosen = int(rng.integers(start, end))
        return Square(self[chosen], None if self._taught is None else float(self._taught[chosen]))

    def teach(self, name: str, logit: Callable[[Pixels], float]) -> None:
        """Let squares carry a teacher's logits, made once and kept beside them.

        Args:
            name: of the file to keep them in.
            logit: the teacher's, of one square.
        """
        path = self._folder / f"{name}.npy"
        if not path.exists():
            told = np.array([logit(self[square]) for square in range(len(self))], np.float32)
            buffer = io.BytesIO()
            np.save(buffer, told)
            write_atomically(path, buffer.getvalue())
        self._taught = np.load(path, allow_pickle=False)


def make_bank(
    folder: Path, root: Path, samples: Sequence[Sample], *, side: int, most: int, seed: int, workers: int
) -> Bank:
    """Cut the squares, if ``folder`` does not hold them yet.

    Args:
        folder: to write to.
        root: where the samples' paths start.
        samples: to cut from, in order.
        side: of a square, pixels; of a smaller picture all that there is.
        most: squares from one picture; fewer where so many would overlap.
        seed: of where they are cut.
        workers: processes that decode.

    Raises:
        DataError: ``folder`` holds squares cut otherwise, or of other samples; or no sample can be read.
    """
    if not (folder / "bank.json").exists():
        folder.mkdir(parents=True, exist_ok=True)
        first, heights, widths = [0], [], []
        tasks = [(root, sample, seed, place) for place, sample in enumerate(samples)]
        part = folder / f"bank.{os.getpid()}.part"
        with part.open("wb") as file:
            for squares in mapped(partial(_squares, side=side, most=most), tasks, workers):
                for square in squares:
                    whole = np.zeros((side, side, 3), np.uint8)
                    height, width = square.shape[:2]
                    whole[:height, :width] = square
                    file.write(whole.tobytes())
                    heights.append(height)
                    widths.append(width)
                first.append(first[-1] + len(squares))
        if not heights:
            part.unlink()
            raise DataError(
                f"none of the {len(samples)} images can be read: there is nothing to put in a bank"
            )
        part.replace(folder / "bank.u8")
        contents = Contents(
            sha256=digest(samples),
            side=side,
            most=most,
            seed=seed,
            first=tuple(first),
            heights=tuple(heights),
            widths=tuple(widths),
        )
        write_atomically(folder / "bank.json", json.dumps(dataclasses.asdict(contents)).encode())
    bank = Bank(folder, samples)
    for name, wanted in (("side", side), ("most", most), ("seed", seed)):
        if (had := getattr(bank.contents, name)) != wanted:
            raise DataError(
                f"the bank in {folder} was made with {name} {had}, not {wanted}: delete it to make it "
                "anew, or name another"
            )
    return bank


def _squares(task: tuple[Path, Sample, int, int], side: int, most: int) -> list[Pixels]:
    """Squares of one picture; none where it cannot be read."""
    root, sample, seed, place = task
    rng = np.random.default_rng([seed, place])
    try:
        pixels = picture_of(root, sample).pixels
    except ImageError:
        return []
    height, width = pixels.shape[:2]
    squares = []
    for _ in range(min(most, max(1, height * width // side**2))):
        top, left = (int(rng.integers(max(length - side, 0) + 1)) for length in (height, width))
        squares.append(pixels[top : top + side, left : left + side])
    return squares
