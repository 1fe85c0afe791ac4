"""Samples to training tensors.

Everything random here is a function of (seed, epoch, place) alone, so that a run can go on from any
step, in any number of processes, as if it had never stopped.
"""

from __future__ import annotations

import hashlib
import logging
import re
from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from pixelkin.data import LABEL_NAMES, find_samples, picture_of
from pixelkin.errors import ConfigError, DataError, ImageError
from pixelkin.images import from_pixels
from pixelkin.lab.bank import Bank, Square
from pixelkin.lab.detectors.base import Detector
from pixelkin.lab.histories import training_crop
from pixelkin.lab.recipe import TrainConfig
from pixelkin.tiles import sigmoid
from pixelkin.types import Pixels, Sample

logger = logging.getLogger(__name__)

VALIDATION = 2**32 - 1  # the place of an epoch in the seed of validation crops, which never change
TEACHER_TEMPERATURE = 4.0  # its logits on clean squares run to tens: softer, they still rank
ATTEMPTS = 8  # unreadable images met in a row before a run gives up


def part(samples: Sequence[Sample], config: TrainConfig) -> tuple[list[Sample], Path, list[Sample]]:
    """Training samples, and the folder and samples of validation.

    Args:
        samples: those of ``config.data`` that can be read.
        config: says where validation comes from, and how much of it.
    """
    if config.validation:
        root = Path(config.validation)
        training, held = list(samples), find_samples(root)
    else:
        root = Path(config.data)
        training, held = hold_out(samples, config)
    return training, root, spread(held, config.validation_images, config.seed)


def hold_out(samples: Sequence[Sample], config: TrainConfig) -> tuple[list[Sample], list[Sample]]:
    """Training and validation samples, parted group by group by a hash of the group's name.

    Raises:
        ConfigError: ``validation_group`` is no regular expression.
        DataError: a label ends up without training or without validation images.
    """
    try:
        inside = re.compile(config.validation_group)
    except re.error as error:
        raise ConfigError(f"validation_group is no regular expression: {error}") from error
    seed = config.validation_seed or config.seed
    parts: tuple[list[Sample], list[Sample]] = [], []
    for sample in samples:
        group = inside.sub("", sample.path) if config.validation_group else sample.path
        place = int.from_bytes(hashlib.sha256(f"{seed}/{group}".encode()).digest()[:8])
        parts[place < config.validation_share * 2**64].append(sample)
    for part, name in zip(parts, ("training", "validation"), strict=True):
        for label, word in enumerate(LABEL_NAMES):
            if not any(sample.label == label for sample in part):
                raise DataError(f"no {word} images are left for {name}: the set is too small to part")
    return parts


def spread(samples: Sequence[Sample], most: int, seed: int) -> list[Sample]:
    """At most ``most`` samples, each source of each label as near to equally often as there are."""
    rng = np.random.default_rng([seed, VALIDATION])
    queues = [list(rng.permutation(np.array(places))) for places in _by_source(samples).values()]
    chosen: list[int] = []
    while len(chosen) < most and any(queues):
        chosen += [int(queue.pop()) for queue in queues if queue]
    return [samples[place] for place in sorted(chosen[:most])]


