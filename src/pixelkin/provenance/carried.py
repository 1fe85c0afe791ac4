"""All that a file carries beside its pixels, part by part: a damaged one hides no other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pixelkin.errors import ImageError
from pixelkin.images import carried, exif_values
from pixelkin.provenance.fields import PNG, png_chunks, png_texts

XMP_KEYWORD = "XML:com.adobe.xmp"
COMMENT = 37510  # EXIF's UserComment


@dataclass(frozen=True, slots=True)
class Carried:
    """Metadata that lies in a file beside its pixels; empty where there is nothing, or nothing readable.

    Attributes:
        texts: keyword and text of a PNG's text chunks, in their order.
        exif: values by the number of their tag.
        xmp: the packet.
        iptc: the block.
        comment: of a JPEG or GIF.
    """

    texts: tuple[tuple[str, str], ...] = ()
    exif: Mapping[int, Any] = field(default_factory=dict)
    xmp: bytes = b""
    iptc: bytes = b""
    comment: bytes = b""

    def text(self, keyword: str) -> str:
        """The first text of a keyword, in any case; empty for none."""
        return next((text for key, text in self.texts if key.strip().lower() == keyword), "")

    def value(self, tag: int) -> str:
        """An EXIF value as text; empty for none."""
        value = self.exif.get(tag, "")
        if tag == COMMENT and isinstance(value, bytes):
            return user_comment(value)
        text = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
        return text.replace("\0", "").strip()


def read_carried(data: bytes) -> Carried:
    """Read what a file carries beside its pixels; never raises."""
    if data.startswith(PNG):
        return _of_png(data)
    try:
        found = carried(data)
    except ImageError:
        return Carried()
    parts = {name: found.get(name, b"") for name in ("xmp", "iptc", "comment")}
    return Carried(exif=found.get("exif", {}), **parts)


def user_comment(value: bytes) -> str:
    """The text of EXIF's UserComment: eight bytes name its encoding, which many programs do not follow."""
    code, text = value[:8], value[8:]
    if code.startswith(b"UNICODE"):
        # The order of bytes is not stated. Of the right one most settings come out as plain letters.
        return max((text.decode(form, "replace") for form in ("utf-16-be", "utf-16-le", "utf-8")), key=_plain)
    known = code.strip(b"\0") in {b"ASCII", b"JIS", b""}
    return (text if known else value).decode("utf-8", "replace").replace("\0", "")


def _plain(text: str) -> float:
    """Share of characters that are plain: letters, digits and punctuation of ASCII."""
    return sum(" " <= character <= "~" for character in text[:2000]) / (len(text[:2000]) or 1)


def _of_png(data: bytes) -> Carried:
    texts = tuple(png_texts(data))
    xmp = next((text for key, text in texts if key == XMP_KEYWORD), "")
    exif: Mapping[int, Any] = {}
    for chunk, body in png_chunks(data):
        if chunk == b"eXIf":
            try:
                exif = exif_values(body)
            except ImageError:
                continue
    others = tuple((key, text) for key, text in texts if key != XMP_KEYWORD)
    return Carried(texts=others, exif=exif, xmp=xmp.encode())
