"""Neighbour relations as pictures (Tan et al. 2024, Figure 1), in numpy."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pixelkin.errors import ConfigError, ExplanationError
from pixelkin.explain.overlay import diverging
from pixelkin.types import Floats, Pixels

Reference = int | Literal["mean", "max"]
SPAN = 32.0  # levels of 255 at which a relation has its full colour, where nothing else is said
CHANNELS = ("red", "green", "blue")


def neighbour_relation(pixels: Pixels, period: int = 2, reference: Reference = 1) -> NDArray[np.float32]:
    """Differences of each pixel from one reference of its ``period`` x ``period`` cell.

    The neighbouring pixel relationships of Tan et al. 2024, Eq. 4, as the laboratory's
    `neighbour_relation` has them, for one picture and without torch.

    Args:
        pixels: uint8, shape (H, W, C), 0..255; H and W at least ``period``.
        period: side of a cell in pixels, the paper's l; 2 or more.
        reference: the paper's j, 1..l*l in row-major order; or the cell's mean or maximum (Table 7).

    Returns:
        The relation in levels, -255..255, shape (H - H % l, W - W % l, C): rows and columns that
        fill no cell are dropped. Zero wherever a pixel is its own reference.

    Raises:
        ConfigError: ``period`` or ``reference`` is out of range.
        ExplanationError: the picture holds no whole cell.
    """
    check_relation(period, reference)
    rows, columns = pixels.shape[0] // period, pixels.shape[1] // period
    if not rows or not columns:
        raise ExplanationError(
            f"{pixels.shape[1]} x {pixels.shape[0]} pixels hold no cell of {period} x {period}: "
            "there are no relations to see"
        )
    whole = pixels[: rows * period, : columns * period].astype(np.float32)
    cells = whole.reshape(rows, period, columns, period, -1)
    if reference == "mean":
        anchor = cells.mean((1, 3), keepdims=True)
    elif reference == "max":
        anchor = cells.max((1, 3), keepdims=True)
    else:
        row, column = divmod(reference - 1, period)
        anchor = cells[:, row : row + 1, :, column : column + 1]
    return (cells - anchor).reshape(whole.shape)


def check_relation(period: int, reference: Reference) -> None:
    """Refuse a cell size or reference that Eq. 4 does not have.

    Raises:
        ConfigError: ``period`` is under 2, or ``reference`` neither 1..period**2 nor mean or max.
    """
    if period < 2:
        raise ConfigError(f"a cell of side {period} has no neighbours: the period is 2 or more")
    if reference not in ("mean", "max", *range(1, period * period + 1)):
        raise ConfigError(
            f"the reference of a {period} x {period} cell is 1 to {period**2}, mean or max, not {reference!r}"
        )


def relation_image(pixels: Pixels, period: int = 2, reference: Reference = 1, span: float = SPAN) -> Pixels:
    """The relation of all three channels as one picture of the same size, uint8, shape (H, W, 3).

    Grey, 128, is no difference; 1 and 255 are ``span`` levels below and above the reference, or more.
    Each channel stands for itself, so that a difference of red only looks red. What fills no cell is grey.

    Args:
        pixels: uint8, shape (H, W, 3), 0..255.
        period: side of a cell in pixels.
        reference: as `neighbour_relation`.
        span: levels at the ends of the scale, above zero.
    """
    relation = neighbour_relation(pixels, period, reference)
    image = np.full(pixels.shape, 128, np.uint8)
    scaled = np.rint(128 + np.clip(relation / span, -1, 1) * 127)
    image[: relation.shape[0], : relation.shape[1]] = scaled.astype(np.uint8)
    return image


def channel_images(relation: Floats, span: float) -> list[Pixels]:
    """A relation channel by channel, each uint8 (H, W, 3): blue below, white at, red above the reference."""
    return [diverging(relation[..., channel], span) for channel in range(relation.shape[-1])]


def relation_difference(
    first: Pixels, second: Pixels, period: int = 2, reference: Reference = 1
) -> NDArray[np.float32]:
    """What the second picture's relation has over the first's, in levels (Figure 1, e).

    Args:
        first: a picture, uint8, shape (H, W, C).
        second: its reconstruction, of the same shape and aligned to the pixel.
        period: side of a cell in pixels.
        reference: as `neighbour_relation`.

    Raises:
        ExplanationError: they are not of one size.
    """
    if first.shape != second.shape:
        sizes = " and ".join(f"{each.shape[1]} x {each.shape[0]}" for each in (first, second))
        raise ExplanationError(f"{sizes} pixels: the difference of two relations is of pictures of one size")
    relations = (neighbour_relation(each, period, reference) for each in (second, first))
    return np.subtract(*relations)


def span_of(values: Floats, share: float = 0.99) -> float:
    """A scale for signed values: the least whole number that ``share`` of their magnitudes do not pass.

    At least 1, so that a picture without any difference has a scale too.
    """
    return max(1.0, float(np.ceil(np.nanquantile(np.abs(values), share))))
