"""Real photographs in every container, and what hostile bytes do."""

import hashlib
import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps, PngImagePlugin, features
from tiny import EXAMPLES

from pixelkin.errors import ImageError
from pixelkin.images import MAX_PIXELS, decode, from_pillow, from_pixels, read

PHOTO = Image.open(EXAMPLES / "photo-coffee.png").convert("RGB").crop((100, 60, 196, 124))
PIXELS = np.array(PHOTO)
GREY = np.array(PHOTO.convert("L"))
AVIF = pytest.mark.skipif(not features.check("avif"), reason="this Pillow was built without AVIF")


def saved(image, kind, **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def as_rgb(grey):
    return np.repeat(np.asarray(grey)[..., None], 3, axis=2)


def near(a, b):
    return float(np.abs(a.astype(float) - b).mean())


LOSSLESS = {
    "PNG": saved(PHOTO, "PNG"),
    "WEBP": saved(PHOTO, "WEBP", lossless=True),
    "TIFF": saved(PHOTO, "TIFF"),
    "TIFF-LZW": saved(PHOTO, "TIFF", compression="tiff_lzw"),
    "TIFF-deflate": saved(PHOTO, "TIFF", compression="tiff_adobe_deflate"),
    "BMP": saved(PHOTO, "BMP"),
}
LOSSY = {
    "JPEG": saved(PHOTO, "JPEG", quality=95),
    "JPEG-progressive": saved(PHOTO, "JPEG", quality=95, progressive=True),
    "JPEG-CMYK": saved(PHOTO.convert("CMYK"), "JPEG", quality=95),
    "WEBP": saved(PHOTO, "WEBP", quality=95),
    **({"AVIF": saved(PHOTO, "AVIF", quality=95)} if features.check("avif") else {}),
}


@pytest.mark.parametrize("kind", LOSSLESS)
def test_lossless_files_give_their_exact_pixels(kind):
    picture = decode(LOSSLESS[kind])
    assert (picture.pixels == PIXELS).all()
    assert picture.format == kind.split("-")[0]
    assert picture.sha256 == hashlib.sha256(LOSSLESS[kind]).hexdigest()
    assert (picture.height, picture.width, picture.frames) == (64, 96, 1)


@pytest.mark.parametrize("kind", LOSSY)
def test_lossy_files_give_nearly_their_pixels(kind):
    picture = decode(LOSSY[kind])
    assert picture.format == kind.split("-")[0]
    assert near(picture.pixels, PIXELS) < 6


@AVIF
def test_avif_is_read():
    assert "AVIF" in LOSSY


def test_the_mode_of_the_file_is_kept():
    assert decode(LOSSY["JPEG-CMYK"]).mode == "CMYK"
    assert decode(saved(PHOTO.convert("L"), "JPEG")).mode == "L"


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "BMP", "WEBP"])
def test_grey_files_have_three_equal_channels(kind):
    image = PHOTO.convert("L")
    options = {"lossless": True} if kind == "WEBP" else {}
    picture = decode(saved(image.convert("RGB") if kind == "WEBP" else image, kind, **options))
    assert (picture.pixels == as_rgb(GREY)).all()


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_palettes_of_every_depth_are_expanded(bits):
    image = PHOTO.quantize(2**bits)
    picture = decode(saved(image, "PNG", bits=bits))
    assert (picture.pixels == np.array(image.convert("RGB"))).all()


def test_one_bit_images_are_black_and_white():
    image = PHOTO.convert("1")
    assert (decode(saved(image, "PNG")).pixels == as_rgb(np.array(image) * np.uint8(255))).all()


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bit_grey_keeps_its_high_byte(kind):
    deep = GREY.astype(np.uint16) * 256 + 37
    assert (decode(saved(Image.fromarray(deep), kind)).pixels == as_rgb(GREY)).all()


