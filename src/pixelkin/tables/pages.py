"""What is told of an evaluation, in which order. Figures are percent."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pixelkin.audit import ENOUGH, SUSPICIOUS, Audit
from pixelkin.benchmarks import benchmark
from pixelkin.evaluate import AT_HALF, CALIBRATION, THRESHOLD_FREE, Figure, Report, Row
from pixelkin.measure import Results
from pixelkin.robustness import Robustness
from pixelkin.tables.page import Block, Diagram, Lines, Page, Point, Table, Text
from pixelkin.tables.papers import paper_blocks

HEADINGS = {
    "auc": "AUC",
    "ap": "AP",
    "tpr_at_5_fpr": "TPR at 5 % FPR",
    "tpr_at_1_fpr": "TPR at 1 % FPR",
    "acc": "Acc",
    "acc_real": "Acc real",
    "acc_generated": "Acc generated",
    "false_alarms": "false alarms",
    "caught": "caught",
    "uncertain": "uncertain",
    "ece": "ECE",
}
UNDEFINED = "not defined"
JOINED = "Where + stands, all one-label sources of the other label joined a source that has one only. "
MEAN = "Figures are percent, with their 95 % intervals; the mean is over the rows, unweighted."
VERDICTS = (
    "Acc is at 0.5. False alarms are photographs called generated, caught are generated images called so, "
    "uncertain are verdicts withheld, all at the model's own thresholds. "
)


def page_of(results: Results) -> Page:
    """The page of an evaluation."""
    report = results.report
    blocks = [
        _headline(results),
        *_verdict(results),
        *_notes(report),
        *_presence(results),
        *(paper_blocks(results, benchmark(report.about.benchmark)) if report.about.benchmark else []),
        *_figures(results),
        *_reliability(report),
        *(_audit(results.audit) if results.audit else []),
        *(_robustness(results.robustness) if results.robustness else []),
        *_unreadable(report),
    ]
    return Page(f"{report.about.model} on {report.about.dataset}", _facts(report), tuple(blocks))


def cell(figure: Figure | None, *, signed: bool = False) -> str:
    """A figure in percent with its interval; a difference has its sign."""
    if figure is None or figure.value is None:
        return UNDEFINED
    sign, to = ("+", " to ") if signed else ("", "-")
    if figure.low is None or figure.high is None:
        return f"{100 * figure.value:{sign}.1f}"
    return f"{100 * figure.value:{sign}.1f} ({100 * figure.low:{sign}.1f}{to}{100 * figure.high:{sign}.1f})"


def _facts(report: Report) -> dict[str, str]:
    about = report.about
    return {
        "model": f"{about.model}, SHA-256 `{about.model_sha256}`",
        "dataset": f"{about.dataset}, SHA-256 of its labels and paths `{about.dataset_sha256}`",
        **about.protocol,
        "intervals": f"95 %, {report.resamples} resamples within source and label, seed {report.seed}",
        "Pixelkin": report.version,
    }


def _headline(results: Results) -> Block:
    """The means, and beside each what the files alone reach and what is left after alignment."""
    report, audit = results.report, results.audit
    beside = audit.reports() if audit else {}
    rows = [
        (HEADINGS[name], *(cell(each.mean.get(name)) for each in (report, *beside.values())))
        for name in ("auc", "ap", "acc")
    ]
    note = (
        f"Zero-pixel looks at what the files say of themselves, compression-only at how they were "
        f"compressed, neither at the picture; aligned is the model after `{audit.chain}` on both labels. "
        f"Their intervals are from {audit.aligned.resamples} resamples. Acc is at 0.5."
        if audit
        else "How much of this the files alone give away is not known: `--audit` tells."
    )
    columns = ("mean over the sources", report.about.model, *beside)
    over = [
        row.source for row in report.rows if None not in (row.figures["auc"].value, row.figures["acc"].value)
    ]
    if len(over) < len(report.rows):
        note += f" AUC and AP are over {len(over)} of {len(report.rows)} sources: the others lack a label."
    if audit and audit.unfit:
        note += f" Without {len(audit.unfit)} sources too small for the classifiers, in their two columns."
    return Table("In short", columns, tuple(rows), note)


def _verdict(results: Results) -> Iterator[Block]:
    """What the audit found, in a sentence; its table stands further down."""
    audit = results.audit
    if audit is None:
        return
    count = len(results.report.rows)
    flagged = {source for each in audit.suspicions for source in each.sources}
    if flagged:
        told = (
            f"In {len(flagged)} of {count} sources the labels can be told apart without the pictures: "
            "their figures may be facts about the files. The audit's table says by what."
        )
    elif len(audit.unfit) < count:
        told = f"No classifier of the files is above AUC {100 * SUSPICIOUS:.0f} with confidence."
    else:
        told = "Nothing could be audited."
    if audit.unfit:
        told += f" Not audited, with under {ENOUGH} different files of a label: {', '.join(audit.unfit)}."
    yield Text("Bias audit", (told,))


def _audit(audit: Audit) -> Iterator[Table]:
    """A row a source: what each classifier of the files reaches, and by what."""
    reports = audit.classifiers()
    clue = {
        (kind, source): f"{each.clue} ({100 * each.clue_auc:.1f})"
        for kind in reports
        for each in audit.suspicions
        if each.by == kind
        for source in each.sources
    }
    figures = {
        kind: {row.source: row.figures["auc"] for row in report.rows}
        for kind, report in audit.reports().items()
    }
    rows = []
    for source in figures["aligned"]:
        found = [
            part
            for kind in reports
            for part in (
                "too few images" if source in audit.unfit else cell(figures[kind].get(source)),
                clue.get((kind, source), "-"),
            )
        ]
        flagged = any((kind, source) in clue for kind in reports)
        rows.append((source, "flagged" if flagged else "-", *found, cell(figures["aligned"][source])))
    columns = ("source", "verdict", "zero-pixel AUC", "by", "compression-only AUC", "by", "aligned AUC")
    note = (
        f"Flagged where the lower end of an interval is above {100 * SUSPICIOUS:.0f}. The feature named "
        "tells most by itself, with its own AUC in brackets. One-label sources share one classifier."
    )
    yield Table("Bias audit by source", columns, tuple(rows), note)


def _notes(report: Report) -> Iterator[Block]:
    notes = [*report.about.notes]
    notes += [f"the same file lies under both labels: {', '.join(paths)}" for paths in report.contradictory]
    if notes:
        yield Text("To know of the images", (), tuple(notes))


def _presence(results: Results) -> Iterator[Block]:
    if results.presence:
        rows = [
            (
                each.source,
                each.state,
                str(each.real),
                str(each.generated),
                str(each.published or "not published"),
                each.layout,
                ", ".join(each.lacking),
            )
            for each in results.presence
        ]
        columns = ("sub-testset", "state", "real", "generated", "published, both", "layout", "lacking")
        yield Table("What is there", columns, tuple(rows))


def _figures(results: Results) -> Iterator[Table]:
    """One table each for what needs no threshold, what has one, and how far scores are probabilities."""
    report, audit = results.report, results.audit
    beside = {"zero-pixel": audit.zero_pixel, "aligned": audit.aligned} if audit else {}
    joined = JOINED if any(row.joined for row in report.rows) else ""
    decided = [*AT_HALF, *(name for name in ("false_alarms", "caught", "uncertain") if name in report.mean)]
    yield _by_source(report, "Without a threshold", list(THRESHOLD_FREE), joined + MEAN, "auc", beside)
    yield _by_source(
        report,
        "At a threshold",
        decided,
        joined + (VERDICTS if "caught" in decided else "Acc is at 0.5. ") + MEAN,
        "acc",
        beside,
    )
    yield _by_source(report, "Calibration", list(CALIBRATION), joined + MEAN, "ece", {})


def _by_source(
    report: Report, title: str, names: Sequence[str], note: str, headline: str, beside: dict[str, Report]
) -> Table:
    others = [{row.source: row.figures for row in each.rows} for each in beside.values()]
    rows = [
        (
            row.source,
            f"{row.real}{'+' * (row.joined == 'real')}",
            f"{row.generated}{'+' * (row.joined == 'generated')}",
            *(_figure_cell(row, name) for name in names),
            *(cell(other.get(row.source, {}).get(headline)) for other in others),
        )
        for row in report.rows
    ]
    mean = [cell(report.mean[name]) for name in names] + [
        cell(each.mean[headline]) for each in beside.values()
    ]
    others_named = (f"{name} {HEADINGS[headline]}" for name in beside)
    columns = ("source", "real", "generated", *(HEADINGS[name] for name in names), *others_named)
    return Table(title, columns, (*rows, ("**mean**", "", "", *mean)), note)


def _figure_cell(row: Row, name: str) -> str:
    if row.figures[name].value is None and row.unreadable and not (row.real or row.generated):
        return "no image could be read"
    return cell(row.figures[name])


def _reliability(report: Report) -> Iterator[Block]:
    bins = tuple((each.images, each.probability, each.generated) for each in report.reliability)
    rows = [(f"{100 * p:.1f}", str(images), f"{100 * share:.1f}") for images, p, share in bins]
    columns = ("mean probability", "images", "share generated")
    yield Table("Reliability", columns, tuple(rows), "All images of the set together, in fifteen equal bins.")
    yield Diagram("Reliability diagram", bins)


def _robustness(grid: Robustness) -> Iterator[Block]:
    reports = [("as they are", grid.clean)]
    reports += [(f"{condition.family}: {condition.value}", report) for condition, report in grid.conditions]
    sources = [row.source for row in grid.clean.rows]
    for metric, title in (("auc", "AUC"), ("acc", "Acc at 0.5")):
        figures = []
        for _, report in reports:
            of_source = {row.source: row.figures[metric].value for row in report.rows}
            figures.append((report.mean[metric].value, *map(of_source.get, sources)))
        rows = tuple(
            (name, *(UNDEFINED if value is None else f"{100 * value:.1f}" for value in of_row))
            for (name, _), of_row in zip(reports, figures, strict=True)
        )
        heading = f"Robustness: {title} under each condition"
        yield Table(heading, ("condition", "mean", *sources), rows, "", tuple(figures))
    yield Lines(
        "Robustness: mean AUC",
        {family: _curve(grid, of_family) for family, of_family in grid.families().items()},
        "mean AUC, %",
    )


def _curve(grid: Robustness, of_family: Sequence[tuple[object, Report]]) -> tuple[Point, ...]:
    points = [("clean", grid.clean)] + [(condition.value, report) for condition, report in of_family]  # type: ignore[attr-defined]
    return tuple(
        Point(
            label,
            100 * figure.value,
            None if figure.low is None else 100 * figure.low,
            None if figure.high is None else 100 * figure.high,
        )
        for label, report in points
        if (figure := report.mean["auc"]).value is not None
    )


def _unreadable(report: Report) -> Iterator[Block]:
    if report.unreadable:
        told = f"{len(report.unreadable)} images could not be read and are in no figure:"
        yield Text("Unreadable", (told,), tuple(reason or path for path, reason in report.unreadable.items()))
