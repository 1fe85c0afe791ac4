"""From logits to honest words: the temperature and the two thresholds of a card."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from pixelkin.data import picture_of
from pixelkin.errors import ImageError
from pixelkin.lab.histories import drawn_history, with_history
from pixelkin.lab.recipe import Degradations
from pixelkin.model import Model
from pixelkin.tiles import sigmoid
from pixelkin.types import Picture, Sample

Logits = NDArray[np.floating[Any]]
Labels = NDArray[np.integer[Any]]


@dataclass(frozen=True, slots=True)
class Calibration:
    """What logits are made words with; see the attributes of the same names of `Card`."""

    temperature: float = 1.0
    real_below: float = 0.5
    generated_above: float = 0.5


def calibrate(logits: Logits, labels: Labels, mistakes: float = 0.05) -> Calibration:
    """Temperature by likelihood (Guo et al. 2017, Sec. 4.2), thresholds by their mistakes.

    At most a share of ``mistakes`` of the real pictures lies above ``generated_above``, and of the
    generated ones below ``real_below``; what lies between is uncertain.

    Args:
        logits: shape (n,).
        labels: 1 generated, 0 real; shape (n,), both present.
        mistakes: share of each label, in [0, 1].
    """
    temperature = fit_temperature(logits, labels)
    probabilities = sigmoid(logits / temperature)
    real_end = _quantile(probabilities[labels == 0], 1 - mistakes)
    generated_end = -_quantile(-probabilities[labels == 1], 1 - mistakes)
    return Calibration(temperature, min(real_end, generated_end), max(real_end, generated_end))


def fit_temperature(logits: Logits, labels: Labels) -> float:
    """The temperature, from 0.05 to 100, at which the labels are likeliest."""
    signed = np.where(labels == 1, -logits, logits).astype(np.float64)

    def loss(log_temperature: float) -> float:
        return float(np.mean(np.logaddexp(0, signed / np.exp(log_temperature))))

    found = minimize_scalar(loss, bounds=(np.log(0.05), np.log(100)), method="bounded")
    return float(np.exp(found.x))


def picture_logits(
    model: Model, root: Path, samples: Sequence[Sample], settings: Degradations, seed: int
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Logits and labels of whole validation pictures, half of them clean, half degraded by the recipe."""
    pairs = [
        (model.detect(picture).logit, sample.label)
        for sample, picture in _validation_pictures(root, samples, settings, seed)
    ]
    return np.array([logit for logit, _ in pairs]), np.array([label for _, label in pairs])


def _validation_pictures(
    root: Path, samples: Sequence[Sample], settings: Degradations, seed: int
) -> Iterator[tuple[Sample, Picture]]:
    for place, sample in enumerate(samples):
        rng = np.random.default_rng([seed, place])
        try:
            picture = picture_of(root, sample)
        except ImageError:
            continue
        if rng.random() < 0.5:
            history = drawn_history(replace(settings, clean=0.0), rng)
            picture = replace(picture, pixels=with_history(picture.pixels, history))
        yield sample, picture


def _quantile(values: Logits, share: float) -> float:
    """The least of ``values`` that at most 1 - ``share`` of them exceed."""
    return float(np.quantile(values, share, method="higher"))
