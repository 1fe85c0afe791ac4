"""What a scan says, one row an image, and the Parquet files that hold it, one a part of the list."""

from __future__ import annotations

import io
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from pathlib import Path

from pixelkin.errors import DataError
from pixelkin.files import write_atomically
from pixelkin.parquet import modules

# Name of each column, and of its type in Arrow.
COLUMNS = {
    "path": "string",
    "archive": "string",
    "sha256": "string",
    "width": "int32",
    "height": "int32",
    "format": "string",
    "jpeg_quality": "int8",
    "verdict": "string",
    "probability": "float64",
    "logit": "float64",
    "model_sha256": "string",
    "seconds": "float32",
    "error": "string",
}
COUNTS = b"pixelkin.counts"
UNREADABLE = "unreadable"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What a scan says of one image.

    Attributes:
        path: as the source tells it; in a tar or zip file, the member's name.
        archive: that tar or zip file.
        sha256: hex digest of the image file's bytes; None if they could not be had.
        width: pixels, upright.
        height: pixels, upright.
        format: container as Pillow names it.
        jpeg_quality: estimate from a JPEG's quantisation table; None for other formats.
        verdict: as `pixelkin detect`'s; None of an unreadable image.
        probability: calibrated, that the image was generated.
        logit: the joined logit.
        model_sha256: hex digest of the model file.
        seconds: that reading, decoding and the runtime took for it.
        error: why there is no verdict, in a sentence.
    """

    path: str
    archive: str | None = None
    sha256: str | None = None
    width: int | None = None
    height: int | None = None
    format: str | None = None
    jpeg_quality: int | None = None
    verdict: str | None = None
    probability: float | None = None
    logit: float | None = None
    model_sha256: str
    seconds: float
    error: str | None = None


def encode(rows: Sequence[Row]) -> bytes:
    """A Parquet file of rows, their verdicts counted in its metadata."""
    arrow, parquet = modules("scanning")
    counts = Counter(row.verdict or UNREADABLE for row in rows)
    types = [(name, arrow.type_for_alias(kind)) for name, kind in COLUMNS.items()]
    columns = map(list, zip(*map(astuple, rows), strict=True))
    table = arrow.table(
        dict(zip(COLUMNS, columns, strict=True)), arrow.schema(types, {COUNTS: json.dumps(counts).encode()})
    )
    buffer = io.BytesIO()
    parquet.write_table(table, buffer, compression="zstd")
    return buffer.getvalue()


def file_of(folder: Path, number: int) -> Path:
    """Where a part's rows are."""
    return folder / f"part-{number:07}.parquet"


def write(folder: Path, number: int, part: bytes) -> None:
    """Put a part, as `encode` made it, in its place, whole or not at all.

    Raises:
        DataError: it cannot be written.
    """
    file = file_of(folder, number)
    try:
        write_atomically(file, part)
    except OSError as error:
        raise DataError(
            f"{file} cannot be written ({error.strerror or error}): what was judged before is kept, and once "
            "it can, the same command goes on"
        ) from error


def counts(part: Path | bytes) -> Counter[str] | None:
    """How many images of a part have which verdict, or are unreadable; None if it is no whole part."""
    arrow, parquet = modules("scanning")
    try:
        metadata = parquet.read_metadata(io.BytesIO(part) if isinstance(part, bytes) else part).metadata
        return Counter(json.loads(metadata[COUNTS]))
    except (OSError, arrow.ArrowException, KeyError, TypeError, ValueError):
        return None
