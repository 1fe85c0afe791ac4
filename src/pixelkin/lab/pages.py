"""Pages that are made from cards and records, never typed: ``python -m pixelkin.lab.pages [DOCS]``.

``methods.md`` is made whole; of ``results.md`` the part between two marks is. A test compares both
with what stands in the repository.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pixelkin.benchmarks import PRINTED_NAMES, benchmark
from pixelkin.config import read_toml
from pixelkin.errors import DataError
from pixelkin.lab.detectors import DETECTORS, detector_class
from pixelkin.lab.detectors.base import Paper
from pixelkin.lab.external import ASSETS
from pixelkin.lab.record import CONDITIONS, SETS, Trained, read_record

BEGIN, END = "<!-- systems: made by pixelkin.lab.pages -->", "<!-- systems: end -->"
READINGS = "readings.toml"  # what a person made of a row, by system


def methods() -> str:
    """The page that tells every system by its card."""
    lines = [
        "# Methods",
        "Every system of the laboratory, as its card tells it. This page is made by `python -m "
        "pixelkin.lab.pages`; to change it, change the card in `src/pixelkin/lab/detectors/`.",
        "Train one by `pixelkin train recipes/NAME.toml` (the paper's settings) or with `--reduced` (two "
        "cores); what came of the latter is in [results.md](results.md).",
    ]
    for name in DETECTORS:
        lines += ["", *_method(detector_class(name).card)]
    lines += ["", "## Weights of others", *_assets()]
    return "\n".join(lines) + "\n"


def results(page: str, readings: Mapping[str, Any], record: Mapping[str, Trained] | None = None) -> str:
    """``page`` with the part about every system made anew.

    Raises:
        DataError: the page lacks the two marks.
    """
    entries = read_record() if record is None else record
    return filled(page, BEGIN, END, [*_figures(entries), "", *_deviations(entries, readings)])


def filled(page: str, begin: str, end: str, lines: Iterable[str]) -> str:
    """``page`` with ``lines`` in place of what stood between two marks, which stay.

    Raises:
        DataError: the page lacks the two marks.
    """
    if begin not in page or end not in page:
        raise DataError(f"the page has no part between {begin} and {end}")
    before, _, rest = page.partition(begin)
    return before + "\n".join((begin, *lines, end)) + rest.partition(end)[2]


def write(docs: Path) -> None:
    """Make both pages anew in a folder."""
    (docs / "methods.md").write_text(methods(), "utf-8")
    page = docs / "results.md"
    page.write_text(results(page.read_text("utf-8"), read_toml(docs / READINGS)), "utf-8")


def trained_in_words(name: str) -> str:
    """Whether a system was trained here, and how well."""
    entry = read_record().get(name)
    if entry is None:
        return "not trained here"
    value = entry.figures["wild-dev"]["clean"]["auc"][0]
    return f"trained here: wild-dev AUC {_percent(value)}{' (not comparable)' if entry.random else ''}"


def _method(card: Paper) -> Iterator[str]:
    yield f"## {card.label}"
    yield f"`{card.name}` · {card.title} ({card.year}, {card.source})"
    yield ""
    yield f"**Looks at** {card.looks_at}. {card.idea}"
    yield ""
    yield f"- Parameters trained: {card.parameters:,}."
    needs = ", ".join(f"`{need}`" for need in card.needs) or "none needed"
    finished = ", ".join(f"`{each}`" for each in card.checkpoints)
    yield f"- Weights of others: {needs}{f'; the finished system: {finished}' * bool(finished)}."
    if card.choices:
        yield f"- Our choices: {card.choices}"
    yield f"- ONNX: {'no: ' + card.no_export if card.no_export else 'yes, through the parity gate'}."
    words = trained_in_words(card.name)
    yield f"- {words[0].upper()}{words[1:]}."
    yield (
        f"- Code: [{card.name}.py](../src/pixelkin/lab/detectors/{card.name}.py); "
        f"recipe: [{card.name}.toml](../recipes/{card.name}.toml)."
    )


def _assets() -> Iterator[str]:
    yield "Nothing is downloaded. Put files into a folder and give it as `--weights-dir`."
    yield ""
    yield "| name | what | file | MB | published | licence |"
    yield "|---|---|---|--:|---|---|"
    for name, asset in ASSETS.items():
        cells = (f"`{name}`", asset.what, f"`{asset.file}`", asset.megabytes, asset.published, asset.licence)
        yield f"| {' | '.join(map(str, cells))} |"


def _figures(record: Mapping[str, Trained]) -> Iterator[str]:
    conditions = [f"{images} {condition}" for images in SETS for condition in CONDITIONS]
    heads = ["system", "parameters", "weights", "crops", "minutes", "images/s", "control", "validation"]
    yield f"| {' | '.join([*heads, *conditions, 'paper: mean Acc'])} |"
    yield f"|---|--:|---|{'--:|' * (len(heads) - 3 + len(conditions) + 1)}"
    printed = benchmark("paper").means
    for name in DETECTORS:
        card, entry = detector_class(name).card, record.get(name)
        if entry is None:
            empty = " |" * (len(heads) - 2 + len(conditions))
            yield f"| {card.label} | {card.parameters:,} | not trained here{empty} |"
            continue
        cells = [
            card.label + (" *" if entry.random else ""),
            f"{entry.parameters:,}",
            f"`{entry.sha256[:8]}`",
            f"{entry.crops:,}",
            f"{entry.minutes:.1f}",
            f"{entry.images_per_second:.0f}",
            _percent(entry.control),
            _percent(entry.validation),
            *(_interval(entry.figures[images][c]["auc"]) for images in SETS for c in CONDITIONS),
            str(printed.get(PRINTED_NAMES.get(name, ""), {}).get("acc", "-")),
        ]
        yield f"| {' | '.join(cells)} |"


def _deviations(record: Mapping[str, Trained], readings: Mapping[str, Any]) -> Iterator[str]:
    for name in DETECTORS:
        entry, card = record.get(name), detector_class(name).card
        if entry is None:
            continue
        yield f"**{card.label}.** {readings.get(name, '')}".rstrip()
        yield f"Weights `{entry.sha256}`."
        if entry.random:
            yield f"Random first values instead of {', '.join(entry.random)}: **not comparable**."
        if entry.used:
            used = ", ".join(f"{asset} (`{digest[:8]}`)" for asset, digest in entry.used.items())
            yield f"Weights of others: {used}."
        changes = "; ".join(
            f"{key} {_value(was)} → {_value(now)}" for key, (was, now) in entry.changed.items()
        )
        yield f"Changed from the paper's recipe: {changes}."
        yield ""


def _interval(figure: list[float | None]) -> str:
    value, low, high = figure
    return "-" if value is None else f"{_percent(value)} ({_percent(low)}-{_percent(high)})"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f}"


def _value(value: Any) -> str:
    return "none" if value is None else f"`{value}`"


if __name__ == "__main__":
    write(Path(sys.argv[1] if len(sys.argv) > 1 else "docs"))