def plan_epoch(
    samples: Sequence[Sample], config: TrainConfig, epoch: int, *, twins: bool = False
) -> list[int]:
    """Which samples an epoch shows, in order, as places in ``samples``.

    Labels take turns in share, sources by ``balance``; a source's images come in a random order,
    none again before all have come. With ``twins`` photographs alone are shown, each twice in a
    row: as it is, and to be made into a generated one.
    """
    rng = np.random.default_rng([config.seed, epoch])
    by_source = _by_source(samples)
    total = config.images_per_epoch or len(samples)
    plan: list[int] = []
    for label in (0,) if twins else (0, 1):
        sources = [places for (which, _), places in by_source.items() if which == label]
        weights = np.array([len(places) for places in sources], float) ** config.balance
        # Half to each label, then to each source its part: cumulated, so that the parts add up.
        count = total // 2 + (label == 0) * (total % 2)
        ends = np.round(np.cumsum(weights) / weights.sum() * count).astype(int)
        for places, take in zip(sources, np.diff(ends, prepend=0), strict=True):
            rounds = -(-int(take) // len(places))
            order = np.concatenate([rng.permutation(places) for _ in range(max(rounds, 1))])
            plan += [int(place) for place in order[:take]]
    shown = [plan[place] for place in rng.permutation(len(plan))]
    return [place for place in shown for _ in range(2)] if twins else shown


def reordered(count: int, config: TrainConfig, epoch: int, *, twins: bool = False) -> list[int]:
    """The places of a plan in the order an epoch shows them: another each, where one is kept over epochs."""
    if not (config.same_crops and epoch):
        return list(range(count))
    size = 2 if twins else 1
    shuffled = np.random.default_rng([config.seed, epoch]).permutation(count // size)
    return [int(place) * size + of for place in shuffled for of in range(size)]


def share(batch: Sequence[int], rank: int, world: int, *, twins: bool = False) -> tuple[list[int], float]:
    """One process's part of a batch of places: every ``world``-th of them, or of its pairs of twins.

    Returns:
        The places, and the weight of their mean loss: the mean over processes of these weighted means
        is the mean over the batch. Where none is left for a process, it repeats the first, at weight 0.
    """
    size = 2 if twins else 1
    mine = [place for n in range(rank * size, len(batch), world * size) for place in batch[n : n + size]]
    return mine or list(batch[:size]), world * len(mine) / len(batch)


def part_size(count: int, parts: int, *, twins: bool = False) -> int:
    """Images in each of ``parts`` micro-batches of ``count``, the last maybe smaller; twins stay together."""
    size = 2 if twins else 1
    return size * -(-count // (parts * size))


class Crops(Dataset[tuple[Tensor, Tensor]]):
    """Training or validation tensors, each with its label.

    Args:
        root: the folder the samples' paths start from.
        samples: what there is.
        plan: places in ``samples``, in the order to show them.
        detector: whose `prepare` makes the tensors, and whose `example` makes generated twins out of
            every second place of the plan, where it trains on photographs.
        config: input policy and degradations.
        epoch: for the seed and the strength of degradations; None for validation, which crops the
            middle, flips nothing and degrades in full.
        bank: squares of the samples to draw from, instead of their files.
    """

    def __init__(
        self,
        root: Path,
        samples: Sequence[Sample],
        plan: Sequence[int],
        detector: Detector,
        config: TrainConfig,
        epoch: int | None,
        bank: Bank | None = None,
    ) -> None:
        self.root, self.samples, self.plan = root, samples, plan
        self.detector, self.config, self.epoch, self.bank = detector, config, epoch, bank
        self.twins = detector.from_photographs and epoch is not None

    def __len__(self) -> int:
        return len(self.plan)

    def __getitem__(self, place: int) -> tuple[Tensor, Tensor]:
        """The crop at ``place`` of the plan; another of the same label where its file cannot be read.

        The label is 1 for generated, 0 for real; between them where a teacher has its say.

        Raises:
            DataError: that many images in a row cannot be read that the whole set is in doubt.
        """
        epoch = VALIDATION if self.epoch is None else self.epoch
        # Twins share a seed, and so their crop.
        rng = np.random.default_rng([self.config.seed, epoch, place - place % 2 * self.twins])
        which = self.plan[place]
        for _ in range(ATTEMPTS):
            try:
                square = self._square(which, rng)
            except ImageError as error:
                logger.warning("training goes on without an image: %s", error)
                alike = [n for n, s in enumerate(self.samples) if s.label == self.samples[which].label]
                which = alike[rng.integers(len(alike))]
                continue
            crop = training_crop(
                square.pixels,
                self.config,
                rng,
                fixed=self.epoch is None,
                strength=strength(self.config, self.epoch),
                remade=self._remaking(epoch, place),
            )
            label = place % 2 if self.twins else self.samples[which].label
            told = (
                torch.tensor(label) if square.taught is None else self._told(float(label or 0), square.taught)
            )
            return self.detector.prepare(from_pixels(crop)), told
        raise DataError(
            f"{ATTEMPTS} images in a row cannot be read, the last of them {self.samples[which].path}"
        )

    def _square(self, which: int, rng: np.random.Generator) -> Square:
        if self.bank:
            return self.bank.square(which, rng)
        return Square(picture_of(self.root, self.samples[which]).pixels)

    def _told(self, label: float, taught: float) -> Tensor:
        """The label moved towards the teacher's word: cross-entropy is linear in it."""
        weight = self.config.teacher_weight
        return torch.tensor((1 - weight) * label + weight * float(sigmoid(taught / TEACHER_TEMPERATURE)))

    def _remaking(self, epoch: int, place: int) -> Callable[[Pixels], Pixels] | None:
        """What makes a twin out of the crop at ``place``, by chance of its own; None where it is none."""
        if not (self.twins and place % 2):
            return None
        return partial(self.detector.example, rng=np.random.default_rng([self.config.seed, epoch, place, 1]))


def strength(config: TrainConfig, epoch: int | None) -> float:
    """How far the curriculum has come in an epoch, 0..1; 1 in validation."""
    if epoch is None or not config.harden_epochs:
        return 1.0
    return min(1.0, epoch / config.harden_epochs)


def _by_source(samples: Sequence[Sample]) -> dict[tuple[int | None, str], list[int]]:
    places: dict[tuple[int | None, str], list[int]] = defaultdict(list)
    for place, sample in enumerate(samples):
        places[sample.label, sample.source].append(place)
    return places
