"""The native-scale crops a model sees, and the joining of their logits into one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pixelkin.types import Floats, Pixels

Scalar = TypeVar("Scalar", bound=np.generic)

# Corners lie on even rows and columns, so that a tile has the grid phase of its picture.
PHASE = 2
TILE, MOST_TILES = 128, 16  # where a card or a run does not say
CANDIDATES = 64  # tiles whose texture is compared


def trimmed_mean(logits: Floats) -> np.floating:
    """The mean without the least and the greatest fifth of the values, rounded down."""
    cut_off = len(logits) // 5
    return np.mean(np.sort(logits)[cut_off : len(logits) - cut_off])


def overview_and_mean(logits: Floats) -> np.floating:
    """What the overview says of the whole, and the mean of what the native tiles say beside it.

    Args:
        logits: shape (n, 2 or more), the overview's first; of each tile, what it says as an overview, as a
            native tile, and of each of its patches.
    """
    return logits[0, 0] + np.mean(logits[1:, 1])


OVERVIEW = "overview"  # the choice, and the joining rule that goes with it
JOINS: dict[str, Callable[[Floats], np.floating]] = {
    "mean": np.mean,
    "median": np.median,
    "max": np.max,
    "trimmed": trimmed_mean,
    OVERVIEW: overview_and_mean,
}


def of_each_tile(join: str, logits: Floats) -> Floats:
    """The logit of each tile alone, shape (n,): of a picture whose native tiles were all like that one."""
    if join != OVERVIEW:
        return logits
    return np.concatenate([[overview_and_mean(logits)], logits[0, 0] + logits[1:, 1]])


def tile_boxes(height: int, width: int, side: int, most: int) -> NDArray[np.int64]:
    """Where to look: squares that cover a picture, or an even spread of them where it takes too many.

    Args:
        height: of the picture, pixels.
        width: of the picture, pixels.
        side: of a tile, pixels, even; a shorter picture side is taken whole.
        most: tiles at the most.

    Returns:
        int, shape (n, 4), 1 <= n <= ``most``: top, left, bottom, right.
    """
    # A last odd row or column fills no cell, and alone is worth no tile.
    rows, columns = (max(-(-(length - length % PHASE) // side), 1) for length in (height, width))
    return _laid(height, width, side, most, rows, columns)


def overlapping_boxes(height: int, width: int, side: int, most: int) -> NDArray[np.int64]:
    """As `tile_boxes`, but neighbours overlap by half a tile, where ``most`` allows it."""
    steps = (-(-2 * max(length - side, 0) // side) for length in (height, width))
    rows, columns = (step + 1 for step in steps)
    return _laid(height, width, side, most, rows, columns)


def spread(pixels: Pixels, side: int, most: int) -> NDArray[np.int64]:
    """`tile_boxes` of a picture, uint8 (H, W, 3): an even spread."""
    return tile_boxes(pixels.shape[0], pixels.shape[1], side, most)


def textured(pixels: Pixels, side: int, most: int) -> NDArray[np.int64]:
    """Of the tiles that cover a picture, those with most texture, where there are more than ``most``.

    Flat sky and saturated white carry no trace of how they were made. Texture is the mean absolute
    difference of neighbouring pixels' green; up to `CANDIDATES` tiles are looked at.

    Args:
        pixels: the picture, uint8 (H, W, 3).
        side: of a tile, pixels, even.
        most: tiles at the most.

    Returns:
        int, shape (n, 4), as `tile_boxes` gives them, in reading order.
    """
    boxes = spread(pixels, side, max(most, CANDIDATES))
    if len(boxes) <= most:
        return boxes
    return boxes[np.sort(_order(pixels, boxes)[-most:])]


def by_texture(pixels: Pixels, side: int, most: int) -> NDArray[np.int64]:
    """The tiles of `textured`, the most textured first."""
    boxes = spread(pixels, side, max(most, CANDIDATES))
    return boxes[_order(pixels, boxes)[::-1][:most]]


def _order(pixels: Pixels, boxes: NDArray[np.int64]) -> NDArray[np.intp]:
    """The boxes' indices, the least textured first."""
    green = [pixels[top:bottom, left:right, 1].astype(np.int16) for top, left, bottom, right in boxes]
    texture = [sum(np.abs(np.diff(g, axis=axis)).sum() for axis in (0, 1)) / g.size for g in green]
    return np.argsort(texture, kind="stable")


def overview_and_textured(pixels: Pixels, side: int, most: int) -> NDArray[np.int64]:
    """The middle square of a picture, and after it its ``most`` - 1 most textured tiles; as `textured`."""
    height, width = pixels.shape[:2]
    shorter = min(height, width)
    top, left = (height - shorter) // 2, (width - shorter) // 2
    middle = np.array([(top, left, top + shorter, left + shorter)], np.int64)
    return np.concatenate([middle, textured(pixels, side, most - 1)])


