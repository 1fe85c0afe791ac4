"""Degradations of pictures that circulate: edits, surroundings, devices, codecs, for both labels alike.

`histories` resizes and compresses. Pictures that people ask about have gone further: they are thumbnails,
screenshots of a chat, re-photographed screens, captioned, bordered, grey, sharpened by a phone. `circulated`
draws a short chain of such steps for a whole picture. The order is that of life: camera and editor, then
surroundings, then size, then codec.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from pixelkin import degrade
from pixelkin.errors import ConfigError
from pixelkin.lab.histories import drawn_history, with_history
from pixelkin.lab.recapture import screen
from pixelkin.lab.recipe import Degradations
from pixelkin.types import Floats, Pixels

LONGEST = 1280  # pixels of a longer side: larger pictures are brought down first, as platforms do
WORDS = ["breaking", "why is nobody talking about", "photo of the day", "wait for it", "sale", "50 %", "new"]
# Rows: linear sRGB from linear values of Display P3 and of Adobe RGB (1998), D65 both.
GAMUTS = {
    "display p3": ((1.2249, -0.2247, 0.0), (-0.0420, 1.0419, 0.0), (-0.0197, -0.0786, 1.0979)),
    "adobe rgb": ((1.3983, -0.3983, 0.0), (0.0, 1.0, 0.0), (0.0, -0.0429, 1.0429)),
}

Step = Callable[[Pixels, np.random.Generator], Pixels]


def grey(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    """Without colour, at times toned as an old print."""
    value = np.asarray(Image.fromarray(pixels).convert("L"), np.float32)[..., None]
    tone = np.array([1.0, 0.93, 0.8] if rng.random() < 0.25 else [1.0, 1.0, 1.0], np.float32)
    return _bytes(value * tone)


def palette(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    """As a GIF or small PNG keeps it: 32 to 256 colours, dithered or not."""
    dither = Image.Dither.FLOYDSTEINBERG if rng.random() < 0.5 else Image.Dither.NONE
    colours = int(rng.choice([32, 64, 128, 256]))
    found = Image.fromarray(pixels).quantize(colours, Image.Quantize.FASTOCTREE)
    return np.asarray(Image.fromarray(pixels).quantize(palette=found, dither=dither).convert("RGB"))


def wide_gamut(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    """The numbers of a wider colour space, shown as if they were sRGB's: duller."""
    matrix = np.array(GAMUTS[str(rng.choice(list(GAMUTS)))], np.float32)
    light = (pixels.astype(np.float32) / 255) ** 2.2
    return _bytes(255 * np.clip(light @ np.linalg.inv(matrix).T, 0, 1) ** (1 / 2.2))


