"""Published evaluations as data: one TOML a collection, its images, how to read them, what was printed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from pixelkin.config import build, read_toml
from pixelkin.errors import ConfigError
from pixelkin.protocol import Protocol

FOLDER = Path(__file__).parent
PAPER = "paper"
COLLECTIONS = (
    "forensynths",
    "gangen-detection",
    "diffusionforensics",
    "universalfakedetect",
    "diffusion1kstep",
    "genimage",
    "aigcdetectbenchmark",
)
NAMES = (PAPER, *COLLECTIONS)

# What the tables call a system, by its registered name here.
PRINTED_NAMES = {
    "npr": "NPR",
    "cnndetection": "CNNDetection",
    "frank": "Frank",
    "durall": "Durall",
    "patchfor": "Patchfor",
    "f3net": "F3Net",
    "sbi": "SelfBland",
    "gandetection": "GANDetection",
    "bihpf": "BiHPF",
    "frepgan": "FrePGAN",
    "lgrad": "LGrad",
    "ojha": "Ojha",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Subset:
    """A sub-testset: a column of a table.

    Attributes:
        name: as the table heads it.
        generator: what made its generated images; several sub-testsets may share one.
        at: what the placeholders of a layout's patterns stand for: a list of folder names each, of which
            those of ``folder`` and ``original`` are alternatives, all others are all needed.
        images: how many the publishers say there are, both labels together; 0 where they do not say.
        within: by how much that figure was rounded.
        printed: accuracy and average precision of each method, percent, in the table's order.
    """

    name: str
    generator: str
    at: Mapping[str, Any]
    images: int = 0
    within: int = 0
    printed: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """One way in which people have a collection on disk; letter case is ignored.

    Attributes:
        name: of the layout, in words.
        roots: where below the given folder to look, in order.
        real: patterns of folders of real images below a root; ``*`` stands for any one folder.
        generated: the same of generated images.
    """

    name: str
    roots: tuple[str, ...]
    real: tuple[str, ...]
    generated: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Collection:
    """A collection of sub-testsets: a table.

    Attributes:
        name: as published.
        table: where its numbers are printed.
        citation: of the numbers and of the images.
        counts: where the numbers of images are from.
        protocol: how the official program shows the images to a network.
        layouts: where the images may lie, in order of preference.
        means: the printed means of each method, as ``Subset.printed``.
        subsets: in the table's order.
    """

    name: str
    table: str
    citation: str
    counts: str
    protocol: Protocol
    layouts: tuple[Layout, ...]
    means: Mapping[str, Any]
    subsets: tuple[Subset, ...]

    def source(self, subset: Subset) -> str:
        """What the samples of a sub-testset have as their source; names repeat between collections."""
        return f"{self.name}/{subset.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Benchmark:
    """One collection, or several with a mean over all their sub-testsets.

    Attributes:
        name: of `NAMES`.
        table: where the mean over all is printed; empty for a single collection.
        collections: in order.
        means: printed means over all sub-testsets, by method; empty for a single collection.
    """

    name: str
    table: str
    collections: tuple[Collection, ...]
    means: Mapping[str, Any]

    def subsets(self) -> Iterator[tuple[Collection, Subset]]:
        """Every sub-testset with its collection, in order."""
        return ((collection, subset) for collection in self.collections for subset in collection.subsets)


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """A printed row of Table 7: the paper's own system with another cell or reference.

    Attributes:
        period: side of a cell, the paper's l.
        reference: the paper's w_j, or mean or max.
        acc: mean accuracy over ForenSynths as printed, percent.
        ap: mean average precision as printed, percent.
        printed: both by sub-testset.
    """

    period: int
    reference: int | str
    acc: float
    ap: float
    printed: Mapping[str, Any]


@cache
def variants() -> tuple[Variant, ...]:
    """The rows of Table 7, in order; of the nine references in a cell of side 3 it has four."""
    return tuple(build(Variant, each) for each in read_toml(FOLDER / "table7.toml")["variants"])


@cache
def benchmark(name: str) -> Benchmark:
    """A published evaluation by its name, in any case; ``paper`` is the five collections of Table 6.

    Raises:
        ConfigError: there is none of that name.
    """
    known = name.lower()
    if known not in NAMES:
        raise ConfigError(f"no benchmark is named {name!r}; the names are: {', '.join(NAMES)}")
    if known != PAPER:
        return Benchmark(name=known, table="", collections=(_collection(known),), means={})
    values = read_toml(FOLDER / f"{PAPER}.toml")
    collections = tuple(_collection(each) for each in values["collections"])
    return Benchmark(name=PAPER, table=values["table"], collections=collections, means=values["means"])


def printed_mean(subsets: list[Subset], method: str, metric: str) -> float | None:
    """The unweighted mean of a method's printed figures, percent; None where one is not printed."""
    found = [subset.printed.get(method, {}).get(metric) for subset in subsets]
    return sum(found) / len(found) if None not in found else None


def printed_by(name: str, system: str) -> dict[tuple[str, str], float]:
    """A system's printed figures in [0, 1] by source and metric, the mean over all under ``"mean"``.

    Args:
        name: of a benchmark; empty for none, which printed nothing.
        system: registered name of a detector.
    """
    if not name:
        return {}
    which, method = benchmark(name), PRINTED_NAMES.get(system, "")
    found = {
        (collection.source(subset), metric): value / 100
        for collection, subset in which.subsets()
        for metric, value in subset.printed.get(method, {}).items()
    }
    over_all = which.means or which.collections[0].means
    return found | {("mean", m): v / 100 for m, v in over_all.get(method, {}).items()}


def _collection(name: str) -> Collection:
    return build(Collection, read_toml(FOLDER / f"{name}.toml"))
