"""A trained detector as a `Scorer`, seeing pictures as its training recipe meant it to."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pixelkin.degrade import resize_to
from pixelkin.evaluate import Subject
from pixelkin.images import from_pixels
from pixelkin.lab.detectors.base import Detector
from pixelkin.lab.recipe import TrainConfig
from pixelkin.lab.train import BEST, load_run
from pixelkin.lab.weights import sha256_of
from pixelkin.tiles import JOINS, MOST_TILES, TILE, cut, in_words, sigmoid, tile_boxes
from pixelkin.types import Picture, Pixels


class RunScorer:
    """Scores of a detector that comes from a run, not calibrated.

    A detector trained by the policy ``paper`` sees the whole picture resized to a square; one
    trained by ``native`` sees native-scale tiles, joined as an exported model joins them.

    Args:
        detector: in eval mode.
        config: the recipe of its run.
        tile: side of a tile, pixels.
        most_tiles: per picture.
        join: a name of `pixelkin.tiles.JOINS`.
    """

    def __init__(
        self,
        detector: Detector,
        config: TrainConfig,
        tile: int = TILE,
        most_tiles: int = MOST_TILES,
        join: str = "mean",
    ) -> None:
        self.detector, self.config = detector, config
        self.tile, self.most_tiles, self.join = tile, most_tiles, join

    @property
    def protocol(self) -> str:
        """What a picture goes through, in words."""
        if self.config.policy == "paper":
            return f"resized to {self.config.resize} x {self.config.resize} (Pillow, bilinear), not cropped"
        return in_words(self.tile, self.most_tiles, self.join)

    def logit(self, picture: Picture) -> float:
        """The logit of one picture of any size."""
        if self.config.policy == "paper":
            side = self.config.resize
            return self.detector.logit(from_pixels(resize_to(picture.pixels, side, side, "bilinear")))
        boxes = tile_boxes(picture.height, picture.width, self.tile, self.most_tiles)
        return float(JOINS[self.join](tile_logits(self.detector, cut(picture.pixels, boxes, self.tile))))

    def score(self, pictures: Sequence[Picture]) -> list[float]:
        """The sigmoid of each picture's logit."""
        return [float(sigmoid(self.logit(picture))) for picture in pictures]


def subject_of_run(run: Path) -> Subject:
    """The best weights of a run, to be measured.

    Raises:
        RunError: it has none yet.
    """
    detector, config, _ = load_run(run)
    scorer = RunScorer(detector, config)
    return Subject(scorer, f"{run.name} ({config.detector})", sha256_of(run / BEST), scorer.protocol)


@torch.inference_mode()
def tile_logits(detector: Detector, tiles: Pixels, batch: int = 8) -> NDArray[np.float64]:
    """One logit a tile, shape (n,), of uint8 tiles of shape (n, 3, H, W), each prepared by the detector."""
    prepared: Sequence[Tensor] = [detector.prepare(from_pixels(tile.transpose(1, 2, 0))) for tile in tiles]
    parts = [
        detector(torch.stack(list(prepared[start : start + batch])))
        for start in range(0, len(prepared), batch)
    ]
    return torch.cat(parts).double().numpy()
