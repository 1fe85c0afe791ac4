"""Contact sheets: what the images of a source look like, on one page with their numbers."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from pixelkin.errors import ImageError
from pixelkin.files import write_atomically
from pixelkin.images import encode, thumbnail
from pixelkin.lab.corpus.clones import blobs, git_directory

MOST = 60  # images of a sheet
SIDE = 150  # pixels, longer side of an image
COLUMNS = 10
LINE = 12  # pixels below an image, for its number
QUALITY = 80
MISSING = "red"


@dataclass(frozen=True, slots=True)
class Item:
    """One image of a source."""

    source: str
    repository: str
    path: str
    git_blob: str


def write_sheets(
    items: Iterable[Item], clones: Path, out: Path, *, most: int = MOST, side: int = SIDE
) -> Iterator[tuple[Path, int]]:
    """Write ``SOURCE.jpg`` and ``SOURCE.txt``, numbers and paths, for each source.

    Images that cannot be read are red squares, and the list says why.

    Args:
        items: the images.
        clones: the folder of clones.
        out: the folder to write to.
        most: images of a sheet, spread evenly over those of the source.
        side: pixels, longer side of an image.

    Yields:
        Each sheet, and the number of images that the source has.
    """
    out.mkdir(parents=True, exist_ok=True)
    by_source: dict[str, list[Item]] = {}
    for item in items:
        by_source.setdefault(item.source, []).append(item)
    for source, members in by_source.items():
        count = min(most, len(members))
        chosen = [members[index * len(members) // count] for index in range(count)]
        sheet, lines = _drawn(chosen, clones, side)
        file = out / f"{re.sub(r'[^A-Za-z0-9._+-]+', '_', source)}.jpg"
        write_atomically(file, encode(np.asarray(sheet), "JPEG", quality=QUALITY))
        write_atomically(file.with_suffix(".txt"), "".join(lines).encode())
        yield file, len(members)


def _drawn(items: Sequence[Item], clones: Path, side: int) -> tuple[Image.Image, list[str]]:
    columns = min(COLUMNS, len(items))
    rows = -(-len(items) // columns)
    sheet = Image.new("RGB", (columns * side, rows * (side + LINE)), "white")
    pen = ImageDraw.Draw(sheet)
    lines = []
    for number, item in enumerate(items):
        left, top = number % columns * side, number // columns * (side + LINE)
        image, told = _image(item, clones, side)
        sheet.paste(image, (left, top))
        pen.text((left + 2, top + side), str(number), fill="black")
        lines.append(f"{number}\t{told}\t{item.path}\n")
    return sheet, lines


def _image(item: Item, clones: Path, side: int) -> tuple[Image.Image, str]:
    """A small copy of an image and a word on it, or a red square and the reason."""
    directory = git_directory(clones, item.repository)
    data = next(iter(blobs(directory, [item.git_blob])), None) if directory else None
    if data is None:
        return Image.new("RGB", (side, side), MISSING), "absent"
    try:
        return Image.fromarray(thumbnail(data, side, "it")), f"{len(data)} bytes"
    except ImageError as error:
        return Image.new("RGB", (side, side), MISSING), str(error).removeprefix("it: ")
