"""Scored rows and their labels to a `Report`. Pure: no model, no files, no clock."""

from __future__ import annotations

import json
import math
import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

import pixelkin
from pixelkin import metrics
from pixelkin.data import LABEL_NAMES
from pixelkin.errors import ConfigError, DataError
from pixelkin.types import Scored

# What no threshold enters, what one does, and how far scores are probabilities: never in one table.
THRESHOLD_FREE: dict[str, metrics.Metric] = {
    "auc": metrics.auc,
    "ap": metrics.average_precision,
    "tpr_at_5_fpr": partial(metrics.tpr_at_fpr, fpr=0.05),
    "tpr_at_1_fpr": partial(metrics.tpr_at_fpr, fpr=0.01),
}
AT_HALF: dict[str, metrics.Metric] = {
    "acc": metrics.accuracy,
    "acc_real": metrics.accuracy_real,
    "acc_generated": metrics.accuracy_generated,
}
CALIBRATION: dict[str, metrics.Metric] = {"ece": metrics.calibration_error}
RESAMPLES, FEWEST_RESAMPLES = 1000, 200
CELLS = 200_000_000  # rows times resamples that take seconds rather than minutes

METRICS = THRESHOLD_FREE | AT_HALF | CALIBRATION


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """What scores are of: enough to report them, and to know them again.

    Attributes:
        model: name of what scored.
        model_sha256: of its file.
        system: registered name of the detector that it is, as far as that is known.
        dataset: where the images were.
        dataset_sha256: as `pixelkin.data.digest`.
        protocol: how pictures became scores, in words by name.
        thresholds: of the model's card: real below the first, generated above the second.
        order: sources in the order to report them; others follow by name.
        alone: a source with one label is not measured against other sources' images.
        benchmark: name of the published evaluation that the images are, if any.
        partial: sources of which images are missing.
        notes: what a reader has to know of the images.
    """

    model: str
    model_sha256: str
    dataset: str
    dataset_sha256: str
    system: str = ""
    protocol: Mapping[str, str] = field(default_factory=dict)
    thresholds: tuple[float, ...] = ()
    order: tuple[str, ...] = ()
    alone: bool = False
    benchmark: str = ""
    partial: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Figure:
    """A metric with its 95 % bootstrap interval; all None where it is not defined."""

    value: float | None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """One source. Where its images have one label only, all one-label images of the other join it.

    Attributes:
        source: as `Sample.source`.
        real: real images measured.
        generated: generated images measured.
        unreadable: images of the source that could not be read.
        joined: the label that was joined from the other sources; None if the source has both.
        figures: by the names of `METRICS`, and of `verdict_metrics` where the model has thresholds.
    """

    source: str
    real: int
    generated: int
    unreadable: int
    joined: str | None
    figures: dict[str, Figure]


@dataclass(frozen=True, slots=True)
class Bin:
    """A bar of the reliability diagram: images, their mean probability, and the share generated."""

    images: int
    probability: float
    generated: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Results of one scorer on one set, with what is needed to get them again.

    Attributes:
        about: what was measured.
        version: of Pixelkin.
        seed: of the bootstrap.
        resamples: of the bootstrap.
        rows: one per source.
        mean: unweighted mean over the rows where a figure is defined, as the papers print it.
        reliability: the bins of the whole set that hold images.
        unreadable: path and reason of each image without a score.
        contradictory: paths of the same file, where it lies under both labels.
    """

    about: About
    version: str
    seed: int
    resamples: int
    rows: tuple[Row, ...]
    mean: dict[str, Figure]
    reliability: tuple[Bin, ...]
    unreadable: dict[str, str]
    contradictory: tuple[tuple[str, ...], ...]

    def to_json(self) -> str:
        """The whole report; undefined figures are null."""
        return json.dumps(asdict(self), indent=1, allow_nan=False)

    def over(self, sources: Sequence[str], metric: str) -> float | None:
        """The unweighted mean of a metric over some sources' rows.

        None where one of them lacks it, or lacks a label: an accuracy of one label is none of a set.
        """
        of_source = {row.source: row.figures[metric].value for row in self.rows if row.real and row.generated}
        values = [of_source.get(source) for source in sources]
        return None if None in values or not values else sum(values) / len(values)  # type: ignore[arg-type]


def verdict_metrics(thresholds: Sequence[float]) -> dict[str, metrics.Metric]:
    """What a card's two thresholds do: real called generated, generated called so, verdicts withheld."""
    below, above = thresholds

    def false_alarms(scores: metrics.Floats, labels: metrics.Ints, weights: metrics.Floats | None) -> Any:
        return 1 - metrics.accuracy_real(scores, labels, weights, above)

    def caught(scores: metrics.Floats, labels: metrics.Ints, weights: metrics.Floats | None) -> Any:
        return metrics.accuracy_generated(scores, labels, weights, above)

    def uncertain(scores: metrics.Floats, _labels: metrics.Ints, weights: metrics.Floats | None) -> Any:
        return metrics.share((scores >= below) & (scores <= above), weights)

    return {"false_alarms": false_alarms, "caught": caught, "uncertain": uncertain}


