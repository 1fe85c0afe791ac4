"""The views of a picture that a small network can be given: pixels, and what is left of them without content.

Each is a function of pixels in 0..1 with the scale at which it varies by about one, so that views can
be laid beside one another.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from pixelkin.errors import ConfigError
from pixelkin.lab.representations.neighbours import median_residual, neighbour_relation

# The 5 x 5 square filter of Fridrich and Kodovsky 2012, "Rich Models for Steganalysis of Digital Images".
KV = (
    (-1.0, 2.0, -2.0, 2.0, -1.0),
    (2.0, -6.0, 8.0, -6.0, 2.0),
    (-2.0, 8.0, -12.0, 8.0, -2.0),
    (2.0, -6.0, 8.0, -6.0, 2.0),
    (-1.0, 2.0, -2.0, 2.0, -1.0),
)


@dataclass(frozen=True, slots=True)
class View:
    """One view.

    Attributes:
        channels: maps it gives for three colour channels.
        function: of pixels (B, 3, H, W) or (3, H, W), 0..1, to as many maps; an odd last row or column
            may be repeated.
    """

    channels: int
    function: Callable[[Tensor], Tensor]


def pixels(x: Tensor) -> Tensor:
    """The pixels themselves, centred and over 0.25."""
    return (x - 0.5) * 4


def high_pass(x: Tensor) -> Tensor:
    """Each channel through the 5 x 5 filter `KV` over twelve, times 20; borders padded by zeros."""
    kernel = torch.tensor(KV, dtype=x.dtype, device=x.device).div(12).expand(3, 1, 5, 5)
    return F.conv2d(x, kernel, padding=2, groups=3) * 20


def mean_residual(x: Tensor) -> Tensor:
    """Differences from the mean of the 3 x 3 neighbourhood, times 15; borders padded by zeros."""
    return (x - F.avg_pool2d(x, 3, 1, 1)) * 15


def scaled_median(x: Tensor) -> Tensor:
    """`median_residual`, times 12."""
    return median_residual(x) * 12


def relation(period: int, scale: float) -> Callable[[Tensor], Tensor]:
    """`neighbour_relation` to the first pixel of a cell, times ``scale``, at the size of the input."""

    def view(x: Tensor) -> Tensor:
        # Padded even where nothing is short: a branch would be frozen in an exported graph.
        down, right = (-length % period for length in x.shape[-2:])
        whole = F.pad(x, (0, right, 0, down), mode="replicate")
        return neighbour_relation(whole, period)[..., : x.shape[-2], : x.shape[-1]] * scale

    return view


def phases(x: Tensor) -> Tensor:
    """Differences from the pixel above, to the left, and on both diagonals, times 12: every phase of a cell.

    The relation of Eq. 4 takes one pixel of each cell as its reference, and so depends on where the grid
    of cells begins; a crop by one pixel gives another. Differences along four directions do not.
    """
    padded = F.pad(x, (1, 1, 1, 1), mode="replicate")
    height, width = x.shape[-2:]
    starts = ((0, 1), (1, 0), (0, 0), (0, 2))
    return torch.cat([x - padded[..., r : r + height, c : c + width] for r, c in starts], -3) * 12


VIEWS = {
    "pixels": View(3, pixels),
    "npr2": View(3, relation(2, 12)),
    "npr4": View(3, relation(4, 8)),
    "npr8": View(3, relation(8, 6)),
    "phases": View(12, phases),
    "median": View(3, scaled_median),
    "mean": View(3, mean_residual),
    "highpass": View(3, high_pass),
}


def check_views(names: Sequence[str]) -> None:
    """Refuse names that `VIEWS` does not have.

    Raises:
        ConfigError: a name is unknown, or there is none.
    """
    unknown = sorted(set(names) - set(VIEWS))
    if unknown or not names:
        raise ConfigError(
            f"no view is named {', '.join(unknown) or 'nothing'}; the names are: {', '.join(VIEWS)}"
        )
