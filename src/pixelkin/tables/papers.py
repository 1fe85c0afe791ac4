"""Our figures in a paper's own tables: its rows, its columns, its order, and the difference."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pixelkin.benchmarks import PRINTED_NAMES, Benchmark, Collection, printed_by, printed_mean
from pixelkin.evaluate import Report
from pixelkin.measure import Results
from pixelkin.tables.page import Bars, Block, Table, emphasised, strong

METRICS = {"acc": "Acc", "ap": "AP"}
NONE = "-"
PARTIAL = "†"


def paper_blocks(results: Results, benchmark: Benchmark) -> Iterator[Block]:
    """For each collection its table of accuracies and of average precisions, then the mean over all."""
    report = results.report
    for collection in benchmark.collections:
        yield _side_by_side(report, collection)
        for metric in METRICS:
            if any(metric in printed for s in collection.subsets for printed in s.printed.values()):
                yield _table(results, collection, metric)
        yield _bars(report, collection)
    if benchmark.means:
        yield _over_all(report, benchmark)


def printed_for(report: Report, name: str) -> dict[tuple[str, str], float]:
    """What a benchmark printed of the report's system; nothing if the images were degraded first."""
    degraded = report.about.protocol.get("degradation", "none") != "none"
    return {} if degraded else printed_by(name, report.about.system)


def _side_by_side(report: Report, collection: Collection) -> Table:
    """A line a sub-testset: ours, the paper's, the difference."""
    printed = printed_for(report, collection.name.lower())
    of_source = {row.source: row for row in report.rows}
    rows: list[tuple[str, ...]] = []
    for subset in collection.subsets:
        source = collection.source(subset)
        row = of_source.get(source)
        cells = [_marked(subset.name, [source], report)]
        cells += [str(row.real) if row else "missing", str(row.generated) if row else "missing"]
        for metric in METRICS:
            cells += _three(report.over([source], metric), printed.get((source, metric)))
        rows.append(tuple(cells))
    sources = [collection.source(subset) for subset in collection.subsets]
    means = [_three(report.over(sources, metric), printed.get(("mean", metric))) for metric in METRICS]
    rows.append((_marked("**mean**", sources, report), "", "", *(each for three in means for each in three)))
    columns = ["sub-testset", "real", "generated"]
    columns += [f"{name}{what}" for name in METRICS.values() for what in ("", " printed", " difference")]
    system = PRINTED_NAMES.get(report.about.system, "no row of this table")
    note = (
        f"{collection.table}: {collection.citation}. Images: {collection.counts}. Printed figures are "
        f"those of {system}. Acc is at 0.5, AP has no threshold; both need both labels. The mean is left out "
        "while a sub-testset or a label of one is missing."
        f"{f' {PARTIAL} not all of its images are there.' * bool(report.about.partial)}"
    )
    return Table(f"{collection.name} beside {collection.table}", tuple(columns), tuple(rows), note)


def _marked(name: str, sources: Sequence[str], report: Report) -> str:
    """A name, marked where images of its sources are missing."""
    if not any(source in report.about.partial for source in sources):
        return name
    return strong(f"{inner} {PARTIAL}") if (inner := emphasised(name)) else f"{name} {PARTIAL}"


def _table(results: Results, collection: Collection, metric: str) -> Table:
    """The paper's table of one metric; under its rows ours, the difference, and what the audit found."""
    report, subsets = results.report, collection.subsets
    methods = list(dict.fromkeys(method for subset in subsets for method in subset.printed))
    rows: list[tuple[str, ...]] = [
        (
            method,
            *(_percent(subset.printed.get(method, {}).get(metric)) for subset in subsets),
            _percent(collection.means.get(method, {}).get(metric)),
        )
        for method in methods
    ]
    sources = [collection.source(subset) for subset in subsets]
    ours = _over_each(report, sources, metric)
    rows.append((f"**{report.about.model}**", *map(_share, ours)))
    printed = printed_for(report, collection.name.lower())
    if printed:
        theirs = [printed.get((source, metric)) for source in (*sources, "mean")]
        gaps = (_difference(a, None if b is None else 100 * b) for a, b in zip(ours, theirs, strict=True))
        rows.append((f"difference from {PRINTED_NAMES[report.about.system]}", *gaps))
    if audit := results.audit:
        rows += [
            (name, *map(_share, _over_each(each, sources, metric))) for name, each in audit.reports().items()
        ]
    marked = (_marked(subset.name, [source], report) for subset, source in zip(subsets, sources, strict=True))
    columns = ("method", *marked, _marked("Mean", sources, report))
    return Table(f"{collection.name}: {METRICS[metric]}", columns, tuple(rows))


def _over_each(report: Report, sources: Sequence[str], metric: str) -> list[float | None]:
    """A metric of each source, then its mean over them."""
    return [report.over([source], metric) for source in sources] + [report.over(sources, metric)]


def _bars(report: Report, collection: Collection) -> Bars:
    method = PRINTED_NAMES.get(report.about.system, "")
    known = printed_for(report, collection.name.lower())
    series: dict[str, tuple[float | None, ...]] = {}
    for metric, name in METRICS.items():
        sources = [collection.source(subset) for subset in collection.subsets]
        theirs = [known.get((source, metric)) for source in sources]
        printed = tuple(None if value is None else 100 * value for value in theirs)
        ours = [report.over([source], metric) for source in sources]
        series[f"{name}, {report.about.model}"] = tuple(None if v is None else 100 * v for v in ours)
        if any(value is not None for value in printed):
            series[f"{name}, {method} printed"] = printed
    return Bars(
        f"{collection.name}: ours beside the printed", tuple(s.name for s in collection.subsets), series
    )


def _over_all(report: Report, benchmark: Benchmark) -> Table:
    """Table 6: the unweighted mean over all sub-testsets, as printed, from the printed rows, and ours."""
    subsets = [subset for _, subset in benchmark.subsets()]
    sources = [collection.source(subset) for collection, subset in benchmark.subsets()]
    rows: list[tuple[str, ...]] = [
        (
            method,
            _percent(printed.get("acc")),
            _percent(printed_mean(subsets, method, "acc"), 2),
            _percent(printed_mean(subsets, method, "ap"), 2),
        )
        for method, printed in benchmark.means.items()
    ]
    ours = [report.over(sources, metric) for metric in METRICS]
    name = _marked(f"**{report.about.model}**", sources, report)
    rows.append((name, NONE, *(_share(value, 2) for value in ours)))
    found = sum(row.source in sources for row in report.rows)
    return Table(
        f"Mean over the {len(sources)} sub-testsets ({benchmark.table})",
        ("method", "Acc printed", "Acc", "AP"),
        tuple(rows),
        f"Acc and AP of the methods are recomputed from the printed rows. {found} of the {len(sources)} "
        "sub-testsets are here; without all of them there is no mean of ours.",
    )


def _three(ours: float | None, printed: float | None) -> Sequence[str]:
    theirs = None if printed is None else 100 * printed
    return _share(ours), _percent(theirs), _difference(ours, theirs)


def _difference(ours: float | None, printed: float | None) -> str:
    return NONE if ours is None or printed is None else f"{100 * ours - printed:+.1f}"


def _percent(value: float | None, digits: int = 1) -> str:
    return NONE if value is None else f"{value:.{digits}f}"


def _share(value: float | None, digits: int = 1) -> str:
    return NONE if value is None else f"{100 * value:.{digits}f}"
