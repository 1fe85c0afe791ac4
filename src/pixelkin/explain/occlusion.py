"""What a model's tiles say, place by place, and what it would say if a place were not there.

Both maps have the picture's size and are aligned with it to the pixel. Neither needs torch.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pixelkin.tiles import JOINS, OVERVIEW, cut, of_each_tile, overlapping_boxes, overview, repeat_to
from pixelkin.types import Card, Floats, Picture, Pixels

if TYPE_CHECKING:
    from pixelkin.model import Model

FINEST = 16  # pixels: the least side of an occluded square
MOST_TILES = 128  # that a map of overlapping tiles shows the model
MOST_PASSES = 400  # tiles that an occlusion map shows it
# The same where every tile goes through an encoder, which is twenty times the work.
ENCODED_TILES, ENCODED_PASSES = 24, 64
BLUR = 5  # pixels: side of the box whose mean is a place's local content
AT_ONCE = 32  # occluded tiles held in memory

Box = tuple[int, int, int, int]
Map = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Occlusion:
    """What each square of a picture adds to the verdict.

    Attributes:
        log_odds: of the whole picture less those without the square, shape (H, W): above zero where
            the square speaks for "generated". NaN where no tile looked.
        side: of a square, pixels.
        passes: tiles that the model was shown for it.
    """

    log_odds: Map
    side: int
    passes: int


def tile_map(model: Model, picture: Picture, most: int = 0) -> Map:
    """Mean log-odds of the tiles over each pixel, shape (H, W), from tiles that overlap by half.

    A finer map than `Prediction.heatmap`, which shows only the tiles the verdict is made of. Every
    pixel is seen where the picture takes no more than ``most`` tiles; NaN where none looked.

    Args:
        model: whose tiles.
        picture: of any size.
        most: tiles at the most; 0 for `MOST_TILES`, or `ENCODED_TILES` of a model with an encoder.
    """
    card = model.card
    most = most or (ENCODED_TILES if card.encoder else MOST_TILES)
    boxes = overlapping_boxes(picture.height, picture.width, card.tile, most)
    beside = model.logits(model.look(picture)[1][:1]) if card.join == OVERVIEW else None
    total = np.zeros((picture.height, picture.width), np.float64)
    count = np.zeros((picture.height, picture.width), np.uint16)
    for start in range(0, len(boxes), AT_ONCE):
        group = boxes[start : start + AT_ONCE]
        logits: Floats = model.logits(cut(picture.pixels, group, card.tile))
        if beside is not None:
            logits = of_each_tile(card.join, np.concatenate([beside, logits]))[1:]
        logits = logits / card.temperature
        for (top, left, bottom, right), value in zip(group, logits, strict=True):
            total[top:bottom, left:right] += value
            count[top:bottom, left:right] += 1
    seen = np.divide(total, count, out=np.full_like(total, np.nan), where=count > 0)
    return seen.astype(np.float32)


def occlusion_map(model: Model, picture: Picture, most: int = 0, seed: int = 0) -> Occlusion:
    """How much each square of a picture adds to the log-odds that it was generated.

    Zeiler and Fergus 2014, for relations of pixels: a square is replaced by `neutral` content of its
    own, the tiles it lies in are judged again, and their joined log-odds are taken from those of the
    untouched picture. Squares are as fine as ``most`` allows, from 16 pixels up by doubling.

    Args:
        model: whose verdict.
        picture: of any size.
        most: tiles that may be judged again at the most, and at least as many as a verdict takes; 0 for
            `MOST_PASSES`, or `ENCODED_PASSES` of a model with an encoder.
        seed: of the order in which a square's residuals are laid down.
    """
    card = model.card
    boxes, tiles = model.look(picture)
    logits = model.logits(tiles)
    whole = float(JOINS[card.join](logits)) / card.temperature
    most = max(most or (ENCODED_PASSES if card.encoder else MOST_PASSES), len(boxes))
    side, squares = _squares(picture.height, picture.width, boxes, most)
    rng = np.random.default_rng(seed)
    occluded = {square: neutral(picture.pixels, square, rng) for square in squares}
    pairs = [(square, tile) for square, tiles in squares.items() for tile in tiles]
    told: dict[Box, NDArray[np.float64]] = {square: logits.copy() for square in squares}
    for start in range(0, len(pairs), AT_ONCE):
        group = pairs[start : start + AT_ONCE]
        hidden = np.stack(
            [
                _tile(card, tile, _shown(picture.pixels, boxes[tile], square, occluded[square]))
                for square, tile in group
            ]
        )
        for (square, tile), logit in zip(group, model.logits(hidden), strict=True):
            told[square][tile] = logit
    found = np.full((picture.height, picture.width), np.nan, np.float32)
    for (top, left, bottom, right), without in told.items():
        found[top:bottom, left:right] = whole - float(JOINS[card.join](without)) / card.temperature
    unseen = np.ones(found.shape, bool)
    for top, left, bottom, right in boxes:
        unseen[top:bottom, left:right] = False
    found[unseen] = np.nan
    return Occlusion(found, side, len(pairs))


def neutral(pixels: Pixels, square: Box, rng: np.random.Generator) -> Pixels:
    """A square's own content without the relations of its pixels, uint8, of the square's shape.

    Its local mean, over 5 x 5 pixels, with what its pixels differ from that laid down in another
    order. Brightness, colour and strength of the detail stay; how neighbours are related does not.
    A flat or blurred filling would not do: it is itself what an up-sampler leaves.

    Args:
        pixels: the picture, uint8 (H, W, 3).
        square: top, left, bottom, right.
        rng: which order.
    """
    top, left, bottom, right = square
    margin = (BLUR // 2, BLUR // 2)
    around = np.pad(pixels[top:bottom, left:right].astype(np.float32), (margin, margin, (0, 0)), "edge")
    height, width = bottom - top, right - left
    shifted = (around[y : y + height, x : x + width] for y in range(BLUR) for x in range(BLUR))
    local = np.sum(list(shifted), axis=0) / BLUR**2
    residual = (pixels[top:bottom, left:right] - local).reshape(-1, pixels.shape[2])
    reordered = rng.permutation(residual).reshape(local.shape)
    return np.rint(np.clip(local + reordered, 0, 255)).astype(np.uint8)


def _tile(card: Card, place: int, pixels: Pixels) -> Pixels:
    """The tile at index ``place`` that the model sees of a box's pixels, uint8 (3, side, side)."""
    whole = card.choice == OVERVIEW and place == 0
    shown = overview(pixels, card.tile) if whole else repeat_to(pixels, card.tile)
    return shown.transpose(2, 0, 1)


