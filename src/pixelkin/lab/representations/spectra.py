"""Spectra of pictures: cosine transform, radial profile, high-pass filters.

Logarithms magnify rounding where a coefficient is near zero, so what ends in one is float64.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.interpolate import make_interp_spline
from torch import Tensor

Matrix = NDArray[np.float64]

LEAST_MAGNITUDE = 1e-8  # added to Fourier coefficients before the logarithm
# OpenCV's integers for the luma of ITU-R BT.601: 0.299, 0.587 and 0.114 of 2**15, summing to it.
LUMA, LUMA_SCALE = (9798, 19235, 3735), 32768
CUBIC = 4  # points that a cubic needs


def dct_matrix(n: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """The orthonormal type-II discrete cosine transform of ``n`` samples, as a matrix.

    Entry (k, j) is sqrt(2 / n) cos(pi k (2 j + 1) / (2 n)), and sqrt(1 / n) in the first row
    (Ahmed, Natarajan and Rao 1974). Its inverse is its transpose.

    Args:
        n: samples.
        dtype: of the result, which is computed in float64.

    Returns:
        Shape (n, n): row k holds the cosine of frequency k.
    """
    place = torch.arange(n, dtype=torch.float64)
    cosines = torch.cos(math.pi / (2 * n) * place[:, None] * (2 * place + 1))
    norms = torch.sqrt((1 + (place > 0).double()) / n)
    return (norms[:, None] * cosines).to(dtype)


def dct2(x: Tensor) -> Tensor:
    """The orthonormal 2-D DCT-II of images, shape (..., H, W), in the same shape and floating type."""
    rows, columns = (dct_matrix(int(n), x.dtype).to(x.device) for n in x.shape[-2:])
    return rows @ x @ columns.T


def log_dct(x: Tensor) -> Tensor:
    """ln(abs(c) + 1e-12) of the coefficients c of `dct2`, float64, for images (..., H, W), 0..255.

    Frank et al. 2020, official program.
    """
    return torch.log(dct2(x.double()).abs() + 1e-12)


def luma(pixels: Tensor) -> Tensor:
    """Grey images as OpenCV makes them: the luma of ITU-R BT.601, rounded to whole numbers.

    Args:
        pixels: RGB, uint8, shape (..., 3, H, W), 0..255.

    Returns:
        float64, shape (..., 1, H, W), 0..255.
    """
    red, green, blue = pixels.double().unbind(-3)
    total = LUMA[0] * red + LUMA[1] * green + LUMA[2] * blue
    return torch.floor((total + LUMA_SCALE / 2) / LUMA_SCALE).unsqueeze(-3)


def log_magnitude(grey: Matrix) -> Matrix:
    """20 ln of the magnitude of the centred Fourier spectrum of a grey image, shape (H, W), 0..255.

    Durall et al. 2020, official program: the logarithm is natural whatever the factor says, and
    1e-8 is added to the complex coefficients.
    """
    spectrum: Matrix = 20 * np.log(np.abs(np.fft.fftshift(np.fft.fft2(grey)) + LEAST_MAGNITUDE))
    return spectrum


def azimuthal_mean(image: Matrix) -> Matrix:
    """The mean of an image over each ring around its centre ((W - 1) / 2, (H - 1) / 2).

    The azimuthal integral of Durall et al. 2020, as the official program has it: a ring holds the
    pixels whose distance from the centre has one integer part; the innermost ring and the outermost
    are dropped. So 128 x 128 gives 88 values, 256 x 256 gives 179.

    Args:
        image: shape (H, W).

    Returns:
        Shape (rings,), from the centre outwards; an image of fewer than three rings gives one
        value, its mean.
    """
    rings, sizes = _rings(*image.shape)
    if len(sizes) < 3:
        return np.array([image.mean()])
    means: Matrix = np.bincount(rings, weights=image.ravel()) / sizes
    return means[1:-1]


@lru_cache(maxsize=4)
def _rings(height: int, width: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The ring of each pixel, shape (H * W,), and the number of pixels in each ring."""
    y, x = np.ogrid[:height, :width]
    rings = np.hypot(x - (width - 1) / 2, y - (height - 1) / 2).astype(np.int64).ravel()
    return rings, np.bincount(rings)


