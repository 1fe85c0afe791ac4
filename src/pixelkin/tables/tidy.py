"""A report as CSV: one figure a line, so that any other table can be made of it."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator

from pixelkin.benchmarks import benchmark
from pixelkin.evaluate import Figure, Report
from pixelkin.measure import Results
from pixelkin.tables.papers import printed_for

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
    degradation = results.report.about.protocol.get("degradation", "none")
    yield "clean" if degradation == "none" else degradation, results.report
    if results.audit:
        yield from results.audit.reports().items()
    for condition, report in results.robustness.conditions if results.robustness else ():
        yield condition.chain, report


def _lines(condition: str, report: Report) -> Iterator[list[object]]:
    name = report.about.benchmark
    printed = printed_for(report, name) if condition == "clean" else {}
    for row in report.rows:
        counts = [row.real, row.generated, row.unreadable]
        for metric, figure in row.figures.items():
            theirs = printed.get((row.source, metric))
            ours = report.over([row.source], metric) if theirs is not None else None
            yield [condition, row.source, *counts, metric, *_cells(figure, theirs, ours)]
    for (source, metric), theirs in printed.items():
        if source != "mean" and source not in {row.source for row in report.rows}:
            yield [condition, source, 0, 0, 0, metric, *_cells(Figure(None), theirs, None)]
    every = [c.source(subset) for c, subset in benchmark(name).subsets()] if name else []
    for metric, figure in report.mean.items():
        theirs, ours = printed.get(("mean", metric)), report.over(every, metric)
        yield [condition, "mean", "", "", "", metric, *_cells(figure, theirs, ours)]


def _cells(figure: Figure, printed: float | None, ours: float | None) -> list[object]:
    """Value, interval, the printed figure, and the difference where ours is of the same images' kind."""
    values = [figure.value, figure.low, figure.high, printed]
    shown: list[object] = ["" if value is None else round(value, 6) for value in values]
    return [*shown, "" if printed is None or ours is None else round(ours - printed, 6)]
