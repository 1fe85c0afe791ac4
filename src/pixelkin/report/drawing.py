"""Pictures that both the page and the figure show, at the size they are shown in."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pixelkin.explain import (
    RAMP,
    channel_images,
    diverging,
    neighbour_relation,
    ramp,
    relation_image,
    span_of,
    spectrum_image,
)
from pixelkin.report.content import Explained
from pixelkin.types import Floats, Pixels


def shown_size(height: int, width: int, longest: int) -> tuple[int, int]:
    """Height and width of a picture whose longer side is brought down to ``longest`` pixels, if over it."""
    scale = min(1.0, longest / max(height, width))
    return max(1, round(height * scale)), max(1, round(width * scale))


def reduced(pixels: Pixels, longest: int) -> Pixels:
    """A picture whose longer side is at most ``longest`` pixels, uint8 (h, w, 3)."""
    height, width = shown_size(pixels.shape[0], pixels.shape[1], longest)
    if (height, width) == pixels.shape[:2]:
        return pixels
    return np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.LANCZOS))


def thinned(values: Floats, size: tuple[int, int]) -> NDArray[np.float32]:
    """A map (H, W) at ``size``, each value that of the pixel in its place: maps are flat, and NaN stays."""
    rows, columns = (
        (np.arange(short) * 2 + 1) * long // (2 * short)
        for short, long in zip(size, values.shape, strict=True)
    )
    return values[np.ix_(rows, columns)].astype(np.float32)


def heat_layer(explained: Explained, size: tuple[int, int]) -> Pixels:
    """The heat map's colours, uint8 RGBA, transparent where no tile looked."""
    values = thinned(explained.heat, size)
    seen = ~np.isnan(values)
    colours = np.rint(ramp(np.where(seen, values, 0.5))).astype(np.uint8)
    return np.dstack([colours, np.where(seen, 255, 0).astype(np.uint8)])


def occlusion_span(explained: Explained) -> float:
    """The change in log-odds at full colour: the greatest there is, or 0.1 where there is hardly any."""
    found = explained.occlusion.log_odds
    return max(0.1, float(np.nanmax(np.abs(found)))) if np.isfinite(found).any() else 0.1


def occlusion_layer(explained: Explained, size: tuple[int, int]) -> Pixels:
    """The occlusion map's colours, uint8 RGBA, the more transparent the less a square matters."""
    values, span = thinned(explained.occlusion.log_odds, size), occlusion_span(explained)
    matters = np.clip(np.abs(np.nan_to_num(values)) / span, 0, 1)
    # Full hue everywhere: how strong it is, transparency says.
    colours = diverging(np.sign(np.nan_to_num(values)), 1.0)
    return np.dstack([colours, np.rint(255 * matters).astype(np.uint8)])


def relation_picture(explained: Explained) -> Pixels:
    """The relations of the picture's middle, never resized, uint8 (h, w, 3)."""
    return relation_of(explained.middle, explained.relation_span)


def spectrum_picture(explained: Explained) -> Pixels:
    """The spectrum in grey, brought to a square, uint8; plain black where there is none."""
    if explained.spectrum is None:
        return np.zeros((2, 2, 3), np.uint8)
    side = min(explained.spectrum.shape)
    image = Image.fromarray(spectrum_image(explained.spectrum))
    return np.asarray(image.resize((side, side), Image.Resampling.BOX))


def centre(pixels: Pixels, side: int) -> Pixels:
    """The middle of a picture, at most ``side`` a side, its corner on an even row and column."""
    top, left = (max(length - side, 0) // 4 * 2 for length in pixels.shape[:2])
    return pixels[top : top + side, left : left + side]


def relation_of(crop: Pixels, span: float) -> Pixels:
    """The relations of a crop, uint8, of its shape; plain grey where it has none."""
    return relation_image(crop, span=span) if min(crop.shape[:2]) > 1 else np.full_like(crop, 128)


def channel_pictures(pixels: Pixels) -> tuple[list[Pixels], float]:
    """The relation of each channel in colours, and the levels at full colour; none of a single row."""
    if min(pixels.shape[:2]) < 2:
        return [], 1.0
    relation = neighbour_relation(pixels)
    span = span_of(relation)
    return channel_images(relation, span), span


def over(base: Pixels | Floats, layer: Pixels, strength: float) -> Pixels:
    """A layer, RGBA, over a picture of its size, its own transparency times ``strength``.

    The picture loses as much of its own colour, since those of a map are seen best on grey.
    """
    grey = base.mean(-1, keepdims=True)
    base = (1 - strength) * base + strength * grey
    alpha = layer[..., 3:].astype(np.float32) / 255 * strength
    return np.rint((1 - alpha) * base + alpha * layer[..., :3]).astype(np.uint8)


def scale_bar(width: int, height: int) -> Pixels:
    """The colours from 0 to 1, left to right, uint8 (height, width, 3)."""
    row = np.rint(ramp(np.linspace(0, 1, width))).astype(np.uint8)
    return np.repeat(row[None], height, axis=0)


def css_ramp() -> str:
    """The same for a style sheet."""
    return "linear-gradient(90deg, " + ", ".join(f"rgb({r:.0f} {g:.0f} {b:.0f})" for r, g, b in RAMP) + ")"
