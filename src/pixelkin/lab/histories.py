"""What happens to a training picture before a network sees it, by one law for both labels.

A picture that travels is resized, cut, compressed, and often all of it again. A history is one or two
such passes, then a crop off the 8 x 8 grid of the last compression.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from pixelkin import degrade
from pixelkin.lab.recipe import Degradations, TrainConfig
from pixelkin.tiles import repeat_to
from pixelkin.types import Pixels

SHIFT = 7  # pixels that crops are cut larger by, then shifted: every phase of a JPEG file's 8 x 8 grid


@dataclass(frozen=True, slots=True)
class Pass:
    """One leg of a history, as chance has drawn it.

    Attributes:
        scale: factor of a change of size, 1 for none.
        filter: that it is resized by.
        steps: what follows, in order.
    """

    scale: float
    filter: str
    steps: tuple[Callable[[Pixels], Pixels], ...]


def drawn_history(settings: Degradations, rng: np.random.Generator, strength: float = 1.0) -> list[Pass]:
    """The passes that chance gives a picture; none where it stays as it is.

    Args:
        settings: probabilities and ranges.
        rng: where chance comes from.
        strength: factor of every probability, 0..1, for a curriculum that begins with clean pictures.
    """
    if rng.random() < settings.clean:
        return []
    count = 1 + int(rng.random() < settings.again * strength)
    return [_drawn_pass(settings, rng, strength) for _ in range(count)]


def _drawn_pass(settings: Degradations, rng: np.random.Generator, strength: float) -> Pass:
    def happens(probability: float) -> bool:
        return bool(rng.random() < probability * strength)

    def drawn(ends: tuple[float, ...]) -> float:
        return float(rng.uniform(ends[0], ends[1]))

    chosen = str(rng.choice(list(degrade.FILTERS)))
    resized = happens(settings.resize)
    scale = float(np.exp(rng.uniform(*np.log(settings.scale)))) if resized else 1.0
    steps: list[Callable[[Pixels], Pixels]] = []
    if happens(settings.blur):
        steps.append(partial(degrade.blur, sigma=drawn(settings.sigma)))
    if happens(settings.noise):
        own = np.random.default_rng(rng.integers(2**63))
        steps.append(partial(degrade.noise, sigma=drawn(settings.grain), rng=own))
    if happens(settings.jpeg):
        subsampling = int(rng.choice([0, 2]))
        steps.append(partial(degrade.jpeg, quality=drawn(settings.jpeg_quality), subsampling=subsampling))
    for name in ("webp", "avif"):
        if happens(getattr(settings, name)):
            quality = drawn(getattr(settings, f"{name}_quality"))
            steps.append(partial(getattr(degrade, name), quality=quality))
    return Pass(scale, chosen, tuple(steps))


def with_history(pixels: Pixels, history: list[Pass]) -> Pixels:
    """A whole picture after its history."""
    for leg in history:
        if leg.scale != 1:
            pixels = degrade.resize(pixels, leg.scale, leg.filter)
        pixels = _stepped(pixels, leg)
    return pixels


def training_crop(
    pixels: Pixels,
    config: TrainConfig,
    rng: np.random.Generator,
    *,
    fixed: bool,
    strength: float = 1.0,
    remade: Callable[[Pixels], Pixels] | None = None,
) -> Pixels:
    """One crop of a picture by the input policy, degraded; uint8 (crop, crop, 3).

    Args:
        pixels: the picture, uint8 (H, W, 3).
        config: policy, sizes, degradations.
        rng: where all chance comes from.
        fixed: crop the middle and do not flip, as validation does.
        strength: see `drawn_history`.
        remade: what makes a generated twin of the crop before it is degraded; None to leave it.
    """
    history = drawn_history(config.degradations, rng, strength)
    if config.policy == "native":
        crop = _native(pixels, config.crop, history, rng, fixed=fixed, remade=remade)
    else:
        for leg in history:
            pixels = degrade.resize(pixels, leg.scale, leg.filter) if leg.scale != 1 else pixels
        pixels = _resized(pixels, config)
        pixels = remade(pixels) if remade else pixels
        for leg in history:
            pixels = _stepped(pixels, leg)
        crop = cropped(pixels, config.crop, rng, fixed=fixed)
    if not fixed and rng.random() < config.flip:
        crop = crop[:, ::-1]
    return np.ascontiguousarray(crop)


def _native(
    pixels: Pixels,
    side: int,
    history: list[Pass],
    rng: np.random.Generator,
    *,
    fixed: bool,
    remade: Callable[[Pixels], Pixels] | None,
) -> Pixels:
    """A crop at native scale: before each pass the picture is cut to what the rest of the history needs."""
    available = min(pixels.shape[:2])
    legs = sides(side, history, available)
    most = min(side + SHIFT, available) if available >= side else side + SHIFT
    pixels = cropped(pixels, legs[0][0] if legs else most, rng, fixed=fixed)
    pixels = remade(pixels) if remade else pixels
    for leg, (before, after) in zip(history, legs, strict=True):
        pixels = cropped(pixels, before, rng, fixed=False)
        if before != after:
            pixels = degrade.resize_to(pixels, after, after, leg.filter)
        pixels = _stepped(pixels, leg)
    return cropped(pixels, side, rng, fixed=False)


def sides(side: int, history: list[Pass], available: int) -> list[tuple[int, int]]:
    """Side of the square before and after each pass, pixels, so that a crop of ``side`` is left in the end.

    A square is larger by `SHIFT` than the next pass needs, to be cut off the last one's grid. A picture of
    ``available`` pixels that is too small for all the shrinking, but not for the crop, is shrunk less: it
    would have to be repeated otherwise.
    """
    legs: list[tuple[int, int]] = []
    after = side + SHIFT
    for leg in reversed(history):
        before = max(1, round(after / leg.scale))
        legs.insert(0, (before, after))
        after = before + SHIFT
    if legs and legs[0][0] > available >= side:
        legs = [(min(before, available), min(after, available)) for before, after in legs]
    return legs


def cropped(pixels: Pixels, side: int, rng: np.random.Generator, *, fixed: bool) -> Pixels:
    """A square of ``side`` out of the middle or by chance; a smaller picture is repeated to it."""
    room = [max(length - side, 0) for length in pixels.shape[:2]]
    top, left = (r // 2 if fixed else int(rng.integers(r + 1)) for r in room)
    return repeat_to(pixels[top : top + side, left : left + side], side)


def _stepped(pixels: Pixels, leg: Pass) -> Pixels:
    """What follows a pass's change of size."""
    for step in leg.steps:
        pixels = step(pixels)
    return pixels


def _resized(pixels: Pixels, config: TrainConfig) -> Pixels:
    """By the policies that resize, Pillow's bilinear filter."""
    if config.policy == "paper":
        return degrade.resize_to(pixels, config.resize, config.resize, "bilinear")
    return degrade.shorter_side_to(pixels, config.resize)
