"""Content Credentials read without checking them: source type and programs named in a C2PA manifest.

`pixelkin.provenance.manifest` checks signatures. This reader needs no library and is for cases in which a
manifest counts as a mere claim, such as sorting files.
"""

from __future__ import annotations

from collections.abc import Iterator

from pixelkin.provenance.fields import PNG, png_chunks
from pixelkin.provenance.settings import Settings, settings

LARGEST = 8 << 20  # bytes of a manifest
SEGMENTS = 2000  # of a file that are walked over
AGENTS = (b"softwareAgent", b"claim_generator_info", b"claim_generator")
MOST_NAMED = 12
NAME = b"dname"  # CBOR: a text of four bytes, "name"
NEAR = 200  # bytes after a key within which a map's name is looked for
WHOLLY, PARTLY = b"trainedAlgorithmicMedia", b"WithTrainedAlgorithmicMedia"
OF_BING = b"AI Generated Image"  # its older manifests state no source type


def read_credentials(data: bytes) -> Settings | None:
    """Statements of an unchecked C2PA manifest; None where there is none."""
    box = manifest_box(data)
    if b"c2pa" not in box:
        return None
    marks = {"c2pa-ai": WHOLLY in box or OF_BING in box, "composite-ai": PARTLY in box, "c2pa": True}
    return settings(next(filter(marks.get, marks)), "Content Credentials", _agents(box))


def manifest_box(data: bytes) -> bytes:
    """The bytes of a file's C2PA manifest store; empty where there is none."""
    if data.startswith(b"\xff\xd8"):
        parts = _of_jpeg(data)
    elif data.startswith(PNG):
        parts = (body for kind, body in png_chunks(data) if kind == b"caBX")
    elif data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        parts = _of_webp(data)
    else:
        return b""
    box = bytearray()
    for part in parts:
        box += part[: LARGEST - len(box)]
    return bytes(box)


def _of_jpeg(data: bytes) -> Iterator[bytes]:
    """Pieces in APP11 segments; all but the first repeat the eight bytes that their box begins with."""
    place = 2
    for _ in range(SEGMENTS):
        if data[place : place + 1] != b"\xff" or data[place + 1 : place + 2] in (b"\xda", b"\xd9", b""):
            return
        length = int.from_bytes(data[place + 2 : place + 4], "big")
        if data[place + 1] == 0xEB and data[place + 4 : place + 6] == b"JP":
            number = int.from_bytes(data[place + 8 : place + 12], "big")
            yield data[place + (20 if number > 1 else 12) : place + 2 + length]
        place += 2 + max(length, 2)


def _of_webp(data: bytes) -> Iterator[bytes]:
    place = 12
    for _ in range(SEGMENTS):
        if place + 8 > len(data):
            return
        length = int.from_bytes(data[place + 4 : place + 8], "little")
        if data[place : place + 4] == b"C2PA":
            yield data[place + 8 : place + 8 + length]
        place += 8 + length + length % 2


def _agents(box: bytes) -> list[str]:
    """The programs that a manifest names."""
    found: list[str] = []
    for key in AGENTS:
        place = box.find(key)
        while place >= 0 and len(found) < MOST_NAMED:
            if name := _text_after(box, place + len(key)):
                found.append(name.replace("/", " "))
            place = box.find(key, place + 1)
    return list(dict.fromkeys(found))


def _text_after(box: bytes, place: int) -> str:
    """The CBOR text at a place, or the name in the map or list there; empty for neither."""
    if place < len(box) and box[place] >> 5 in (4, 5):
        found = box.find(NAME, place, place + NEAR)
        if found < 0:
            return ""
        place = found + len(NAME)
    if place >= len(box) or box[place] >> 5 != 3:
        return ""
    length, place = box[place] & 31, place + 1
    if length == 24 and place < len(box):
        length, place = box[place], place + 1
    elif length >= 24:
        return ""
    return box[place : place + length].decode("utf-8", "replace")
