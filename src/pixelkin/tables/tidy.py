"""A report as CSV: one figure a line, so that any other table can be made of it."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator

from pixelkin.benchmarks import printed_by
from pixelkin.evaluate import Figure, Report
from pixelkin.measure import Results

FIELDS = "condition source real generated unreadable metric value low high printed difference".split()  # noqa: SIM905


def csv_of(results: Results) -> str:
    """Every figure of every report, as shares in [0, 1]; an undefined one is an empty cell."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(FIELDS)
    for condition, report in _reports(results):
        writer.writerows(_lines(condition, report))
    return buffer.getvalue()


def _reports(results: Results) -> Iterator[tuple[str, Report]]:
    yield "clean", results.report
    if results.audit:
        yield "zero-pixel", results.audit.zero_pixel
        yield "compression-only", results.audit.compression
        yield "aligned", results.audit.aligned
    for condition, report in results.robustness.conditions if results.robustness else ():
        yield condition.chain, report


def _lines(condition: str, report: Report) -> Iterator[list[object]]:
    printed = printed_by(report.about.benchmark, report.about.system) if condition == "clean" else {}
    for row in report.rows:
        counts = [row.real, row.generated, row.unreadable]
        for name, figure in row.figures.items():
            yield [condition, row.source, *counts, name, *_cells(figure, printed.get((row.source, name)))]
    for name, figure in report.mean.items():
        yield [condition, "mean", "", "", "", name, *_cells(figure, printed.get(("mean", name)))]


def _cells(figure: Figure, printed: float | None) -> list[object]:
    both = printed is not None and figure.value is not None
    difference = round(figure.value - printed, 6) if both else ""  # type: ignore[operator]
    shown = ["" if v is None else round(v, 6) for v in (figure.value, figure.low, figure.high)]
    return [*shown, "" if printed is None else printed, difference]
