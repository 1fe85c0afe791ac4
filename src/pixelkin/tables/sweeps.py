"""Several runs side by side: a sweep's cells with their spread over seeds, and two systems' differences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pixelkin.benchmarks import variants
from pixelkin.compare import OVER_ALL, Paired, Spread, spread
from pixelkin.evaluate import AT_HALF, CALIBRATION, METRICS, THRESHOLD_FREE, Report
from pixelkin.measure import Results
from pixelkin.tables.page import Page, Table
from pixelkin.tables.pages import HEADINGS, MEAN, UNDEFINED, cell
from pixelkin.tables.papers import printed_for

SEED = "seed"
BY_SOURCE = ("auc", "ap", "acc")
NOTE = "Percent; after ± the sample standard deviation over runs, in brackets the least and the greatest."
TABLE7 = ("Acc printed for ForenSynths (Table 7)", "AP printed")


def sweep_page(name: str, cells: Sequence[tuple[Mapping[str, Any], Results]]) -> Page:
    """A row for each setting of a sweep, with mean and spread where it was run with several seeds.

    Args:
        name: of the sweep.
        cells: what each run set, and its results; all of one set of images.

    Raises:
        DataError: the reports are of different sets.
    """
    groups: dict[str, list[Report]] = {}
    for values, results in cells:
        groups.setdefault(_setting(values), []).append(results.report)
    spreads = {setting: spread(reports) for setting, reports in groups.items()}
    first = cells[0][1]
    about = first.report.about
    facts = {
        "runs": ", ".join(f"{r.report.about.model} `{r.report.about.model_sha256[:12]}`" for _, r in cells),
        "dataset": f"{about.dataset}, SHA-256 of its labels and paths `{about.dataset_sha256}`",
        **about.protocol,
    }
    tables = [_means(cells, groups, spreads), *(_by_source(first, spreads, metric) for metric in BY_SOURCE)]
    return Page(f"{name} on {about.dataset}", facts, tuple(tables))


def _means(
    cells: Sequence[tuple[Mapping[str, Any], Results]],
    groups: Mapping[str, list[Report]],
    spreads: Mapping[str, dict[str, dict[str, Spread]]],
) -> Table:
    printed = _printed(cells)
    rows: list[tuple[str, ...]] = [
        (
            setting,
            str(len(groups[setting])),
            *(_spread(found[OVER_ALL].get(metric)) for metric in METRICS),
            *printed.get(setting, ("-", "-") if printed else ()),
        )
        for setting, found in spreads.items()
    ]
    if audit := cells[0][1].audit:
        for name, report in audit.classifiers().items():
            rest = ("-", "-") if printed else ()
            rows.append((name, "-", *(cell(report.mean.get(metric)) for metric in METRICS), *rest))
    columns = ("setting", "runs", *(HEADINGS[metric] for metric in METRICS), *(TABLE7 if printed else ()))
    return Table("Means over the sources", columns, tuple(rows), NOTE)


def _by_source(first: Results, spreads: Mapping[str, dict[str, dict[str, Spread]]], metric: str) -> Table:
    """A metric of every setting and source; under them what the paper printed, if it is the paper's set."""
    sources = [row.source for row in first.report.rows]
    rows: list[tuple[str, ...]] = [
        (setting, *(_spread(found[source].get(metric)) for source in sources))
        for setting, found in spreads.items()
    ]
    printed = printed_for(first.report, first.report.about.benchmark)
    if any(of == metric for _, of in printed):
        theirs = (printed.get((source, metric)) for source in sources)
        rows.append(("printed", *("-" if value is None else f"{100 * value:.1f}" for value in theirs)))
    return Table(f"{HEADINGS[metric]} by source", ("setting", *sources), tuple(rows), NOTE)


def paired_page(found: Paired) -> Page:
    """What the second system's figures have over the first's."""
    names = [name for name in found.mean if name in METRICS]
    blocks = []
    for title, kind in (
        ("Without a threshold", THRESHOLD_FREE),
        ("At 0.5", AT_HALF),
        ("Calibration", CALIBRATION),
    ):
        chosen = [name for name in names if name in kind]
        rows = [
            (source, *(cell(of_row[name], signed=True) for name in chosen))
            for source, of_row in found.rows.items()
        ]
        rows.append(("**mean**", *(cell(found.mean[name], signed=True) for name in chosen)))
        blocks.append(Table(title, ("source", *(HEADINGS[name] for name in chosen)), tuple(rows), MEAN))
    first, second = found.first, found.second
    facts = {
        name: f"{of.model}, SHA-256 `{of.model_sha256}`, degradation {of.protocol.get('degradation')}"
        for name, of in (("first", first), ("second", second))
    } | {
        "images": f"{found.images} scored by both, {found.left_out} left out",
        "to read": "the second's figures less the first's; an interval without zero is a difference",
        "intervals": f"95 %, {found.resamples} resamples, the same images redrawn for both",
    }
    return Page(f"{second.model} against {first.model}", facts, tuple(blocks))


def _setting(values: Mapping[str, Any]) -> str:
    """What a run sets, but for the seed."""
    settings = [f"{key.rpartition('.')[2]} {value}" for key, value in values.items() if key != SEED]
    return ", ".join(settings) or "all runs"


def _printed(cells: Sequence[tuple[Mapping[str, Any], Results]]) -> dict[str, tuple[str, str]]:
    """The paper's own figures of the settings that its Table 7 has."""
    rows: dict[tuple[Any, ...], tuple[str, str]] = {
        (each.period, each.reference): (f"{each.acc:.1f}", f"{each.ap:.1f}") for each in variants()
    }
    keys = "options.period", "options.reference"
    of_cell = {_setting(values): rows.get(tuple(map(values.get, keys))) for values, _ in cells}
    return {setting: found for setting, found in of_cell.items() if found}


def _spread(found: Spread | None) -> str:
    if found is None:
        return UNDEFINED
    if found.deviation is None:
        return f"{100 * found.mean:.1f}"
    return (
        f"{100 * found.mean:.1f} ± {100 * found.deviation:.1f} "
        f"({100 * found.least:.1f}-{100 * found.greatest:.1f})"
    )
