"""Frequency bands of the cosine transform, cut out by filters that are learned.

Qian et al., "Thinking in Frequency: Face Forgery Detection by Mining Frequency-aware Clues",
ECCV 2020, arXiv 2007.09355: frequency-aware decomposition (FAD, Sec. 3.1), local frequency
statistics (LFS, Sec. 3.2) and the attention that lets two views see one another (MixBlock,
Sec. 3.3). Numbers that the paper leaves open are those of the public re-implementation.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pixelkin.lab.representations.spectra import dct_matrix

Log = Literal["before", "after"]

LOW_SHARE = 2.82  # the low band ends at size // 2.82, the middle one at size // 2
WINDOW, STRIDE, PADDING = 10, 2, 4  # of local statistics, pixels
STATISTICS = 6  # bands of local statistics, the paper's M
LUMA = (0.299, 0.587, 0.114)
GREY_SCALE = 122.5  # for pixels in [-1, 1]; the re-implementation's, though 127.5 would give 0..255
LEAST = 1e-15  # added before the logarithm
ROUNDING = 1e-9  # smaller magnitudes are rounding of zero: of float64 coefficients of 0..255


def band_mask(size: int, low: float, high: float) -> Tensor:
    """One where row and column of a spectrum add up to ``low`` to ``high``, ends included; else zero.

    Args:
        size: rows and columns.
        low: least sum of row and column, both counted from 0.
        high: greatest.

    Returns:
        float32, shape (size, size).
    """
    place = torch.arange(size)
    total = place[:, None] + place
    return ((total >= low) & (total <= high)).float()


def decomposition_masks(size: int) -> Tensor:
    """The base filters of FAD: low, middle, high and all frequencies; float32, shape (4, size, size).

    Neighbours share the diagonal that parts them.
    """
    low, middle, end = size // LOW_SHARE, size // 2, 2 * size
    edges = ((0, low), (low, middle), (middle, end), (0, end))
    return torch.stack([band_mask(size, *pair) for pair in edges])


def statistics_masks(window: int = WINDOW, bands: int = STATISTICS) -> Tensor:
    """The base filters of LFS: ``bands`` of equal width; float32, shape (bands, window, window)."""
    step = 2 * window / bands
    return torch.stack([band_mask(window, step * k, step * (k + 1)) for k in range(bands)])


def learned_filters(base: Tensor, weight: Tensor) -> Tensor:
    """``base`` plus 2 sigmoid(``weight``) - 1, the paper's squashing to (-1, 1); any one shape."""
    return base + (2 * torch.sigmoid(weight) - 1)


def decomposed(x: Tensor, filters: Tensor) -> Tensor:
    """Images as the bands of their cosine transform: inverse(transform(x) * filter), Sec. 3.1.

    Args:
        x: images, shape (B, C, N, N).
        filters: factors of the coefficients, shape (K, N, N).

    Returns:
        Shape (B, K * C, N, N): all channels of the first band, then of the next.
    """
    transform = dct_matrix(filters.shape[-1], x.dtype).to(x.device)
    spectrum = transform @ x @ transform.T
    passed = spectrum[:, None] * filters[:, None]
    return (transform.T @ passed @ transform).flatten(1, 2)


def windowed_dct(grey: Tensor, window: int = WINDOW, stride: int = STRIDE, padding: int = PADDING) -> Tensor:
    """The cosine transform of every window of an image, which zeros surround.

    Args:
        grey: images, shape (B, H, W).
        window: side of a window, pixels.
        stride: from one window to the next, pixels.
        padding: zeros on each side, pixels.

    Returns:
        Shape (B, h, w, window, window), h = (H + 2 padding - window) // stride + 1; the last two
        axes are the frequencies of rows and of columns.
    """
    transform = dct_matrix(window, grey.dtype).to(grey.device)
    padded = F.pad(grey, (padding,) * 4)
    rows, columns = (_windows(int(length), window, stride) for length in padded.shape[1:])
    along_rows = padded[:, :, columns] @ transform.T  # (B, H', w, column frequency)
    both = along_rows[:, rows].movedim(2, -1) @ transform.T  # (B, h, w, column, row frequency)
    return both.transpose(-1, -2)


def _windows(length: int, window: int, stride: int) -> Tensor:
    """Places of each window along an axis, int, shape (windows, window): indices can be exported."""
    starts = torch.arange(0, length - window + 1, stride)
    return starts[:, None] + torch.arange(window)