CHOICES: dict[str, Callable[[Pixels, int, int], NDArray[np.int64]]] = {
    "spread": spread,
    "textured": textured,
    OVERVIEW: overview_and_textured,
}


def look(pixels: Pixels, choice: str, side: int, most: int) -> tuple[NDArray[np.int64], Pixels]:
    """Where a model looks at a picture, uint8 (H, W, 3), by one of `CHOICES`, and what it sees there.

    Returns:
        Boxes, int (n, 4), and tiles, uint8 (n, 3, ``side``, ``side``).
    """
    boxes = CHOICES[choice](pixels, side, most)
    if choice != OVERVIEW:
        return boxes, cut(pixels, boxes, side)
    seen = overview(pixels, side).transpose(2, 0, 1)[None]
    return boxes, np.concatenate([seen, cut(pixels, boxes[1:], side)])


def overview(pixels: Pixels, side: int) -> Pixels:
    """The middle square of a picture at ``side`` x ``side`` pixels, by Pillow's bicubic filter.

    Args:
        pixels: uint8 (H, W, 3); a smaller picture is enlarged.
        side: of the result, pixels.
    """
    height, width = pixels.shape[:2]
    if min(height, width) != side:
        scale = side / min(height, width)
        size = max(side, round(width * scale)), max(side, round(height * scale))
        # Powers of two are skipped by whole pixels first, twice as fast and hardly different.
        image = Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC, reducing_gap=2.0)
        pixels = np.asarray(image)
    top, left = (pixels.shape[0] - side) // 2, (pixels.shape[1] - side) // 2
    return pixels[top : top + side, left : left + side]


def cut(pixels: Pixels, boxes: NDArray[np.int64], side: int) -> Pixels:
    """The tiles at ``boxes`` of a picture, uint8, shape (n, 3, ``side``, ``side``).

    Where the picture is smaller than a tile it is repeated, never enlarged ("translate and
    duplicate", official program); odd rests are dropped first, which keeps the grid phase.
    """
    tiles = np.empty((len(boxes), 3, side, side), np.uint8)
    for tile, (top, left, bottom, right) in zip(tiles, boxes, strict=True):
        tile[:] = repeat_to(pixels[top:bottom, left:right], side).transpose(2, 0, 1)
    return tiles


def sigmoid(logits: Any) -> NDArray[np.float64]:
    """Logits, a number or an array of any shape, to values in [0, 1]; exact in both tails, no overflow."""
    return np.exp(-np.logaddexp(0, -np.asarray(logits, np.float64)))


def in_words(side: int, most: int, join: str, choice: str = "spread") -> str:
    """How a picture is looked at, for reports."""
    if choice == OVERVIEW:
        return f"the picture at {side} px and its {most - 1} most textured native-scale tiles of {side} px"
    which = "" if choice == "spread" else f", the most {choice} ones"
    return f"at most {most} native-scale tiles of {side} px{which}, logits joined by {join}"


def repeat_to(pixels: NDArray[Scalar], side: int) -> NDArray[Scalar]:
    """``pixels`` (h, w, 3) repeated downwards and to the right to (side, side, 3); or cropped to it."""
    return repeat_up_to(pixels, side)[:side, :side]


def repeat_up_to(pixels: NDArray[Scalar], least: int) -> NDArray[Scalar]:
    """``pixels`` (h, w, 3), sides under ``least`` pixels repeated up to it, odd rests dropped first."""
    for axis in (0, 1):
        have = pixels.shape[axis]
        if have < least:
            whole = max(have - have % PHASE, 1)
            pixels = np.take(pixels, np.arange(least) % whole, axis=axis)
    return pixels


def _laid(height: int, width: int, side: int, most: int, rows: int, columns: int) -> NDArray[np.int64]:
    """The boxes of a grid of tiles, thinned out evenly to ``most`` of them."""
    if rows * columns > most:
        shrink = (most / (rows * columns)) ** 0.5
        rows = min(max(1, round(rows * shrink)), most)
        columns = min(columns, most // rows)
    tops, lefts = _starts(height, side, rows), _starts(width, side, columns)
    corners = [(top, left) for top in tops for left in lefts]
    return np.array([(t, x, min(t + side, height), min(x + side, width)) for t, x in corners], np.int64)


def _starts(length: int, side: int, count: int) -> list[int]:
    """Even offsets of ``count`` tiles, from the first pixel to the last, or at the middle if alone."""
    room = max(length - side, 0)
    offsets = np.linspace(0, room, count) if count > 1 else [room / 2]
    return [int(offset) // PHASE * PHASE for offset in offsets]
