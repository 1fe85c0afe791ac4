"""Reports for people to read."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pixelkin.evaluate import Figure, Report

HEADINGS = {
    "acc": "Acc",
    "ap": "AP",
    "auc": "AUC",
    "acc_real": "Acc real",
    "acc_generated": "Acc generated",
    "ece": "ECE",
    "tpr_at_5_fpr": "TPR at 5 % FPR",
    "false_alarms": "false alarms",
    "caught": "caught",
    "uncertain": "uncertain",
}


def markdown(report: Report) -> str:
    """The report as a Markdown page: what was measured, then a row per source, in percent."""
    facts = {
        "model": f"{report.model}, SHA-256 `{report.model_sha256}`",
        "dataset": f"{report.dataset}, SHA-256 of its labels and paths `{report.dataset_sha256}`",
        **report.protocol,
        "intervals": f"95 %, {report.resamples} resamples within source and label, seed {report.seed}",
        "Pixelkin": report.version,
    }
    names = list(report.mean)
    lines = [f"# {report.model} on {report.dataset}", ""]
    lines += [f"- {name}: {fact}" for name, fact in facts.items()]
    lines += ["", *_table(report, names), ""]
    if any(row.joined for row in report.rows):
        lines.append(
            "Where + stands, all one-label sources of the other label joined a source that has one only."
        )
    lines.append("Figures are percent, with their intervals; the mean is over the rows, unweighted.")
    if "caught" in names:
        lines.append(
            "False alarms are photographs called generated, caught are generated images called so, "
            "uncertain are verdicts withheld, all at the model's own thresholds; Acc is at 0.5."
        )
    if report.unreadable:
        lines += ["", f"{len(report.unreadable)} images could not be read:", ""]
        lines += [f"- {reason or path}" for path, reason in report.unreadable.items()]
    return "\n".join(lines) + "\n"


def _table(report: Report, names: Sequence[str]) -> Iterable[str]:
    yield _line(["source", "real", "generated", *(HEADINGS[name] for name in names)])
    yield _line(["---"] + ["--:"] * (len(names) + 2))
    for row in report.rows:
        counts = [
            f"{row.real}{'+' * (row.joined == 'real')}",
            f"{row.generated}{'+' * (row.joined == 'generated')}",
        ]
        yield _line([row.source, *counts, *(_cell(row.figures[name]) for name in names)])
    yield _line(["**mean**", "", "", *(_cell(report.mean[name]) for name in names)])


def _cell(figure: Figure) -> str:
    if figure.value is None:
        return "not defined"
    if figure.low is None or figure.high is None:
        return f"{100 * figure.value:.1f}"
    return f"{100 * figure.value:.1f} ({100 * figure.low:.1f}-{100 * figure.high:.1f})"


def _line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cells) + " |"