def metrics_of(about: About) -> dict[str, metrics.Metric]:
    """What a report of these scores measures, by name."""
    return METRICS | (verdict_metrics(about.thresholds) if about.thresholds else {})


def evaluate(
    scored: Iterable[Scored],
    about: About,
    *,
    seed: int = 0,
    resamples: int = RESAMPLES,
    may_be_empty: bool = False,
) -> Report:
    """Measure scores source by source, with intervals that redraw images within source and label.

    Args:
        scored: the rows.
        about: what they are of.
        seed: of the bootstrap.
        resamples: of the bootstrap at the most; very large tables draw fewer, as the report says.
        may_be_empty: whether no image needs to have a score.

    Raises:
        DataError: no image has both a label and a score.
        ConfigError: ``resamples`` is below one, or ``seed`` negative.
    """
    everything = list(scored)
    table = Table.of(everything, about)
    if not len(table.scores) and not may_be_empty:
        raise DataError(f"{about.dataset}: none of {len(everything)} images has both a label and a score")
    values = table.figures(None)
    resamples = min(resamples, table.affordable())
    drawn = table.resampled(resamples, seed)
    lost = Counter(each.sample.source for each in everything if each.score is None)
    rows = [
        Row(
            source=source,
            real=int(np.sum(table.labels[at] == 0)),
            generated=int(np.sum(table.labels[at] == 1)),
            unreadable=lost[source],
            joined=joined,
            figures=as_figures(table.chosen, values[place], drawn[:, place]),
        )
        for place, (source, (at, joined)) in enumerate(table.rows.items())
    ]
    return Report(
        about=about,
        version=pixelkin.__version__,
        seed=seed,
        resamples=resamples,
        rows=tuple(rows),
        mean=as_figures(table.chosen, values[-1], drawn[:, -1]),
        reliability=tuple(_bins(table)),
        unreadable={each.sample.path: each.error or "" for each in everything if each.score is None},
        contradictory=_contradictory(everything),
    )


