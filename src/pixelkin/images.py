"""Bytes to `Picture`. The only module that opens an image file, and the one that writes them."""

from __future__ import annotations

import hashlib
import io
import struct
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageFile, JpegImagePlugin, UnidentifiedImageError

from pixelkin import bounds
from pixelkin.errors import ImageError, ImageKindError, ImageSizeError
from pixelkin.types import Picture, Pixels

MAX_PIXELS = 200_000_000
BAND = 2**18  # pixels that are unpacked at once
XMP_TAG, IPTC_RESOURCE = 700, 0x0404  # of TIFF, of a JPEG's Photoshop segment
TIFF_STARTS = (b"II*\0", b"MM\0*", b"MM*\0", b"II\0*", b"II+\0", b"MM\0+")
ON_ITS_SIDE = range(5, 9)  # of the orientations of EXIF
FORMATS = ("JPEG", "PNG", "WEBP", "AVIF", "TIFF", "BMP", "GIF")

# Pillow refuses at twice this figure: its guard against decompression bombs stays, at our limit.
Image.MAX_IMAGE_PIXELS = MAX_PIXELS // 2


def decode(
    data: bytes, name: str = "the image", *, official: bool = False, most_pixels: int = MAX_PIXELS
) -> Picture:
    """The first frame of an image file, upright, as RGB at native size.

    Transparency is composited over white, 16-bit samples keep their high byte, CMYK is converted,
    embedded colour profiles are not applied: the stored samples are what a detector looks at.

    Args:
        data: the whole file: JPEG, PNG or APNG, WebP, AVIF, TIFF, BMP or GIF.
        name: what to call the file in an error.
        official: decode as the published programs of this field do, to reproduce their figures:
            transparency is dropped, the orientation tag ignored, and what a file cut short lacks is
            left to the decoder (grey in a JPEG). Not while other threads decode: Pillow knows
            leniency only for the whole process.
        most_pixels: more are refused before any is decoded; MAX_PIXELS at the most.

    Raises:
        ImageError: empty, cut short or damaged, or it would take minutes (`pixelkin.bounds`); as
            `ImageKindError`, not such a file; as `ImageSizeError`, over ``most_pixels`` pixels or more
            than the memory holds.
    """
    return _guarded(data, name, _as_official if official else _upright_rgb, most_pixels)


def read(path: Path, *, official: bool = False) -> Picture:
    """Decode the image file at ``path``; ``official`` as in `decode`.

    Raises:
        ImageError: as `decode`, or the file cannot be read.
    """
    return decode(contents(path), str(path), official=official)


def contents(path: Path) -> bytes:
    """The bytes of the file at ``path``.

    Raises:
        ImageError: it cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise ImageError(f"{path}: {error.strerror or error}") from error


def thumbnail(data: bytes, side: int, name: str = "the image") -> Pixels:
    """A small upright RGB copy of an image file, uint8 (H, W, 3), a JPEG's in a fraction of `decode`'s time.

    Args:
        data: the whole file, as for `decode`.
        side: the longer side of the copy in pixels; smaller pictures keep their size.
        name: what to call the file in an error.

    Raises:
        ImageError: as `decode`.
    """

    def small(image: Image.Image) -> Pixels:
        image.draft("RGB", (side, side))
        image.thumbnail((side, side), reducing_gap=2)
        return _upright_rgb(image)

    return _guarded(data, name, small, MAX_PIXELS).pixels


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
    sha256 = hashlib.sha256(pixels.tobytes()).hexdigest()
    return Picture(pixels, image.format or "ARRAY", mode, sha256, frames)


@dataclass(frozen=True, slots=True)
class FileFacts:
    """What an image file says of itself before a pixel is decoded.

    Attributes:
        format: container as Pillow names it.
        mode: how it stores its pixels.
        width: pixels, as stored.
        height: pixels, as stored.
        size: bytes.
        luma_table: sum of a JPEG's luminance quantisation table; 0 for other formats.
        chroma_table: sum of its chrominance table; 0 where there is none.
        quality: the quality at which the reference encoder writes that luminance sum; 0 for others.
        subsampling: of a JPEG's chroma, 0 for 4:4:4, 1 for 4:2:2, 2 for 4:2:0, -1 for anything else.
        progressive: whether a JPEG is.
        exif: whether it carries EXIF data.
        profile: whether it carries a colour profile.
        texts: other entries that it carries, e.g. a PNG's text chunks.
    """

    format: str
    mode: str
    width: int
    height: int
    size: int
    luma_table: int = 0
    chroma_table: int = 0
    quality: int = 0
    subsampling: int = -1
    progressive: bool = False
    exif: bool = False
    profile: bool = False
    texts: int = 0


def inspect(data: bytes, name: str = "the image") -> FileFacts:
    """What an image file says of itself; no pixel is decoded.

    Raises:
        ImageError: no such file.
    """
    try:
        with warnings.catch_warnings(), _opened(data) as image:
            warnings.simplefilter("ignore")
            return _inspect(image, len(data))
    except Exception as error:
        why = "" if isinstance(error, UnidentifiedImageError) else f" ({error})"
        raise ImageError(f"{name}: not an image of a kind that is read here{why}") from error


def carried(data: bytes, name: str = "the image") -> dict[str, Any]:
    """What an image file carries beside its pixels, as it came; no pixel is decoded.

    Args:
        data: the whole file. Of a PNG only what stands before its pixels is seen.
        name: what to call the file in an error.

    Returns:
        What there is of ``format``; ``exif``, values by tag; ``xmp``, ``iptc`` and ``comment``, bytes.

    Raises:
        ImageError: no such file, or what it carries is damaged.
    """
    try:
        with warnings.catch_warnings(), _opened(data) as image:
            warnings.simplefilter("ignore")
            return _carried(image)
    except Exception as error:
        raise ImageError(f"{name}: what it carries beside its pixels cannot be read ({error})") from error


def exif_values(block: bytes) -> dict[int, Any]:
    """The values of an EXIF block by the number of their tag, those of its Exif part too.

    Raises:
        ImageError: it is damaged.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            exif = Image.Exif()
            exif.load(block)
            return _exif_values(exif)
    except Exception as error:
        raise ImageError(f"the EXIF block is damaged ({error})") from error


