"""The list of what a scan judges, kept in parts: one row group of a Parquet file each.

It is made once, when a scan begins. What a scan judges, and in which part, then no longer changes,
whatever becomes of the folder; and any process finds a part without reading the others.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

from pixelkin.errors import DataError
from pixelkin.files import replacing
from pixelkin.parquet import modules
from pixelkin.scan.sources import Entry
from pixelkin.types import Member

# File names need not be UTF-8, and are kept as bytes.
COLUMNS = {"path": "binary", "file": "binary", "offset": "int64", "size": "int64", "packing": "int16"}

WHOLE = -1  # size of a file that lies in no archive


def write(file: Path, entries: Iterable[Entry], part: int) -> str:
    """Keep ``entries``, ``part`` of them a row group, whole or not at all; gives their digest."""
    arrow, parquet = modules("scanning")
    schema = arrow.schema([(name, arrow.type_for_alias(kind)) for name, kind in COLUMNS.items()])
    digest = hashlib.sha256()
    left = iter(entries)
    with replacing(file) as opened, parquet.ParquetWriter(opened, schema, compression="zstd") as writer:
        while group := list(islice(left, part)):
            rows = [_row(entry) for entry in group]
            digest.update(repr(rows).encode())
            columns = map(list, zip(*rows, strict=True))
            writer.write_table(arrow.table(dict(zip(COLUMNS, columns, strict=True)), schema), part)
    return digest.hexdigest()


class Catalog:
    """A list that `write` kept.

    Attributes:
        parts: how many it has.
        entries: how many are in all of them.

    Raises:
        DataError: ``file`` is no such list.
    """

    def __init__(self, file: Path) -> None:
        arrow, parquet = modules("scanning")
        self._path, self._broken = file, (OSError, KeyError, TypeError, ValueError, arrow.ArrowException)
        with self._reading():
            self._file = parquet.ParquetFile(file)
        self.parts = int(self._file.metadata.num_row_groups)
        self.entries = int(self._file.metadata.num_rows)

    def part(self, number: int) -> list[Entry]:
        """The entries of one part, 0 to ``parts`` - 1.

        Raises:
            DataError: it is damaged.
        """
        with self._reading():
            table = self._file.read_row_group(number)
            columns = (table[name].to_pylist() for name in COLUMNS)
            return [_entry(*row) for row in zip(*columns, strict=True)]

    @contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            yield
        except self._broken as error:
            raise DataError(f"{self._path}: no list that `pixelkin scan` kept ({error})") from error


def _row(entry: Entry) -> tuple[bytes, bytes, int, int, int]:
    path, file, member = os.fsencode(entry.path), os.fsencode(entry.file), entry.member
    if member is None:
        return path, file, 0, WHOLE, 0
    return path, file, member.offset, member.size, member.packing


def _entry(path: bytes, file: bytes, offset: int, size: int, packing: int) -> Entry:
    name, place = os.fsdecode(path), os.fsdecode(file)
    return Entry(name, place, None if size == WHOLE else Member(place, offset, size, packing))
