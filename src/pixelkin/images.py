"""Bytes to `Picture`. The only module that opens an image file, and the one that writes them."""

from __future__ import annotations

import hashlib
import io
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from pixelkin.errors import ImageError
from pixelkin.types import Picture, Pixels

MAX_PIXELS = 200_000_000
FORMATS = ("JPEG", "PNG", "WEBP", "AVIF", "TIFF", "BMP", "GIF")

# Pillow refuses at twice this figure: its guard against decompression bombs stays, at our limit.
Image.MAX_IMAGE_PIXELS = MAX_PIXELS // 2


def decode(data: bytes, name: str = "the image") -> Picture:
    """The first frame of an image file, upright, as RGB at native size.

    Transparency is composited over white, 16-bit samples keep their high byte, CMYK is converted,
    embedded colour profiles are not applied: the stored samples are what a detector looks at.

    Args:
        data: the whole file: JPEG, PNG or APNG, WebP, AVIF, TIFF, BMP or GIF.
        name: what to call the file in an error.

    Raises:
        ImageError: empty, not such a file, cut short or damaged, or over MAX_PIXELS pixels.
    """
    if not data:
        raise ImageError(f"{name}: empty, 0 bytes")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return _decode(data)
    except UnidentifiedImageError as error:
        raise ImageError(
            f"{name}: not an image of a kind that is read here ({', '.join(FORMATS)})"
        ) from error
    except Image.DecompressionBombError as error:
        raise ImageError(f"{name}: over {MAX_PIXELS:,} pixels") from error
    except ImageError as error:
        raise ImageError(f"{name}: {error}") from error
    except Exception as error:
        raise ImageError(f"{name}: damaged or cut short ({error or type(error).__name__})") from error


def read(path: Path) -> Picture:
    """Decode the image file at ``path``.

    Raises:
        ImageError: as `decode`, or the file cannot be read.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ImageError(f"{path}: {error.strerror or error}") from error
    return decode(data, str(path))


def from_pixels(pixels: NDArray[Any]) -> Picture:
    """A picture of an array that somebody decoded already.

    Args:
        pixels: RGB, uint8, shape (H, W, 3), 0..255.

    Raises:
        ImageError: another type or shape, or no pixels.
    """
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or not pixels.size:
        raise ImageError(
            f"an array of type {pixels.dtype} and shape {pixels.shape} is no picture: "
            "it takes uint8 of shape (height, width, 3)"
        )
    pixels = np.ascontiguousarray(pixels)
    return Picture(pixels, "ARRAY", "RGB", hashlib.sha256(pixels.tobytes()).hexdigest())


def from_pillow(image: Image.Image) -> Picture:
    """A picture of a Pillow image, treated as `decode` treats the file it was opened from."""
    try:
        mode, frames = image.mode, getattr(image, "n_frames", 1)
        pixels = _upright_rgb(image)
    except ImageError:
        raise
    except Exception as error:  # it may be opened on hostile bytes and not yet decoded
        raise ImageError(f"the Pillow image is damaged or cut short ({error})") from error
    digest = hashlib.sha256(pixels.tobytes()).hexdigest()
    return Picture(pixels, image.format or "ARRAY", mode, digest, frames)


def encode(pixels: Pixels, format: str, **options: Any) -> bytes:
    """An image file of RGB ``pixels``, uint8 (H, W, 3); ``options`` as Pillow's writer of that format.

    Raises:
        ImageError: the format does not hold a picture of that size.
    """
    buffer = io.BytesIO()
    try:
        Image.fromarray(pixels).save(buffer, format, **options)
    except (OSError, ValueError) as error:
        height, width = pixels.shape[:2]
        raise ImageError(f"{width} x {height} pixels cannot be saved as {format} ({error})") from error
    return buffer.getvalue()


def _decode(data: bytes) -> Picture:
    with Image.open(io.BytesIO(data), formats=FORMATS) as image:
        if image.width * image.height > MAX_PIXELS:
            raise ImageError(f"{image.width} x {image.height} is over {MAX_PIXELS:,} pixels")
        kind, mode, frames = image.format or "unknown", image.mode, getattr(image, "n_frames", 1)
        image.seek(0)
        pixels = _upright_rgb(image)
    return Picture(pixels, kind, mode, hashlib.sha256(data).hexdigest(), frames)


def _upright_rgb(image: Image.Image) -> Pixels:
    image.load()
    upright = ImageOps.exif_transpose(image)
    if upright.mode == "I" and image.format != "PNG":
        raise ImageError("32-bit integer samples have no agreed range; save it with 8 or 16 bits")
    if upright.mode.startswith("I"):
        # 16-bit grey, of which some Pillows make 32-bit integers; its own conversion clips at 255.
        samples = np.asarray(upright)
        key = upright.info.get("transparency")
        upright = Image.fromarray((samples >> 8).astype(np.uint8))
        if key is not None:
            upright.putalpha(Image.fromarray(np.where(samples == key, 0, 255).astype(np.uint8)))
    elif upright.mode == "F":
        raise ImageError("floating-point samples have no agreed range; save it with 8 or 16 bits")
    if upright.has_transparency_data:
        coloured = upright.convert("RGBA")
        white = Image.new("RGBA", coloured.size, "white")
        upright = Image.alpha_composite(white, coloured)
    return np.array(upright.convert("RGB"))
