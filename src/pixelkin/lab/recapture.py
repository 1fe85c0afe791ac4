"""Pictures taken of pictures: simulations of a photographed screen and of a scanned halftone print."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pixelkin.types import Floats, Pixels

GAMMA = 2.2  # of screens: light is the value, 0..1, to this power
GRID = 0.97  # periods of the screen's cells a pixel of the camera, just off one: they beat as moiré
BARS, LINES = 0.12, 0.06  # how deep the cells' coloured columns and their rows are, of the light
LEAN = 0.02  # that each corner may be off, of the sides
ANGLES = (15, 75, 0, 45)  # degrees of the screens of cyan, magenta, yellow and black, as printers turn them
EDGE = 0.2  # of a dot, in units of its threshold: where ink has spread and the scanner blends it with paper


def screen(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    """As a camera before a screen sees it, not quite straight: warped, through a grid of coloured cells.

    Args:
        pixels: what is shown, uint8 (H, W, 3).
        rng: where the corners' places and the grid's phase come from.

    Returns:
        uint8 (H, W, 3); blur, noise and compression of the camera are left to others.
    """
    height, width = pixels.shape[:2]
    corners = np.array([(0, 0), (width, 0), (width, height), (0, height)], np.float64)
    seen = corners + rng.uniform(0, LEAN, (4, 2)) * (width, height) * np.where(corners > 0, -1, 1)
    warp = perspective(corners, seen)
    size, data = (width, height), tuple(warp.tolist())
    shown = Image.fromarray(pixels).transform(
        size, Image.Transform.PERSPECTIVE, data, Image.Resampling.BICUBIC
    )
    light = (np.asarray(shown, np.float32) / 255) ** GAMMA
    light *= _cells(warp, height, width, rng.uniform(0, 1, 2))
    return _bytes(light ** (1 / GAMMA))


def perspective(places: NDArray[np.float64], sources: NDArray[np.float64]) -> NDArray[np.float64]:
    """The eight coefficients by which Pillow warps, that take four places to four others.

    Args:
        places: x and y in the picture that is made, shape (4, 2), pixels.
        sources: where each comes from, shape (4, 2), pixels.
    """
    rows, wanted = [], []
    for (x, y), (u, v) in zip(places, sources, strict=True):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
        wanted += [u, v]
    return np.linalg.solve(np.array(rows), np.array(wanted))


def halftone(pixels: Pixels, cell: float) -> Pixels:
    """As printed in dots of cyan, magenta, yellow and black that grow with the ink, and scanned to scale.

    Args:
        pixels: what is printed, uint8 (H, W, 3).
        cell: from dot to dot, pixels; at 300 pixels an inch, 3 are a screen of 100 lines an inch.

    Returns:
        uint8 (H, W, 3); blur, noise and compression of the scanner are left to others.
    """
    colour = pixels.astype(np.float32) / 255
    white = colour.max(2)
    paper = np.ones_like(colour)
    y, x = _axes(*white.shape)
    for place, angle in enumerate(ANGLES):
        ink = 1 - white if place == 3 else 1 - colour[..., place] / np.maximum(white, 1 / 255)
        covered = np.clip((ink * (1 + EDGE) - _threshold(x, y, cell, angle)) / EDGE, 0, 1)
        channels = slice(None) if place == 3 else slice(place, place + 1)
        paper[..., channels] *= (1 - covered)[..., None]
    return _bytes(paper)


def _cells(warp: NDArray[np.float64], height: int, width: int, phase: Floats) -> Floats:
    """What share of the light the cells let through, by where each pixel looks on the screen; (H, W, 3)."""
    y, x = _axes(height, width)
    a, b, c, d, e, f, g, h = warp.astype(np.float32)
    far = g * x + h * y + 1
    u, v = (a * x + b * y + c) / far, (d * x + e * y + f) / far
    rows = 1 - LINES + LINES * np.cos(2 * np.pi * (GRID * v + np.float32(phase[1])))
    columns = [np.cos(2 * np.pi * (GRID * u + np.float32(phase[0] + third / 3))) for third in range(3)]
    return np.stack([rows * (1 - BARS + BARS * column) for column in columns], -1)


def _threshold(x: Floats, y: Floats, cell: float, angle: float) -> Floats:
    """The coverage, 0..1, from which on each place is inked; least at the middles of the diamond dots."""
    turn = np.deg2rad(np.float32(angle))
    across, along = x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)
    # The mean of two even spreads of 0..1, by the share of lesser ones: as much is inked as is asked for.
    far = (np.abs(2 * (across / cell % 1) - 1) + np.abs(2 * (along / cell % 1) - 1)) / 2
    return np.where(far < 0.5, 2 * far**2, 1 - 2 * (1 - far) ** 2)


def _axes(height: int, width: int) -> tuple[Floats, Floats]:
    """Rows, shape (H, 1), and columns, shape (1, W)."""
    return np.arange(height, dtype=np.float32)[:, None], np.arange(width, dtype=np.float32)[None]


def _bytes(values: Floats) -> Pixels:
    return np.clip(np.rint(255 * values), 0, 255).astype(np.uint8)
