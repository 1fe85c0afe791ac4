"""Pairs of a photograph and a generated image that share content, size and file history.

What tells the two apart is then the generator's trace alone. A pair is a square cut out of a
photograph and what a generator makes of it; beside them lies a third picture, the square brought
down and up again by plain resampling, which is *real*: without it a network learns that soft is
generated. Everything follows from the photographs' names and a seed, files that are there are not
made again, and ``pairs.tsv`` says what came from what.

    python -m pixelkin.lab.pairs PHOTOS --out DIR --simulated            # decoders of `upsampling`
    python -m pixelkin.lab.pairs PHOTOS --out DIR --zoo FOLDER           # real generators
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import importlib.util
import io
import logging
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import numpy as np
import torch

from pixelkin import degrade
from pixelkin.data import find_images
from pixelkin.errors import ConfigError, DataError, ImageError, PixelkinError
from pixelkin.files import write_atomically
from pixelkin.images import encode, read
from pixelkin.lab.upsampling import Generator, simulators
from pixelkin.types import Pixels

logger = logging.getLogger(__name__)

MANIFEST = "pairs.tsv"
COLUMNS = ("generator", "photograph", "top", "left", "side", "sha256", "generated")
MULTIPLE = 8  # sides that every generator of a zoo takes


@dataclass(frozen=True, slots=True, kw_only=True)
class Mixing:
    """What may be done to twins before they are written; each a probability, in [0, 1].

    Attributes:
        blend: of a generated twin that is mixed with the photograph, half to all of it generated.
        half: of one that takes the place of a half of the photograph only.
        reencode: of twins that both pass through a JPEG file of one quality, 60 to 95.
    """

    blend: float = 0.0
    half: float = 0.0
    reencode: float = 0.0

    def __post_init__(self) -> None:
        for name in ("blend", "half", "reencode"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"{name} is a probability, 0 to 1, not {getattr(self, name)}")

    def applied(self, real: Pixels, generated: Pixels, rng: np.random.Generator) -> tuple[Pixels, Pixels]:
        """The twins after what chance has drawn."""
        if rng.random() < self.half:
            generated = half_replaced(real, generated, rng)
        if rng.random() < self.blend:
            generated = blended(real, generated, float(rng.uniform(0.5, 1)))
        if rng.random() < self.reencode:
            quality, subsampling = float(rng.uniform(60, 95)), int(rng.choice([0, 2]))
            real, generated = (degrade.jpeg(twin, quality, subsampling) for twin in (real, generated))
        return real, generated


def zoo(folder: Path, names: Sequence[str] = ()) -> Iterator[Generator]:
    """The generators that a folder's ``zoo.py`` knows, each built when its turn comes.

    ``zoo.py`` has a table ``ZOO`` of name to a dict with ``kind`` (``sr``, ``i2i`` or ``noise``),
    ``scale`` and ``make``, a function without arguments that builds the network; and a function
    ``fake(name, network, pixels)``. A network of kind ``noise`` has ``sample(n, seed)``.

    Args:
        folder: of ``zoo.py``.
        names: these only; empty for all.

    Raises:
        ConfigError: there is no such file, or it has no generator of a name.
    """
    module = _module(folder / "zoo.py")
    known = module.ZOO
    if unknown := sorted(set(names) - set(known)):
        raise ConfigError(f"{folder} has no generator {', '.join(unknown)}; it has: {', '.join(known)}")
    for name in names or known:
        network = known[name]["make"]()

        def make(pixels: Pixels, seed: int, name: str = name, network: object = network) -> Pixels:
            if known[name]["kind"] == "noise":
                return np.asarray(network.sample(1, seed)[0])  # type: ignore[attr-defined]
            return np.asarray(module.fake(name, network, pixels))

        yield Generator(name, make)


def make_pairs(
    photographs: Path,
    out: Path,
    generators: Iterable[Generator],
    *,
    each: int,
    side: int,
    seed: int,
    mixing: Mixing | None = None,
) -> None:
    """Write ``OUT/GENERATOR/{0_real,1_fake}/NAME.png`` and resampled twins, as far as they are not there.

    Args:
        photographs: a folder of them.
        out: the folder to write to.
        generators: what makes the generated ones.
        each: photographs a generator is shown.
        side: of the squares, pixels; a smaller photograph gives the largest that it has.
        seed: of which photographs, and where they are cut.
        mixing: what is done to the twins; nothing by default.

    Raises:
        DataError: there is no photograph.
    """
    mixing = mixing or Mixing()
    files = find_images(photographs)
    if not files:
        raise DataError(f"{photographs} has no image in it")
    for generator in generators:
        folder = out / generator.name
        chance = np.random.default_rng([seed, *generator.name.encode()])
        rows = []
        for file in (files[place] for place in chance.permutation(len(files))[:each]):
            key = f"{file.relative_to(photographs)}"
            if (row := _pair(generator, file, key, folder, side, seed, mixing)) is not None:
                rows.append(row)
        _record(out / MANIFEST, generator.name, rows)
        logger.info("%s: %d pairs", generator.name, len(rows))


def _pair(
    generator: Generator, file: Path, key: str, folder: Path, side: int, seed: int, mixing: Mixing
) -> tuple[str, ...] | None:
    """One pair and its resampled twin, written; the manifest's row, or None where there is no photograph."""
    mixed = "" if mixing == Mixing() else f"\0{mixing}"
    named = f"{seed}\0{generator.name}\0{key}{mixed}"
    digest = hashlib.sha256(named.encode("utf-8", "surrogateescape")).digest()
    rng = np.random.default_rng(np.frombuffer(digest, np.uint32))
    try:
        pixels = read(file).pixels
    except ImageError:
        return None
    height, width = pixels.shape[:2]
    cut = min(side, height, width) // MULTIPLE * MULTIPLE
    if cut < 8 * MULTIPLE:
        return None
    top, left = (int(rng.integers(length - cut + 1)) for length in (height, width))
    square = np.ascontiguousarray(pixels[top : top + cut, left : left + cut])
    name = f"{digest[:6].hex()}.png"
    generated = folder / "1_fake" / name
    if not generated.exists():
        made = generator.make(square, int(rng.integers(2**31)))
        twin = (
            square
            if made.shape == square.shape
            else degrade.resize_to(square, made.shape[0], made.shape[1], "lanczos")
        )
        twin, made = mixing.applied(twin, made, rng)
        write(folder / "0_real" / name, twin)
        write(folder.parent / "resampled" / "0_real" / f"{generator.name}-{name}", resampled(twin, rng))
        write(generated, made)
    sha256 = hashlib.sha256(generated.read_bytes()).hexdigest()
    return (generator.name, key, str(top), str(left), str(cut), sha256, f"{generator.name}/1_fake/{name}")


