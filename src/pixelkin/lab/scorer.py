"""A trained detector as a `Scorer`, seeing pictures as its training recipe meant it to."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pixelkin.degrade import resize_to
from pixelkin.images import from_pixels
from pixelkin.lab.detectors import detector_class
from pixelkin.lab.detectors.base import Detector
from pixelkin.lab.recipe import TrainConfig
from pixelkin.lab.train import BEST, load_run
from pixelkin.lab.weights import load_official, load_strictly, sha256_of
from pixelkin.measure import Subject
from pixelkin.tiles import JOINS, MOST_TILES, TILE, cut, in_words, sigmoid, tile_boxes
from pixelkin.types import Picture, Pixels


class RunScorer:
    """Scores of a detector of the laboratory, not calibrated.

    A detector trained by the policy ``native`` sees native-scale tiles, joined as an exported model
    joins them; one trained by ``paper`` sees the whole picture resized to a square.

    Args:
        detector: in eval mode.
        config: the recipe it was trained by.
        whole: show it every picture whole, as it comes: a benchmark's protocol has resized it already.
        tile: side of a tile, pixels.
        most_tiles: per picture.
        join: a name of `pixelkin.tiles.JOINS`.
    """

    def __init__(
        self,
        detector: Detector,
        config: TrainConfig,
        *,
        whole: bool = False,
        tile: int = TILE,
        most_tiles: int = MOST_TILES,
        join: str = "mean",
    ) -> None:
        self.detector, self.config, self.whole = detector, config, whole
        self.tile, self.most_tiles, self.join = tile, most_tiles, join

    @property
    def protocol(self) -> str:
        """What a picture goes through, in words."""
        if self.whole:
            return "the whole picture as the benchmark shows it"
        if self.config.policy == "paper":
            return f"resized to {self.config.resize} x {self.config.resize} (Pillow, bilinear), not cropped"
        return in_words(self.tile, self.most_tiles, self.join)

    def logit(self, picture: Picture) -> float:
        """The logit of one picture of any size."""
        if self.whole:
            return self.detector.logit(picture)
        if self.config.policy == "paper":
            side = self.config.resize
            return self.detector.logit(from_pixels(resize_to(picture.pixels, side, side, "bilinear")))
        boxes = tile_boxes(picture.height, picture.width, self.tile, self.most_tiles)
        return float(JOINS[self.join](tile_logits(self.detector, cut(picture.pixels, boxes, self.tile))))

    def log_odds(self, pictures: Sequence[Picture]) -> list[float]:
        """Each picture's logit."""
        return [self.logit(picture) for picture in pictures]

    def score(self, pictures: Sequence[Picture]) -> list[float]:
        """The sigmoid of each picture's logit."""
        return [float(sigmoid(logit)) for logit in self.log_odds(pictures)]


def subject_of_run(run: Path, *, whole: bool = False) -> Subject:
    """The best weights of a run, to be measured; ``whole`` as in `RunScorer`.

    Raises:
        RunError: it has none yet.
    """
    detector, config, _ = load_run(run)
    scorer = RunScorer(detector, config, whole=whole)
    name = f"{run.resolve().name} ({config.detector})"
    return Subject(scorer, name, sha256_of(run / BEST), scorer.protocol, config.detector)


def subject_of_checkpoint(file: Path, detector: str, *, whole: bool = False) -> Subject:
    """An official checkpoint of a detector, to be measured as published; ``whole`` as in `RunScorer`.

    Raises:
        WeightsError: it is no checkpoint of that detector.
        UnknownDetectorError: no detector has that name.
    """
    network = detector_class(detector)()
    load_strictly(network, load_official(file), file)
    scorer = RunScorer(network.eval(), TrainConfig(data="", out="", detector=detector), whole=whole)
    return Subject(scorer, f"{file.name} ({detector})", sha256_of(file), scorer.protocol, detector)


@torch.inference_mode()
def tile_logits(detector: Detector, tiles: Pixels, batch: int = 8) -> NDArray[np.float64]:
    """One logit a tile, shape (n,), of uint8 tiles of shape (n, 3, H, W), each prepared by the detector."""
    prepared: Sequence[Tensor] = [detector.prepare(from_pixels(tile.transpose(1, 2, 0))) for tile in tiles]
    parts = [
        detector(torch.stack(list(prepared[start : start + batch])))
        for start in range(0, len(prepared), batch)
    ]
    return torch.cat(parts).double().numpy()
