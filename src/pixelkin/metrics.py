"""Metrics of scores against labels: pure functions of 1-D arrays, no state.

``labels`` holds 1 for generated and 0 for real; a higher ``score`` means more likely generated.
``weights`` counts each row so many times (a bootstrap resample is a vector of counts); all ones
where it is not given. Where a metric is not defined (a label is missing) it is NaN.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]
Ints = NDArray[np.integer[Any]]
Metric = Callable[[Floats, Ints, Floats | None], float]


def share(right: NDArray[np.bool_], weights: Floats | None = None) -> float:
    """Weighted share of rows that are ``right``."""
    counts = np.ones(len(right)) if weights is None else weights
    total = counts.sum()
    return float(np.sum(right * counts) / total) if total else float("nan")


def accuracy(scores: Floats, labels: Ints, weights: Floats | None = None, threshold: float = 0.5) -> float:
    """Share of rows on the right side of ``threshold``; exactly at it counts as real (official program)."""
    return share((scores > threshold) == (labels == 1), weights)


def accuracy_real(
    scores: Floats, labels: Ints, weights: Floats | None = None, threshold: float = 0.5
) -> float:
    """Share of real rows that are not above ``threshold``."""
    return share(scores[labels == 0] <= threshold, _of(weights, labels == 0))


def accuracy_generated(
    scores: Floats, labels: Ints, weights: Floats | None = None, threshold: float = 0.5
) -> float:
    """Share of generated rows above ``threshold``."""
    return share(scores[labels == 1] > threshold, _of(weights, labels == 1))


def average_precision(scores: Floats, labels: Ints, weights: Floats | None = None) -> float:
    """Area under the precision-recall curve as a step function: sum of (R_n - R_{n-1}) P_n."""
    hits, misses = _curve(scores, labels, weights)
    if not _has_both(hits, misses):
        return float("nan")
    shown = hits + misses
    precision = np.divide(hits, shown, out=np.zeros_like(hits), where=shown > 0)
    return float(np.sum(np.diff(hits / hits[-1], prepend=0.0) * precision))


def auc(scores: Floats, labels: Ints, weights: Floats | None = None) -> float:
    """Area under the ROC curve: how often a generated row scores above a real one, ties counting half."""
    hits, misses = _curve(scores, labels, weights)
    if not _has_both(hits, misses):
        return float("nan")
    before = np.concatenate([[0.0], hits[:-1]])
    return float(np.sum(np.diff(misses, prepend=0.0) * (hits + before) / 2) / (hits[-1] * misses[-1]))


def tpr_at_fpr(scores: Floats, labels: Ints, weights: Floats | None = None, fpr: float = 0.05) -> float:
    """Share of generated rows caught by the lowest threshold that calls at most ``fpr`` of real ones so."""
    hits, misses = _curve(scores, labels, weights)
    if not _has_both(hits, misses):
        return float("nan")
    allowed = misses / misses[-1] <= fpr + 1e-12
    return float(hits[allowed][-1] / hits[-1]) if allowed.any() else 0.0


def calibration_error(scores: Floats, labels: Ints, weights: Floats | None = None, bins: int = 15) -> float:
    """Expected calibration error: mean over equal-width bins of abs(share generated - mean score).

    Guo et al. 2017, Eq. 3, for the probability of the one class "generated".
    """
    counts, predicted, generated = reliability(scores, labels, weights, bins)
    if not counts.sum():
        return float("nan")
    return float(np.abs(generated - predicted)[counts > 0] @ counts[counts > 0] / counts.sum())


def reliability(
    scores: Floats, labels: Ints, weights: Floats | None = None, bins: int = 15
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """A reliability diagram over equal-width bins of the score (Guo et al. 2017, Sec. 2).

    Returns:
        Weight of the rows, mean score, and share generated of each bin, shape (bins,) each; the last
        two are NaN where a bin is empty.
    """
    counts = np.ones(len(scores)) if weights is None else weights
    place = np.minimum((scores * bins).astype(int), bins - 1)
    total, predicted, generated = (
        np.bincount(place, counts * values, bins) for values in (np.ones(len(scores)), scores, labels)
    )
    empty = np.full(bins, np.nan)
    return (
        total.astype(np.float64),
        np.divide(predicted, total, out=empty.copy(), where=total > 0),
        np.divide(generated, total, out=empty, where=total > 0),
    )


def resamples(strata: Sequence[Ints], count: int, seed: int) -> Iterator[NDArray[np.float64]]:
    """Bootstrap resamples as weights: how often each row was redrawn from its own stratum.

    Args:
        strata: the places of each stratum's rows; together 0..n-1, each once.
        count: resamples to draw.
        seed: of the draws.

    Yields:
        Weights, shape (n,); those of a stratum add up to its size.
    """
    rng = np.random.default_rng(seed)
    weights = np.zeros(sum(map(len, strata)))
    for _ in range(count):
        for places in strata:
            size = len(places)
            weights[places] = np.bincount(rng.integers(size, size=size), minlength=size)
        yield weights


def interval(values: Floats, level: float = 0.95) -> tuple[float, float]:
    """The middle ``level`` of bootstrapped values, shape (n,); NaN where any of them is undefined."""
    if not len(values) or np.isnan(values).any():
        return float("nan"), float("nan")
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _curve(scores: Floats, labels: Ints, weights: Floats | None) -> tuple[Floats, Floats]:
    """Cumulated weight of generated and of real rows from the highest score down, at the end of each tie."""
    order = np.argsort(-scores, kind="stable")
    scores, labels = scores[order], labels[order]
    counts = np.ones(len(scores)) if weights is None else weights[order]
    last_of_tie = np.append(scores[1:] != scores[:-1], True) if len(scores) else np.zeros(0, bool)
    return np.cumsum(counts * (labels == 1))[last_of_tie], np.cumsum(counts * (labels == 0))[last_of_tie]


def _has_both(hits: Floats, misses: Floats) -> bool:
    """Whether a curve has weight of either label; without it there is nothing to measure."""
    return bool(len(hits) and hits[-1] and misses[-1])


def _of(weights: Floats | None, rows: NDArray[np.bool_]) -> Floats | None:
    return None if weights is None else weights[rows]
