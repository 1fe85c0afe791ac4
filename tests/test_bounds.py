"""Bounds on what files may ask of their readers: at the bound they are read, over it refused."""

import io
import struct

import bombs
import numpy as np
import pytest
from containers import Part, joined, split
from hypothesis import given
from hypothesis import strategies as st
from pictures import photo, saved
from PIL import Image

from pixelkin import bounds
from pixelkin.errors import ImageError, ImageSizeError
from pixelkin.images import carried, decode, inspect

SCAN = b"\xff\xda"
PROGRESSIVE = saved(photo(), "JPEG", progressive=True)


def scanned_again(data, times):
    """A progressive JPEG whose last scan, which refines, is there so many times more."""
    parts = split(data)
    last = max(at for at, part in enumerate(parts) if part.kind == SCAN)
    return joined([*parts[:last], *parts[last : last + 2] * (times + 1), *parts[last + 2 :]])


def tiff_of(*sizes, **options):
    first, *others = [photo(size) for size in sizes]
    return saved(first, "TIFF", save_all=True, append_images=others, **options)


def counted_by_pillow(data):
    with Image.open(io.BytesIO(data)) as image:
        return image.n_frames


@pytest.mark.parametrize("read", [decode, inspect, carried])
def test_a_file_of_too_many_pieces_is_refused(read, monkeypatch):
    monkeypatch.setattr(bounds.Pieces, "left", 2010)  # a chunk takes two
    few, many = (bombs.png(1, 1, 0, 8, *[Part(b"abCd", b"")] * count) for count in (900, 1100))
    read(few)
    with pytest.raises(ImageError, match="made of more pieces than are read here"):
        read(many)


def test_scans_are_counted_as_pillow_reads_them(monkeypatch):
    scans = sum(part.kind == SCAN for part in split(PROGRESSIVE))
    pixels = photo().width * photo().height
    data = scanned_again(PROGRESSIVE, 7)
    monkeypatch.setattr(bounds, "MOST_SCANNED", (scans + 7) * pixels)
    decode(data)
    monkeypatch.setattr(bounds, "MOST_SCANNED", (scans + 7) * pixels - 1)
    with pytest.raises(ImageError, match=f"{scans + 7} scans over {pixels:,} pixels"):
        decode(data)


def test_what_only_looks_like_scans_is_none(monkeypatch):
    scans = sum(part.kind == SCAN for part in split(PROGRESSIVE))
    start, *rest = split(PROGRESSIVE)
    data = joined([start, Part(b"\xff\xe5", SCAN * 1000), *rest]) + SCAN * 1000
    monkeypatch.setattr(bounds, "MOST_SCANNED", scans * photo().width * photo().height)
    assert (decode(data).pixels == decode(PROGRESSIVE).pixels).all()


@pytest.mark.parametrize("frames", [1, 2, 5])
@pytest.mark.parametrize("options", [{}, {"big_tiff": True}, {"compression": "tiff_lzw"}])
def test_the_frames_of_a_tiff_are_those_that_pillow_counts(frames, options):
    data = tiff_of(*range(16, 16 + frames), **options)
    assert decode(data).frames == counted_by_pillow(data) == frames


def test_the_frames_of_a_big_endian_tiff_are_counted():
    first, second = 8, 26
    directory = struct.pack(">HHHII", 1, 256, 4, 1, 16)
    data = b"MM\0*" + struct.pack(">I", first) + directory + struct.pack(">I", second) + directory + bytes(4)
    assert bounds.tiff_frames(data) == 2


def test_directories_in_a_circle_are_counted_once():
    directory = struct.pack("<HHHII", 1, 256, 4, 1, 16)
    assert bounds.tiff_frames(b"II*\0" + struct.pack("<I", 8) + directory + struct.pack("<I", 8)) == 1


@given(st.sampled_from([b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"]), st.binary(max_size=200))
def test_any_bytes_under_a_tiff_s_head_are_counted_or_refused(head, data):
    assert 1 <= bounds.tiff_frames(head + data) <= bounds.MOST_FRAMES
    try:
        bounds.check_tables(head + data)
    except ImageError as error:
        assert "numbers" in str(error)  # noqa: PT017


def test_tables_of_a_tiff_are_bounded(monkeypatch):
    data = bombs.tiff_strips(500)
    assert decode(data).height == 500
    monkeypatch.setattr(bounds, "MOST_NUMBERS", 900)
    for read in (decode, inspect, carried):
        with pytest.raises(ImageError, match="tables of 1,006 numbers, over the 900"):
            read(data)
    more = data[:8] + bytes([255, 255]) + data[10:]  # a directory said to be longer than the file
    with pytest.raises(ImageError, match=r"tables of [\d,]+ numbers, over the 900"):
        decode(more)


def test_profiles_and_texts_of_a_tiff_may_be_long(monkeypatch):
    monkeypatch.setattr(bounds, "MOST_NUMBERS", 100)
    assert decode(saved(photo(), "TIFF", icc_profile=bytes(10_000))).frames == 1


def test_packed_rows_of_a_bmp_have_a_bound_of_their_own(monkeypatch):
    packed, plain = bombs.bmp(100, 1, 8, b"\x64\0"), saved(Image.new("P", (100, 100)), "BMP")
    assert decode(packed).pixels.shape == (100, 100, 3)
    monkeypatch.setattr(bounds, "MOST_IN_RUNS", 9_999)
    decode(plain)
    with pytest.raises(ImageSizeError, match="100 x 100 is over 9,999 pixels"):
        decode(packed)


def test_colours_by_number_without_a_palette_are_refused():
    parts = [part for part in split(saved(photo().quantize(16), "PNG")) if part.kind != b"PLTE"]
    with pytest.raises(ImageError, match="without the palette"):
        decode(joined(parts))


@pytest.mark.parametrize("size", [(1, 70_000), (70_000, 1), (3, 200_000)])
def test_pictures_of_any_shape_are_unpacked_whole(size):
    values = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), np.uint8)
    assert (decode(saved(Image.fromarray(values), "PNG", compress_level=1)).pixels == values).all()