def _shown(pixels: Pixels, box: NDArray[np.int64], square: Box, content: Pixels) -> Pixels:
    """What a tile shows once ``square`` has ``content`` instead of its own, where they meet."""
    top, left, bottom, right = (int(edge) for edge in box)
    shown = pixels[top:bottom, left:right].copy()
    first, last = max(top, square[0]), min(bottom, square[2])
    start, end = max(left, square[1]), min(right, square[3])
    meeting = content[first - square[0] : last - square[0], start - square[1] : end - square[1]]
    shown[first - top : last - top, start - left : end - left] = meeting
    return shown


def _squares(
    height: int, width: int, boxes: NDArray[np.int64], most: int
) -> tuple[int, dict[Box, list[int]]]:
    """The finest squares that cost at most ``most`` tiles: their side, and which tiles each lies in."""
    side = FINEST
    while True:
        lying = {square: tiles for square in _grid(height, width, side) if (tiles := _touched(boxes, square))}
        if sum(map(len, lying.values())) <= most or side >= max(height, width):
            return side, lying
        side *= 2


def _grid(height: int, width: int, side: int) -> Iterator[Box]:
    for top in range(0, height, side):
        for left in range(0, width, side):
            yield top, left, min(top + side, height), min(left + side, width)


def _touched(boxes: NDArray[np.int64], square: Box) -> list[int]:
    """The places in ``boxes`` of those that share a pixel with ``square``."""
    top, left, bottom, right = square
    share = (boxes[:, 0] < bottom) & (boxes[:, 2] > top) & (boxes[:, 1] < right) & (boxes[:, 3] > left)
    return [int(place) for place in np.flatnonzero(share)]
