"""What happens to pictures on their way: compression, scaling, blur. Each keeps RGB uint8 (H, W, 3).

A chain of degradations is written as in ``resize:0.75,jpeg:80,jpeg:70`` and read by `parse`. What
is left to chance in it is drawn from a key, such as the image's path, so that the same image is
degraded the same way wherever and whenever it is, and need never be stored.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageFilter

from pixelkin.errors import ConfigError, ImageError
from pixelkin.images import MAX_PIXELS, decode, encode
from pixelkin.types import Pixels

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


def avif(pixels: Pixels, quality: float) -> Pixels:
    """Through a lossy AVIF file of that ``quality``, 0..100."""
    options = {"quality": round(quality), "speed": 9, "max_threads": 1}
    return decode(encode(pixels, "AVIF", **options)).pixels


def resize(pixels: Pixels, scale: float, filter: str = "bicubic") -> Pixels:
    """Sides times ``scale``, each rounded and at least one pixel."""
    height, width = (max(1, round(side * scale)) for side in pixels.shape[:2])
    return resize_to(pixels, height, width, filter)


def resize_to(pixels: Pixels, height: int, width: int, filter: str = "bicubic") -> Pixels:
    """To exactly ``height`` x ``width`` pixels, aspect not kept.

    Raises:
        ImageError: that is over MAX_PIXELS pixels.
    """
    if height * width > MAX_PIXELS:
        raise ImageError(f"{width} x {height} is over {MAX_PIXELS:,} pixels")
    return np.array(Image.fromarray(pixels).resize((width, height), FILTERS[filter]))


def shorter_side_to(pixels: Pixels, side: int, filter: str = "bilinear") -> Pixels:
    """The shorter side to ``side`` pixels, aspect kept (torchvision's Resize of one number)."""
    height, width = pixels.shape[:2]
    if min(height, width) == side:
        return pixels
    scale = side / min(height, width)
    longer = max(side, int(max(height, width) * scale))
    return resize_to(pixels, *((side, longer) if height <= width else (longer, side)), filter)


def blur(pixels: Pixels, sigma: float) -> Pixels:
    """Gaussian blur with a standard deviation of ``sigma`` pixels."""
    return np.array(Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(sigma)))


def noise(pixels: Pixels, sigma: float, rng: np.random.Generator) -> Pixels:
    """Independent Gaussian noise on every sample, of standard deviation ``sigma`` grey levels, 0..255."""
    drawn = rng.standard_normal(pixels.shape, np.float32)
    return np.clip(np.rint(pixels + sigma * drawn), 0, 255).astype(np.uint8)


def crop(pixels: Pixels, share: float, rng: np.random.Generator) -> Pixels:
    """A part of the picture with ``share`` of each side, at a place drawn at random; scale is kept."""
    height, width = (max(1, round(side * share)) for side in pixels.shape[:2])
    top, left = (int(rng.integers(a - b + 1)) for a, b in zip(pixels.shape, (height, width), strict=False))
    return pixels[top : top + height, left : left + width].copy()


def fit(pixels: Pixels, longest: float) -> Pixels:
    """The longer side brought down to ``longest`` pixels, as sharing sites do; smaller pictures stay."""
    return resize(pixels, longest / max(pixels.shape[:2])) if max(pixels.shape[:2]) > longest else pixels


def square(pixels: Pixels, side: float) -> Pixels:
    """The middle square, scaled to ``side`` x ``side`` pixels: one size for all pictures."""
    shorter = min(pixels.shape[:2])
    top, left = ((length - shorter) // 2 for length in pixels.shape[:2])
    return resize_to(pixels[top : top + shorter, left : left + shorter], round(side), round(side))


def screenshot(pixels: Pixels, scale: float, rng: np.random.Generator) -> Pixels:
    """As seen on a page and captured: scaled, with a strip of page left around it at an odd offset.

    The strip of 1 to 16 pixels in a page's light or dark grey moves the picture off every grid of
    cells and blocks, which is what distinguishes a screenshot from a resized file.
    """
    shown = resize(pixels, scale, "bilinear")
    (top, bottom), (left, right) = rng.integers(1, 17, (2, 2))
    height, width = shown.shape[:2]
    page = np.full((top + height + bottom, left + width + right, 3), rng.choice([24, 255]), np.uint8)
    page[top : top + height, left : left + width] = shown
    return page


@dataclass(frozen=True, slots=True)
class Kind:
    """A degradation with one number that a chain may name.

    Attributes:
        function: of pixels and the number, and of a generator if ``random``.
        least: value of the number.
        greatest: value of the number.
        random: whether chance has a part in it.
    """

    function: Callable[..., Pixels]
    least: float
    greatest: float
    random: bool = False


CHAINABLE: dict[str, Kind] = {
    "jpeg": Kind(jpeg, 1, 100),
    "webp": Kind(webp, 0, 100),
    "avif": Kind(avif, 0, 100),
    "resize": Kind(resize, 0.01, 16),
    "fit": Kind(fit, 1, 65535),
    "square": Kind(square, 1, 65535),
    "blur": Kind(blur, 0, 100),
    "noise": Kind(noise, 0, 255, random=True),
    "crop": Kind(crop, 0.01, 1, random=True),
    "screenshot": Kind(screenshot, 0.01, 16, random=True),
}


@dataclass(frozen=True, slots=True)
class Step:
    """One degradation of a chain: its name in `CHAINABLE` and its number."""

    name: str
    value: float


def parse(chain: str) -> list[Step]:
    """The steps of a chain such as ``resize:0.75,jpeg:80``; none for an empty one.

    Raises:
        ConfigError: a step has no such name, or its value is no number or out of range.
    """
    steps: list[Step] = []
    for step in filter(None, (part.strip() for part in chain.split(","))):
        name, _, text = step.partition(":")
        if name not in CHAINABLE:
            raise ConfigError(f"no degradation is named {name!r}; the names are: {', '.join(CHAINABLE)}")
        kind = CHAINABLE[name]
        try:
            value = float(text)
        except ValueError:
            value = float("nan")
        if not kind.least <= value <= kind.greatest:
            raise ConfigError(
                f"{step!r}: {name} takes a number from {kind.least} to {kind.greatest}, "
                f"as in {name}:{kind.greatest}"
            )
        steps.append(Step(name, value))
    return steps


def chance(words: str) -> np.random.Generator:
    """A generator that draws the same for the same words, on any machine; they may be a file's name."""
    seed = hashlib.sha256(words.encode("utf-8", "surrogateescape")).digest()
    return np.random.default_rng(np.frombuffer(seed, np.uint32))


def apply(steps: Sequence[Step], pixels: Pixels, key: str = "") -> Pixels:
    """``pixels`` after each step in turn; chance is drawn from ``key`` and the steps alone."""
    rng = chance(f"{key}\0{','.join(f'{step.name}:{step.value}' for step in steps)}")
    for step in steps:
        kind = CHAINABLE[step.name]
        pixels = kind.function(pixels, step.value, *([rng] if kind.random else []))
    return pixels
