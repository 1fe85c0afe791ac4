"""Where a collection's images lie on somebody's disk, and what is there of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import product
from pathlib import Path, PurePosixPath
from string import Formatter

from pixelkin.benchmarks import PAPER, Benchmark, Collection, Layout, Subset
from pixelkin.data import LABEL_NAMES, LABELS, find_images
from pixelkin.errors import DataError
from pixelkin.types import Sample

ALTERNATIVES = {"folder", "original"}


@dataclass(frozen=True, slots=True)
class Presence:
    """What is there of a sub-testset.

    Attributes:
        source: as `Collection.source`.
        real: image files found.
        generated: image files found.
        published: images of both labels by its publishers; 0 where they do not say.
        within: by how much that figure was rounded.
        layout: which of the known layouts it was found in; empty if it is missing.
        lacking: parts of it that are not there, e.g. class folders.
    """

    source: str
    real: int
    generated: int
    published: int
    within: int
    layout: str
    lacking: tuple[str, ...]

    @property
    def state(self) -> str:
        """``complete``, ``incomplete``, ``missing``, ``more than published`` or ``size not published``."""
        found = self.real + self.generated
        if not found:
            return "missing"
        if self.lacking or not (self.real and self.generated):
            return "incomplete"
        if not self.published:
            return "size not published"
        if found > self.published + self.within:
            return "more than published"
        return "complete" if found >= self.published - self.within else "incomplete"


def find(benchmark: Benchmark, root: Path) -> tuple[list[Sample], list[Presence]]:
    """The samples of a benchmark below ``root``, sub-testset by sub-testset, and what is there of each.

    An image may be a sample of several sub-testsets, where its publishers share the real ones.

    Raises:
        DataError: ``root`` is no folder, or nothing of the benchmark is in it.
    """
    if not root.is_dir():
        raise DataError(f"{root} is not a folder")
    samples: list[Sample] = []
    presence: list[Presence] = []
    for collection, subset in benchmark.subsets():
        found = _find_subset(collection, subset, root, among_others=benchmark.name == PAPER)
        source = collection.source(subset)
        samples += [
            Sample(file.relative_to(root).as_posix(), source, label)
            for label, files in enumerate(found.files)
            for file in files
        ]
        real, generated = map(len, found.files)
        presence.append(
            Presence(source, real, generated, subset.images, subset.within, found.layout, found.lacking)
        )
    if not samples:
        wanted = ", ".join(str(subset.at["folder"][0]) for _, subset in benchmark.subsets())
        raise DataError(
            f"{root}: nothing of the benchmark {benchmark.name} is in it; its folders are: {wanted}"
        )
    return samples, presence


@dataclass(frozen=True, slots=True)
class _Found:
    layout: str = ""
    files: tuple[tuple[Path, ...], tuple[Path, ...]] = ((), ())
    lacking: tuple[str, ...] = ()


def _find_subset(collection: Collection, subset: Subset, root: Path, *, among_others: bool) -> _Found:
    """The first layout, root and alternative that has both labels; failing that, the first that has one."""
    best = _Found()
    empty = ""
    for layout in collection.layouts:
        for below in layout.roots:
            if among_others and below == ".":
                continue  # names of sub-testsets repeat between collections
            for start, at in product(_folders(root, below), _alternatives(subset)):
                found = _in_layout(layout, at, start)
                if all(found.files):
                    return found
                if any(found.files) and not any(best.files):
                    best = found
                empty = empty or next((name for name in at["folder"] if _folders(start, name)), "")
    if empty and not best.layout:
        return _Found(lacking=(f"the folder {empty} is there, but no image where it is looked for",))
    return best


def unread(benchmark: Benchmark, root: Path, samples: Sequence[Sample]) -> list[str]:
    """The folders beside those of the benchmark that hold something else, relative to ``root``."""
    names = {name.lower() for _, s in benchmark.subsets() for names in s.at.values() for name in names}
    read = {folder for sample in samples for folder in PurePosixPath(sample.path).parents}
    beside = {
        inner.relative_to(root)
        for folder in read
        if not any(part.lower() in names for part in folder.parts)
        for inner in (root / folder).iterdir()
        if inner.is_dir() and not inner.name.startswith(".")
    }
    return sorted(each.as_posix() for each in beside if PurePosixPath(each) not in read)


def _alternatives(subset: Subset) -> list[dict[str, list[str]]]:
    """What the placeholders stand for, once for each choice among alternative names."""
    names = [name for name in subset.at if name in ALTERNATIVES]
    return [
        dict(subset.at) | {name: [value] for name, value in zip(names, chosen, strict=True)}
        for chosen in product(*(subset.at[name] for name in names))
    ]


def _in_layout(layout: Layout, at: dict[str, list[str]], start: Path) -> _Found:
    real, generated = (_matches(patterns, at, start) for patterns in (layout.real, layout.generated))
    lacking = _lacking(real), _lacking(generated)
    both = [what for what in lacking[0] if what in lacking[1]]
    one = [
        f"{what} ({name})"
        for name, of_label, matches in zip(LABEL_NAMES, lacking, (real, generated), strict=True)
        for what in of_label
        if what not in both and any(matches.values())
    ]
    files = tuple(
        tuple(sorted({f for found in matches.values() for f in found})) for matches in (real, generated)
    )
    return _Found(layout.name, files, (*both, *one))  # type: ignore[arg-type]


def _matches(
    patterns: Iterable[str], at: dict[str, list[str]], start: Path
) -> dict[tuple[str, str], list[Path]]:
    """Image files by what must be there (a class, a domain; empty for all of it) and by pattern."""
    found: dict[tuple[str, str], list[Path]] = {}
    for pattern in patterns:
        names = [name for _, name, _, _ in Formatter().parse(pattern) if name]
        choices = [at.get(name, []) for name in names]
        for chosen in product(*choices):
            needed = "/".join(v for n, v in zip(names, chosen, strict=True) if n not in ALTERNATIVES)
            folders = _folders(start, pattern.format(**dict(zip(names, chosen, strict=True))))
            files = [file for folder in folders for file in find_images(folder) if _unlabelled(file, folder)]
            found[needed, pattern] = found.get((needed, pattern), []) + files
    return found


def _lacking(matches: dict[tuple[str, str], list[Path]]) -> list[str]:
    """What must be there and is not; nothing where the images lie in one folder without it."""
    found = {needed for (needed, _), files in matches.items() if files}
    wanted = dict.fromkeys(needed for needed, _ in matches if needed)
    return [] if "" in found else [needed for needed in wanted if needed not in found]


def _unlabelled(file: Path, folder: Path) -> bool:
    """Whether no folder between the two says a label of its own."""
    return not any(part.lower() in LABELS for part in file.relative_to(folder).parts[:-1])


def _folders(start: Path, pattern: str) -> list[Path]:
    """The folders below ``start`` that a pattern of names names, letter case ignored.

    Raises:
        DataError: two folders differ by the case of their letters alone.
    """
    folders = [start]
    for part in Path(pattern).parts:
        found = [
            inner
            for folder in folders
            for inner in sorted(folder.iterdir())
            if fnmatchcase(inner.name.lower(), part.lower()) and inner.is_dir()
        ]
        if len(found) > len(folders) and "*" not in part:
            names = " and ".join(map(str, found))
            raise DataError(f"{names} differ by the case of their letters alone: which is meant?")
        folders = found
    return folders
