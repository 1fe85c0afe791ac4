"""What happens to pictures on their way: compression, scaling, blur. Each keeps RGB uint8 (H, W, 3).

A chain of degradations is written as in ``resize:0.75,jpeg:80,jpeg:70`` and read by `parse`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
from PIL import Image, ImageFilter

from pixelkin.errors import ConfigError
from pixelkin.images import decode, encode
from pixelkin.types import Pixels

Degradation = Callable[[Pixels], Pixels]
FILTERS = {
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
    "box": Image.Resampling.BOX,
}


def jpeg(pixels: Pixels, quality: float, subsampling: int = 2) -> Pixels:
    """Through a JPEG file of that ``quality``, 1..100; ``subsampling`` 0 is 4:4:4, 1 4:2:2, 2 4:2:0."""
    return decode(encode(pixels, "JPEG", quality=round(quality), subsampling=subsampling)).pixels


def webp(pixels: Pixels, quality: float) -> Pixels:
    """Through a lossy WebP file of that ``quality``, 0..100."""
    return decode(encode(pixels, "WEBP", quality=round(quality), method=2)).pixels


def resize(pixels: Pixels, scale: float, filter: str = "bicubic") -> Pixels:
    """Sides times ``scale``, each rounded and at least one pixel."""
    height, width = (max(1, round(side * scale)) for side in pixels.shape[:2])
    return resize_to(pixels, height, width, filter)


def resize_to(pixels: Pixels, height: int, width: int, filter: str = "bicubic") -> Pixels:
    """To exactly ``height`` x ``width`` pixels, aspect not kept."""
    return np.array(Image.fromarray(pixels).resize((width, height), FILTERS[filter]))


def blur(pixels: Pixels, sigma: float) -> Pixels:
    """Gaussian blur with a standard deviation of ``sigma`` pixels."""
    return np.array(Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(sigma)))


# name: the function, and the least and greatest value of its one argument
CHAINABLE: dict[str, tuple[Callable[[Pixels, float], Pixels], float, float]] = {
    "jpeg": (jpeg, 1, 100),
    "webp": (webp, 0, 100),
    "resize": (resize, 0.01, 16),
    "blur": (blur, 0, 100),
}


def parse(chain: str) -> list[Degradation]:
    """The degradations of a chain such as ``resize:0.75,jpeg:80``; none for an empty one.

    Raises:
        ConfigError: a step has no such name, or its value is no number or out of range.
    """
    steps: list[Degradation] = []
    for step in filter(None, (part.strip() for part in chain.split(","))):
        name, _, text = step.partition(":")
        if name not in CHAINABLE:
            raise ConfigError(f"no degradation is named {name!r}; the names are: {', '.join(CHAINABLE)}")
        function, least, most = CHAINABLE[name]
        try:
            value = float(text)
        except ValueError:
            value = float("nan")
        if not least <= value <= most:
            raise ConfigError(f"{step!r}: {name} takes a number from {least} to {most}, as in {name}:{most}")
        steps.append(partial(_apply, function, value))
    return steps


def apply(steps: Sequence[Degradation], pixels: Pixels) -> Pixels:
    """``pixels`` after each step in turn."""
    for step in steps:
        pixels = step(pixels)
    return pixels


def _apply(function: Callable[[Pixels, float], Pixels], value: float, pixels: Pixels) -> Pixels:
    return function(pixels, value)
