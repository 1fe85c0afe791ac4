"""What is to be judged, as a stream of entries in one order: folders, lists, manifests, tar and zip files."""

from __future__ import annotations

import csv
import io
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from pixelkin import archives
from pixelkin.archives import COMPRESSED, suffix_of
from pixelkin.data import ARCHIVES, SUFFIXES
from pixelkin.errors import DataError, SourceError
from pixelkin.parquet import modules
from pixelkin.scan import places
from pixelkin.types import Member

STDIN = "-"

OnFile = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Entry:
    """One image and where its bytes are.

    Attributes:
        path: what it is called: as its source tells it; in a tar or zip file, the member's name.
        file: that holds it, an absolute path or a URL.
        member: its place there, where that is a tar or zip file.
    """

    path: str
    file: str
    member: Member | None = None

    @property
    def archive(self) -> str | None:
        """The tar or zip file that it is a member of."""
        return None if self.member is None else self.member.archive


def entries(source: str, on_file: OnFile = lambda _: None) -> Iterator[Entry]:
    """The images of a source, streamed; the same ones in the same order each time.

    Args:
        source: a folder, searched to any depth for images, tar and zip files; one such file; a list
            (.txt, a path a line) or - for one on standard input; a manifest (.csv or .parquet) with a
            column ``path``; a pattern of such files; or any of these as a URL that fsspec reads. Paths
            in a list or manifest start from where it lies.
        on_file: told each file that is read to list images.

    Raises:
        SourceError: it cannot be read.
        DataError: it is none of these.
    """
    if source == STDIN:
        yield from _list(sys.stdin.buffer, str(Path.cwd()))
        return
    if not places.is_folder(source):
        for file in places.matching(source):
            yield from _of_file(file, on_file)
        return
    for file in places.files_below(source, SUFFIXES | ARCHIVES):
        if suffix_of(file) in COMPRESSED:  # one that nobody named stops no scan, and is not passed over
            yield Entry(file, places.absolute(file, str(Path.cwd())))
        else:
            yield from _of_file(file, on_file)


def _of_file(file: str, on_file: OnFile) -> Iterator[Entry]:
    suffix, place = suffix_of(file), places.absolute(file, str(Path.cwd()))
    if suffix in SUFFIXES:
        yield Entry(file, place)
        return
    if suffix not in READERS:
        raise DataError(
            f"{file}: no folder, and no file that images can be found in ({FOUND_IN}, or an image)"
        )
    on_file(place)
    arrow, _ = modules("scanning")
    try:
        with places.open_place(place) as opened:
            yield from READERS[suffix](opened, place)
    except OSError as error:
        raise places.unreachable(file, error) from error
    except (csv.Error, IndexError, ValueError, MemoryError, arrow.ArrowException) as error:
        raise SourceError(f"{file}: no readable {suffix} file ({error})") from error


def _archive(opened: BinaryIO, place: str) -> Iterator[Entry]:
    for name, member in archives.members(opened, place):
        if suffix_of(name) in SUFFIXES:
            yield Entry(name, place, member)


def _list(opened: BinaryIO, base: str) -> Iterator[Entry]:
    for line in opened:
        if path := os.fsdecode(line.rstrip(b"\r\n")):
            yield Entry(path, places.absolute(path, base))


def _text(opened: BinaryIO, place: str) -> Iterator[Entry]:
    return _list(opened, places.folder_of(place))


def _csv(opened: BinaryIO, place: str) -> Iterator[Entry]:
    with io.TextIOWrapper(opened, "utf-8-sig", "surrogateescape", newline="") as text:
        rows = csv.DictReader(text)
        yield from _manifest(place, rows.fieldnames or [], (row["path"] for row in rows))


def _parquet(opened: BinaryIO, place: str) -> Iterator[Entry]:
    _, parquet = modules("scanning")
    file = parquet.ParquetFile(opened)
    batches = (batch["path"].to_pylist() for batch in file.iter_batches(columns=["path"]))
    yield from _manifest(place, file.schema_arrow.names, (path for batch in batches for path in batch))


def _manifest(place: str, columns: Sequence[str], paths: Iterator[str | None]) -> Iterator[Entry]:
    if columns.count("path") != 1:
        said = "two columns are" if "path" in columns else "no column is"
        raise DataError(f"{place}: {said} named path; the columns are: {', '.join(columns)}")
    base = places.folder_of(place)
    for row, path in enumerate(paths, 1):
        if not path or not isinstance(path, str):
            raise DataError(f"{place}: row {row} has no path: its column path holds {path!r:.80}")
        yield Entry(path, places.absolute(path, base))


READERS = dict.fromkeys(ARCHIVES, _archive) | {".txt": _text, ".csv": _csv, ".parquet": _parquet}
FOUND_IN = " ".join(sorted(READERS.keys() - COMPRESSED))
