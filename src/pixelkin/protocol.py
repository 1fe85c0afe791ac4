"""`Protocol`: how a file becomes the picture that is scored."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from pixelkin.degrade import resize_to
from pixelkin.errors import ConfigError, ImageError
from pixelkin.tiles import PHASE
from pixelkin.types import Pixels


@dataclass(frozen=True, slots=True, kw_only=True)
class Protocol:
    """What happens to an image file before a scorer sees it; by default nothing beyond `images.decode`.

    Attributes:
        official: decode as the published programs do (`images.decode`).
        resize: side of the square that pictures are resized to, Pillow's bilinear filter, aspect not
            kept (official program: no_resize False); 0 for the native size.
        duplicate: repeat a picture smaller than ``crop`` to that size instead of failing ("translate
            and duplicate", GenImage recipe of the official program).
        crop: side of the middle square that is cut out (no_crop False); 0 for none.
        even: drop the last row or column of odd sides, which the official network cannot take.
    """

    official: bool = False
    resize: int = 0
    duplicate: bool = False
    crop: int = 0
    even: bool = False

    def __post_init__(self) -> None:
        if self.resize < 0 or self.crop < 0:
            raise ConfigError(f"resize and crop are sides in pixels, not {self.resize} and {self.crop}")

    def shown(self, pixels: Pixels) -> Pixels:
        """What is shown of a decoded picture, uint8 (H, W, 3).

        Raises:
            ImageError: no row or no column is left of it.
        """
        if self.resize:
            pixels = resize_to(pixels, self.resize, self.resize, "bilinear")
        if self.duplicate and min(pixels.shape[:2]) < self.crop:
            times = (-(-self.crop // side) for side in pixels.shape[:2])
            pixels = np.tile(pixels, (*times, 1))
        if self.crop:
            pixels = middle(pixels, self.crop)
        if self.even:
            height, width = (side - side % PHASE for side in pixels.shape[:2])
            if not (height and width):
                raise ImageError(f"{pixels.shape[1]} x {pixels.shape[0]} pixels hold no cell of 2 x 2")
            pixels = pixels[:height, :width]
        return np.ascontiguousarray(pixels)

    def in_words(self) -> str:
        """The protocol as a report tells it."""
        return ", ".join(self._words())

    def _words(self) -> Iterator[str]:
        if self.official:
            lenient = "transparency dropped, orientation ignored, files cut short filled"
            yield f"decoded as the official program does ({lenient})"
        else:
            yield "decoded upright over white, files cut short refused"
        yield f"resized to {self.resize} x {self.resize} (Pillow, bilinear)" if self.resize else "native size"
        if self.duplicate:
            yield f"smaller ones repeated to {self.crop}"
        if self.crop:
            yield f"middle {self.crop} x {self.crop} cut out"
        if self.even:
            yield "odd last rows and columns dropped"


OURS = Protocol()


def middle(pixels: Pixels, side: int) -> Pixels:
    """The middle square; where a picture is smaller it is set on black first (torchvision's CenterCrop)."""
    room = [max(side - length, 0) for length in pixels.shape[:2]]
    if any(room):
        # Half the missing on either side, the odd one after.
        pixels = np.pad(pixels, [(r // 2, r - r // 2) for r in room] + [(0, 0)])
    top, left = (round((length - side) / 2.0) for length in pixels.shape[:2])
    return pixels[top : top + side, left : left + side]
