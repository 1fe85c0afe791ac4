"""Spectra of a picture for the eye: the plane, and its mean over rings of one frequency."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pixelkin.errors import ExplanationError
from pixelkin.types import Floats, Pixels

LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601
RINGS = 96
LEAST = 8  # pixels: a shorter side has no spectrum worth a look
FLOOR = 1e-6  # power added before the logarithm: -60 dB

Curve = tuple[NDArray[np.float64], NDArray[np.float64]]


def power_spectrum(values: Floats | Pixels) -> NDArray[np.float64]:
    """Power at every frequency, in dB, zero frequency in the middle, shape (H, W).

    Of the values less their mean, under a Hann window: without one, what the borders do not have in
    common lies over the spectrum as a cross. 0 dB is a power of 1 level squared for each pixel.

    Args:
        values: a picture's RGB, shape (H, W, 3), 0..255, of which the luma is taken; or one channel
            of anything, shape (H, W).

    Raises:
        ExplanationError: a side is under 8 pixels.
    """
    if min(values.shape[:2]) < LEAST:
        raise ExplanationError(
            f"{values.shape[1]} x {values.shape[0]} pixels have no spectrum worth a look: "
            f"it takes {LEAST} a side"
        )
    grey = np.asarray(values @ LUMA if values.ndim == 3 else values, np.float64)
    window = np.hanning(grey.shape[0])[:, None] * np.hanning(grey.shape[1])
    spectrum = np.fft.fftshift(np.fft.fft2((grey - grey.mean()) * window))
    return 10 * np.log10(np.abs(spectrum) ** 2 / np.sum(window**2) + FLOOR)


def radial_profile(spectrum: Floats, rings: int = RINGS) -> Curve:
    """Frequencies, cycles a pixel, and the mean of a centred spectrum over the ring of each.

    The azimuthal average of Durall et al. 2020, with rings of equal frequency, so that a picture
    need not be square: from 0 to 0.5, the corners beyond are left out.

    Args:
        spectrum: as `power_spectrum` gives it, shape (H, W).
        rings: at the most; fewer where the shorter side has not as many frequencies.
    """
    height, width = spectrum.shape
    rings = min(rings, min(height, width) // 2)
    rows, columns = (np.fft.fftshift(np.fft.fftfreq(n)) for n in (height, width))
    # A whole number of frequencies must not fall below itself for a rounding error.
    ring = (np.hypot(rows[:, None], columns) * 2 * rings + 1e-9).astype(np.int64).ravel()
    inside = ring < rings
    totals = np.bincount(ring[inside], weights=spectrum.ravel()[inside], minlength=rings)
    counts = np.bincount(ring[inside], minlength=rings)
    return (np.arange(rings) + 0.5) / (2 * rings), totals / np.maximum(counts, 1)


def spectrum_image(spectrum: Floats, lowest: float = 0.0, highest: float = 60.0) -> Pixels:
    """A spectrum in grey, uint8, shape (H, W, 3): black at ``lowest`` dB and below, white at ``highest``."""
    scaled = np.clip((spectrum - lowest) / (highest - lowest), 0, 1)
    return np.repeat(np.rint(255 * scaled).astype(np.uint8)[..., None], 3, axis=-1)
