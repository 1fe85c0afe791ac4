"""What is to be judged, as a stream of entries in one order: folders, lists, manifests, tar and zip files."""

from __future__ import annotations

import csv
import io
import os
import struct
import sys
import tarfile
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from pixelkin.data import SUFFIXES, suffix_of
from pixelkin.errors import DataError, SourceError
from pixelkin.parquet import modules
from pixelkin.scan import places

STDIN = "-"
PLAIN, DEFLATED, SEALED = 0, 8, -1  # how bytes are packed, as zip numbers it; the last: encrypted
LOCAL_HEADER, NAME_LENGTHS = 30, 26  # bytes of a zip member's own header before its name; where it is told

# What Python's readers raise of damaged files; the last two of sizes that no file has.
BROKEN = (
    *(tarfile.TarError, zipfile.BadZipFile, NotImplementedError, struct.error, csv.Error),
    *(IndexError, ValueError, MemoryError),
)

OnFile = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Entry:
    """One image and where its bytes are.

    Attributes:
        path: what it is called: as its source tells it; in a tar or zip file, the member's name.
        file: that holds it, an absolute path or a URL.
        offset: of its first byte there.
        size: bytes there; -1 for the whole file.
        packing: of these bytes.
    """

    path: str
    file: str
    offset: int = 0
    size: int = -1
    packing: int = PLAIN

    @property
    def archive(self) -> str | None:
        """The tar or zip file that it is a member of."""
        return None if self.size < 0 else self.file


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
    if places.is_folder(source):
        files = places.files_below(source, SUFFIXES | ARCHIVES.keys())
    else:
        files = iter(places.matching(source))
    for file in files:
        yield from _of_file(file, on_file)


def _of_file(file: str, on_file: OnFile) -> Iterator[Entry]:
    suffix, place = suffix_of(file), places.absolute(file, str(Path.cwd()))
    if suffix in SUFFIXES:
        yield Entry(file, place)
        return
    if suffix not in READERS:
        raise DataError(
            f"{file}: no folder, and no file that images can be found in ({' '.join(READERS)}, or an image)"
        )
    on_file(place)
    arrow, _ = modules("scanning")
    try:
        with places.open_place(place) as opened:
            yield from READERS[suffix](opened, place)
    except OSError as error:
        raise places.unreachable(file, error) from error
    except (*BROKEN, arrow.ArrowException) as error:
        raise SourceError(f"{file}: no readable {suffix} file ({error})") from error


def _tar(opened: BinaryIO, place: str) -> Iterator[Entry]:
    with tarfile.open(fileobj=opened, mode="r:") as tar:
        while (member := tar.next()) is not None:
            tar.members = []  # type: ignore[attr-defined]  # it would keep them all
            if member.isreg() and not member.issparse() and _is_image(member.name):
                yield Entry(member.name, place, member.offset_data, member.size)
        opened.seek(tar.offset)
        if opened.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
            # Python's reader takes what it cannot read for the end.
            raise tarfile.ReadError("cut short or damaged: it does not end as a tar archive does")


def _zip(opened: BinaryIO, place: str) -> Iterator[Entry]:
    with zipfile.ZipFile(opened) as archive:
        for member in archive.infolist():
            if not member.is_dir() and _is_image(member.filename):
                opened.seek(member.header_offset + NAME_LENGTHS)
                lengths = struct.unpack("<HH", opened.read(LOCAL_HEADER - NAME_LENGTHS))
                offset = member.header_offset + LOCAL_HEADER + sum(lengths)
                packing = SEALED if member.flag_bits & 1 else member.compress_type
                yield Entry(member.filename, place, offset, member.compress_size, packing)


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


def _is_image(name: str) -> bool:
    return suffix_of(name) in SUFFIXES and not name.rpartition("/")[2].startswith(".")


ARCHIVES = {".tar": _tar, ".zip": _zip}
READERS = {**ARCHIVES, ".txt": _text, ".csv": _csv, ".parquet": _parquet}