def band_statistics(coefficients: Tensor, filters: Tensor, counts: Tensor, log: Log = "before") -> Tensor:
    """The log energy of each band in each window, Sec. 3.2.

    With "after", as the paper has it, log10(sum |c f| / n + 1e-15) over the coefficients c, filters f
    and base filters' sizes n; with "before", as the public re-implementation has it, sum of
    f log10(|c| + 1e-15), over n.

    Args:
        coefficients: float64, shape (B, h, w, N, N). Magnitudes under 1e-9 count as zero, as
            otherwise their logarithm would be that of rounding.
        filters: shape (M, N, N).
        counts: n, shape (M,).
        log: where the logarithm is taken.

    Returns:
        Shape (B, M, h, w), in the floating type of ``filters``.
    """
    magnitude = coefficients.abs()
    magnitude = (magnitude * (magnitude > ROUNDING)).flatten(-2)
    if log == "before":
        levels = torch.log10(magnitude + LEAST).to(filters.dtype)
        statistics = levels @ (filters.flatten(1) / counts[:, None]).T
    else:
        energy = magnitude.to(filters.dtype) @ (filters.abs().flatten(1) / counts[:, None]).T
        statistics = torch.log10(energy + LEAST)
    return statistics.permute(0, 3, 1, 2)


class BandDecomposition(nn.Module):
    """FAD: images (B, 3, ``size``, ``size``) to their four bands, (B, 12, ``size``, ``size``).

    Args:
        size: side of an image, pixels.
    """

    base: Tensor

    def __init__(self, size: int) -> None:
        super().__init__()
        self.register_buffer("base", decomposition_masks(size), persistent=False)
        self.weight = nn.Parameter(torch.randn_like(self.base) * 0.1)

    def forward(self, x: Tensor) -> Tensor:
        return decomposed(x, learned_filters(self.base, self.weight))


class LocalStatistics(nn.Module):
    """LFS: images (B, 3, H, W) in [-1, 1] to band statistics (B, 6, H // 2, W // 2).

    Args:
        log: where the logarithm is taken, see `band_statistics`.
    """

    base: Tensor

    def __init__(self, log: Log = "before") -> None:
        super().__init__()
        self.log: Log = log
        self.register_buffer("base", statistics_masks(), persistent=False)
        self.weight = nn.Parameter(torch.randn_like(self.base) * 0.1)

    def forward(self, x: Tensor) -> Tensor:
        shares = torch.tensor(LUMA, dtype=torch.float64, device=x.device)
        # float64, as a logarithm follows: then a batch scores as its members, and an export as both.
        grey = ((x.double() * shares[:, None, None]).sum(1) + 1) * GREY_SCALE
        filters = learned_filters(self.base, self.weight)
        return band_statistics(windowed_dct(grey), filters, self.base.sum((1, 2)), self.log)


class MixBlock(nn.Module):
    """Attention between two maps of one shape, by which each takes from the other what both point at.

    For each channel, softmax(Q K^T) over rows, where Q and K are 1 x 1 convolutions of the maps, those
    of both side by side. Each map gains BN(conv(A other)), its convolution one factor and bias per
    channel, times a gate of 2 sigmoid(g) - 1 that starts at zero.

    Args:
        channels: of each map.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.queries = nn.ModuleList(nn.Conv2d(channels, channels, 1) for _ in range(2))
        self.keys = nn.ModuleList(nn.Conv2d(channels, channels, 1) for _ in range(2))
        self.scales = nn.ModuleList(nn.Conv2d(channels, channels, 1, groups=channels) for _ in range(2))
        self.norms = nn.ModuleList(nn.BatchNorm2d(channels) for _ in range(2))
        self.gates = nn.Parameter(torch.zeros(2))

    def forward(self, first: Tensor, second: Tensor) -> list[Tensor]:
        """Both maps, shape (B, C, H, W) each, each with what it took from the other."""
        maps = (first, second)
        query = torch.cat([conv(x) for conv, x in zip(self.queries, maps, strict=True)], -1)
        key = torch.cat([conv(x) for conv, x in zip(self.keys, maps, strict=True)], -1)
        attention = torch.softmax(query @ key.transpose(-1, -2), -1)  # (B, C, H, H)
        gates = 2 * torch.sigmoid(self.gates) - 1
        others = zip(self.scales, self.norms, reversed(maps), strict=True)
        taken = [norm(scale(attention @ other)) for scale, norm, other in others]
        return [x + gate * new for x, gate, new in zip(maps, gates, taken, strict=True)]
