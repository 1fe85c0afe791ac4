"""Scores and labels to a `Report`: `evaluate` is pure, `measure` first gets the scores."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import pixelkin
from pixelkin import degrade, metrics
from pixelkin.data import LABEL_NAMES, DataFacts, check, digest, find_samples
from pixelkin.errors import ConfigError, DataError
from pixelkin.model import Model
from pixelkin.scoring import score
from pixelkin.tiles import in_words
from pixelkin.types import Card, Scored, Scorer

METRICS: dict[str, metrics.Metric] = {
    "acc": metrics.accuracy,
    "ap": metrics.average_precision,
    "auc": metrics.auc,
    "acc_real": metrics.accuracy_real,
    "acc_generated": metrics.accuracy_generated,
    "ece": metrics.calibration_error,
    "tpr_at_5_fpr": partial(metrics.tpr_at_fpr, fpr=0.05),
}


@dataclass(frozen=True, slots=True)
class Figure:
    """A metric with its 95 % bootstrap interval; all None where it is not defined."""

    value: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class Row:
    """One source. Where its images have one label only, all one-label images of the other join it.

    Attributes:
        source: as `Sample.source`.
        real: real images measured.
        generated: generated images measured.
        unreadable: images of the source that could not be read.
        joined: the label that was joined from the other sources; None if the source has both.
        figures: by the names of `METRICS`, and of `verdict_metrics` where the scorer has a card.
    """

    source: str
    real: int
    generated: int
    unreadable: int
    joined: str | None
    figures: dict[str, Figure]


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Results of one scorer on one set, with what is needed to get them again.

    Attributes:
        model: its name.
        model_sha256: of its file.
        dataset: where the set was.
        dataset_sha256: as `pixelkin.data.digest`.
        protocol: how pictures became scores, in words by name.
        version: of Pixelkin.
        seed: of the bootstrap.
        resamples: of the bootstrap.
        rows: one per source.
        mean: unweighted mean over the rows where a figure is defined, as the papers print it.
        unreadable: path and reason of each image without a score.
    """

    model: str
    model_sha256: str
    dataset: str
    dataset_sha256: str
    protocol: dict[str, str]
    version: str
    seed: int
    resamples: int
    rows: tuple[Row, ...]
    mean: dict[str, Figure]
    unreadable: dict[str, str]

    def to_json(self) -> str:
        """The whole report; undefined figures are null."""
        return json.dumps(asdict(self), indent=1, allow_nan=False)


@dataclass(frozen=True, slots=True)
class Subject:
    """What is measured: a scorer, its name and digest, what it does to a picture, its card if it has one."""

    scorer: Scorer
    name: str
    sha256: str
    input: str
    card: Card | None = None

    @classmethod
    def of_model(cls, model: Model) -> Subject:
        """A model, as `pixelkin detect` would use it."""
        card = model.card
        words = in_words(card.tile, card.most_tiles, card.join)
        return cls(model, card.name, model.sha256, words, card)


def measure(
    subject: Subject,
    root: Path,
    chain: str = "",
    *,
    seed: int = 0,
    resamples: int = 1000,
    workers: int = 0,
    on_facts: Callable[[DataFacts], None] = lambda _: None,
    on_image: Callable[[str, int], None] = lambda _stage, _of: None,
) -> Report:
    """Check the labelled images below ``root``, score them, and report.

    Args:
        subject: what is measured.
        root: a folder in a labelled layout.
        chain: degradations put on each picture first, as `pixelkin.degrade.parse` reads them.
        seed: of the bootstrap.
        resamples: of the bootstrap.
        workers: processes that decode.
        on_facts: told what the check found, before anything is scored.
        on_image: told the stage and the number of images, after each image of a stage.

    Raises:
        DataError: no labelled images, or none readable.
        ConfigError: ``chain`` is no chain.
    """
    steps = degrade.parse(chain)
    samples = find_samples(root)
    facts = check(root, samples, workers=workers, on_image=lambda: on_image("checking", len(samples)))
    on_facts(facts)
    scored = score(
        subject.scorer,
        root,
        samples,
        chain=steps,
        workers=workers,
        on_image=lambda: on_image("scoring", len(samples)),
    )
    return evaluate(
        scored,
        model=subject.name,
        model_sha256=subject.sha256,
        dataset=root.resolve().name,
        dataset_sha256=digest(samples),
        protocol={"input": subject.input, "degradation": chain or "none", **_noted(facts)},
        card=subject.card,
        seed=seed,
        resamples=resamples,
    )


def measured(named: Iterable[str]) -> dict[str, Any]:
    """The mean figures of saved reports, for a card.

    Args:
        named: ``condition=report.json`` each.

    Raises:
        ConfigError: one is not so written, or is no saved report.
    """
    found: dict[str, Any] = {}
    for each in named:
        condition, equals, file = each.partition("=")
        if not equals:
            raise ConfigError(f"--report takes condition=report.json, not {each!r}")
        try:
            report = json.loads(Path(file).read_text("utf-8"))
            found[condition] = {"dataset": report["dataset"], "mean": report["mean"]}
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ConfigError(f"{file}: no report that `pixelkin evaluate` wrote ({error})") from error
    return found