def encode(pixels: Pixels, format: str, **options: Any) -> bytes:
    """An image file of RGB ``pixels``, uint8 (H, W, 3); ``options`` as Pillow's writer of that format.

    Raises:
        ImageError: the format does not hold a picture of that size.
    """
    buffer = io.BytesIO()
    try:
        Image.fromarray(pixels).save(buffer, format, **options)
    except (OSError, ValueError) as error:
        size = f"{pixels.shape[1]} x {pixels.shape[0]}"
        raise ImageError(f"{size} pixels cannot be saved as {format} ({error})") from error
    return buffer.getvalue()


def _inspect(image: Image.Image, size: int) -> FileFacts:
    info = image.info
    tables = getattr(image, "quantization", None) or {}
    luma, chroma = (sum(tables.get(place, ())) for place in (0, 1))
    plain = {"exif", "icc_profile", "jfif", "jfif_version", "jfif_unit", "jfif_density", "dpi", "adobe"}
    plain |= {"adobe_transform", "progressive", "progression", "transparency", "gamma", "srgb", "background"}
    return FileFacts(
        format=image.format or "unknown",
        mode=image.mode,
        width=image.width,
        height=image.height,
        size=size,
        luma_table=luma,
        chroma_table=chroma,
        quality=int(np.argmin(np.abs(_LUMA_SUMS - luma))) + 1 if luma else 0,
        subsampling=JpegImagePlugin.get_sampling(image) if tables else -1,
        progressive="progressive" in info,
        exif="exif" in info,
        profile="icc_profile" in info,
        texts=sum(isinstance(key, str) and key not in plain for key in info),
    )


def _carried(image: Image.Image) -> dict[str, Any]:
    info = image.info
    found: dict[str, Any] = {"format": image.format or "unknown"}
    if image.format != "PNG":  # whose `getexif` would decode the pixels
        found["exif"] = _exif_values(image.getexif())
    elif isinstance(info.get("exif"), bytes):
        found["exif"] = exif_values(info["exif"])
    packet = info.get("xmp", found.get("exif", {}).get(XMP_TAG))
    photoshop = info.get("photoshop")
    blocks = {
        "xmp": packet,
        "iptc": photoshop.get(IPTC_RESOURCE) if isinstance(photoshop, dict) else None,
        "comment": info.get("comment"),
    }
    return found | {key: block for key, block in blocks.items() if isinstance(block, bytes)}


def _exif_values(exif: Image.Exif) -> dict[int, Any]:
    return dict(exif) | dict(exif.get_ifd(ExifTags.IFD.Exif))


