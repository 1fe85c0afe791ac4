"""Files on this machine by their paths, and elsewhere by URLs (s3://, gs://, ...), through fsspec."""

from __future__ import annotations

import glob
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, BinaryIO, cast

from pixelkin.archives import suffix_of
from pixelkin.data import walk
from pixelkin.errors import MissingExtraError, SourceError


def is_url(place: str) -> bool:
    """Whether a place is told as a URL."""
    return "://" in place


def open_place(place: str) -> BinaryIO:
    """A file to be read.

    Raises:
        OSError: it cannot be opened.
        MissingExtraError: it is a URL, and fsspec or what it needs for that kind is not installed.
    """
    if not is_url(place):
        return open(place, "rb")  # noqa: PTH123 - millions of them, no Path each; the caller closes it
    system, path = _system(place)
    return cast(BinaryIO, system.open(path, "rb"))


def is_folder(place: str) -> bool:
    """Whether a place is one where files lie."""
    if not is_url(place):
        return Path(place).is_dir()
    system, path = _system(place)
    return bool(system.isdir(path))


def files_below(place: str, suffixes: Collection[str]) -> Iterator[str]:
    """Every file below a folder with one of ``suffixes``, in one order; hidden ones left out."""
    if not is_url(place):
        yield from walk(place, suffixes)
        return
    system, path = _system(place)
    for folder, inner, files in system.walk(path):
        inner[:] = sorted(name for name in inner if name[0] != ".")
        for name in sorted(files):
            if name[0] != "." and suffix_of(name) in suffixes:
                yield system.unstrip_protocol(f"{folder}/{name}")


def matching(pattern: str) -> list[str]:
    """The files that a pattern with ``*``, ``?`` or ``[...]`` matches, sorted; or the file of that name."""
    is_file = not is_url(pattern) and Path(pattern).exists()
    if is_file or not set(pattern) & set("*?["):
        return [pattern]
    if not is_url(pattern):
        return sorted(glob.glob(pattern, recursive=True))  # noqa: PTH207 - absolute or not, as it is told
    system, path = _system(pattern)
    return sorted(system.unstrip_protocol(each) for each in system.glob(path))


def absolute(place: str, base: str) -> str:
    """A place that may be told from a folder ``base``, so that it holds from anywhere."""
    if is_url(place):
        return place
    if is_url(base):
        return f"{base.rstrip('/')}/{place}"
    return str(Path(base, place).absolute())


def folder_of(place: str) -> str:
    """Where a file lies."""
    return place.rpartition("/")[0] if is_url(place) else str(Path(place).absolute().parent)


def state_of(place: str) -> list[Any]:
    """Size and time of change of a file, as far as they are told, to see whether it was changed.

    Raises:
        SourceError: it cannot be reached.
    """
    try:
        if not is_url(place):
            facts = Path(place).stat()
            return [facts.st_size, facts.st_mtime_ns]
        system, path = _system(place)
        told = system.info(path)
    except OSError as error:
        raise unreachable(place, error) from error
    return [told.get("size"), str(told.get("ETag") or told.get("mtime") or told.get("LastModified") or "")]


def unreachable(place: str, error: OSError) -> SourceError:
    """What to raise where images cannot be reached."""
    return SourceError(
        f"{place} cannot be read ({error.strerror or error}): once it can, the same command goes on"
    )


def _system(place: str) -> tuple[Any, str]:
    """The file system of a URL and the path there."""
    try:
        from fsspec.core import url_to_fs

        return cast(tuple[Any, str], url_to_fs(place))
    except ImportError as error:
        raise MissingExtraError(f"{place.partition('://')[0]}:// ({error})", "scan", error.name) from error
    except ValueError as error:
        raise SourceError(f"{place}: no kind of place that can be read ({error})") from error
