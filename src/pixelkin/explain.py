"""Where it was seen: a heat map of tile probabilities laid over the picture."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pixelkin.images import encode
from pixelkin.types import Picture, Pixels, Prediction

# Colours at probability 0, 1/2 and 1: blue for real, white for undecided, red for generated.
RAMP = np.array([(33, 102, 172), (247, 247, 247), (178, 24, 43)], np.float32)


def heatmap_png(pixels: Pixels, prediction: Prediction, strength: float = 0.5) -> bytes:
    """The picture with its heat map over it, as a PNG file of the picture's size.

    Args:
        pixels: the picture, uint8 (H, W, 3).
        prediction: what a model said of it.
        strength: of the colours, 0..1; pixels no tile looked at keep their own.
    """
    heat = prediction.heatmap
    seen = ~np.isnan(heat)
    blended = pixels.copy()
    blended[seen] = np.rint((1 - strength) * pixels[seen] + strength * ramp(heat[seen])).astype(np.uint8)
    return encode(blended, "PNG")


def save_heatmap(folder: Path, path: str, picture: Picture, prediction: Prediction) -> Path:
    """Write `heatmap_png` into ``folder``; returns the file, named after ``path`` and the digest."""
    stem = re.sub(r"[^\w.-]+", "_", Path(path).name)
    file = folder / f"{stem}.{picture.sha256[:8]}.png"
    folder.mkdir(parents=True, exist_ok=True)
    file.write_bytes(heatmap_png(picture.pixels, prediction))
    return file


def ramp(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Colours, shape (..., 3), 0..255, of probabilities in [0, 1]."""
    stops = np.linspace(0, 1, len(RAMP))
    return np.stack([np.interp(values, stops, channel) for channel in RAMP.T], axis=-1).astype(np.float32)
