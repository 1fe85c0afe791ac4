"""What a pixel is beside its neighbours: relations inside a cell (NPR), and differences from a median."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from pixelkin.explain.relations import Reference, check_relation


def neighbour_relation(x: Tensor, period: int = 2, reference: Reference = 1) -> Tensor:
    """Differences of each pixel from one reference of its ``period`` x ``period`` cell.

    The neighbouring pixel relationships (NPR) of Tan et al. 2024, Eq. 4: ``w_i - w_j`` over the
    grid of cells. For period 2 and reference 1 the official program writes ``x - up(down(x))`` with
    nearest-neighbour resampling, which is the same.

    Args:
        x: images, shape (..., H, W), H and W at least ``period``.
        period: side of a cell in pixels, the paper's l; 2 or more.
        reference: the paper's j, 1..l*l in row-major order; or the cell's mean or maximum (Table 7).

    Returns:
        The relation, shape (..., H - H % l, W - W % l): rows and columns that fill no cell are
        dropped. Zero wherever a pixel is its own reference.

    Raises:
        ConfigError: ``period`` or ``reference`` is out of range.
    """
    check_relation(period, reference)
    rows, columns = x.shape[-2] // period, x.shape[-1] // period
    whole = x[..., : rows * period, : columns * period]
    cells = whole.reshape(*x.shape[:-2], rows, period, columns, period)
    if reference == "mean":
        anchor = cells.mean((-3, -1), keepdim=True)
    elif reference == "max":
        anchor = cells.amax((-3, -1), keepdim=True)
    else:
        row, column = divmod(reference - 1, period)
        anchor = cells[..., row : row + 1, :, column : column + 1]
    return (cells - anchor).flatten(-4, -3).flatten(-2, -1)


# Pairs to put in order, one after the other, until the fifth of nine values is their median.
_EXCHANGES = (
    *((1, 2), (4, 5), (7, 8), (0, 1), (3, 4), (6, 7), (1, 2), (4, 5), (7, 8), (0, 3)),
    *((5, 8), (4, 7), (3, 6), (1, 4), (2, 5), (4, 7), (4, 2), (6, 4), (4, 2)),
)


def median_residual(x: Tensor) -> Tensor:
    """Differences of each pixel from the median of its 3 x 3 neighbourhood, its own value taken as 0.

    The local pixel dependencies of Liang et al. 2025 (FerretNet, arXiv 2509.20890) as the official
    program computes them: borders are padded with zeros, and the median is of nine values, the
    eight neighbours and a zero.

    Args:
        x: images, shape (..., H, W).

    Returns:
        The residual, same shape.
    """
    padded = F.pad(x, (1, 1, 1, 1))
    height, width = x.shape[-2:]
    values = [padded[..., r : r + height, c : c + width] for r in range(3) for c in range(3)]
    values[4] = torch.zeros_like(x)
    for low, high in _EXCHANGES:
        values[low], values[high] = (
            torch.minimum(values[low], values[high]),
            torch.maximum(values[low], values[high]),
        )
    return x - values[4]
