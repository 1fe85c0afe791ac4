"""Explanations as data URIs, bounded whatever the picture's size."""

from __future__ import annotations

import base64
from dataclasses import replace

import numpy as np

from pixelkin.errors import ExplanationError
from pixelkin.explain import ramp, relation_image
from pixelkin.images import encode
from pixelkin.tiles import PHASE
from pixelkin.types import Pixels, Prediction

MOST_SIDE = 1024  # pixels of an answer's picture


def heat_view(prediction: Prediction) -> str:
    """The colours of the tiles alone, clear where none looked, to be laid over the picture.

    At picture size, or at the whole fraction of it whose sides are at most `MOST_SIDE`.
    """
    step = -(-max(prediction.width, prediction.height) // MOST_SIDE)
    width, height = (max(1, side // step) for side in (prediction.width, prediction.height))
    heat = replace(prediction, width=width, height=height, boxes=prediction.boxes // step).heatmap
    seen = ~np.isnan(heat)
    colours = np.zeros((height, width, 4), np.uint8)
    colours[seen, :3] = np.rint(ramp(heat[seen]))
    colours[seen, 3] = 255
    return _uri(colours)


def relation_view(pixels: Pixels) -> str | None:
    """The relation of the middle of a picture, at native scale, sides at most `MOST_SIDE`.

    Cut on whole cells, since scaling would destroy what is to be seen. None where there is no cell.

    Args:
        pixels: the picture, uint8 (H, W, 3).
    """
    middle = tuple(_middle(length) for length in pixels.shape[:2])
    try:
        return _uri(relation_image(pixels[middle]))
    except ExplanationError:
        return None


def _middle(length: int) -> slice:
    start = max(0, length - MOST_SIDE) // 2 // PHASE * PHASE
    return slice(start, start + MOST_SIDE)


def _uri(pixels: Pixels) -> str:
    return "data:image/png;base64," + base64.b64encode(encode(pixels, "PNG")).decode()
