"""Maps as colours, and laid over the picture they are of."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pixelkin.errors import ExplanationError
from pixelkin.files import write_atomically
from pixelkin.images import encode
from pixelkin.types import Floats, Picture, Pixels, Prediction

# Colours at probability 0, 1/2 and 1: blue for real, white for undecided, red for generated.
RAMP = np.array([(33, 102, 172), (247, 247, 247), (178, 24, 43)], np.float32)
STRENGTH = 0.5


def heat_overlay(picture: Picture, heatmap: Floats, strength: float = STRENGTH) -> Pixels:
    """The picture with the colours of a map over it, uint8, shape (H, W, 3).

    Args:
        picture: what the map is of.
        heatmap: probabilities, 0..1, shape (H, W); NaN where nothing was looked at.
        strength: of the colours, 0..1; pixels that nothing looked at keep their own.

    Raises:
        ExplanationError: the map is not of the picture's size.
    """
    if heatmap.shape != picture.pixels.shape[:2]:
        raise ExplanationError(
            f"a map of shape {heatmap.shape} does not lie over a picture of {picture.pixels.shape[:2]}"
        )
    return _blended(picture.pixels, heatmap, strength)


def heatmap_png(pixels: Pixels, prediction: Prediction, strength: float = STRENGTH) -> bytes:
    """The picture with its heat map over it, as a PNG file of the picture's size.

    Args:
        pixels: the picture, uint8 (H, W, 3).
        prediction: what a model said of it.
        strength: of the colours, 0..1; pixels no tile looked at keep their own.
    """
    return encode(_blended(pixels, prediction.heatmap, strength), "PNG")


def save_heatmap(folder: Path, path: str, picture: Picture, prediction: Prediction) -> Path:
    """Write `heatmap_png` into ``folder``; returns the file, named after ``path`` and the digest."""
    stem = re.sub(r"[^\w.-]+", "_", Path(path).name)
    file = folder / f"{stem}.{picture.sha256[:8]}.png"
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(file, heatmap_png(picture.pixels, prediction))
    return file


def ramp(values: NDArray[Any]) -> NDArray[np.float32]:
    """Colours, shape (..., 3), 0..255, of probabilities in [0, 1]."""
    stops = np.linspace(0, 1, len(RAMP))
    return np.stack([np.interp(values, stops, channel) for channel in RAMP.T], axis=-1).astype(np.float32)


def diverging(values: NDArray[Any], span: float) -> Pixels:
    """Signed values as colours, uint8, shape (..., 3): blue to ``-span``, white at zero, red from ``span``.

    Args:
        values: any shape; NaN becomes grey.
        span: the value at full colour, above zero; what lies beyond it has the colour at the end.
    """
    colours = np.rint(ramp(np.nan_to_num(values / (2 * span) + 0.5, nan=0.5))).astype(np.uint8)
    colours[np.isnan(values)] = 128
    return colours


def _blended(pixels: Pixels, heatmap: Floats, strength: float) -> Pixels:
    seen = ~np.isnan(heatmap)
    blended = pixels.copy()
    blended[seen] = np.rint((1 - strength) * pixels[seen] + strength * ramp(heatmap[seen])).astype(np.uint8)
    return blended