def resampled(profile: Matrix, length: int) -> Matrix:
    """A profile brought to ``length`` evenly spaced values, both ends kept.

    By the cubic spline through all points (not-a-knot), as the official program of Durall et al.
    does; linearly where there are fewer than four points. A profile of that length is left alone.

    Args:
        profile: shape (n,).
        length: values wanted.

    Returns:
        Shape (length,).
    """
    if len(profile) == length:
        return profile
    have, wanted = np.linspace(0, 1, len(profile)), np.linspace(0, 1, length)
    if len(profile) < CUBIC:
        return np.interp(wanted, have, profile)
    return np.asarray(make_interp_spline(have, profile, k=3)(wanted), np.float64)


def squared_pixel_radius(height: int, width: int) -> Tensor:
    """Squared distance of each pixel from an image's centre; float64, shape (H, W), 1 at the corners."""
    y, x = (torch.arange(n, dtype=torch.float64) - (n - 1) / 2 for n in (height, width))
    corner = (y[0] ** 2 + x[0] ** 2).clamp_min(LEAST_MAGNITUDE)
    return (y[:, None] ** 2 + x**2) / corner


def squared_frequency_radius(height: int, width: int) -> Tensor:
    """Squared distance of each place of a centred spectrum from frequency zero.

    Returns:
        float64, shape (H, W): 1 where both frequencies are half a cycle per pixel.
    """
    y, x = ((torch.arange(n, dtype=torch.float64) - n // 2) / n for n in (height, width))
    return (y[:, None] ** 2 + x**2) * 2


def high_pass(squared_radius: Tensor, width: float) -> Tensor:
    """1 - exp(-r^2 / (2 width^2)): zero at the centre, rising outwards; the shape of r^2."""
    return 1 - torch.exp(squared_radius / (-2 * width**2))


def fourier_matrices(n: int) -> tuple[Tensor, Tensor]:
    """C and S, float64 (n, n), such that C - iS is the Fourier transform with frequency zero at n // 2.

    Made of arithmetic alone, so that the ONNX exporter, which knows no FFT, follows it at any size.
    """
    place = torch.arange(n)
    # Whole turns are taken off while numbers are integers; sines of large angles are not exact.
    turns = ((place - n // 2)[:, None] * place).remainder(n).double() / n
    return torch.cos(2 * math.pi * turns), torch.sin(2 * math.pi * turns)


def centred_fourier(x: Tensor) -> tuple[Tensor, Tensor]:
    """Real and imaginary part of the centred 2-D Fourier transform of float64 images (..., H, W)."""
    (c_h, s_h), (c_w, s_w) = (fourier_matrices(n) for n in x.shape[-2:])
    c_x, s_x = c_h @ x, s_h @ x
    return c_x @ c_w.T - s_x @ s_w.T, -(s_x @ c_w.T + c_x @ s_w.T)


def inverse_fourier(real: Tensor, imaginary: Tensor) -> Tensor:
    """The real part of the inverse of `centred_fourier`; shape (..., H, W), as given."""
    height, width = real.shape[-2:]
    (c_h, s_h), (c_w, s_w) = (fourier_matrices(n) for n in (height, width))
    re = c_h.T @ real - s_h.T @ imaginary
    im = c_h.T @ imaginary + s_h.T @ real
    return (re @ c_w - im @ s_w) / (height * width)


def standardised(x: Tensor) -> Tensor:
    """Each image and channel less its mean, over its deviation; shape (..., H, W); zero where flat."""
    centred = x - x.mean((-2, -1), keepdim=True)
    deviation = centred.square().mean((-2, -1), keepdim=True).sqrt()
    return centred / deviation.clamp_min(1e-6)
