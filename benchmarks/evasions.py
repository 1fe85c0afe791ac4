"""What pictures can be put through to be judged otherwise: ordinary edits, and one that knows the model."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from gradient import stepped
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from pixelkin import degrade
from pixelkin.lab import recapture
from pixelkin.types import Pixels

CLEAN, INFORMED = "as it is", "one step of the gradient"
CAMERA, SCANNER = "blur:0.6,noise:2,jpeg:85", "blur:0.7,noise:1,jpeg:85"


@dataclass(frozen=True, slots=True)
class Target:
    """A picture that is to be judged otherwise.

    Attributes:
        pixels: uint8 (H, W, 3).
        key: that what is left to chance is drawn from.
        signs: the way from the truth, sample by sample, int8 (H, W, 3): downhill for a generated picture,
            uphill for a photograph.
    """

    pixels: Pixels
    key: str
    signs: NDArray[np.int8]


@dataclass(frozen=True, slots=True)
class Evasion:
    """One way to change a picture.

    Attributes:
        family: kind of change.
        name: how strong, as a table says it; with the family, unique.
        change: makes it.
        aligned: its pixels are still in their places, so that what was lost can be told.
    """

    family: str
    name: str
    change: Callable[[Target], Pixels]
    aligned: bool = True


def psnr(before: Pixels, after: Pixels) -> float:
    """Peak signal to noise, dB; ``after`` is brought back to the size of ``before`` first; inf if equal."""
    if after.shape != before.shape:
        after = degrade.resize_to(after, *before.shape[:2])
    error = np.square(before.astype(np.float32) - after).mean(dtype=np.float64)
    return 20 * math.log10(255) - 10 * math.log10(error) if error else math.inf


def _through(chain: str, pixels: Pixels, key: str) -> Pixels:
    return degrade.apply(degrade.parse(chain), pixels, key)


def _chain(family: str, chain: str, name: str, *, aligned: bool = True) -> Evasion:
    return Evasion(family, name, lambda it: _through(chain, it.pixels, it.key), aligned)


def _chains(family: str, step: str, *values: float) -> list[Evasion]:
    return [_chain(family, f"{step}:{value:g}", f"{value:g}") for value in values]


def _median(it: Target) -> Pixels:
    return np.array(Image.fromarray(it.pixels).filter(ImageFilter.MedianFilter(3)))


def _off_grid(it: Target, by: int) -> Pixels:
    return it.pixels[by:, by:] if min(it.pixels.shape[:2]) > by else it.pixels


def _rephotographed(it: Target, scale: float) -> Pixels:
    seen = recapture.screen(it.pixels, degrade.chance(it.key))
    return _through(f"resize:{scale:g},{CAMERA}", seen, it.key)


def _printed(it: Target, cell: float) -> Pixels:
    return _through(SCANNER, recapture.halftone(it.pixels, cell), it.key)


def _random_step(it: Target, levels: int) -> Pixels:
    signs = degrade.chance(it.key).choice(np.array([-1, 1], np.int8), it.pixels.shape)
    return stepped(it.pixels, signs, levels)


def _informed_step(it: Target, levels: int, then: str = "") -> Pixels:
    return _through(then, stepped(it.pixels, it.signs, levels), it.key)


EVASIONS = [
    _chain(CLEAN, "", "-"),
    *_chains("JPEG, quality", "jpeg", 90, 75, 50, 30),
    *_chains("WebP, quality", "webp", 80, 50),
    *_chains("scaled by", "resize", 0.9, 0.5, 2),
    *_chains("Gaussian noise, grey levels", "noise", 1, 3, 8),
    *_chains("Gaussian blur, pixels", "blur", 0.5, 1, 2),
    Evasion("median filter, pixels", "3", _median),
    *(Evasion("cropped", f"{by} px off two sides", partial(_off_grid, by=by), False) for by in (1, 5)),
    _chain("cropped", "crop:0.75", "to 0.75 of the sides", aligned=False),
    _chain("screenshot", "screenshot:1", "1:1", aligned=False),
    _chain("screenshot", "screenshot:0.8,jpeg:85", "x 0.8, JPEG 85", aligned=False),
    _chain("shared", "resize:0.75,jpeg:80,jpeg:70", "x 0.75, JPEG 80, JPEG 70"),
    *(
        Evasion("photographed off a screen", f"x {scale:g}", partial(_rephotographed, scale=scale), False)
        for scale in (1, 0.7)
    ),
    *(
        Evasion("printed and scanned", f"dots {cell:g} px apart", partial(_printed, cell=cell))
        for cell in (3, 4)
    ),
    *(
        Evasion("one step in random directions", f"{levels} / 255", partial(_random_step, levels=levels))
        for levels in (1, 4)
    ),
    *(Evasion(INFORMED, f"{levels} / 255", partial(_informed_step, levels=levels)) for levels in (1, 2, 4)),
    Evasion(INFORMED, "4 / 255, then JPEG 75", partial(_informed_step, levels=4, then="jpeg:75")),
]
