"""Scored rows as Parquet: kept while scoring goes on, so that it can be interrupted, and read for any metric.

A file has the columns of `COLUMNS`, one row a sample, and what the scores are of (`About`) in its
schema's metadata. While a set is being scored its rows lie in numbered files beside.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pixelkin.config import build
from pixelkin.data import file_of
from pixelkin.errors import ConfigError, DataError
from pixelkin.evaluate import About
from pixelkin.files import replacing
from pixelkin.parquet import modules
from pixelkin.types import Sample, Scored

if TYPE_CHECKING:
    import pyarrow

# Name of each column, and of its type in Arrow.
COLUMNS = {
    "path": "string",
    "label": "int8",
    "source": "string",
    "logit": "float64",
    "probability": "float64",
    "error": "string",
    "sha256": "string",
}
ABOUT = b"pixelkin.about"
PART_ROWS, PART_SECONDS = 256, 10.0  # a part is written after so many rows, or so long

Scoring = Callable[[list[Sample]], Iterable[Scored]]


def keep(
    file: Path, about: About, samples: Sequence[Sample], scoring: Scoring, root: Path | None = None
) -> list[Scored]:
    """The scores of ``samples``: those that ``file`` has, and the rest by ``scoring``, kept as they come.

    Scored again is what could not be read, and what was changed since its score was kept.

    Args:
        file: a Parquet file, existing or to be made.
        about: what the scores are of.
        samples: what to score; one image in several sources is scored once.
        scoring: scores samples in order.
        root: the folder the samples' paths start from, to see what was changed; None not to look.

    Raises:
        DataError: ``file`` holds scores of something else, or a path cannot be kept.
        MissingExtraError: pyarrow is not installed.
    """
    modules("keeping scores")  # before hours of scoring, not after
    unsayable = [sample.path for sample in samples if not _is_text(sample.path)]
    if unsayable:
        raise DataError(
            f"{len(unsayable)} names are no UTF-8 text and cannot be kept, first {unsayable[0]!r}"
        )
    parts = file.with_suffix(".parts")
    done = _held(file, parts, about, {s.path: file_of(root, s) for s in samples} if root else {})
    left = [sample for sample in {s.path: s for s in samples}.values() if sample.path not in done]
    for part in _in_parts(scoring(left)) if left else ():
        parts.mkdir(parents=True, exist_ok=True)
        write(parts / f"{len(list(parts.glob('*.parquet'))):06}.parquet", about, part)
        done |= {each.sample.path: each for each in part}
    scored = [_for(sample, done[sample.path]) for sample in samples]
    if left or not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        write(file, about, scored)
    shutil.rmtree(parts, ignore_errors=True)
    return scored


def write(file: Path, about: About, scored: Sequence[Scored]) -> None:
    """Write rows to ``file``, whole or not at all."""
    arrow, parquet = modules("keeping scores")
    types = [(name, arrow.type_for_alias(kind)) for name, kind in COLUMNS.items()]
    schema = arrow.schema(types, {ABOUT: json.dumps(asdict(about)).encode()})
    columns = zip(*map(_cells, scored), strict=True) if scored else ([] for _ in COLUMNS)
    table = arrow.table(dict(zip(COLUMNS, map(list, columns), strict=True)), schema)
    with replacing(file) as opened:
        parquet.write_table(table, opened)


def read(file: Path) -> tuple[About, list[Scored]]:
    """The rows of a file that `write` wrote, and what they are of.

    Raises:
        DataError: it is no such file.
    """
    arrow, parquet = modules("keeping scores")
    try:
        table: pyarrow.Table = parquet.read_table(file)
        about = build(About, json.loads(table.schema.metadata[ABOUT]))
        columns = [table[name].to_pylist() for name in COLUMNS]
    except (
        *(OSError, arrow.ArrowException, ConfigError),
        *(KeyError, TypeError, ValueError, RecursionError),
    ) as error:
        raise DataError(f"{file}: no scores that `pixelkin evaluate` kept ({error})") from error
    return about, [
        Scored(Sample(path, source, label), probability, error, logit, sha256)
        for path, label, source, logit, probability, error, sha256 in zip(*columns, strict=True)
    ]


def _held(file: Path, parts: Path, about: About, files: Mapping[str, Path]) -> dict[str, Scored]:
    """By path, the rows of ``file`` and its parts that still hold; all must be of the same thing."""
    held: dict[str, Scored] = {}
    for each in ([file] if file.exists() else []) + sorted(parts.glob("*.parquet")):
        try:
            was, scored = read(each)
        except DataError as error:
            raise DataError(f"{error}: delete it, or give another --out") from error
        changed = [
            f"{name} was {getattr(was, name)!r}, is {getattr(about, name)!r}"
            for name in ("model", "model_sha256", "dataset", "dataset_sha256", "protocol")
            if getattr(was, name) != getattr(about, name)
        ]
        if changed:
            raise DataError(f"{file} holds other scores ({'; '.join(changed)}): give another --out")
        kept = each.stat().st_mtime_ns
        held |= {
            row.sample.path: row
            for row in scored
            if row.error is None and _changed(files.get(row.sample.path)) <= kept
        }
    return held


def _changed(path: Path | None) -> int:
    """When a file was last changed or put in its place, nanoseconds; never, where it is gone or unknown."""
    if path is None:
        return 0
    try:
        facts = path.stat()
    except OSError:
        return 0
    return max(facts.st_mtime_ns, facts.st_ctime_ns)


def _is_text(path: str) -> bool:
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True


def _in_parts(scored: Iterable[Scored]) -> Iterator[list[Scored]]:
    part: list[Scored] = []
    began = time.monotonic()
    try:
        for each in scored:
            part.append(each)
            if len(part) >= PART_ROWS or time.monotonic() - began > PART_SECONDS:
                yield part
                part, began = [], time.monotonic()
    except (Exception, KeyboardInterrupt):
        if part:
            yield part  # what is scored is kept, whatever stopped the rest
        raise
    if part:
        yield part


def _for(sample: Sample, scored: Scored) -> Scored:
    return Scored(sample, scored.score, scored.error, scored.logit, scored.sha256)


def _cells(each: Scored) -> tuple[Any, ...]:
    sample = each.sample
    return sample.path, sample.label, sample.source, each.logit, each.score, each.error, each.sha256
