"""Where files keep text: PNG chunks, XMP, IPTC. Bounded readers of bytes that anybody may have written."""

from __future__ import annotations

import html
import re
import zlib
from collections.abc import Iterator

PNG = b"\x89PNG\r\n\x1a\n"
LARGEST = 1 << 20  # bytes of one entry that are read
CHUNKS = 4096  # chunks of a PNG file that are walked over; IDAT chunks are many
LONGEST_XMP = 4000  # characters of a field
TEXTS = 64  # text entries of a file

IPTC_FIELDS = {
    40: "Instructions",
    65: "Program",
    80: "Author",
    110: "Credit",
    115: "Source",
    116: "Copyright",
    120: "Caption",
}
XMP_FIELDS = (
    "DigitalSourceType",
    "AISystemUsed",
    "AISystemVersionUsed",
    "AIPromptInformation",
    "CreatorTool",
    "Credit",
    "creator",
    "description",
    "AIGC",
    "provenance",
)


def png_texts(data: bytes) -> Iterator[tuple[str, str]]:
    """Keyword and text of the tEXt, zTXt and iTXt chunks of a PNG file, those after its pixels too."""
    found = 0
    for kind, body in png_chunks(data):
        if kind in {b"tEXt", b"zTXt", b"iTXt"}:
            key, text = _text(kind, body[:LARGEST])
            yield key.decode("latin-1"), text
            found += 1
        if found >= TEXTS:
            return


def png_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Type and body of a PNG file's chunks but the pixels', which are stepped over."""
    place = len(PNG)
    for _ in range(CHUNKS):
        if not data.startswith(PNG) or place + 12 > len(data):
            return
        length, kind = int.from_bytes(data[place : place + 4], "big"), data[place + 4 : place + 8]
        if kind != b"IDAT":
            yield kind, data[place + 8 : place + 8 + length]
        place += 12 + length


def xmp_fields(packet: bytes) -> Iterator[tuple[str, str]]:
    """Name and value of the fields of `XMP_FIELDS` in an XMP packet, the first of each name.

    By patterns without a choice of ways, and not by an XML parser: a packet may be hostile.
    """
    text = packet[:LARGEST].decode("utf-8", "replace")
    for name in XMP_FIELDS:
        if found := re.search(rf"[\s:]{name}=([\"'])", text):
            value, _, _ = text[found.end() : found.end() + LONGEST_XMP].partition(found[1])
        elif found := re.search(rf"[<:]{name}\b[^<>]{{0,400}}>", text):
            inside = text[found.end() : found.end() + LONGEST_XMP]
            closing = re.search(rf"</(?:\w{{1,40}}:)?{name}>", inside)
            value = re.sub(r"<[^<>]*>", " ", inside[: closing.start()]) if closing else ""
            if resource := re.search(r"\brdf:resource=([\"'])([^\"'<>]{1,300})\1", found[0]):
                value = resource[2]
        else:
            continue
        if value.strip():
            yield name, html.unescape(value).strip()


def iptc_fields(block: bytes) -> Iterator[tuple[str, str]]:
    """Name and value of the fields of `IPTC_FIELDS` in an IPTC-IIM block (its record 2)."""
    place, block = 0, block[:LARGEST]
    for _ in range(TEXTS):
        if place + 5 > len(block) or block[place] != 0x1C:
            return
        record, field = block[place + 1 : place + 3]
        length = int.from_bytes(block[place + 3 : place + 5], "big")
        if record == 2 and field in IPTC_FIELDS:
            yield IPTC_FIELDS[field], block[place + 5 : place + 5 + length].decode("utf-8", "replace")
        place += 5 + length


def _text(kind: bytes, body: bytes) -> tuple[bytes, str]:
    key, _, rest = body.partition(b"\0")
    if kind == b"tEXt":
        return key, rest.decode("latin-1")
    if kind == b"zTXt":
        return key, _inflated(rest[1:]).decode("latin-1")
    compressed, after = rest[:1] == b"\1", rest[2:]
    _, _, after = after.partition(b"\0")  # the language
    _, _, after = after.partition(b"\0")  # the keyword in it
    return key, (_inflated(after) if compressed else after).decode("utf-8", "replace")


def _inflated(data: bytes) -> bytes:
    """At most `LARGEST` bytes of what was compressed; none where it was not."""
    try:
        return zlib.decompressobj().decompress(data, LARGEST)
    except zlib.error:
        return b""