def adjust(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    """Brightness, contrast, saturation and warmth as an editor's sliders move them."""
    values = pixels.astype(np.float32)
    mean = values.mean((0, 1), keepdims=True)
    values = (values - mean) * rng.uniform(0.8, 1.3) + mean * rng.uniform(0.85, 1.15)
    middle = values.mean(2, keepdims=True)
    values = middle + (values - middle) * rng.uniform(0.6, 1.5)
    return _bytes(values * (1 + rng.uniform(-0.08, 0.08) * np.array([1, 0, -1], np.float32)))


def tone_map(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    """Local contrast of an HDR mode: shadows lifted, details pulled out of a wide neighbourhood."""
    radius = max(pixels.shape[:2]) / rng.uniform(12, 40)
    small = Image.fromarray(pixels).reduce(4) if min(pixels.shape[:2]) >= 64 else Image.fromarray(pixels)
    blurred = small.filter(ImageFilter.GaussianBlur(radius * small.width / pixels.shape[1]))
    base = np.asarray(blurred.resize(pixels.shape[1::-1], Image.Resampling.BILINEAR), np.float32) / 255
    detail = pixels.astype(np.float32) / 255 - base
    return _bytes(255 * (base ** rng.uniform(0.6, 0.9) + detail * rng.uniform(1.1, 1.7)))


def unsharp(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    """An unsharp mask, from a phone's to an overdone one."""
    mask = ImageFilter.UnsharpMask(rng.uniform(0.6, 2.5), int(rng.uniform(40, 180)), int(rng.integers(0, 4)))
    return np.asarray(Image.fromarray(pixels).filter(mask))


def night(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    """A dark picture's noise, and what noise reduction leaves of it: flat areas, smeared colour."""
    noisy = Image.fromarray(degrade.noise(pixels, rng.uniform(6, 18), rng))
    smooth = noisy.filter(ImageFilter.MedianFilter(3))
    luma, *_ = smooth.convert("YCbCr").split()
    colour = smooth.filter(ImageFilter.GaussianBlur(rng.uniform(2, 5))).convert("YCbCr")
    return np.asarray(Image.merge("YCbCr", (luma, *colour.split()[1:])).convert("RGB"))


def caption(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    """Words over the picture: a caption, a watermark, or a meme's line."""
    image = Image.fromarray(pixels).convert("RGB")
    size = max(9, int(min(pixels.shape[:2]) * rng.uniform(0.03, 0.11)))
    place = int(rng.integers(0, max(1, image.width // 2))), int(rng.integers(0, max(1, image.height - size)))
    draw = ImageDraw.Draw(image, "RGBA")
    shade = int(rng.choice([0, 255]))
    ink, opacity = (shade, shade, shade), int(rng.choice([90, 160, 255]))
    stroke = max(1, size // 12) if opacity == 255 else 0
    edge = (255 - shade, 255 - shade, 255 - shade)
    font = ImageFont.load_default(size)
    draw.text(place, _sentence(rng), (*ink, opacity), font, stroke_width=stroke, stroke_fill=edge)
    return np.asarray(image)


def border(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    """A frame on all sides, or bars above and below or beside."""
    height, width = pixels.shape[:2]
    most = max(2, int(0.18 * min(height, width)))
    rows, columns = (int(rng.integers(2, most + 1)) for _ in range(2))
    kept = int(rng.integers(3))  # 0 a frame, 1 bars above and below, 2 bars beside
    rows, columns = (0 if kept == 2 else rows), (0 if kept == 1 else columns)
    colour = np.array(rng.choice([0, 255, int(rng.integers(256))]), np.uint8)
    around = ((rows, rows), (columns, columns), (0, 0))
    return np.pad(pixels, around, constant_values=int(colour))


def interface(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    """A capture of a page or a chat with the picture in it: bars, lines of text, an avatar, a margin."""
    shown = degrade.resize(pixels, float(np.exp(rng.uniform(np.log(0.4), 0))), "bilinear")
    height, width = shown.shape[:2]
    top, bottom, left, right = (
        int(rng.uniform(0.02, most) * s)
        for most, s in zip((0.35, 0.35, 0.2, 0.2), (height, height, width, width), strict=True)
    )
    dark = rng.random() < 0.4
    ground, ink = ((24, 26, 30), (225, 225, 228)) if dark else ((250, 250, 252), (30, 32, 36))
    page = Image.new("RGB", (left + width + right, top + height + bottom), ground)
    page.paste(Image.fromarray(shown), (left, top))
    draw = ImageDraw.Draw(page)
    size = int(np.clip(width // 28, 10, 22))
    font = ImageFont.load_default(size)
    for first, last in ((4, top), (top + height + 4, page.height)):
        for y in range(first, last - size, int(size * 1.6)):
            if rng.random() < 0.7:
                draw.text((left + (size * 2 if rng.random() < 0.3 else 0), y), _sentence(rng), ink, font)
    if top > 3 * size:
        draw.ellipse((left, 4, left + 2 * size, 4 + 2 * size), tuple(int(v) for v in rng.integers(0, 256, 3)))
    return np.asarray(page)


def thumbnail(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    """The shorter side at 96 to 320 pixels."""
    side = int(rng.integers(96, 321))
    if min(pixels.shape[:2]) <= side:
        return pixels
    return degrade.shorter_side_to(pixels, side, str(rng.choice(list(degrade.FILTERS))))


def part(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    """A part of the picture, cut out with its sides at 50 to 95 %."""
    return degrade.crop(pixels, rng.uniform(0.5, 0.95), rng)


def mirrored(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    """Left and right exchanged."""
    del rng
    return np.ascontiguousarray(pixels[:, ::-1])


def rephotographed(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    """A camera before a screen: a grid of coloured cells, not quite straight, soft, noisy."""
    seen = screen(degrade.blur(pixels, rng.uniform(0.2, 0.6)), rng)
    return degrade.noise(degrade.blur(seen, rng.uniform(0.3, 0.9)), rng.uniform(1, 4), rng)


# In the order that they happen in, with the probability of each.
STEPS: dict[str, tuple[float, Step]] = {
    "mirrored": (0.3, mirrored),
    "night": (0.04, night),
    "tone_map": (0.06, tone_map),
    "adjust": (0.15, adjust),
    "unsharp": (0.08, unsharp),
    "wide_gamut": (0.04, wide_gamut),
    "grey": (0.05, grey),
    "part": (0.2, part),
    "rephotographed": (0.03, rephotographed),
    "caption": (0.06, caption),
    "border": (0.06, border),
    "interface": (0.06, interface),
    "thumbnail": (0.1, thumbnail),
    "palette": (0.03, palette),
}


@dataclass(frozen=True, slots=True)
class Circulation:
    """How a training picture circulates.

    Attributes:
        steps: probability of each of `STEPS`; those that are not named keep their own.
        codecs: the resizing and compression that follow.
    """

    steps: Mapping[str, float]
    codecs: Degradations

    def __post_init__(self) -> None:
        for name, probability in self.steps.items():
            if name not in STEPS:
                raise ConfigError(
                    f"no step of circulation is named {name!r}; the names are: {', '.join(STEPS)}"
                )
            if not 0 <= probability <= 1:
                raise ConfigError(f"circulation.{name} is a probability, 0 to 1, not {probability}")


def circulated(pixels: Pixels, settings: Circulation, rng: np.random.Generator) -> Pixels:
    """A whole picture after a random chain of steps and codecs.

    Args:
        pixels: uint8 (H, W, 3).
        settings: probabilities.
        rng: the source of all randomness.

    Returns:
        uint8 (h, w, 3), the longer side at most `LONGEST` pixels and what surrounds it.
    """
    pixels = degrade.fit(pixels, LONGEST)
    for name, (probability, step) in STEPS.items():
        if rng.random() < settings.steps.get(name, probability):
            pixels = step(pixels, rng)
    return with_history(pixels, drawn_history(settings.codecs, rng))


def _sentence(rng: np.random.Generator) -> str:
    return " ".join(rng.choice(WORDS, int(rng.integers(1, 9))))


def _bytes(values: Floats) -> Pixels:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)
