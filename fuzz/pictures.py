"""Small image files of every kind that is read, whole and spoiled by rule: what a fuzzer starts from.

They are made of the example photographs, alike on every machine of the same Pillow; none is kept.
"""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from containers import GIF, PNG, Part, joined, split
from PIL import Image, PngImagePlugin

EXAMPLES = Path(__file__).parents[1] / "examples"
SIDE = 32
HUGE = 13_000, 15_000  # pixels: a little under what is read at the most

# How a file says its width and height: how it starts, after what, how many bytes after, and in which form.
_SIZES = (
    (PNG, b"IHDR", 4, ">II"),
    (GIF, GIF, 6, "<HH"),
    (b"BM", b"BM", 18, "<ii"),
    (b"RIFF", b"VP8 ", 14, "<HH"),
    (b"\xff\xd8", b"\xff\xc0", 5, ">HH"),
    (b"\xff\xd8", b"\xff\xc2", 5, ">HH"),
    (b"II*\0", struct.pack("<HHI", 256, 3, 1), 8, "<H10xH"),
    (b"\0\0\0", b"ispe", 8, ">II"),
)
_MODES = {
    "JPEG": ("RGB", "L", "CMYK"),
    "PNG": ("RGB", "L", "LA", "RGBA", "P", "1", "I;16"),
    "WEBP": ("RGB", "RGBA"),
    "AVIF": ("RGB", "RGBA"),
    "TIFF": ("RGB", "L", "LA", "CMYK", "P", "1", "I;16", "F"),
    "BMP": ("RGB", "L", "P", "1"),
    "GIF": ("P", "L", "1"),
}
_OPTIONS: dict[str, dict[str, dict[str, Any]]] = {
    "JPEG": {"progressive": {"progressive": True}, "restarts": {"restart_marker_blocks": 1}},
    "PNG": {"plain": {"compress_level": 0}},
    "WEBP": {"lossless": {"lossless": True}},
    "TIFF": {
        each: {"compression": each}
        for each in ("tiff_lzw", "tiff_adobe_deflate", "jpeg", "packbits", "lzma", "zstd")
    },
    "GIF": {"interlaced": {"interlace": 1}},
}


def images() -> dict[str, bytes]:
    """Every seed by its name: whole files, animations, and both spoiled."""
    spoiled = {
        f"{name}-{way}": data
        for name, file in whole().items()
        for way, data in (*_truncated(file), *_huge(file))
    }
    return whole() | spoiled | dict(_headed(whole())) | dict(_polyglots(whole()))


@cache
def whole() -> dict[str, bytes]:
    """Files of every kind that is read, plain, animated and laden, by their names."""
    return dict(_plain()) | dict(_animated()) | dict(_laden())


def photo(side: int = SIDE) -> Image.Image:
    """A square out of a photograph, RGB."""
    with Image.open(EXAMPLES / "photo-chelsea.png") as opened:
        return opened.convert("RGB").crop((100, 60, 100 + side, 60 + side))


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    """The file of an image."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def _plain() -> Iterator[tuple[str, bytes]]:
    image = photo()
    for kind, modes in _MODES.items():
        for mode in modes:
            yield f"{kind}-{mode.replace(';', '')}", saved(_as_mode(image, mode), kind)
        for name, options in _OPTIONS.get(kind, {}).items():
            yield f"{kind}-{name}", saved(_as_mode(image, "P") if kind == "GIF" else image, kind, **options)


def _as_mode(image: Image.Image, mode: str) -> Image.Image:
    if mode == "P":
        return image.quantize(16)
    if mode in ("LA", "RGBA"):
        image = image.copy()
        image.putalpha(image.convert("L"))
    return image.convert(mode)


def _animated() -> Iterator[tuple[str, bytes]]:
    first = photo(16)
    others = [first.rotate(turn) for turn in (90, 180, 270)]
    for kind in ("GIF", "PNG", "WEBP", "AVIF", "TIFF", "MPO"):
        yield f"{kind}-animated", saved(first, kind, save_all=True, append_images=others)


def _laden() -> Iterator[tuple[str, bytes]]:
    """EXIF with an image in it, in which there is EXIF again; profiles, texts and XMP."""
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "a cat"
    exif.get_ifd(0x8769)[0x9286] = b"ASCII\0\0\0made by hand"
    exif.get_ifd(0x8769)[0x927C] = b"II*\0\x08\0\0\0" + bytes(40)
    nested = saved(photo(16), "JPEG", exif=exif)
    exif[0x02BC] = nested
    profile = bytes(36) + b"acsp" + bytes(88) + struct.pack(">I", 1) + b"desc" + bytes(60) + nested[:200]
    xmp = b'<x:xmpmeta><rdf:Description tiff:Orientation="8"/></x:xmpmeta>'
    texts = PngImagePlugin.PngInfo()
    texts.add_text("parameters", "a cat, 20 steps", zip=True)
    texts.add_itxt("XML:com.adobe.xmp", xmp.decode(), zip=True)
    for kind in ("JPEG", "PNG", "WEBP", "AVIF", "TIFF"):
        options = {"pnginfo": texts} if kind == "PNG" else {} if kind == "TIFF" else {"xmp": xmp}
        yield f"{kind}-laden", saved(photo(), kind, exif=exif, icc_profile=profile, **options)


def _truncated(file: bytes) -> Iterator[tuple[str, bytes]]:
    """Cut after each part, and in the middle of the last."""
    parts = split(file)
    for end in range(1, len(parts)):
        yield f"cut{end:02}", joined(parts[:end])
    yield "cut-inside", file[: len(file) - len(parts[-1].body) // 2 - 1]


def _huge(file: bytes) -> Iterator[tuple[str, bytes]]:
    """The same file, said to be of many pixels."""
    for start, before, after, form in _SIZES:
        if file.startswith(start) and before in file:
            said = bytearray(file)
            struct.pack_into(form, said, file.index(before) + after, *HUGE)
            yield "huge", joined(split(bytes(said)))
            return


def _headed(files: dict[str, bytes]) -> Iterator[tuple[str, bytes]]:
    """Each kind's file under each other kind's first bytes."""
    firsts = {name.partition("-")[0]: data for name, data in reversed(files.items())}
    for head, of_head in firsts.items():
        for body, of_body in firsts.items():
            if head != body:
                yield f"{body}-headed-{head}", of_head[:12] + of_body[12:]


def _polyglots(files: dict[str, bytes]) -> Iterator[tuple[str, bytes]]:
    """Files that are two things at once."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a.txt", "a")
    jpeg, png, gif = files["JPEG-RGB"], files["PNG-RGB"], files["GIF-P"]
    yield "polyglot-jpeg-zip", jpeg + buffer.getvalue()
    yield "polyglot-png-jpeg", png + jpeg
    yield "polyglot-gif-script", gif[:6] + b"/*" + gif[8:] + b"*/=1;alert(1)"
    yield "polyglot-pdf-jpeg", b"%PDF-1.4\n" + jpeg
    yield "polyglot-jpeg-in-comment", joined([*split(jpeg)[:2], Part(b"\xff\xfe", gif), *split(jpeg)[2:]])
    yield "polyglot-png-in-text", joined([*split(png)[:2], Part(b"tEXt", b"a\0" + gif), *split(png)[2:]])
    yield "polyglot-tiff-jpeg", files["TIFF-RGB"] + jpeg
    yield "empty-deflate", joined([*split(png)[:2], Part(b"IDAT", zlib.compress(b"")), Part(b"IEND", b"")])
