"""Metrics of scores against labels: pure functions, no state.

``scores`` and ``labels`` have shape (n,); labels hold 1 for generated and 0 for real; a higher score
means more likely generated. ``weights`` counts each row so many times (a bootstrap resample is a vector
of counts) and has shape (n,), or (..., n) for several resamples at once; all ones where it is not
given. The answer has the shape of the weights without n: a number for one set of them. Where a metric
is not defined (a label is missing) it is NaN.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]
Ints = NDArray[np.integer[Any]]
Metric = Callable[[Floats, Ints, Floats | None], Any]
AT_ONCE = 400_000  # weights drawn at a time: they and what is made of them stay in the cache


def share(right: NDArray[np.bool_], weights: Floats | None = None) -> Any:
    """Weighted share of rows that are ``right``."""
    counts = _counts(weights, len(right))
    return _ratio(counts @ right.astype(counts.dtype), counts.sum(-1))


def accuracy(scores: Floats, labels: Ints, weights: Floats | None = None, threshold: float = 0.5) -> Any:
    """Share of rows on the right side of ``threshold``; exactly at it counts as real (official program)."""
    return share((scores > threshold) == (labels == 1), weights)


def accuracy_real(scores: Floats, labels: Ints, weights: Floats | None = None, threshold: float = 0.5) -> Any:
    """Share of real rows that are not above ``threshold``."""
    return share(scores[labels == 0] <= threshold, _of(weights, labels == 0))


def accuracy_generated(
    scores: Floats, labels: Ints, weights: Floats | None = None, threshold: float = 0.5
) -> Any:
    """Share of generated rows above ``threshold``."""
    return share(scores[labels == 1] > threshold, _of(weights, labels == 1))


def average_precision(scores: Floats, labels: Ints, weights: Floats | None = None) -> Any:
    """Area under the precision-recall curve as a step function: sum of (R_n - R_{n-1}) P_n."""
    hits, misses = _curve(scores, labels, weights)
    precision = _ratio(hits, hits + misses, empty=0.0)
    area = np.sum(np.diff(hits, axis=-1, prepend=0) * precision, -1)
    return _ratio(np.where(_ends(misses) > 0, area, np.nan), _ends(hits))


def auc(scores: Floats, labels: Ints, weights: Floats | None = None) -> Any:
    """Area under the ROC curve: how often a generated row scores above a real one, ties counting half."""
    hits, misses = _curve(scores, labels, weights)
    steps = np.diff(hits, axis=-1, prepend=0)
    area = np.sum(np.diff(misses, axis=-1, prepend=0) * (hits - steps / 2), -1, dtype=np.float64)
    return _ratio(area, _ends(hits) * _ends(misses))


def tpr_at_fpr(scores: Floats, labels: Ints, weights: Floats | None = None, fpr: float = 0.05) -> Any:
    """Share of generated rows caught by the lowest threshold that calls at most ``fpr`` of real ones so."""
    hits, misses = _curve(scores, labels, weights)
    allowed = misses <= fpr * _ends(misses)[..., None] * (1 + 1e-9)
    caught = np.max(np.where(allowed, hits, 0), -1, initial=0)
    return _ratio(np.where(_ends(misses) > 0, caught, np.nan), _ends(hits))


def calibration_error(scores: Floats, labels: Ints, weights: Floats | None = None, bins: int = 15) -> Any:
    """Expected calibration error: mean over equal-width bins of abs(share generated - mean score).

    Guo et al. 2017, Eq. 3, for the probability of the one class "generated".
    """
    counts, predicted, generated = reliability(scores, labels, weights, bins)
    gap = np.where(counts > 0, np.abs(generated - predicted), 0.0)
    return _ratio(np.sum(counts * gap, -1), counts.sum(-1))


def reliability(
    scores: Floats, labels: Ints, weights: Floats | None = None, bins: int = 15
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """A reliability diagram over equal-width bins of the score (Guo et al. 2017, Sec. 2).

    Returns:
        Weight of the rows, mean score, and share generated of each bin, shape (..., bins) each; the
        last two are NaN where a bin is empty.
    """
    counts = _counts(weights, len(scores))
    place = np.minimum((scores * bins).astype(int), bins - 1)
    member = (place[:, None] == np.arange(bins)).astype(np.float64)
    total = counts @ member
    predicted, generated = (counts @ (member * values[:, None]) for values in (scores, labels))
    return total, _ratio(predicted, total), _ratio(generated, total)


def portions(count: int, rows: int) -> list[int]:
    """How many resamples of so many rows to draw at a time, ``count`` in all."""
    most = max(1, AT_ONCE // max(rows, 1))
    return [min(most, count - start) for start in range(0, count, most)]


def resample(strata: Sequence[Ints], count: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Bootstrap resamples as weights: how often each row was redrawn from its own stratum.

    Args:
        strata: the places of each stratum's rows; together 0..n-1, each once.
        count: resamples to draw.
        rng: where chance comes from.

    Returns:
        Weights, shape (``count``, n); those of a stratum add up to its size.
    """
    weights = np.empty((count, sum(map(len, strata))), np.float32)
    for places in strata:
        size = len(places)
        drawn = rng.integers(size, size=(count, size)) + size * np.arange(count)[:, None]
        weights[:, places] = np.bincount(drawn.ravel(), minlength=count * size).reshape(count, size)
    return weights


def interval(values: Floats, level: float = 0.95) -> tuple[float, float]:
    """The middle ``level`` of bootstrapped values, shape (n,); NaN where any of them is undefined."""
    if not len(values) or np.isnan(values).any():
        return float("nan"), float("nan")
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _curve(
    scores: Floats, labels: Ints, weights: Floats | None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Cumulated weight of generated and of real rows from the highest score down, at the end of each tie."""
    order = np.argsort(-scores, kind="stable")
    scores, labels = scores[order], labels[order]
    counts = np.take(_counts(weights, len(scores)), order, -1)
    ends = np.flatnonzero(np.append(scores[1:] != scores[:-1], [True] * bool(len(scores))))
    generated = np.cumsum(counts * (labels == 1), -1, dtype=np.float64)
    shown = np.cumsum(counts, -1, dtype=np.float64)
    return np.take(generated, ends, -1), np.take(shown - generated, ends, -1)


def _counts(weights: Floats | None, rows: int) -> Floats:
    return np.ones(rows) if weights is None else weights


def _ends(curve: NDArray[np.float64]) -> NDArray[np.float64]:
    """The last value of a cumulated weight: its total; zero where there is no row."""
    return curve[..., -1] if curve.shape[-1] else np.zeros(curve.shape[:-1])


def _ratio(part: Any, whole: Any, empty: float = np.nan) -> Any:
    """``part / whole``, and ``empty`` where there is no whole."""
    part, whole = np.asarray(part, np.float64), np.asarray(whole, np.float64)
    found = np.divide(part, whole, out=np.full(whole.shape, empty), where=whole > 0)
    return found[()]


def _of(weights: Floats | None, rows: NDArray[np.bool_]) -> Floats | None:
    return None if weights is None else np.compress(rows, weights, -1)
