"""Facts and hashes of blobs, read once and kept in a file, so that an assembly goes on where it stopped."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, astuple, dataclass, fields
from pathlib import Path

from pixelkin.errors import ImageError
from pixelkin.files import write_atomically
from pixelkin.lab.corpus.clones import blobs, git_directory
from pixelkin.lab.corpus.duplicates import hash_file
from pixelkin.lab.corpus.facts import facts_of
from pixelkin.lab.corpus.manifest import Entry
from pixelkin.provenance.claims import clean

NO_CLONE, ABSENT = "no_clone", "absent"


@dataclass(frozen=True, slots=True)
class Reading:
    """One image as it was read; ``error`` says why it could not be.

    Attributes:
        git_blob: its object.
        width: pixels, as stored.
        height: pixels, as stored.
        format: container.
        jpeg_quality: 1 to 100; 0 for other formats.
        camera: make and model by EXIF.
        year: by EXIF.
        hash: 64 hexadecimal digits, as `duplicates.difference_hash`.
        contrast: brightest less darkest cell of the hash, 0..255.
        error: a reason in a few words; empty where all was read.
    """

    git_blob: str
    width: int = 0
    height: int = 0
    format: str = ""
    jpeg_quality: int = 0
    camera: str = ""
    year: str = ""
    hash: str = ""
    contrast: int = 0
    error: str = ""


COLUMNS = tuple(field.name for field in fields(Reading))
_NUMBERS = ("width", "height", "jpeg_quality", "contrast")


def read_all(
    entries: Iterable[Entry],
    clones: Path,
    cache: Path,
    on_repository: Callable[[str, int], None] = lambda *_: None,
) -> dict[str, Reading]:
    """Read every blob that ``cache`` does not hold yet.

    Args:
        entries: whose blobs to read.
        clones: the folder of clones.
        cache: a file to which readings are appended, repository by repository; absent blobs are not.
        on_repository: called before each repository with its name and the number of those left.

    Returns:
        Readings by blob; ``error`` is `NO_CLONE` or `ABSENT` where the blob is not to be had.
    """
    found = _cached(cache)
    wanted: dict[str, list[str]] = {}
    for entry in entries:
        if entry.git_blob not in found:
            wanted.setdefault(entry.repository, []).append(entry.git_blob)
    left = len(wanted)
    for repository, names in sorted(wanted.items()):
        on_repository(repository, left)
        left -= 1
        names = [
            name
            for name in dict.fromkeys(names)
            if name not in found or found[name].error in (NO_CLONE, ABSENT)
        ]
        directory = git_directory(clones, repository)
        if directory is None:
            found |= {name: Reading(name, error=NO_CLONE) for name in names if name not in found}
            continue
        new = []
        for name, data in zip(names, blobs(directory, names), strict=True):
            found[name] = Reading(name, error=ABSENT) if data is None else read_blob(name, data)
            new += [found[name]] if data is not None else []
        _append(cache, new)
    return found


def read_blob(name: str, data: bytes) -> Reading:
    """The facts and the hash of one image file."""
    try:
        facts = facts_of(data)
        difference, contrast = hash_file(data)
    except ImageError as error:
        return Reading(name, error=clean(str(error).removeprefix("it: "), 120) or "unreadable")
    return Reading(name, **asdict(facts), hash=difference, contrast=contrast)


def _cached(cache: Path) -> dict[str, Reading]:
    """Readings of a file; none where it has other columns. A last line that was cut short is left out."""
    if not cache.exists():
        return {}
    text = cache.read_text("utf-8")
    lines = text.split("\n")[:-1]
    if not lines or tuple(lines[0].split("\t")) != COLUMNS:
        cache.unlink()
        return {}
    if not text.endswith("\n"):
        write_atomically(cache, text[: text.rindex("\n") + 1].encode())
    found = {}
    for line in lines[1:]:
        values = dict(zip(COLUMNS, line.split("\t"), strict=False))
        if len(values) == len(COLUMNS):
            found[values["git_blob"]] = _reading(values)
    return found


def _reading(values: Mapping[str, str]) -> Reading:
    typed = {name: int(value) if name in _NUMBERS else value for name, value in values.items()}
    return Reading(**typed)  # type: ignore[arg-type]


def _append(cache: Path, readings: Iterable[Reading]) -> None:
    whole = not cache.exists()
    with cache.open("a", encoding="utf-8") as file:
        if whole:
            file.write("\t".join(COLUMNS) + "\n")
        file.writelines("\t".join(map(str, astuple(reading))) + "\n" for reading in readings)