def test_sixteen_bit_colour_png_keeps_its_high_byte():
    height, width = 4, 6
    deep = (PIXELS[:height, :width].astype(np.uint16) * 256 + 91).astype(">u2")
    rows = b"".join(b"\0" + row.tobytes() for row in deep)
    header = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    data = png([(b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")])
    assert (decode(data).pixels == PIXELS[:height, :width]).all()


def png(chunks):
    body = b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + body


@pytest.mark.parametrize(
    ("mode", "colour", "over_white"),
    [
        ("RGBA", (200, 100, 0, 0), (255, 255, 255)),
        ("RGBA", (200, 100, 0, 255), (200, 100, 0)),
        ("RGBA", (0, 0, 0, 51), (204, 204, 204)),
        ("LA", (100, 0), (255, 255, 255)),
        ("LA", (100, 255), (100, 100, 100)),
    ],
)
@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF"])
def test_transparency_is_composited_over_white(kind, mode, colour, over_white):
    image = Image.new(mode, (8, 8), colour)
    image = image.convert("RGBA") if kind == "WEBP" else image
    options = {"lossless": True, "exact": True} if kind == "WEBP" else {}
    found = decode(saved(image, kind, **options)).pixels
    assert np.abs(found.astype(int) - over_white).max() <= 1


def test_a_transparent_palette_entry_is_white():
    image = Image.new("P", (4, 4), 1)
    image.putpalette([0, 0, 0, 10, 20, 30])
    assert (decode(saved(image, "PNG")).pixels == (10, 20, 30)).all()
    assert (decode(saved(image, "PNG", transparency=1)).pixels == 255).all()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = saved(PHOTO, "PNG", exif=exif)
    upright = np.array(ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB"))
    assert (decode(data).pixels == upright).all()
    jpeg = decode(saved(PHOTO, "JPEG", quality=95, exif=exif))
    assert (jpeg.height, jpeg.width) == ((64, 96) if orientation < 5 else (96, 64))
    assert near(jpeg.pixels, upright) < 6


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF"])
def test_of_an_animation_the_first_frame_is_given_and_the_rest_counted(kind):
    frames = [PHOTO, PHOTO.rotate(180), PHOTO.transpose(Image.Transpose.FLIP_TOP_BOTTOM)]
    options = {"lossless": True} if kind == "WEBP" else {}
    picture = decode(saved(frames[0], kind, save_all=True, append_images=frames[1:], **options))
    assert picture.frames == 3
    assert near(picture.pixels, PIXELS) < (12 if kind == "GIF" else 0.001)


@pytest.mark.parametrize("kind", [*LOSSLESS, *(f"lossy {k}" for k in LOSSY), "GIF"])
def test_a_file_cut_short_gives_an_error_or_the_whole_picture_never_a_part(kind):
    data = (
        LOSSY[kind.removeprefix("lossy ")] if kind.startswith("lossy ")
        else saved(PHOTO, "GIF") if kind == "GIF" else LOSSLESS[kind]
    )  # fmt: skip
    whole = decode(data).pixels
    refused = 0
    for end in [*range(0, 64, 7), *np.linspace(64, len(data) - 1, 40).astype(int)]:
        try:
            part = decode(data[:end])
        except ImageError:
            refused += 1
        else:
            assert (part.pixels == whole).all(), f"cut at {end} of {len(data)}"
    assert refused >= 40


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty, 0 bytes"),
        (b"Dear reader, this is not an image.", "not an image"),
        (b"<html></html>", "not an image"),
        (b"%PDF-1.7", "not an image"),
        (b"\x00" * 5000, "not an image"),
        (LOSSY["JPEG"][:600], "cut short"),
        (LOSSLESS["PNG"][:600], "cut short"),
    ],
)
def test_an_error_names_the_file_and_the_reason(data, reason):
    with pytest.raises(ImageError, match=reason) as refused:
        decode(data, "holiday.jpg")
    assert str(refused.value).startswith("holiday.jpg: ")


def test_a_picture_over_the_limit_is_refused_before_it_is_decoded():
    side = int(MAX_PIXELS**0.5) + 1
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    bomb = png([(b"IHDR", header), (b"IDAT", zlib.compress(bytes(100))), (b"IEND", b"")])
    with pytest.raises(ImageError, match=f"over {MAX_PIXELS:,} pixels"):
        decode(bomb)


def test_a_bomb_in_a_text_chunk_is_refused_or_passed_over():
    bomb = b"Comment\0\0" + zlib.compress(bytes(20_000_000), 1)
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0)), (b"zTXt", bomb)]
    chunks += [(b"IDAT", zlib.compress(b"\0\x80")), (b"IEND", b"")]
    try:
        pixels = decode(png(chunks)).pixels
    except ImageError:
        return
    assert (pixels == 128).all()


@pytest.mark.parametrize("samples", [GREY.astype(np.float32), GREY.astype(np.int32) - 200_000])
def test_samples_without_an_agreed_range_are_refused(samples):
    with pytest.raises(ImageError, match="no agreed range"):
        decode(saved(Image.fromarray(samples), "TIFF"))


def test_text_in_a_file_changes_no_pixel():
    notes = PngImagePlugin.PngInfo()
    notes.add_text("parameters", "a cat, 20 steps")
    assert (decode(saved(PHOTO, "PNG", pnginfo=notes)).pixels == PIXELS).all()


@given(st.binary(max_size=400))
def test_arbitrary_bytes_raise_image_error_or_nothing(data):
    assert_decodes_or_refuses(data)


SEEDS = st.sampled_from([*LOSSLESS.values(), *LOSSY.values(), saved(PHOTO, "GIF")])
EDITS = st.lists(st.tuples(st.floats(0, 1), st.binary(max_size=6), st.integers(0, 6)), max_size=6)


@settings(max_examples=150)
@given(SEEDS, EDITS)
def test_damaged_files_raise_image_error_or_nothing(data, edits):
    for where, put, drop in edits:
        at = int(where * len(data))
        data = data[:at] + put + data[at + drop :]
    assert_decodes_or_refuses(data)


def assert_decodes_or_refuses(data):
    try:
        pixels = decode(data).pixels
    except ImageError:
        return
    assert pixels.dtype == np.uint8
    assert pixels.ndim == 3
    assert pixels.shape[2] == 3


def test_what_cannot_be_opened_is_named(tmp_path):
    for path in (tmp_path / "gone.png", tmp_path):
        with pytest.raises(ImageError) as refused:
            read(path)
        assert str(path) in str(refused.value)


@pytest.mark.parametrize(
    "array", [PIXELS.astype(float), PIXELS[..., 0], PIXELS[..., :2], PIXELS[:0], PIXELS.astype(np.uint16)]
)
def test_arrays_that_are_no_pictures_are_refused(array):
    with pytest.raises(ImageError, match="is no picture"):
        from_pixels(array)


@pytest.mark.parametrize("kind", LOSSLESS)
def test_a_pillow_image_is_treated_as_its_file(kind):
    image = Image.open(io.BytesIO(LOSSLESS[kind]))
    assert (from_pillow(image).pixels == decode(LOSSLESS[kind]).pixels).all()