def _luma_sums() -> NDArray[np.int64]:
    """Sum of the luminance table that the reference encoder (libjpeg) writes at quality 1 to 100."""
    # ITU-T T.81, Table K.1.
    # fmt: off
    table = np.array([
        16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55,
        14, 13, 16, 24, 40, 57, 69, 56, 14, 17, 22, 29, 51, 87, 80, 62,
        18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92,
        49, 64, 78, 87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99,
    ])
    # fmt: on
    quality = np.arange(1, 101)
    scale = np.where(quality < 50, 5000 // quality, 200 - 2 * quality)
    return np.clip((table * scale[:, None] + 50) // 100, 1, 255).sum(1)


_LUMA_SUMS = _luma_sums()


def _opened(data: bytes) -> Image.Image:
    """An image file of a format that is read here, no pixel decoded."""
    if data.startswith(TIFF_STARTS):
        bounds.check_tables(data)
    return Image.open(bounds.Pieces(bounds.without_bad_texts(data)), formats=FORMATS)


def _guarded(data: bytes, name: str, convert: Callable[[Image.Image], Pixels], most_pixels: int) -> Picture:
    """`_decode` with every fault as an `ImageError` that names the file."""
    if not data:
        raise ImageError(f"{name}: empty, 0 bytes")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return _decode(data, convert, most_pixels)
    except UnidentifiedImageError as error:
        raise ImageKindError(
            f"{name}: not an image of a kind that is read here ({', '.join(FORMATS)})"
        ) from error
    except Image.DecompressionBombError as error:
        raise ImageSizeError(f"{name}: over {most_pixels:,} pixels") from error
    except MemoryError as error:
        raise ImageSizeError(f"{name}: too large for the memory there is") from error
    except ImageError as error:
        raise type(error)(f"{name}: {error}") from error
    except Exception as error:
        raise ImageError(f"{name}: damaged or cut short ({error or type(error).__name__})") from error


def _decode(data: bytes, convert: Callable[[Image.Image], Pixels], most_pixels: int) -> Picture:
    with _opened(data) as image:
        pixels = image.width * image.height
        if any(tile.codec_name == "bmp_rle" for tile in getattr(image, "tile", ())):
            most_pixels = min(most_pixels, bounds.MOST_IN_RUNS)
        if pixels > most_pixels:
            raise ImageSizeError(f"{image.width} x {image.height} is over {most_pixels:,} pixels")
        if image.format in ("JPEG", "MPO"):
            bounds.check_scans(data, pixels)
        kind, mode = image.format or "unknown", image.mode
        frames = bounds.tiff_frames(data) if kind == "TIFF" else getattr(image, "n_frames", 1)
        image.seek(0)
        decoded = convert(image)
    return Picture(decoded, kind, mode, hashlib.sha256(data).hexdigest(), frames)


def _as_official(image: Image.Image) -> Pixels:
    """What torchvision's image folders load, with LOAD_TRUNCATED_IMAGES as NPR's program sets it."""
    ImageFile.LOAD_TRUNCATED_IMAGES = True
    try:
        return np.array(image.convert("RGB"))
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = False


# By its orientation, how a camera has stored what is upright: a view of it.
_AS_STORED: dict[int, Callable[[Pixels], Pixels]] = {
    2: np.fliplr,
    3: partial(np.rot90, k=2),
    4: np.flipud,
    5: lambda upright: upright.transpose(1, 0, 2),
    6: np.rot90,
    7: lambda upright: np.rot90(upright, 2).transpose(1, 0, 2),
    8: partial(np.rot90, k=-1),
}


def _upright_rgb(image: Image.Image) -> Pixels:
    """Band by band, each to its place: no second copy of the whole is made."""
    image.load()
    if image.mode == "F" or (image.mode == "I" and image.format != "PNG"):
        which = "floating-point" if image.mode == "F" else "32-bit integer"
        raise ImageError(f"{which} samples have no agreed range; save it with 8 or 16 bits")
    if image.mode == "P" and image.palette is None:
        raise ImageError("colours by their number, without the palette that they are numbers of")
    orientation = _orientation(image)
    width, height = image.size
    upright = np.empty((width, height, 3) if orientation in ON_ITS_SIDE else (height, width, 3), np.uint8)
    stored = _AS_STORED.get(orientation, np.asarray)(upright)
    rows = max(1, BAND // width)
    for top in range(0, height, rows):
        bottom = min(top + rows, height)
        stored[top:bottom] = np.asarray(_rgb(image.crop((0, top, width, bottom))))
    return upright


def _orientation(image: Image.Image) -> int:
    """As EXIF states it; upright where what stands for EXIF is none."""
    try:
        return int(image.getexif().get(ExifTags.Base.Orientation, 1))
    except (SyntaxError, ValueError, TypeError, LookupError, OSError, struct.error):
        return 1


def _rgb(band: Image.Image) -> Image.Image:
    """Part of an image as RGB, over white where it is transparent."""
    if band.mode.startswith("I"):
        # 16-bit grey, of which some Pillows make 32-bit integers; its own conversion clips at 255.
        samples = np.asarray(band)
        key = band.info.get("transparency")
        band = Image.fromarray((samples >> 8).astype(np.uint8))
        if key is not None:
            band.putalpha(Image.fromarray(np.where(samples == key, 0, 255).astype(np.uint8)))
    if band.has_transparency_data:
        coloured = band.convert("RGBA")
        band = Image.alpha_composite(Image.new("RGBA", coloured.size, "white"), coloured)
    return band if band.mode == "RGB" else band.convert("RGB")
