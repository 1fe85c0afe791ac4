"""What 8 bits cost a shipped model: its AUC on labelled images it has not seen, by both."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pixelkin.data import at_most, find_samples
from pixelkin.images import read
from pixelkin.lab.quantise import quantised
from pixelkin.metrics import auc
from pixelkin.model import Model
from pixelkin.models import SHIPPED, folder
from pixelkin.tiles import JOINS
from pixelkin.types import Pixels

CALIBRATION = 64  # photographs that scales are found on


@dataclass(frozen=True, slots=True)
class Cost:
    """AUC by 32 and by 8 bits; how far their logits are apart on average, beside the deviation of these."""

    model: str
    pictures: int
    plain: float
    small: float
    apart: float
    deviation: float


def costs(corpus: Path, per_source: int) -> list[dict[str, Any]]:
    """What 8 bits cost each shipped model.

    Args:
        corpus: folder with ``train``, on whose photographs scales are found, and ``wild-dev``, labelled.
        per_source: images of each source of the latter.
    """
    train, images = corpus / "train", corpus / "wild-dev"
    samples = at_most(find_samples(images), per_source)
    pictures = [read(images / sample.path) for sample in samples]
    labels = np.array([sample.label for sample in samples])
    found = []
    for name, shipped in SHIPPED.items():
        plain = Model((folder() / shipped.file).read_bytes())
        small = Model(quantised((folder() / shipped.file).read_bytes(), seen(plain, train)))
        looked = [plain.look(picture)[1] for picture in pictures]
        join = JOINS[plain.card.join]
        was, now = (np.array([join(m.logits(tiles)) for tiles in looked]) for m in (plain, small))
        found.append(
            asdict(
                Cost(
                    model=name,
                    pictures=len(pictures),
                    plain=float(auc(was, labels)),
                    small=float(auc(now, labels)),
                    apart=float(np.abs(now - was).mean()),
                    deviation=float(was.std()),
                )
            )
        )
    return found


def seen(model: Model, train: Path) -> list[Pixels]:
    """The tiles a model looks at of photographs spread over a folder's sources."""
    photographs = [sample for sample in find_samples(train) if sample.label == 0]
    return [model.look(read(train / s.path))[1] for s in photographs[:: len(photographs) // CALIBRATION]]
