"""What a card makes of a picture and of its tiles' logits; every way of judging goes through here."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pixelkin import tiles
from pixelkin.tiles import JOINS, sigmoid
from pixelkin.types import Card, Pixels, Verdict


@dataclass(frozen=True, slots=True)
class Judgement:
    """What the logits of a picture's tiles say.

    Attributes:
        verdict: ``probability`` against the card's two thresholds.
        probability: calibrated, in [0, 1].
        score: the same before calibration, in [0, 1].
        logit: the joined logit, unbounded.
    """

    verdict: Verdict
    probability: float
    score: float
    logit: float


def look(card: Card, pixels: Pixels) -> tuple[NDArray[np.int64], Pixels]:
    """Where a model of that card looks at a picture, uint8 (H, W, 3), and the tiles it sees there.

    Returns:
        Boxes, int (n, 4), as `pixelkin.types.Prediction.boxes`; tiles, uint8 (n, 3, side, side).
    """
    return tiles.look(pixels, card.choice, card.tile, card.most_tiles)


def conclude(card: Card, logits: NDArray[np.float64]) -> Judgement:
    """Judge a picture by its tiles' logits, shape (n,), or (n, k) of a model with an overview."""
    joined = float(JOINS[card.join](logits))
    probability = float(sigmoid(joined / card.temperature))
    return Judgement(verdict(card, probability), probability, float(sigmoid(joined)), joined)


def verdict(card: Card, probability: float) -> Verdict:
    """What the card's two thresholds make of a calibrated probability."""
    if probability > card.generated_above:
        return Verdict.GENERATED
    return Verdict.REAL if probability < card.real_below else Verdict.UNCERTAIN