def verdict_metrics(card: Card) -> dict[str, metrics.Metric]:
    """What the card's two thresholds do: real called generated, generated called so, verdicts withheld."""
    above, below = card.generated_above, card.real_below

    def false_alarms(scores: metrics.Floats, labels: metrics.Ints, weights: metrics.Floats | None) -> float:
        return 1 - metrics.accuracy_real(scores, labels, weights, above)

    def caught(scores: metrics.Floats, labels: metrics.Ints, weights: metrics.Floats | None) -> float:
        return metrics.accuracy_generated(scores, labels, weights, above)

    def uncertain(scores: metrics.Floats, _labels: metrics.Ints, weights: metrics.Floats | None) -> float:
        return metrics.share((scores >= below) & (scores <= above), weights)

    return {"false_alarms": false_alarms, "caught": caught, "uncertain": uncertain}


def evaluate(
    scored: Iterable[Scored],
    *,
    model: str,
    model_sha256: str,
    dataset: str,
    dataset_sha256: str,
    protocol: Mapping[str, str],
    card: Card | None = None,
    seed: int = 0,
    resamples: int = 1000,
) -> Report:
    """Measure scores source by source, with intervals that redraw images within source and label.

    Raises:
        DataError: no image has both a label and a score.
    """
    everything = list(scored)
    table = _Table.of(everything, METRICS | (verdict_metrics(card) if card else {}))
    if not len(table.scores):
        raise DataError(f"{dataset}: none of {len(everything)} images has both a label and a score")
    values = table.figures(None)
    drawn = np.array([table.figures(w) for w in metrics.resamples(table.strata(), resamples, seed)])
    lost = Counter(each.sample.source for each in everything if each.score is None)
    rows = [
        Row(
            source=source,
            real=int(np.sum(table.labels[at] == 0)),
            generated=int(np.sum(table.labels[at] == 1)),
            unreadable=lost[source],
            joined=joined,
            figures=_figures(table.chosen, values[place], drawn[:, place]),
        )
        for place, (source, (at, joined)) in enumerate(table.rows.items())
    ]
    return Report(
        model=model,
        model_sha256=model_sha256,
        dataset=dataset,
        dataset_sha256=dataset_sha256,
        protocol=dict(protocol),
        version=pixelkin.__version__,
        seed=seed,
        resamples=resamples,
        rows=tuple(rows),
        mean=_figures(table.chosen, values[-1], drawn[:, -1]),
        unreadable={each.sample.path: each.error or "" for each in everything if each.score is None},
    )


@dataclass(frozen=True, slots=True)
class _Table:
    """Scored images as columns, and which of them each row measures."""

    scores: NDArray[np.float64]
    labels: NDArray[np.int64]
    sources: NDArray[np.str_]
    rows: dict[str, tuple[NDArray[np.int64], str | None]]
    chosen: Mapping[str, metrics.Metric]

    @classmethod
    def of(cls, scored: Sequence[Scored], chosen: Mapping[str, metrics.Metric]) -> _Table:
        read = [each for each in scored if each.score is not None and each.sample.label is not None]
        labels = np.array([each.sample.label for each in read], np.int64)
        sources = np.array([each.sample.source for each in read], np.str_)
        scores = np.array([each.score for each in read], np.float64)
        return cls(scores, labels, sources, _rows(sources, labels), chosen)

    def figures(self, weights: NDArray[np.float64] | None) -> NDArray[np.float64]:
        """Every metric of every row, then the mean over the rows; shape (rows + 1, metrics)."""
        table = np.empty((len(self.rows), len(self.chosen)))
        for place, (at, _) in enumerate(self.rows.values()):
            of_row = self.scores[at], self.labels[at], None if weights is None else weights[at]
            table[place] = [metric(*of_row) for metric in self.chosen.values()]
        return np.vstack([table, _mean_of_defined(table)])

    def strata(self) -> list[NDArray[np.int64]]:
        """The places of each source's images of each label."""
        kinds = sorted(set(zip(self.sources.tolist(), self.labels.tolist(), strict=True)))
        return [np.flatnonzero((self.sources == s) & (self.labels == y)) for s, y in kinds]


def _rows(
    sources: NDArray[np.str_], labels: NDArray[np.int64]
) -> dict[str, tuple[NDArray[np.int64], str | None]]:
    """The places that each source's row measures, and the label that other sources lend it, if any."""
    of_source = {str(source): sources == source for source in np.unique(sources)}
    alone = {name: int(labels[at][0]) for name, at in of_source.items() if len(set(labels[at])) == 1}
    lendable = np.isin(sources, list(alone))
    groups: dict[str, tuple[NDArray[np.int64], str | None]] = {}
    for name, at in of_source.items():
        lent = None
        if name in alone and (borrowed := lendable & (labels != alone[name])).any():
            lent = LABEL_NAMES[1 - alone[name]]
            at = at | borrowed
        groups[name] = np.flatnonzero(at), lent
    return groups


def _mean_of_defined(table: NDArray[np.float64]) -> NDArray[np.float64]:
    defined = ~np.isnan(table)
    count = defined.sum(0)
    total = np.where(defined, table, 0).sum(0)
    return np.divide(total, count, out=np.full(table.shape[1], np.nan), where=count > 0)


def _figures(
    names: Iterable[str], values: NDArray[np.float64], drawn: NDArray[np.float64]
) -> dict[str, Figure]:
    return {
        name: Figure(*(_defined(v) for v in (values[column], *metrics.interval(drawn[:, column]))))
        for column, name in enumerate(names)
    }


def _defined(value: float) -> float | None:
    return None if math.isnan(value) else float(value)


def _noted(facts: DataFacts) -> dict[str, str]:
    return {"to know of the files": "; ".join(facts.warnings)} if facts.warnings else {}
