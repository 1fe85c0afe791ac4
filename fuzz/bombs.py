"""Files made to be expensive: small or allowed, and decoded by a process of its own each, which is measured.

python fuzz/bombs.py NAME < FILE      # decodes one, and prints what it took as JSON
"""

from __future__ import annotations

import json
import struct
import subprocess
import sys
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from containers import PNG, Part, joined, split
from memory import peak
from pictures import photo, saved
from PIL import Image

LARGEST = "200 megapixels"  # in the name of a bomb: as much as the library takes by default
LARGE_SIDE = 14_142
SIDE = 7071  # of pictures just below the pixels that the service takes
FILE_BYTES = 32 * 2**20  # of the largest file that it takes
LIMIT_SECONDS = 30  # after which a bomb's process is ended


@dataclass(frozen=True, slots=True)
class Weight:
    """What decoding a bomb took.

    Attributes:
        name: of the bomb.
        size: bytes of the file.
        seconds: of processor time.
        peak: megabytes of memory of the process at the most.
        answer: ``decoded``, or the error.
    """

    name: str
    size: int
    seconds: float
    peak: float
    answer: str


def weighed(name: str) -> Weight:
    """Decode a bomb in a process of its own."""
    data = BOMBS[name]()
    command = [sys.executable, __file__, name]
    try:
        done = subprocess.run(command, input=data, capture_output=True, timeout=LIMIT_SECONDS, check=False)  # noqa: S603
    except subprocess.TimeoutExpired:
        return Weight(name, len(data), LIMIT_SECONDS, 0.0, f"ended after {LIMIT_SECONDS} s")
    if done.returncode:
        return Weight(name, len(data), 0.0, 0.0, f"its process ended with status {done.returncode}")
    return Weight(**json.loads(done.stdout))