@dataclass(frozen=True, slots=True)
class Table:
    """Scored images as columns, and which of them each row measures.

    Attributes:
        scores: shape (n,), in [0, 1].
        labels: shape (n,), 1 for generated.
        sources: shape (n,).
        rows: source to the places it measures, highest score first, and the label lent to it, if any.
        chosen: metrics by name.
    """

    scores: NDArray[np.float64]
    labels: NDArray[np.int64]
    sources: NDArray[np.str_]
    rows: dict[str, tuple[NDArray[np.int64], str | None]]
    chosen: Mapping[str, metrics.Metric]

    @classmethod
    def of(cls, scored: Sequence[Scored], about: About) -> Table:
        """The table of the rows that have a label and a score; sources without any have an empty row."""
        read = [each for each in scored if each.score is not None and each.sample.label is not None]
        labels = np.array([each.sample.label for each in read], np.int64)
        sources = np.array([each.sample.source for each in read], np.str_)
        scores = np.array([each.score for each in read], np.float64)
        named = sorted({each.sample.source for each in scored if each.sample.label is not None})
        order = [
            *(name for name in about.order if name in named),
            *(n for n in named if n not in about.order),
        ]
        # Those that could not be read count, too: a source does not become one-label by damage.
        has: dict[str, set[int]] = defaultdict(set)
        for each in scored:
            if each.sample.label is not None:
                has[each.sample.source].add(each.sample.label)
        only = {name: next(iter(of_name)) for name, of_name in has.items() if len(of_name) == 1}
        rows = _rows(sources, labels, order, {} if about.alone else only)
        # Metrics sort by score at every call: rows sorted already make that a single pass.
        rows = {
            name: (at[np.argsort(-scores[at], kind="stable")], joined) for name, (at, joined) in rows.items()
        }
        return cls(scores, labels, sources, rows, metrics_of(about))

    def figures(self, weights: metrics.Floats | None) -> NDArray[np.float64]:
        """Every metric of every row, then the mean over the rows.

        Args:
            weights: of the images, shape (..., n); None for one each.

        Returns:
            Shape (..., rows + 1, metrics); NaN where a metric is not defined.
        """
        shape = () if weights is None else weights.shape[:-1]
        table = np.empty((*shape, len(self.rows) + 1, len(self.chosen)))
        for place, (at, _) in enumerate(self.rows.values()):
            of_row = self.scores[at], self.labels[at], None if weights is None else np.take(weights, at, -1)
            for column, metric in enumerate(self.chosen.values()):
                table[..., place, column] = metric(*of_row)
        table[..., -1, :] = _mean_of_defined(table[..., :-1, :])
        return table

    def affordable(self) -> int:
        """Resamples that are drawn in seconds rather than minutes, but never under two hundred."""
        return max(FEWEST_RESAMPLES, CELLS // max(sum(len(at) for at, _ in self.rows.values()), 1))

    def resampled(self, count: int, seed: int) -> NDArray[np.float64]:
        """The figures of ``count`` bootstrap resamples, shape (count, rows + 1, metrics).

        Raises:
            ConfigError: ``count`` is below one, or ``seed`` negative.
        """
        if count < 1 or seed < 0:
            raise ConfigError(
                f"the bootstrap draws 1 resample or more, not {count}, from a seed of 0 or more"
            )
        strata, parts = self.strata(), metrics.portions(count, len(self.scores))

        def figures(part: tuple[int, int]) -> NDArray[np.float64]:
            nth, many = part
            return self.figures(metrics.resample(strata, many, np.random.default_rng([seed, nth])))

        with ThreadPoolExecutor(os.cpu_count()) as pool:
            return np.concatenate(list(pool.map(figures, enumerate(parts))))

    def strata(self) -> list[NDArray[np.int64]]:
        """The places of each source's images of each label."""
        names, of_source = np.unique(self.sources, return_inverse=True)
        return [at for at in _places(2 * of_source + self.labels, 2 * len(names)) if len(at)]


def as_figures(
    names: Iterable[str], values: NDArray[np.float64], drawn: NDArray[np.float64]
) -> dict[str, Figure]:
    """Values, shape (metrics,), with the intervals of their resamples, shape (resamples, metrics)."""
    return {
        name: Figure(*(_defined(v) for v in (values[column], *metrics.interval(drawn[:, column]))))
        for column, name in enumerate(names)
    }


def _rows(
    sources: NDArray[np.str_], labels: NDArray[np.int64], order: Sequence[str], only: Mapping[str, int]
) -> dict[str, tuple[NDArray[np.int64], str | None]]:
    """The places that each source's row measures, and the label that other sources lend it, if any.

    ``only`` holds the one label of each source that has one and may lend and borrow.
    """
    lendable = np.isin(sources, list(only))
    pools = [np.flatnonzero(lendable & (labels == label)) for label in (0, 1)]
    names, of_source = np.unique(sources, return_inverse=True)
    by_name = dict(zip(names.tolist(), _places(of_source, len(names)), strict=True))
    groups: dict[str, tuple[NDArray[np.int64], str | None]] = {}
    for name in order:
        at = by_name.get(name, np.zeros(0, np.int64))
        lent = None
        if name in only and len(at) and len(pools[1 - only[name]]):
            lent = LABEL_NAMES[1 - only[name]]
            at = np.concatenate([at, pools[1 - only[name]]])
        groups[name] = at, lent
    return groups


def _places(kinds: NDArray[np.int64], count: int) -> list[NDArray[np.int64]]:
    """For each of ``count`` kinds, 0 and up, the places that are of it."""
    order = np.argsort(kinds, kind="stable")
    return np.split(order, np.searchsorted(kinds[order], np.arange(1, count))) if count else []


def _mean_of_defined(table: NDArray[np.float64]) -> NDArray[np.float64]:
    defined = ~np.isnan(table)
    count = defined.sum(-2)
    total = np.where(defined, table, 0).sum(-2)
    return np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)


def _defined(value: float) -> float | None:
    return None if math.isnan(value) else float(value)


def _bins(table: Table) -> Iterable[Bin]:
    for images, probability, generated in zip(*metrics.reliability(table.scores, table.labels), strict=True):
        if images:
            yield Bin(int(images), float(probability), float(generated))


def _contradictory(scored: Sequence[Scored]) -> tuple[tuple[str, ...], ...]:
    alike: dict[str, dict[str, int | None]] = defaultdict(dict)
    for each in scored:
        if each.sha256:
            alike[each.sha256][each.sample.path] = each.sample.label
    return tuple(tuple(sorted(paths)) for paths in alike.values() if {0, 1} <= set(paths.values()))
