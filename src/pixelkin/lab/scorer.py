"""A trained detector as a `Scorer`, seeing pictures as its training recipe meant it to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pixelkin.config import build
from pixelkin.degrade import resize_to, shorter_side_to
from pixelkin.images import from_pixels
from pixelkin.lab.detectors.base import Detector
from pixelkin.lab.external import Store, folder_sha256
from pixelkin.lab.recipe import TrainConfig
from pixelkin.lab.runs import BEST, load_run, new_detector
from pixelkin.lab.weights import sha256_of
from pixelkin.measure import Subject
from pixelkin.tiles import JOINS, MOST_TILES, TILE, cut, in_words, sigmoid, tile_boxes
from pixelkin.types import Picture, Pixels


class RunScorer:
    """Scores of a detector of the laboratory, not calibrated.

    A detector trained by the policy ``native`` sees native-scale tiles, joined as an exported model
    joins them, unless it cuts pictures by itself; one trained by another policy sees the whole
    picture, resized as that policy resizes.

    Args:
        detector: in eval mode.
        config: the recipe it was trained by.
        whole: show it every picture whole, as it comes: a benchmark's protocol has resized it already.
        join: a name of `pixelkin.tiles.JOINS`.
    """

    def __init__(
        self, detector: Detector, config: TrainConfig, *, whole: bool = False, join: str = "mean"
    ) -> None:
        self.detector, self.config, self.join = detector, config, join
        self.whole = whole
        self.tile, self.most_tiles = config.tile or TILE, config.most_tiles or MOST_TILES

    @property
    def protocol(self) -> str:
        """What a picture goes through, in words."""
        side = self.config.resize
        if self.whole:
            return "the whole picture as the benchmark shows it"
        match self.config.policy:
            case "paper":
                return f"resized to {side} x {side} (Pillow, bilinear), not cropped"
            case "short side":
                return f"shorter side resized to {side} (Pillow, bilinear), not cropped"
        if self.detector.whole:
            return "the whole picture at native size"
        return in_words(self.tile, self.most_tiles, self.join)

    def logit(self, picture: Picture) -> float:
        """The logit of one picture of any size."""
        side = self.config.resize
        if self.whole:
            return self.detector.logit(picture)
        match self.config.policy:
            case "paper":
                return self.detector.logit(from_pixels(resize_to(picture.pixels, side, side, "bilinear")))
            case "short side":
                return self.detector.logit(from_pixels(shorter_side_to(picture.pixels, side)))
        if self.detector.whole:
            return self.detector.logit(picture)
        boxes = tile_boxes(picture.height, picture.width, self.tile, self.most_tiles)
        return float(JOINS[self.join](tile_logits(self.detector, cut(picture.pixels, boxes, self.tile))))

    def log_odds(self, pictures: Sequence[Picture]) -> list[float]:
        """Each picture's logit."""
        return [self.logit(picture) for picture in pictures]

    def score(self, pictures: Sequence[Picture]) -> list[float]:
        """The sigmoid of each picture's logit."""
        return [float(sigmoid(logit)) for logit in self.log_odds(pictures)]


def subject_of_run(
    run: Path, store: Store | None = None, *, whole: bool = False, most_tiles: int = 0
) -> Subject:
    """The best weights of a run, to be measured.

    Args:
        run: folder of a training run.
        store: weights of others that the detector looks through.
        whole: as in `RunScorer`.
        most_tiles: per picture; 0 for what the recipe says.

    Raises:
        RunError: it has none yet.
        MissingWeightsError: a network that it looks through is not in ``store``.
    """
    store = store or Store()
    detector, config, facts = load_run(run, store=store)
    config = replace(config, most_tiles=most_tiles or config.most_tiles)
    name = run.resolve().name
    return _subject(detector, config, name, sha256_of(run / BEST), stood_in(facts, store), whole)


def subject_of_checkpoint(
    file: Path, recipe: Mapping[str, Any], store: Store | None = None, *, whole: bool = False
) -> Subject:
    """An official checkpoint of a detector, to be measured as published.

    Args:
        file: the checkpoint; a folder where it is several files.
        recipe: settings of `TrainConfig`: the detector, its options, and how pictures are shown. Without a
            ``policy`` that is in a square of 256 px by the two official programs that do so
            (`Detector.squeezed`), and whole, at native size, by the others.
        store: weights of others that the detector looks through.
        whole: as in `RunScorer`.

    Raises:
        WeightsError: it is no checkpoint of that detector.
        MissingWeightsError: a network that it looks through is not in ``store``.
        UnknownDetectorError: no detector has that name.
    """
    store = store or Store()
    config = build(TrainConfig, {"data": "", "out": ""} | dict(recipe))
    network = new_detector(config, store, fresh=False)
    network.load_checkpoint(file)
    whole = whole or ("policy" not in recipe and not network.squeezed)
    digest = sha256_of(file) if file.is_file() else folder_sha256(file)
    return _subject(network.eval(), config, file.resolve().name, digest, store.random, whole)


def _subject(
    detector: Detector, config: TrainConfig, name: str, sha256: str, random: Sequence[str], whole: bool
) -> Subject:
    """To be measured; where random values stood in for published ones, its name says so everywhere."""
    scorer = RunScorer(detector, config, whole=whole)
    label = f"{name} ({detector.card.label}{'; not comparable' if random else ''})"
    notes = [not_comparable(random)] if random else []
    return Subject(scorer, label, sha256, scorer.protocol, config.detector, notes=tuple(notes))


def not_comparable(random: Sequence[str]) -> str:
    """What is said wherever a result is told that random values had a part in."""
    return f"Random values instead of {', '.join(random)}: not comparable"


def stood_in(facts: Mapping[str, Any], store: Store) -> list[str]:
    """The published weights that random values stood in for, in training or now."""
    return sorted({*facts.get("external", {}).get("random", ()), *store.random})


@torch.inference_mode()
def tile_logits(detector: Detector, tiles: Pixels, batch: int = 8) -> NDArray[np.float64]:
    """One logit a tile, shape (n,), of uint8 tiles of shape (n, 3, H, W), each prepared by the detector."""
    prepared: Sequence[Tensor] = [detector.prepare(from_pixels(tile.transpose(1, 2, 0))) for tile in tiles]
    parts = [
        detector(torch.stack(list(prepared[start : start + batch])))
        for start in range(0, len(prepared), batch)
    ]
    return torch.cat(parts).double().numpy()
