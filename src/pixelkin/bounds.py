"""What an image file may ask of its readers: without bounds a small one can ask for minutes."""

from __future__ import annotations

import io
import re
import struct
import zlib
from collections.abc import Iterator
from itertools import islice

from pixelkin.errors import ImageError

MOST_READS = 1_000_000  # of one file: a piece takes two to four, and up to five microseconds
MOST_NUMBERS = 200_000  # in the tables of a TIFF directory: places and sizes of its strips or tiles
MOST_FRAMES = 100_000  # that are counted
MOST_IN_RUNS = 40_000_000  # pixels of a BMP file that is packed in runs, which Pillow's Python unpacks in 4 s
MOST_IN_TEXT = 1_000_000  # characters of a PNG's text chunk: Pillow refuses files with longer ones
MOST_TEXT = 32_000_000  # of all of them
MOST_SCANNED = 4_000_000_000  # pixels of a JPEG times its scans: 20 scans of the largest, about 3 s

_BYTES = frozenset({1, 2, 6, 7})  # types of TIFF values that are kept as they are, however long
_BARE = frozenset({0x01, *range(0xD0, 0xD9)})  # JPEG markers without a length
_SCAN, _END = 0xDA, 0xD9
_PNG = b"\x89PNG\r\n\x1a\n"
_TEXTS = frozenset({b"tEXt", b"zTXt", b"iTXt"})
_PACKED = re.compile(rb"\x78[\x01\x5e\x9c\xda]")  # how compressed text begins
_MARKER = re.compile(rb"\xff+([^\x00\xff])", re.DOTALL)


class Pieces(io.BytesIO):
    """The bytes of a file of a bounded number of pieces: chunks, segments, blocks, runs.

    Pillow reads those one by one, and takes as long for one of no bytes as for any.
    """

    left = MOST_READS

    def read(self, size: int | None = -1, /) -> bytes:
        """As of any file.

        Raises:
            ImageError: it was read in too many pieces.
        """
        self.left -= 1
        if self.left < 0:
            raise ImageError(f"made of more pieces than are read here, after {MOST_READS:,} readings")
        return super().read(size)


def without_bad_texts(data: bytes) -> bytes:
    """A PNG file without the text chunks that are damaged or too long, for which Pillow refuses it.

    Any other file, and one whose texts are good, as it is.
    """
    if not data.startswith(_PNG):
        return data
    good, kept, at, room = [], len(_PNG), len(_PNG), MOST_TEXT
    for _ in range(MOST_READS):
        if at + 12 > len(data):
            break
        end = at + 12 + int.from_bytes(data[at : at + 4], "big")
        if data[at + 4 : at + 8] in _TEXTS:
            length = _text_length(data[at + 4 : end], min(room, MOST_IN_TEXT))
            if length < 0:
                good.append(data[kept:at])
                kept = end
            room -= max(0, length)
        at = end
    return b"".join([_PNG, *good, data[kept:]]) if good else data


def _text_length(chunk: bytes, most: int) -> int:
    """Bytes of a text chunk, unpacked; -1 where they are damaged or more than ``most``."""
    if zlib.crc32(chunk[:-4]) != int.from_bytes(chunk[-4:], "big"):
        return -1
    length = len(chunk)
    if chunk[:4] != b"tEXt" and (packed := _PACKED.search(chunk[4:-4])):
        try:
            length = len(zlib.decompressobj().decompress(chunk[4 + packed.start() : -4], most + 1))
        except zlib.error:
            return length  # of no form that is unpacked
    return length if length <= most else -1


def check_scans(data: bytes, pixels: int) -> None:
    """Let pass a JPEG file whose scans can be decoded in seconds: each goes over the whole picture.

    Raises:
        ImageError: it has too many for that many ``pixels``.
    """
    if data.count(b"\xff\xda") * pixels <= MOST_SCANNED:  # those of thumbnails among them, and chance
        return
    if (scans := _scans(data)) * pixels > MOST_SCANNED:
        most = MOST_SCANNED // pixels
        raise ImageError(f"{scans} scans over {pixels:,} pixels, of which no more than {most} are read here")


def _scans(data: bytes) -> int:
    """Scans of the first image in a JPEG file."""
    scans, at = 0, 2
    while found := _MARKER.search(data, at):
        marker, at = found[1][0], found.end()
        if marker == _END:
            break
        scans += marker == _SCAN
        if marker not in _BARE:
            at += int.from_bytes(data[at : at + 2])
    return scans


def check_tables(data: bytes) -> None:
    """Let pass a TIFF file whose first directory can be read in a second.

    Raises:
        ImageError: its values are too many numbers.
    """
    for entries in islice(_directories(data), 1):
        numbers = sum(count for _, kind, count in entries if kind not in _BYTES and 2 * count <= len(data))
        if numbers > MOST_NUMBERS:
            raise ImageError(f"tables of {numbers:,} numbers, over the {MOST_NUMBERS:,} that are read here")


def tiff_frames(data: bytes) -> int:
    """Directories of a TIFF file, one a frame, but those cut off; at least 1, `MOST_FRAMES` at the most.

    Pillow's own count takes a time that grows with their square.
    """
    return max(1, sum(1 for _ in islice(_directories(data), MOST_FRAMES)))


def _directories(data: bytes) -> Iterator[Iterator[tuple[int, int, int]]]:
    """Tag, type and count of each entry that there is of each directory of a TIFF file."""
    order, big = "<" if data[:1] == b"I" else ">", data[2:3] == b"+"
    size, place = ("Q", "Q") if big else ("H", "I")
    entry = struct.Struct(f"{order}HH{place}{8 if big else 4}x")
    seen = {0}
    try:
        (at,) = struct.unpack_from(order + place, data, 8 if big else 4)
        while at not in seen:
            seen.add(at)
            (count,) = struct.unpack_from(order + size, data, at)
            start = at + struct.calcsize(order + size)
            whole = min(count, (len(data) - start) // entry.size)  # Pillow reads what there is
            yield entry.iter_unpack(data[start : start + whole * entry.size])
            (at,) = struct.unpack_from(order + place, data, start + count * entry.size)
    except (struct.error, OverflowError):  # it ends before
        return
