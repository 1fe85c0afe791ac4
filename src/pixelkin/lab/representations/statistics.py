"""Statistics of classical forensics: co-occurrences of residuals, moments by grid phase, spectral power."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pixelkin.lab.representations.spectra import Matrix

CUT = 2  # residuals are clipped to -CUT..CUT after quantisation
STEPS = (1.0, 2.0)  # of quantisation, grey levels
BLOCK = 8  # side of the grid of a JPEG file, and of most latent decoders
RINGS = 16


def co_occurrences(grey: Matrix, step: float, order: int) -> NDArray[np.float64]:
    """How often three quantised differences in a row take each triple of values, over both directions.

    The subtractive pixel adjacency model of Pevny, Bas and Fridrich 2010 ("SPAM"), with the spatial rich
    model's quantisation (Fridrich and Kodovsky 2012, Eq. 2): round(d / (step * order)), clipped to -2..2.

    Args:
        grey: a picture's luma, shape (h, w), 0..255, sides of 5 or more.
        step: of quantisation, grey levels.
        order: 1 for differences of neighbours, 2 for differences of these.

    Returns:
        Shares, shape (125,), summing to one.
    """
    base = 2 * CUT + 1
    counts = np.zeros(base**3)
    for picture in (grey, grey.T):
        differences = np.diff(picture, order, axis=1) / (step * order)
        levels = np.clip(np.rint(differences), -CUT, CUT).astype(np.int64) + CUT
        codes = (levels[:, :-2] * base + levels[:, 1:-1]) * base + levels[:, 2:]
        counts += np.bincount(codes.ravel(), minlength=base**3)
    return counts / counts.sum()


def phase_moments(grey: Matrix) -> NDArray[np.float64]:
    """Mean absolute second difference by place in the 8 x 8 grid, over the mean of all: rows, then columns.

    Returns:
        Shape (16,), around one; flat in a picture that no grid has touched.
    """
    moments = []
    for picture in (grey.T, grey):
        size = np.abs(np.diff(picture, 2, axis=1)).mean(0)
        phases = np.array([size[phase::BLOCK].mean() for phase in range(BLOCK)])
        moments.append(phases / max(float(phases.mean()), 1e-6))
    return np.concatenate(moments)


def ring_powers(grey: Matrix) -> NDArray[np.float64]:
    """Log-power of 16 rings of the Fourier transform, what lies beyond Nyquist's in the last; shape (16,)."""
    height, width = grey.shape
    power = np.abs(np.fft.rfft2(grey - grey.mean())) ** 2 / grey.size
    rows, columns = np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None]
    ring = np.minimum((np.hypot(rows, columns) * 2 * RINGS).astype(np.int64), RINGS - 1)
    sums = np.bincount(ring.ravel(), power.ravel(), minlength=RINGS)
    counts = np.bincount(ring.ravel(), minlength=RINGS)
    return np.log(sums / np.maximum(counts, 1) + 1e-3)


def forensic_statistics(grey: Matrix) -> NDArray[np.float64]:
    """All of these, shape (532,): co-occurrences by order and step as square roots, phases, rings."""
    shares = [np.sqrt(co_occurrences(grey, step, order)) for order in (1, 2) for step in STEPS]
    return np.concatenate([*shares, phase_moments(grey), ring_powers(grey)])
