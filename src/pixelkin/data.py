"""Labelled images, in folders or archives, to `list[Sample]`, alike on every machine; and their checks."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path, PurePosixPath

import numpy as np

from pixelkin import archives
from pixelkin.archives import suffix_of
from pixelkin.errors import DataError, ImageError, SourceError
from pixelkin.images import decode
from pixelkin.processes import mapped
from pixelkin.types import Member, Picture, Sample

LABELS = {"0_real": 0, "1_fake": 1, "nature": 0, "ai": 1, "real": 0, "fake": 1}
SUFFIXES = frozenset(
    ".jpg .jpeg .jpe .jfif .png .apng .webp .avif .tif .tiff .bmp .dib .gif .mpo".split()  # noqa: SIM905
)
ARCHIVES = archives.KINDS.keys() | archives.COMPRESSED  # the latter to be refused with a sentence
LABEL_NAMES = ("real", "generated")


def find_images(root: Path) -> list[Path]:
    """Every file below ``root`` with an image's extension, in any case, sorted; hidden ones left out.

    Links to folders are followed, each folder once.
    """
    return [Path(file) for file in walk(str(root), SUFFIXES)] if root.is_dir() else []


def walk(root: str, suffixes: Collection[str]) -> Iterator[str]:
    """`find_images` as a stream, in its order, for any ``suffixes``: one folder's names are in memory.

    Raises:
        OSError: a folder cannot be read.
    """
    been: set[tuple[int, int]] = set()

    def below(folder: str) -> Iterator[str]:
        facts = Path(folder).stat()
        if (facts.st_dev, facts.st_ino) in been:
            return
        been.add((facts.st_dev, facts.st_ino))
        with os.scandir(folder) as found:
            names = sorted(
                (each.name, each.is_dir())
                for each in found
                if each.name[0] != "."
                and (each.is_dir() or (suffix_of(each.name) in suffixes and each.is_file()))
            )
        for name, is_folder in names:
            place = f"{folder.rstrip('/')}/{name}"
            if is_folder:
                yield from below(place)
            else:
                yield place

    return below(root)


def find_samples(root: Path) -> list[Sample]:
    """Every image below ``root`` that a folder named in `LABELS` labels.

    The label folder may stand at any depth; the other folders, above and below it, name the source:
    ``stylegan2/car/1_fake/7.png`` is a generated image of source ``stylegan2/car``, and
    ``0_real/clic2025/1.png`` a real one of source ``clic2025``.

    Args:
        root: a folder of images; or, where it holds no image, of tar and zip files at any depth, each of
            which stands for what it would leave if it were unpacked where it lies; or one such file.

    Raises:
        DataError: ``root`` is none of these, or no image in it has a label, or two archives hold one path,
            or one is damaged.
    """
    if not root.is_dir() and suffix_of(root.name) not in ARCHIVES:
        raise DataError(f"{root} is not a folder, nor a {' or '.join(archives.KINDS)} file")
    files = _listed(root)
    samples = [
        replace(sample, member=member)
        for path, member in files.items()
        if (sample := _labelled(path)) is not None
    ]
    if not samples:
        raise DataError(
            f"{root}: none of its {len(files)} images lies in a folder named "
            f"{' or '.join(LABELS)}, in any case"
        )
    return samples


def bytes_of(root: Path, sample: Sample) -> bytes:
    """The image file of a sample, out of its archive where it lies in one.

    Raises:
        ImageError: it cannot be read.
    """
    name, file = str(root / sample.path), file_of(root, sample)
    try:
        if sample.member is None:
            return file.read_bytes()
        with file.open("rb") as opened:
            return archives.read_member(opened, sample.member, name)
    except OSError as error:
        raise ImageError(f"{name}: {error.strerror or error}") from error
    except SourceError as error:
        raise ImageError(f"{name}: {error}") from error


def picture_of(root: Path, sample: Sample, *, official: bool = False) -> Picture:
    """The picture of a sample; ``official`` as in `pixelkin.images.decode`, whose errors it raises."""
    return decode(bytes_of(root, sample), str(root / sample.path), official=official)


def file_of(root: Path, sample: Sample) -> Path:
    """The file on disk that holds a sample: its own, or its archive."""
    return root / (sample.member.archive if sample.member else sample.path)


def of_sources(samples: Sequence[Sample], sources: Sequence[str]) -> list[Sample]:
    """The samples of ``sources``, each with all sources below it; all samples where none is named.

    Raises:
        DataError: a source has no sample.
    """
    known = {sample.source for sample in samples}
    chosen: set[str] = set()
    for source in sources:
        below = {name for name in known if name == source or name.startswith(source + "/")}
        if not below:
            names = ", ".join(sorted(known))
            raise DataError(f"no images are of source {source!r}; the sources are: {names}")
        chosen |= below
    return [sample for sample in samples if not sources or sample.source in chosen]


def at_most(samples: Sequence[Sample], count: int) -> list[Sample]:
    """At most ``count`` samples of each label of each source, chosen by a hash of their paths."""
    ranked: dict[tuple[str, int | None], list[Sample]] = {}
    for sample in samples:
        ranked.setdefault((sample.source, sample.label), []).append(sample)
    chosen = {
        (sample.path, sample.source)
        for alike in ranked.values()
        for sample in sorted(alike, key=lambda s: hashlib.sha256(os.fsencode(s.path)).digest())[:count]
    }
    return [sample for sample in samples if (sample.path, sample.source) in chosen]


def _listed(root: Path) -> dict[PurePosixPath, Member | None]:
    """The images below ``root`` by their paths, sorted: its files, or else those in its archives."""
    if files := find_images(root):
        return {PurePosixPath(file.relative_to(root).as_posix()): None for file in files}
    found: dict[PurePosixPath, Member] = {}
    for archive in [root] if root.is_file() else map(Path, walk(str(root), ARCHIVES)):
        place = archive.relative_to(root)
        folder = PurePosixPath(place.parent.as_posix())
        inside = {
            folder / name.lstrip("/"): replace(member, archive=place.as_posix())
            for name, member in _members(archive)
            if suffix_of(name) in SUFFIXES
        }
        if twice := found.keys() & inside.keys():
            path = min(twice)
            raise DataError(f"{path} lies in two archives, {found[path].archive} and {place}")
        found |= inside
    return dict(sorted(found.items(), key=lambda item: item[0].parts))


def _members(archive: Path) -> Iterator[tuple[str, Member]]:
    try:
        with archive.open("rb") as opened:
            yield from archives.members(opened, str(archive))
    except OSError as error:
        raise DataError(f"{archive}: cannot be read ({error.strerror or error})") from error


def _labelled(file: PurePosixPath) -> Sample | None:
    """The sample of a file, by its outermost label folder; plain words count where no 0_real or 1_fake is.

    Raises:
        DataError: its folders say both labels.
    """
    folders = file.parts[:-1]
    places = [at for at, name in enumerate(folders) if name.lower() in LABELS]
    places = [at for at in places if folders[at][0].isdigit()] or places
    if not places:
        return None
    said = {LABELS[folders[at].lower()] for at in places}
    if len(said) > 1:
        names = " and ".join(folders[at] for at in places)
        raise DataError(f"{file}: its folders {names} say both labels")
    source = "/".join(folders[: places[0]] + folders[places[0] + 1 :]) or "."
    return Sample(str(file), source, said.pop())


@dataclass(frozen=True, slots=True)
class LabelFacts:
    """What the files of one label look like.

    Attributes:
        images: readable files.
        formats: files of each container format.
        short_sides: 10th, 50th and 90th percentile of the shorter side, pixels.
        square: share of square pictures, in [0, 1].
    """

    images: int
    formats: dict[str, int]
    short_sides: tuple[int, int, int]
    square: float


@dataclass(frozen=True, slots=True)
class DataFacts:
    """What a check found; `warnings` says what a detector could learn instead of pictures.

    Attributes:
        root: the folder.
        sha256: digest of the labelled paths, so that two reports can be told to be of one set.
        real: the real files; None if there are none.
        generated: the generated files; None if there are none.
        sources: images of each source, by label name.
        unreadable: path and reason of each file that could not be read.
        unlabelled: images in no label folder.
        warnings: sentences on what differs between the labels.
    """

    root: str
    sha256: str
    real: LabelFacts | None
    generated: LabelFacts | None
    sources: dict[str, dict[str, int]]
    unreadable: dict[str, str]
    unlabelled: int
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Seen:
    sample: Sample
    format: str = ""
    height: int = 0
    width: int = 0
    error: str | None = None


def check(
    root: Path,
    samples: Sequence[Sample],
    *,
    workers: int = 0,
    on_image: Callable[[], None] = lambda: None,
) -> DataFacts:
    """Decode every sample once and say what there is.

    Args:
        root: the folder the samples' paths start from.
        samples: as `find_samples` gave them.
        workers: processes that decode; 0 for this one.
        on_image: called after each image, for a progress bar.
    """
    seen: list[_Seen] = []
    for each in mapped(partial(_look, root), samples, workers):
        seen.append(each)
        on_image()
    readable = [each for each in seen if each.error is None]
    real, generated = (_facts([s for s in readable if s.sample.label == label]) for label in (0, 1))
    return DataFacts(
        root=str(root),
        sha256=digest(samples),
        real=real,
        generated=generated,
        sources=_sources(samples),
        unreadable={each.sample.path: each.error for each in seen if each.error is not None},
        unlabelled=sum(_labelled(file) is None for file in _listed(root)),
        warnings=tuple(_warnings(real, generated)),
    )


def digest(samples: Iterable[Sample]) -> str:
    """Hex SHA-256 of the samples' labels and paths, in order."""
    lines = "".join(f"{sample.label}\t{sample.path}\n" for sample in samples)
    return hashlib.sha256(lines.encode("utf-8", "surrogateescape")).hexdigest()


