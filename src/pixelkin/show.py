"""What a terminal shows: verdicts as lines of words, JSON or CSV, and progress bars on stderr."""

from __future__ import annotations

import csv
import io
import json
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import typer

from pixelkin.scoring import FIELDS, Judged, record
from pixelkin.types import Verdict

if TYPE_CHECKING:
    from pixelkin.benchmarks.layouts import Presence
    from pixelkin.data import DataFacts
    from pixelkin.lab.detectors.base import Paper
    from pixelkin.lab.train import Progress
    from pixelkin.model import Model
    from pixelkin.scan.job import OnBegin, OnCounts

COLOURS = {Verdict.REAL: "green", Verdict.UNCERTAIN: "yellow", Verdict.GENERATED: "red"}
BAR = 10  # characters of a probability bar
REFRESH = 0.2  # seconds between looks at what changed
QUIET = 30.0  # seconds between lines where there is no terminal to draw a bar on


def json_line(judged: Judged, model: Model) -> str:
    """One JSON object."""
    return json.dumps(record(judged, model), ensure_ascii=False)


def csv_header() -> str:
    """The names of `csv_line`'s columns."""
    return ",".join(FIELDS)


def csv_line(judged: Judged, model: Model) -> str:
    """One line of comma-separated values."""
    buffer = io.StringIO()
    csv.DictWriter(buffer, FIELDS, lineterminator="").writerow(record(judged, model))
    return buffer.getvalue()


def line(judged: Judged, model: Model) -> str:  # noqa: ARG001 - the same call as its siblings
    """One line for people: verdict, probability that it was generated, size, path."""
    said = judged.prediction
    if said is None:
        return f"{typer.style('unreadable', fg='magenta')}  {judged.error}"
    filled = round(BAR * said.probability)
    bar = "█" * filled + "░" * (BAR - filled)
    verdict = typer.style(f"{said.verdict:10}", fg=COLOURS[said.verdict], bold=True)
    size = f"{said.width} x {said.height}"
    return f"{verdict}  {bar} {said.probability:4.0%}  {size:>12} {said.format:5}  {judged.path}"


def facts_in_words(facts: DataFacts) -> Iterator[str]:
    """What a check of labelled images found, a line each."""
    yield f"{facts.root}: {len(facts.sources)} sources"
    for name, of_label in (("real", facts.real), ("generated", facts.generated)):
        if of_label is None:
            yield f"  {name:9}  none"
            continue
        formats = ", ".join(f"{count} {kind}" for kind, count in of_label.formats.items())
        low, middle, high = of_label.short_sides
        sides = f"short side {low} to {high} px, median {middle}"
        yield f"  {name:9}  {of_label.images} images ({formats}), {sides}"
    if facts.unlabelled:
        yield f"  {facts.unlabelled} images lie in no labelled folder and are left out"
    yield from (f"  unreadable: {reason}" for reason in facts.unreadable.values())
    yield from (f"  warning: {warning}" for warning in facts.warnings)


def presence_in_words(presence: Sequence[Presence]) -> Iterator[str]:
    """What is there of a benchmark, a line a sub-testset."""
    wide = max(len(each.source) for each in presence)
    for each in presence:
        published = f" of {each.published:,} published" if each.published else ""
        counts = f"{each.real:,} real, {each.generated:,} generated{published}" if each.layout else ""
        lacking = f"; lacking {', '.join(each.lacking)}" if each.lacking else ""
        yield f"{each.source:{wide}}  {each.state:18}  {counts}{lacking}".rstrip()


def card_in_words(card: Paper, present: Mapping[str, bool], trained: str) -> Iterator[str]:
    """A system of the laboratory, in a few lines.

    Args:
        card: of the system.
        present: whether each of the published weights it names is at hand.
        trained: whether it was trained here, in words.
    """
    yield f"{typer.style(card.name, bold=True)}: {card.label}, looking at {card.looks_at}"
    yield f"    {card.title} ({card.year}, {card.source})"

    def at_hand(names: Sequence[str]) -> str:
        return ", ".join(f"{name} ({'present' if present[name] else 'missing'})" for name in names)

    needs = f"needs {at_hand(card.needs) or 'no weights of others'}"
    if card.checkpoints:
        needs += f"; finished, as published: {at_hand(card.checkpoints)}"
    export = "no ONNX" if card.no_export else "ONNX"
    yield f"    {card.parameters:,} parameters; {needs}; {export}; {trained}"


