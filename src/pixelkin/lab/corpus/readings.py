"""Facts and hashes of blobs, read once and kept in a file, so that an assembly goes on where it stopped."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import astuple, dataclass, fields
from pathlib import Path

from pixelkin.errors import ImageError
from pixelkin.files import write_atomically
from pixelkin.lab.corpus.clones import blobs, git_directory
from pixelkin.lab.corpus.duplicates import hash_file
from pixelkin.lab.corpus.evidence import Finding, inspect_file
from pixelkin.lab.corpus.manifest import Entry
from pixelkin.provenance.claims import clean

NO_CLONE, ABSENT = "no_clone", "absent"


@dataclass(frozen=True, slots=True)
class Reading:
    """One image as it was read. Every value is text, as in `evidence.Finding`.

    Attributes:
        git_blob: its object.
        width: pixels, as stored.
        height: pixels, as stored.
        format: container.
        jpeg_quality: 1 to 100; empty for other formats.
        evidence: marks in the file joined by ``+``.
        camera: make and model by EXIF.
        year: by EXIF.
        flags: what was done to it, as far as the file tells.
        hash: 64 hexadecimal digits, as `duplicates.difference_hash`.
        contrast: brightest less darkest cell of the hash, 0..255.
        error: a reason in a few words; empty where all was read.
    """

    git_blob: str
    width: str = ""
    height: str = ""
    format: str = ""
    jpeg_quality: str = ""
    evidence: str = ""
    camera: str = ""
    year: str = ""
    flags: str = ""
    hash: str = ""
    contrast: str = ""
    error: str = ""


COLUMNS = tuple(field.name for field in fields(Reading))
_FOUND = ("width", "height", "format", "jpeg_quality", "evidence", "camera", "year", "flags")


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
    wanted: dict[str, dict[str, str]] = {}
    for entry in entries:
        if entry.git_blob not in found:
            wanted.setdefault(entry.repository, {}).setdefault(entry.git_blob, entry.path)
    left = len(wanted)
    for repository, paths in sorted(wanted.items()):
        on_repository(repository, left)
        left -= 1
        names = [name for name in paths if name not in found or found[name].error in (NO_CLONE, ABSENT)]
        directory = git_directory(clones, repository)
        if directory is None:
            found |= {name: Reading(name, error=NO_CLONE) for name in names if name not in found}
            continue
        new = []
        for name, data in zip(names, blobs(directory, names), strict=True):
            if data is None:
                found[name] = Reading(name, error=ABSENT)
            else:
                found[name] = read_blob(name, paths[name], data)
                new.append(found[name])
        _append(cache, new)
    return found


def read_blob(name: str, path: str, data: bytes) -> Reading:
    """The facts and the hash of one image file."""
    found = inspect_file(Finding("", path, name), data)
    if found.reason:
        return Reading(name, error=found.reason)
    try:
        difference, contrast = hash_file(data)
    except ImageError as error:
        return Reading(name, error=clean(str(error).removeprefix("it: "), 120) or "unreadable")
    facts = {field: clean(getattr(found, field)) for field in _FOUND}
    return Reading(name, **facts, hash=difference, contrast=str(contrast))


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
            found[values["git_blob"]] = Reading(**values)
    return found


def _append(cache: Path, readings: Iterable[Reading]) -> None:
    whole = not cache.exists()
    with cache.open("a", encoding="utf-8") as file:
        if whole:
            file.write("\t".join(COLUMNS) + "\n")
        file.writelines("\t".join(astuple(reading)) + "\n" for reading in readings)
