"""Which tiles of a picture to look at, and how to join what they say: compared on labelled folders.

    python benchmarks/joining.py MODEL.onnx --images corpus/dev [--degrade jpeg:75] [--per-source 40]

Every picture is cut into tiles of each side; each rule of `pixelkin.tiles` (which tiles, how many, how they
are joined) is then a selection of these logits. Printed is the AUC over all pictures, best first.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pixelkin import degrade
from pixelkin.data import at_most, find_samples
from pixelkin.images import read
from pixelkin.metrics import auc
from pixelkin.model import Model, load
from pixelkin.tiles import CHOICES, JOINS, cut
from pixelkin.types import Pixels

SIDES, COUNTS = (128, 192, 256), (4, 9, 16)
Rule = tuple[int, str, int, str]  # side, choice, count, join


def main() -> None:
    """Print the rules and their AUCs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("--images", type=Path, required=True, help="labelled folder")
    parser.add_argument("--degrade", default="", help="chain of degradations, as evaluate takes it")
    parser.add_argument("--per-source", type=int, default=40)
    asked = parser.parse_args()
    model = load(asked.model)
    samples = at_most(find_samples(asked.images), asked.per_source)
    steps = degrade.parse(asked.degrade)
    found: dict[Rule, list[float]] = {}
    for sample in samples:
        pixels = degrade.apply(steps, read(asked.images / sample.path).pixels, sample.path)
        for rule, logit in joined(model, pixels):
            found.setdefault(rule, []).append(logit)
    labels = np.array([sample.label for sample in samples])
    ranked = sorted(((auc(np.array(logits), labels), rule) for rule, logits in found.items()), reverse=True)
    for value, (side, choice, count, join) in ranked:
        print(f"{100 * value:.1f}  {side} px  {count:2d} {choice:9s} {join}")


def joined(model: Model, pixels: Pixels) -> Iterator[tuple[Rule, float]]:
    """Each rule's logit of one picture; no tile is judged twice."""
    known: dict[tuple[int, ...], float] = {}
    for side, choice, count in product(SIDES, CHOICES, COUNTS):
        boxes = CHOICES[choice](pixels, side, count)
        logits = _logits(model, pixels, boxes, side, known)
        for join, rule in JOINS.items():
            yield (side, choice, count, join), float(rule(logits))


def _logits(
    model: Model, pixels: Pixels, boxes: NDArray[np.int64], side: int, known: dict[tuple[int, ...], float]
) -> NDArray[np.float64]:
    new = [box for box in boxes if (side, *box) not in known]
    if new:
        said = model.logits(cut(pixels, np.array(new), side))
        known.update({(side, *box): float(logit) for box, logit in zip(new, said, strict=True)})
    return np.array([known[side, *box] for box in boxes])


if __name__ == "__main__":
    main()
