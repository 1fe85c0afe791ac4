"""Image files as the parts they are made of, and back: lengths and checksums are made anew.

What a fuzzer changes in a part is then refused by what reads that part, not by a checksum before it.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Callable, Iterator
from typing import NamedTuple

PNG, RIFF, GIF = b"\x89PNG\r\n\x1a\n", b"RIFF", b"GIF8"
BARE = frozenset(b"\x01\xd0\xd1\xd2\xd3\xd4\xd5\xd6\xd7\xd8\xd9")  # JPEG markers without a length
SCAN = 0xDA
AFTER_SCAN = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]", re.DOTALL)
DIRECTORY_ENTRY = 12  # bytes of an entry of a TIFF directory


class Part(NamedTuple):
    """A piece of a file.

    Attributes:
        kind: its name or marker, as the file has it; empty for bytes of no structure.
        body: what is in it, without length and checksum.
    """

    kind: bytes
    body: bytes


def split(data: bytes) -> list[Part]:
    """The parts of a file; what cannot be told apart is one part, so that `joined` gives all bytes back."""
    container = _container(data)
    return list(container.split(data)) if container else [Part(b"", data)]


def joined(parts: list[Part]) -> bytes:
    """A file of these parts, of the kind that the first of them says."""
    container = _container(parts[0].body if parts else b"")
    if container is None:
        return b"".join(part.kind + part.body for part in parts)
    data = b"".join(container.wrap(part) if part.kind else part.body for part in parts)
    return RIFF + struct.pack("<I", len(data) - 8) + data[8:] if data[8:] and data.startswith(RIFF) else data


class _Container(NamedTuple):
    split: Callable[[bytes], Iterator[Part]]
    wrap: Callable[[Part], bytes]


def _png(data: bytes) -> Iterator[Part]:
    yield Part(b"", PNG)
    at = len(PNG)
    while at + 12 <= len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        if at + 12 + size > len(data):
            break
        yield Part(kind, data[at + 8 : at + 8 + size])
        at += 12 + size
    yield from _rest(data, at)


def _png_chunk(part: Part) -> bytes:
    checksum = zlib.crc32(part.kind + part.body)
    return struct.pack(">I", len(part.body)) + part.kind + part.body + struct.pack(">I", checksum)


def _jpeg(data: bytes) -> Iterator[Part]:
    yield Part(b"", data[:2])
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker in BARE:
            yield Part(b"", data[at : at + 2])
            at += 2
            continue
        end = at + 2 + int.from_bytes(data[at + 2 : at + 4])
        if end > len(data) or end < at + 4:
            break
        yield Part(data[at : at + 2], data[at + 4 : end])
        at = end
        if marker == SCAN:
            found = AFTER_SCAN.search(data, at)
            end = found.start() if found else len(data)
            yield Part(b"", data[at:end])
            at = end
    yield from _rest(data, at)


def _jpeg_segment(part: Part) -> bytes:
    return part.kind + struct.pack(">H", (len(part.body) + 2) & 0xFFFF) + part.body


def _riff(data: bytes) -> Iterator[Part]:
    yield Part(b"", data[:12])
    at = 12
    while at + 8 <= len(data):
        kind, size = struct.unpack_from("<4sI", data, at)
        if at + 8 + size > len(data):
            break
        yield Part(kind, data[at + 8 : at + 8 + size])
        at += 8 + size + size % 2
    yield from _rest(data, at)


def _riff_chunk(part: Part) -> bytes:
    return part.kind + struct.pack("<I", len(part.body)) + part.body + bytes(len(part.body) % 2)


def _boxes(data: bytes) -> Iterator[Part]:
    """Boxes of an ISO file; the first has no kind, so that it says what the file is when it is joined."""
    at = 0
    while at + 8 <= len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        if size < 8 or at + size > len(data):
            break
        yield Part(kind, data[at + 8 : at + size]) if at else Part(b"", data[:size])
        at += size
    yield from _rest(data, at)


def _box(part: Part) -> bytes:
    return struct.pack(">I", len(part.body) + 8) + part.kind + part.body


def _gif(data: bytes) -> Iterator[Part]:
    """Header with its palette, then each block with its sub-blocks; none has a length of its own."""
    at = 13 + _palette(data[10:11])
    yield Part(b"", data[:at])
    while at < len(data) and data[at] in b"!,":
        start = at
        at += 2 if data[at] == ord("!") else 11 + _palette(data[at + 9 : at + 10])
        while at < len(data) and data[at]:
            at += 1 + data[at]
        at += 1
        yield Part(b"", data[start:at])
    yield from _rest(data, at)


def _palette(flags: bytes) -> int:
    """Bytes of the palette that flags, one byte, announce."""
    return 3 << ((flags[0] & 7) + 1) if flags and flags[0] & 0x80 else 0


def _tiff(data: bytes) -> Iterator[Part]:
    """What is before the first directory, its count, each of its entries, and what is after it."""
    order = "<" if data.startswith(b"II") else ">"
    start = struct.unpack_from(order + "I", data, 4)[0] if len(data) >= 8 else len(data)
    if start < 8 or start + 2 > len(data):
        yield Part(b"", data)
        return
    (count,) = struct.unpack_from(order + "H", data, start)
    yield Part(b"", data[:start])
    yield Part(b"", data[start : start + 2])
    at = start + 2
    for _ in range(min(count, (len(data) - at) // DIRECTORY_ENTRY)):
        yield Part(b"", data[at : at + DIRECTORY_ENTRY])
        at += DIRECTORY_ENTRY
    yield from _rest(data, at)


def _bmp(data: bytes) -> Iterator[Part]:
    for start, end in ((0, 14), (14, 54), (54, len(data))):
        yield Part(b"", data[start:end])


def _rest(data: bytes, at: int) -> Iterator[Part]:
    if data[at:]:
        yield Part(b"", data[at:])


def _as_it_is(part: Part) -> bytes:
    return part.kind + part.body


_CONTAINERS = {
    PNG: _Container(_png, _png_chunk),
    b"\xff\xd8": _Container(_jpeg, _jpeg_segment),
    RIFF: _Container(_riff, _riff_chunk),
    GIF: _Container(_gif, _as_it_is),
    b"II*\0": _Container(_tiff, _as_it_is),
    b"MM\0*": _Container(_tiff, _as_it_is),
    b"BM": _Container(_bmp, _as_it_is),
}
_ISO = _Container(_boxes, _box)


def _container(data: bytes) -> _Container | None:
    if data[4:8] == b"ftyp":
        return _ISO
    return next((container for start, container in _CONTAINERS.items() if data.startswith(start)), None)
