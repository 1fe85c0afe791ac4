"""The manifest: one row for each image of the corpus, in a compressed table of text."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import re
import zlib
from collections.abc import Iterable
from dataclasses import astuple, dataclass, fields
from pathlib import Path

from pixelkin.errors import DataError
from pixelkin.files import write_atomically

MANIFEST = Path(__file__).parents[1] / "corpus.tsv.gz"
SOURCES = MANIFEST.with_name("corpus-sources.tsv")
SPLITS = ("train", "dev", "wild-dev", "unseen")
LABELS = ("0_real", "1_fake", "2_edited")
LONGEST_NAME = 110  # characters of a file's name


@dataclass(frozen=True, slots=True)
class Entry:
    """One image file of a public repository. Every value is text, empty where it is not known.

    Attributes:
        split: one of `SPLITS`. ``unseen`` holds sources, families and kinds that no other split has.
        label: one of `LABELS`; photographs with generated parts are ``2_edited``.
        source: the row of a table that it belongs to.
        repository: OWNER/NAME.
        path: in the repository.
        git_blob: name of its git object.
        grid: ``COLUMNSxROWS`` of equal tiles, where it is a contact sheet; empty otherwise.
        generator: checkpoint or service that made it; empty for real pictures.
        family: of that generator, as in families.toml.
        evidence: marks in the file, or words on what else says that the label is right.
        kind: of a real picture, e.g. ``portrait``.
        camera: make and model by EXIF.
        year: in which it was taken or made.
        flags: words separated by spaces, e.g. ``resized``; ``untouched`` where nothing has compressed or
            resized it since the generator or camera wrote it, as far as the file tells.
        width: pixels, as stored.
        height: pixels, as stored.
        format: container, e.g. ``JPEG``.
        jpeg_quality: 1 to 100, by the luminance table.
    """

    split: str
    label: str
    source: str
    repository: str
    path: str
    git_blob: str
    grid: str = ""
    generator: str = ""
    family: str = ""
    evidence: str = ""
    kind: str = ""
    camera: str = ""
    year: str = ""
    flags: str = ""
    width: str = ""
    height: str = ""
    format: str = ""
    jpeg_quality: str = ""

    @property
    def file_name(self) -> str:
        """Name of the file when laid out.

        Where the format is known it begins with digits of the blob: commits of a repository may hold
        different images of one path. Names of older rows stay as they were.
        """
        name = re.sub(r"[^A-Za-z0-9._-]+", "_", self.path)
        digits = f"{self.git_blob[:8]}_" if self.format else ""
        if len(digits + name) <= LONGEST_NAME:
            return digits + name
        return (digits or hashlib.sha256(self.path.encode()).hexdigest()[:8] + "_") + name[-100:]

    @property
    def images(self) -> int:
        """Number of images that it is laid out as: the tiles of a contact sheet, or one."""
        columns, rows = (int(number) for number in (self.grid or "1x1").split("x"))
        return columns * rows

    @property
    def folder(self) -> str:
        """The folder that it is laid out in, ``SPLIT/LABEL/SOURCE``."""
        return f"{self.split}/{self.label}/{self.source}"


COLUMNS = tuple(field.name for field in fields(Entry))
REQUIRED = COLUMNS[:7]  # a manifest may lack the others, which are then empty


def read_manifest(manifest: Path = MANIFEST) -> list[Entry]:
    """All entries of a manifest, in its order.

    Raises:
        DataError: it is no such manifest.
    """
    try:
        with gzip.open(manifest, "rt", encoding="utf-8", newline="") as file:
            table = csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
            columns = next(table, [])
            if missing := set(REQUIRED) - set(columns):
                raise ValueError(f"without the columns {', '.join(sorted(missing))}")
            return [Entry(**dict(zip(columns, row, strict=True))) for row in table]
    except (OSError, EOFError, zlib.error, ValueError, TypeError, csv.Error) as error:
        raise DataError(f"{manifest} is no manifest of a corpus ({error})") from error


def write_manifest(path: Path, entries: Iterable[Entry]) -> None:
    """Write a manifest; the same entries always give the same bytes.

    Raises:
        DataError: a value holds a tab or a line break.
    """
    text = io.StringIO()
    text.write("\t".join(COLUMNS) + "\n")
    for entry in entries:
        line = "\t".join(astuple(entry))
        if line.count("\t") != len(COLUMNS) - 1 or "\n" in line or "\r" in line:
            raise DataError(f"{entry.repository} {entry.path!r}: a tab or line break in a value")
        text.write(line + "\n")
    packed = io.BytesIO()
    with gzip.GzipFile(filename="", mode="wb", fileobj=packed, compresslevel=9, mtime=0) as file:
        file.write(text.getvalue().encode())
    write_atomically(path, packed.getvalue())