def png(width: int, height: int, colour: int, bits: int = 8, *chunks: Part, rows: bool = True) -> bytes:
    """A PNG file of zeros; without ``rows`` it has none of them."""
    channels = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour]
    packer = zlib.compressobj(9)
    row = bytes(1 + (width * channels * bits + 7) // 8)
    many = max(1, (1 << 20) // len(row))
    packed = b"".join(packer.compress(row * min(many, height - at)) for at in range(0, height * rows, many))
    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    parts = [Part(b"", PNG), Part(b"IHDR", header), *chunks, Part(b"IDAT", packed + packer.flush())]
    return joined([*parts, Part(b"IEND", b"")])


def tiff(entries: list[tuple[int, int, int, int]], after: bytes = b"", following: int = 0) -> bytes:
    """A TIFF file of one directory, entries as tag, type, count and value; then ``after``."""
    listed = b"".join(struct.pack("<HHII", *entry) for entry in sorted(entries))
    return (
        b"II*\0\x08\0\0\0" + struct.pack("<H", len(entries)) + listed + struct.pack("<I", following) + after
    )


def _flat(kind: str, mode: str, side: int = SIDE, **options: Any) -> bytes:
    return saved(Image.new(mode, (side, side)), kind, **options)


def _text(kind: bytes, between: bytes, times: int = 1) -> bytes:
    chunk = Part(kind, b"Comment\0" + between + zlib.compress(bytes(20_000_000), 9))
    return png(1, 1, 0, 8, *[chunk] * times)


def _tiny_chunks() -> bytes:
    return png(1, 1, 0, 8, *[Part(b"abCd", b"")] * (FILE_BYTES // 12))


def _tiny_segments() -> bytes:
    start, *rest = split(saved(photo(), "JPEG"))
    return joined([start]) + b"\xff\xe5\x00\x02" * (FILE_BYTES // 4) + joined([start, *rest])[2:]


def _scans() -> bytes:
    """A progressive JPEG whose last scan is there again and again."""
    parts = split(saved(Image.new("L", (SIDE, SIDE)), "JPEG", progressive=True))
    last = max(at for at, part in enumerate(parts) if part.kind == b"\xff\xda")
    return joined([*parts[:last], *parts[last - 1 : last + 2] * 1000, Part(b"", b"\xff\xd9")])


def _gif_frames() -> bytes:
    frame = b",\0\0\0\0\1\0\1\0\0\2\2\x44\1\0"
    return b"GIF89a\1\0\1\0\x80\0\0" + bytes(6) + frame * (FILE_BYTES // len(frame)) + b";"


def _gif_blocks() -> bytes:
    return (
        b"GIF89a\1\0\1\0\x80\0\0"
        + bytes(6)
        + b"!\x01\1\0\0" * (FILE_BYTES // 5)
        + b",\0\0\0\0\1\0\1\0\0\2\2\x44\1\0;"
    )


def _grey_tiff(width: int, height: int, *more: tuple[int, int, int, int]) -> list[tuple[int, int, int, int]]:
    return [(256, 4, 1, width), (257, 4, 1, height), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1), *more]


def _tiff_directories() -> bytes:
    """A chain of directories, each a whole one."""
    count, entries = 200_000, _grey_tiff(1, 1, (273, 4, 1, 8), (278, 4, 1, 1), (279, 4, 1, 1))
    listed = struct.pack("<H", len(entries)) + b"".join(struct.pack("<HHII", *each) for each in entries)
    size = len(listed) + 4
    return b"II*\0\x08\0\0\0" + b"".join(
        listed + struct.pack("<I", 8 + size * at if at < count else 0) for at in range(1, count + 1)
    )


def tiff_strips(count: int) -> bytes:
    """A picture one pixel wide, a strip to each pixel."""
    start = len(tiff(_grey_tiff(1, count, *[(0, 0, 0, 0)] * 3)))
    strips = [(273, 3, count, start), (278, 4, 1, 1), (279, 3, count, start)]
    return tiff(_grey_tiff(1, count, *strips), b"\x08\0" * count)


def _tags_that_overlap() -> bytes:
    """An EXIF block whose 65,000 values are one megabyte each, all the same one."""
    block = tiff([(tag, 7, 1 << 20, 8) for tag in range(1, 65_000)], bytes(1 << 20))
    return png(1, 1, 0, 8, Part(b"eXIf", block))


def bmp(side: int, packing: int, bits: int, row: bytes) -> bytes:
    """A picture of run-length packed rows, all alike."""
    data = (row + b"\0\0") * side + b"\0\1"
    start = 54 + 4 * 2**bits
    facts = (40, side, side, 1, bits, packing, len(data), 0, 0, 2**bits, 2**bits)
    header = struct.pack("<IHHI", start + len(data), 0, 0, start) + struct.pack("<IiiHHIIiiII", *facts)
    return b"BM" + header + bytes(4 * 2**bits) + data


def _apng_frames() -> bytes:
    return png(1, 1, 0, 8, Part(b"acTL", struct.pack(">II", 2**31 - 1, 0)))


def _webp_frames() -> bytes:
    frames = [Image.new("RGB", (1, 1), (at % 256, at // 256, 0)) for at in range(5000)]
    return saved(frames[0], "WEBP", save_all=True, append_images=frames[1:])


def _turned() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return _flat("JPEG", "RGB", exif=exif, progressive=True, subsampling=0)


BOMBS: dict[str, Callable[[], bytes]] = {
    "PNG, 50 megapixels, RGB": lambda: png(SIDE, SIDE, 2),
    "PNG, 50 megapixels, RGBA": lambda: png(SIDE, SIDE, 6),
    "PNG, 50 megapixels, 16-bit RGBA": lambda: png(SIDE, SIDE, 6, 16),
    "PNG, 50 megapixels, 1 bit": lambda: png(SIDE, SIDE, 0, 1),
    "PNG, 50 megapixels, 16-bit grey with a transparent one": lambda: png(
        SIDE, SIDE, 0, 16, Part(b"tRNS", b"\0\0")
    ),
    "JPEG, 50 megapixels, progressive CMYK": lambda: _flat("JPEG", "CMYK", progressive=True),
    "JPEG, 50 megapixels, progressive, turned": _turned,
    "WebP, 50 megapixels, RGBA": lambda: _flat("WEBP", "RGBA", lossless=True, method=0),
    "AVIF, 50 megapixels, RGBA": lambda: _flat("AVIF", "RGBA", speed=10),
    "TIFF, 50 megapixels, RGBA, deflated": lambda: _flat("TIFF", "RGBA", compression="tiff_adobe_deflate"),
    "GIF, 50 megapixels, transparent": lambda: _flat("GIF", "P", transparency=0),
    f"PNG, {LARGEST}, RGBA": lambda: png(LARGE_SIDE, LARGE_SIDE, 6),
    f"JPEG, {LARGEST}, progressive": lambda: _flat("JPEG", "RGB", LARGE_SIDE, progressive=True),
    f"WebP, {LARGEST}, RGBA": lambda: _flat("WEBP", "RGBA", LARGE_SIDE, lossless=True, method=0),
    "PNG said to be 400 megapixels": lambda: png(20_000, 20_000, 2, rows=False),
    "zTXt of 20 MB": lambda: _text(b"zTXt", b"\0"),
    "iTXt of 20 MB, 200 times": lambda: _text(b"iTXt", b"\1\0\0\0", 200),
    "iCCP of 20 MB": lambda: _text(b"iCCP", b"\0"),
    "APNG said to have two billion frames": _apng_frames,
    "PNG of 2.8 million chunks": _tiny_chunks,
    "PNG whose EXIF has 65,000 values of 1 MB": _tags_that_overlap,
    "JPEG of 8 million segments": _tiny_segments,
    "JPEG, 50 megapixels, 1,000 scans": _scans,
    "GIF of 2.2 million frames": _gif_frames,
    "GIF of 6.7 million blocks": _gif_blocks,
    "WebP of 5,000 frames": _webp_frames,
    "TIFF of 200,000 directories": _tiff_directories,
    "TIFF of 8 million strips": lambda: tiff_strips(8_000_000),
    "TIFF of 99,000 strips": lambda: tiff_strips(99_000),
    "BMP of 16 million runs": lambda: bmp(4000, 1, 8, b"\1\0" * 4000),
    "BMP, 50 megapixels in runs of 4 bits": lambda: bmp(SIDE, 2, 4, b"\xff\0" * (SIDE // 255 + 1)),
}


def main() -> None:
    """Decode the bomb that is named, and print what it took."""
    from targets import MOST_PIXELS

    from pixelkin.errors import ImageError
    from pixelkin.images import MAX_PIXELS, decode

    name = sys.argv[1]
    data = sys.stdin.buffer.read()
    began = time.process_time()
    try:
        decode(data, most_pixels=MAX_PIXELS if LARGEST in name else MOST_PIXELS)
        answer = "decoded"
    except ImageError as error:
        answer = str(error)
    spent = time.process_time() - began
    print(json.dumps({"name": name, "size": len(data), "seconds": spent, "peak": peak(), "answer": answer}))


if __name__ == "__main__":
    main()