class _Lines:
    """Lines of progress where there is no terminal: one every `QUIET` seconds, and one at the end."""

    def __init__(self) -> None:
        self._told = time.monotonic()

    def due(self, *, done: bool = False) -> bool:
        """Whether one is to be written now; it then counts as written."""
        if sys.stderr.isatty() or not (done or time.monotonic() - self._told > QUIET):
            return False
        self._told = time.monotonic()
        return True


@contextmanager
def measuring() -> Iterator[dict[str, Callable[..., None]]]:
    """What an evaluation is to call: a progress bar for its stages, and words on what was found."""
    with _bar() as bar:
        tasks: dict[str, Any] = {}
        done: Counter[str] = Counter()
        lines = _Lines()

        def on_image(stage: str, of: int) -> None:
            if stage not in tasks:
                tasks[stage] = bar.add_task(stage, total=of, note="")
            bar.advance(tasks[stage])
            done[stage] += 1
            if lines.due():
                typer.echo(f"{stage}: {done[stage]} of {of}", err=True)

        yield {"on_facts": _tell_facts, "on_presence": _tell_presence, "on_image": on_image}


def counts_in_words(counts: Mapping[str, int]) -> str:
    """How many images have which verdict, or are unreadable."""
    known = [*map(str, Verdict), *sorted(counts.keys() - set(map(str, Verdict)))]
    return ", ".join(f"{counts.get(each, 0):,} {each}" for each in known)


@contextmanager
def scanning() -> Iterator[tuple[OnBegin, OnCounts]]:
    """What a scan is to call: a progress bar with rate, time left and counts; lines without a terminal."""
    with _bar() as bar:
        task = bar.add_task("listing", total=None, note="")
        counts: Counter[str] = Counter()
        began = told = time.monotonic()
        before = 0

        def on_begin(total: int, done: Counter[str]) -> None:
            nonlocal began, told, before
            before, began = done.total(), time.monotonic()
            told = began
            counts.update(done)
            bar.update(task, description="judging", total=total, completed=before)

        def on_counts(more: Counter[str]) -> None:
            nonlocal told
            counts.update(more)
            now = time.monotonic()
            if now - told < (QUIET if bar.disable else REFRESH):
                return
            told, done = now, counts.total()
            rate = (done - before) / (now - began)
            note = f"{rate:,.1f}/s, {counts_in_words(counts)}"
            bar.update(task, completed=done, note=note)
            if bar.disable:
                of = int(bar.tasks[task].total)
                left = f"{(of - done) / rate / 60:,.0f} min left"
                typer.echo(f"{done:,} of {of:,}, {note}, {left}", err=True)

        yield on_begin, on_counts
        bar.update(task, completed=counts.total(), note=counts_in_words(counts))


@contextmanager
def training() -> Iterator[tuple[Callable[[DataFacts], None], Callable[[Progress], None]]]:
    """A progress bar with rate, time left and the last validation; lines now and then without a terminal."""
    with _bar() as bar:
        task = bar.add_task("training", total=None, note="", visible=False)
        lines = _Lines()

        def on_progress(progress: Progress) -> None:
            note = f"loss {progress.loss:.3f}, {progress.images_per_second:.0f} images/s"
            if progress.validation:
                note += f", validation AUC {progress.validation['auc']:.3f}"
            bar.update(task, completed=progress.step, total=progress.steps, note=note, visible=True)
            if lines.due(done=progress.step == progress.steps):
                left = f"{progress.seconds_left / 60:.0f} min left"
                typer.echo(f"step {progress.step} of {progress.steps}, {note}, {left}", err=True)

        yield _tell_facts, on_progress


@contextmanager
def extraction() -> Iterator[Callable[[int, int], None]]:
    """A progress bar of pictures whose features are extracted; lines now and then without a terminal."""
    with _bar() as bar:
        task = bar.add_task("extracting features", total=None, note="", visible=False)
        lines = _Lines()

        def on_progress(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total, visible=True)
            if lines.due(done=done == total):
                typer.echo(f"features of {done:,} of {total:,} pictures", err=True)

        yield on_progress


def _tell_facts(facts: DataFacts) -> None:
    for each in facts_in_words(facts):
        typer.echo(each, err=True)


def _tell_presence(presence: Sequence[Presence]) -> None:
    for each in presence_in_words(presence):
        typer.echo(each, err=True)


@contextmanager
def _bar() -> Iterator[Any]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    console = Console(stderr=True)
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        yield bar
