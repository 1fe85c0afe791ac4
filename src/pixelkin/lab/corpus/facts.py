"""Facts of one image file that its row of the manifest states: size, format, compression, camera, year."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pixelkin.errors import ImageError
from pixelkin.images import inspect
from pixelkin.provenance.claims import clean

MAKE, MODEL = 271, 272
TIMES = (36867, 36868, 306)  # taken, digitised, changed
LONGEST_CAMERA = 80  # characters
YEARS = range(1990, 2031)  # others are a clock that was never set
NOT_A_CAMERA = re.compile(r"^(workflow|prompt):", re.IGNORECASE)  # programs write their graphs there
LFS = b"version https://git-lfs"


@dataclass(frozen=True, slots=True)
class Facts:
    """Facts that a file states of itself; numbers are 0 and texts empty where it does not.

    Attributes:
        width: pixels, as stored.
        height: pixels, as stored.
        format: container, e.g. ``JPEG``.
        jpeg_quality: 1 to 100, by the luminance table.
        camera: make and model by EXIF.
        year: by EXIF.
    """

    width: int
    height: int
    format: str
    jpeg_quality: int = 0
    camera: str = ""
    year: str = ""


def facts_of(data: bytes, exif: Mapping[int, Any]) -> Facts:
    """The facts of an image file; no pixel is decoded.

    Args:
        data: the whole file.
        exif: its EXIF values by the number of their tag.

    Raises:
        ImageError: it is no image; the message is a reason in a few words.
    """
    if data.startswith(LFS):
        raise ImageError("a pointer of Git LFS, not the image")
    found = inspect(data, "it")
    kind = "JPEG" if found.format == "MPO" else found.format  # a JPEG with a second view behind it
    return Facts(found.width, found.height, kind, found.quality, camera_of(exif), year_of(exif))


def camera_of(exif: Mapping[int, Any]) -> str:
    """Make and model in one line, the make once; empty without a model."""
    make, model = (clean(exif.get(tag, ""), LONGEST_CAMERA) for tag in (MAKE, MODEL))
    if not model or NOT_A_CAMERA.match(make) or NOT_A_CAMERA.match(model):
        return ""
    if not make or model.lower().startswith(make.lower().split()[0]):
        return model
    return clean(f"{make} {model}", LONGEST_CAMERA)


def year_of(exif: Mapping[int, Any]) -> str:
    """The year in which the picture was taken; empty where no clock says so."""
    for tag in TIMES:
        found = re.match(r"\s*(\d{4})[:/-]", clean(exif.get(tag, ""), 40))
        if found and int(found[1]) in YEARS:
            return found[1]
    return ""
