"""Where a face is and how it is outlined; optional, by dlib and its public landmark model."""

from __future__ import annotations

import logging
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pixelkin.types import Pixels

logger = logging.getLogger(__name__)

MODEL = "shape_predictor_68_face_landmarks.dat"
SMALL = 512  # pixels: dlib sees faces of 80 pixels and more, so smaller pictures are shown to it doubled


def landmarks(pixels: Pixels) -> NDArray[np.float64] | None:
    """The 68 landmarks of the greatest face, (68, 2): column and row, pixels.

    Args:
        pixels: a picture, uint8 (H, W, 3).

    Returns:
        None where there is no face, or nothing installed to find it.
    """
    tools = _tools()
    found = _greatest(tools, pixels) if tools else None
    if tools is None or found is None:
        return None
    return np.array([(p.x, p.y) for p in tools[1](np.ascontiguousarray(pixels), found).parts()], np.float64)


def crop_face(pixels: Pixels, margin: float = 1 / 8) -> Pixels:
    """The greatest face of a picture, uint8 (h, w, 3); the whole picture where none is found.

    Args:
        pixels: uint8 (H, W, 3).
        margin: share of the face's box that is added on each of its four sides.
    """
    tools = _tools()
    box = _greatest(tools, pixels) if tools else None
    if box is None:
        return pixels
    height, width = pixels.shape[:2]
    down, right = round(box.height() * margin), round(box.width() * margin)
    rows = slice(max(box.top() - down, 0), min(box.bottom() + 1 + down, height))
    columns = slice(max(box.left() - right, 0), min(box.right() + 1 + right, width))
    return pixels[rows, columns]


@cache
def _tools() -> tuple[Any, Any] | None:
    """Dlib's face finder and landmark model; None, said once, where they are not installed."""
    # The models' package is not imported: it needs setuptools, and only its file is wanted.
    models = find_spec("face_recognition_models")
    if models is None or models.origin is None or find_spec("dlib") is None:
        logger.info("faces are not looked for: pip install 'pixelkin[faces]'")
        return None
    dlib = import_module("dlib")
    model = Path(models.origin).parent / "models" / MODEL
    return dlib.get_frontal_face_detector(), dlib.shape_predictor(str(model))


def _greatest(tools: tuple[Any, Any], pixels: Pixels) -> Any | None:
    """The box of the greatest face, as dlib has it."""
    doublings = int(max(pixels.shape[:2]) <= SMALL)
    found = tools[0](np.ascontiguousarray(pixels), doublings)
    return max(found, key=lambda box: box.area(), default=None)