def _look(root: Path, sample: Sample) -> _Seen:
    try:
        picture = picture_of(root, sample)
    except ImageError as error:
        return _Seen(sample, error=str(error))
    return _Seen(sample, picture.format, picture.height, picture.width)


def _sources(samples: Sequence[Sample]) -> dict[str, dict[str, int]]:
    counts: dict[str, dict[str, int]] = {}
    for sample in samples:
        if sample.label is not None:
            of_source = counts.setdefault(sample.source, {})
            name = LABEL_NAMES[sample.label]
            of_source[name] = of_source.get(name, 0) + 1
    return dict(sorted(counts.items()))


def _facts(seen: Sequence[_Seen]) -> LabelFacts | None:
    if not seen:
        return None
    low, middle, high = np.percentile([min(s.height, s.width) for s in seen], [10, 50, 90])
    return LabelFacts(
        images=len(seen),
        formats=dict(Counter(s.format for s in seen).most_common()),
        short_sides=(round(low), round(middle), round(high)),
        square=round(sum(s.height == s.width for s in seen) / len(seen), 4),
    )


def _warnings(real: LabelFacts | None, generated: LabelFacts | None) -> Iterable[str]:
    """A sentence for each fact of the files, not of the pictures, that parts the labels."""
    if real is None or generated is None:
        only, other = ("generated", "real") if real is None else ("real", "generated")
        yield f"there are only {only} images: nothing can be told apart without {other} ones"
        return
    shares = [{k: n / f.images for k, n in f.formats.items()} for f in (real, generated)]
    kinds = shares[0].keys() | shares[1].keys()
    apart = sum(abs(shares[0].get(kind, 0) - shares[1].get(kind, 0)) for kind in kinds) / 2
    if apart > 0.1:
        yield (
            f"the file formats differ between the labels ({_shares(shares[0])} real against "
            f"{_shares(shares[1])} generated): the format alone is right on {(1 + apart) / 2:.0%}"
        )
    middles = real.short_sides[1], generated.short_sides[1]
    if max(middles) > 1.2 * min(middles):
        yield f"the sizes differ: the median short side is {middles[0]} px real, {middles[1]} px generated"
    if abs(real.square - generated.square) > 0.2:
        yield f"{real.square:.0%} of real and {generated.square:.0%} of generated images are square"


def _shares(shares: dict[str, float]) -> str:
    return ", ".join(f"{share:.0%} {kind}" for kind, share in shares.items())