def resampled(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    """``pixels`` made softer by plain resampling, down by a factor of 1.3 to 4 and up again; still real."""
    height, width = pixels.shape[:2]
    factor = float(np.exp(rng.uniform(np.log(1.3), np.log(4))))
    down, up = (str(rng.choice(list(degrade.FILTERS))) for _ in range(2))
    small = degrade.resize_to(pixels, max(8, round(height / factor)), max(8, round(width / factor)), down)
    return degrade.resize_to(small, height, width, up)


def blended(real: Pixels, generated: Pixels, strength: float) -> Pixels:
    """The mean of twins, ``strength`` of it the generated one's; uint8 (H, W, 3)."""
    mixed = real.astype(np.float32) * (1 - strength) + generated.astype(np.float32) * strength
    return np.clip(np.rint(mixed), 0, 255).astype(np.uint8)


def half_replaced(real: Pixels, generated: Pixels, rng: np.random.Generator) -> Pixels:
    """The photograph with one half of it, left, right, upper or lower, taken from its generated twin."""
    mixed = real.copy()
    height, width = real.shape[:2]
    rows, columns = slice(None), slice(None)
    if rng.random() < 0.5:
        rows = slice(0, height // 2) if rng.random() < 0.5 else slice(height // 2, None)
    else:
        columns = slice(0, width // 2) if rng.random() < 0.5 else slice(width // 2, None)
    mixed[rows, columns] = generated[rows, columns]
    return mixed


def write(path: Path, pixels: Pixels) -> None:
    """``pixels`` as a PNG, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, encode(pixels, "PNG", compress_level=1))


def _record(path: Path, generator: str, rows: Sequence[tuple[str, ...]]) -> None:
    """The manifest with one generator's rows replaced."""
    kept: list[tuple[str, ...]] = []
    if path.exists():
        with path.open(newline="", encoding="utf-8", errors="surrogateescape") as file:
            kept = [tuple(row) for row in csv.reader(file, delimiter="\t")][1:]
    buffer = io.StringIO()
    table = csv.writer(buffer, delimiter="\t", lineterminator="\n")
    table.writerows([COLUMNS, *(row for row in kept if row[0] != generator), *rows])
    write_atomically(path, buffer.getvalue().encode("utf-8", "surrogateescape"))


def _module(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("pixelkin_zoo", path) if path.is_file() else None
    if spec is None or spec.loader is None:
        raise ConfigError(f"{path} is not there: a zoo is a folder with a zoo.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def main(arguments: Sequence[str] | None = None) -> int:
    """Make pairs as the command line says; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m pixelkin.lab.pairs", description=__doc__.split("\n")[0])
    parser.add_argument("photographs", type=Path, help="folder of photographs")
    parser.add_argument("--out", type=Path, required=True, help="folder of the pairs")
    parser.add_argument("--zoo", type=Path, help="folder with a zoo.py of real generators")
    parser.add_argument("--simulated", action="store_true", help="use simulated up-samplers")
    parser.add_argument("--generator", action="append", default=[], help="only this one; may be repeated")
    parser.add_argument("--each", type=int, default=150, help="photographs a generator")
    parser.add_argument("--side", type=int, default=256, help="of the squares, pixels")
    parser.add_argument("--seed", type=int, default=1)
    for name, what in (
        ("blend", "mixed with the photograph"),
        ("half", "in place of a half of it"),
        ("reencode", "saved as JPEG, both twins alike"),
    ):
        parser.add_argument(f"--{name}", type=float, default=0.0, help=f"share of pairs {what}")
    given = parser.parse_args(arguments)
    if not (given.zoo or given.simulated):
        parser.error("--zoo or --simulated is needed")
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    torch.set_num_threads(1)
    try:
        mixing = Mixing(blend=given.blend, half=given.half, reencode=given.reencode)
        generators = [zoo(given.zoo, given.generator)] if given.zoo else []
        generators += [simulators(given.photographs, given.seed, given.generator)] if given.simulated else []
        for some in generators:
            make_pairs(
                given.photographs,
                given.out,
                some,
                each=given.each,
                side=given.side,
                seed=given.seed,
                mixing=mixing,
            )
    except PixelkinError as error:
        parser.exit(2, f"{error}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
