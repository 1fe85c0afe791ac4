"""Real photographs in every container, and what hostile bytes do."""

import hashlib
import io
import itertools
import struct
import tracemalloc
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin, features
from tiny import EXAMPLES

from pixelkin.errors import ImageError
from pixelkin.images import MAX_PIXELS, decode, encode, from_pillow, from_pixels, read

AVIF = pytest.mark.skipif(not features.check("avif"), reason="this Pillow was built without AVIF")
PHOTOS = ["photo-coffee.png", "photo-chelsea.png", "photo-rocket.jpg", "photo-flower.jpg"]


def photo(name):
    with Image.open(EXAMPLES / name) as image:
        return image.convert("RGB").crop((100, 60, 196, 124))


def saved(image, kind, **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def animated(kind, first, **options):
    others = [first.rotate(180), first.transpose(Image.Transpose.FLIP_TOP_BOTTOM)]
    return saved(first, kind, save_all=True, append_images=others, **options)


def png(width, height, bits, colour, rows, *extra):
    """A PNG file of those unfiltered rows; ``extra`` chunks, as (kind, data), come before them."""
    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    chunks = [(b"IHDR", header), *extra, (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )


def as_rgb(grey):
    return np.stack([grey] * 3, axis=-1)


def distance(a, b):
    return float(np.abs(a.astype(float) - b).mean())


PHOTO = photo("photo-coffee.png")
PIXELS = np.array(PHOTO)
GREY = np.array(PHOTO.convert("L"))
DEEP = Image.fromarray(GREY.astype(np.uint16) * 256 + 37)
BLACK_OR_WHITE = PHOTO.convert("1")
PALETTE = PHOTO.quantize(64)
NOTES = PngImagePlugin.PngInfo()
NOTES.add_text("parameters", "a cat, 20 steps")

EXACT = {"PNG": {}, "WEBP": {"lossless": True}, "TIFF": {}, "BMP": {}}  # options that lose nothing
# a kind of file, its container first: such a file, and the pixels it stores
LOSSLESS = {
    "PNG": (saved(PHOTO, "PNG"), PIXELS),
    "PNG grey": (saved(PHOTO.convert("L"), "PNG"), as_rgb(GREY)),
    "PNG with text": (saved(PHOTO, "PNG", pnginfo=NOTES), PIXELS),
    "PNG 1-bit": (saved(BLACK_OR_WHITE, "PNG"), as_rgb(np.array(BLACK_OR_WHITE) * np.uint8(255))),
    "PNG 16-bit grey": (saved(DEEP, "PNG"), as_rgb(GREY)),
    "WEBP": (saved(PHOTO, "WEBP", lossless=True), PIXELS),
    "TIFF": (saved(PHOTO, "TIFF"), PIXELS),
    "TIFF LZW": (saved(PHOTO, "TIFF", compression="tiff_lzw"), PIXELS),
    "TIFF deflate": (saved(PHOTO, "TIFF", compression="tiff_adobe_deflate"), PIXELS),
    "TIFF grey": (saved(PHOTO.convert("L"), "TIFF"), as_rgb(GREY)),
    "TIFF 16-bit grey": (saved(DEEP, "TIFF"), as_rgb(GREY)),
    "TIFF 16-bit grey LZW": (saved(DEEP, "TIFF", compression="tiff_lzw"), as_rgb(GREY)),
    "BMP": (saved(PHOTO, "BMP"), PIXELS),
    "BMP grey": (saved(PHOTO.convert("L"), "BMP"), as_rgb(GREY)),
    "GIF": (saved(PALETTE, "GIF"), np.array(PALETTE.convert("RGB"))),
}
LOSSY = {
    "JPEG": saved(PHOTO, "JPEG", quality=95),
    "JPEG progressive": saved(PHOTO, "JPEG", quality=95, progressive=True),
    "JPEG CMYK": saved(PHOTO.convert("CMYK"), "JPEG", quality=95),
    "WEBP": saved(PHOTO, "WEBP", quality=95),
    **({"AVIF": saved(PHOTO, "AVIF", quality=95)} if features.check("avif") else {}),
}
ANIMATED = {
    "GIF": (animated("GIF", PALETTE), np.array(PALETTE.convert("RGB"))),
    "PNG": (animated("PNG", PHOTO), PIXELS),
    "WEBP": (animated("WEBP", PHOTO, lossless=True), PIXELS),
    "TIFF": (animated("TIFF", PHOTO), PIXELS),
    "MPO": (animated("MPO", PHOTO, quality=95), np.array(Image.open(io.BytesIO(LOSSY["JPEG"])))),
}
SINGLE = {**{k: data for k, (data, _) in LOSSLESS.items()}, **{f"{k} lossy": LOSSY[k] for k in LOSSY}}
FILES = {**SINGLE, **{f"{k} animated": data for k, (data, _) in ANIMATED.items()}}


@pytest.mark.parametrize("kind", LOSSLESS)
def test_lossless_files_give_their_exact_pixels(kind):
    data, pixels = LOSSLESS[kind]
    picture = decode(data)
    assert (picture.pixels == pixels).all()
    assert picture.format == kind.split()[0]
    assert picture.sha256 == hashlib.sha256(data).hexdigest()
    assert (picture.height, picture.width, picture.frames) == (64, 96, 1)


@pytest.mark.parametrize("name", PHOTOS)
@pytest.mark.parametrize("kind", EXACT)
def test_every_photograph_survives_every_lossless_container(kind, name):
    pixels = np.array(photo(name))
    assert (decode(encode(pixels, kind, **EXACT[kind])).pixels == pixels).all()


@pytest.mark.parametrize("kind", LOSSY)
def test_lossy_files_give_nearly_their_pixels(kind):
    picture = decode(LOSSY[kind])
    assert picture.format == kind.split()[0]
    assert picture.sha256 == hashlib.sha256(LOSSY[kind]).hexdigest()
    assert 0 < distance(picture.pixels, PIXELS) < 6


def test_progressive_jpeg_gives_what_baseline_gives():
    assert (decode(LOSSY["JPEG progressive"]).pixels == decode(LOSSY["JPEG"]).pixels).all()


def test_grey_jpeg_has_three_equal_channels():
    picture = decode(saved(PHOTO.convert("L"), "JPEG", quality=95))
    assert (picture.pixels == picture.pixels[..., :1]).all()
    assert distance(picture.pixels[..., 0], GREY) < 3


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_the_mode_of_the_file_is_kept(kind, mode):
    assert decode(saved(PHOTO.convert(mode), kind)).mode == mode


@pytest.mark.parametrize("kind", ["TIFF", "JPEG"])
def test_inks_become_the_light_they_leave(kind):
    inks = np.array(list(itertools.product((0, 255), repeat=4)), np.uint8)[None]
    light = 255 - np.maximum(inks[..., :3], inks[..., 3:])
    patches = Image.fromarray(inks.repeat(8, 0).repeat(8, 1), mode="CMYK")
    found = decode(saved(patches, kind, **({"quality": 100} if kind == "JPEG" else {}))).pixels
    assert np.abs(found[:, ::8].astype(int) - light).max() <= (3 if kind == "JPEG" else 0)


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_palettes_of_every_depth_are_expanded(bits):
    image = PHOTO.quantize(2**bits)
    data = saved(image, "PNG", bits=bits)
    assert data[24:26] == bytes([bits, 3])
    assert (decode(data).pixels == np.array(image.convert("RGB"))).all()


@pytest.mark.parametrize(("colour", "channels"), [(0, 1), (2, 3)])
def test_sixteen_bit_samples_keep_their_high_byte_whatever_the_low_one(colour, channels):
    samples = np.arange(2**16, dtype=">u2").reshape(64, -1)
    rows = b"".join(b"\0" + row.tobytes() for row in samples.repeat(channels, axis=1))
    assert (decode(png(1024, 64, 16, colour, rows)).pixels == as_rgb(samples >> 8)).all()


@pytest.mark.parametrize(
    ("kind", "mode"), [("PNG", "RGBA"), ("PNG", "LA"), ("WEBP", "RGBA"), ("TIFF", "RGBA"), ("TIFF", "LA")]
)
def test_transparency_is_composited_over_white(kind, mode):
    values, alpha = np.meshgrid(np.arange(256), np.arange(256))
    channels = [values] * (len(mode) - 1) + [alpha]
    image = Image.fromarray(np.stack(channels, axis=-1).astype(np.uint8), mode="LA" if mode == "LA" else None)
    options = {"lossless": True, "exact": True} if kind == "WEBP" else {}
    over_white = np.floor((values * alpha + 255 * (255 - alpha)) / 255 + 0.5)
    assert (decode(saved(image, kind, **options)).pixels == as_rgb(over_white)).all()


@pytest.mark.parametrize("kind", ["WEBP", pytest.param("AVIF", marks=AVIF)])
def test_transparency_of_lossy_files_is_composited_over_white(kind):
    image = PHOTO.convert("RGBA")
    image.paste((0, 0, 0, 0), (0, 0, 96, 32))
    found = decode(saved(image, kind, quality=95)).pixels
    assert found[:24].min() > 250
    assert distance(found[40:], PIXELS[40:]) < 6


@pytest.mark.parametrize(
    ("kind", "alpha", "third"), [("PNG", bytes([0, 255, 51, 255]), 204), ("PNG", 0, 0), ("GIF", 0, 0)]
)
def test_palette_entries_are_composited_by_their_alpha(kind, alpha, third):
    image = Image.fromarray(np.arange(4, dtype=np.uint8)[None])
    image.putpalette([90, 80, 70, 200, 100, 0, 0, 0, 0, 10, 20, 30])
    found = decode(saved(image, kind, transparency=alpha)).pixels[0].tolist()
    assert found == [[255] * 3, [200, 100, 0], [third] * 3, [10, 20, 30]]


@pytest.mark.parametrize(
    ("bits", "colour", "row", "key", "found"),
    [
        (1, 0, b"\x40", b"\0\1", [[0] * 3, [255] * 3]),
        (8, 0, b"\x64\x12", b"\0\x64", [[255] * 3, [0x12] * 3]),
        (16, 0, b"\x64\x32\x64\x33", b"\x64\x32", [[255] * 3, [0x64] * 3]),
        (8, 2, b"\1\2\3\4\5\6", b"\0\1\0\2\0\3", [[255] * 3, [4, 5, 6]]),
    ],
)
def test_the_transparent_colour_of_a_png_is_white(bits, colour, row, key, found):
    assert decode(png(2, 1, bits, colour, b"\0" + row, (b"tRNS", key))).pixels[0].tolist() == found


# EXIF orientation: how a camera that writes it has stored what is upright
STORED = {
    1: lambda upright: upright,
    2: np.fliplr,
    3: lambda upright: np.rot90(upright, 2),
    4: np.flipud,
    5: lambda upright: upright.transpose(1, 0, 2),
    6: lambda upright: np.rot90(upright, 1),
    7: lambda upright: np.rot90(upright, 2).transpose(1, 0, 2),
    8: lambda upright: np.rot90(upright, -1),
}


@pytest.mark.parametrize("orientation", STORED)
@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP", "JPEG"])
def test_whatever_the_exif_orientation_the_picture_is_upright(kind, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = np.ascontiguousarray(STORED[orientation](PIXELS))
    found = decode(encode(stored, kind, exif=exif, **EXACT.get(kind, {"quality": 95}))).pixels
    assert found.shape == PIXELS.shape
    assert distance(found, PIXELS) <= (6 if kind == "JPEG" else 0)


@pytest.mark.parametrize("kind", ANIMATED)
def test_of_an_animation_the_first_frame_is_given_and_all_are_counted(kind):
    picture, first = decode(ANIMATED[kind][0]), ANIMATED[kind][1]
    assert (picture.format, picture.frames) == (kind, 3)
    assert (picture.pixels == first).all()


@pytest.mark.parametrize("kind", FILES)
def test_a_file_cut_short_gives_an_error_or_the_whole_picture_never_a_part(kind):
    data, whole, refused = FILES[kind], decode(FILES[kind]).pixels, []
    for end in sorted({*range(64), *np.linspace(64, len(data), 100, False, dtype=int), *range(-40, 0)}):
        try:
            part = decode(data[:end])
        except ImageError:
            refused.append(end)
        else:
            assert (part.pixels == whole).all(), f"cut at {end} of {len(data)}"
    assert set(refused) >= set(range(64))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty, 0 bytes"),
        *((data, "not an image") for data in (b"Dear reader,", bytes(5000), saved(PHOTO, "PPM"))),
        (LOSSY["JPEG"][:600], "cut short"),
        (SINGLE["PNG"][:600], "cut short"),
    ],
)
def test_an_error_names_the_file_and_the_reason(data, reason):
    with pytest.raises(ImageError, match=reason) as refused:
        decode(data, "holiday.jpg")
    assert str(refused.value).startswith("holiday.jpg: ")


@pytest.mark.parametrize("size", [(20_000, 20_000), (20_000, MAX_PIXELS // 20_000 + 1)])
def test_a_picture_over_the_limit_is_refused_before_it_is_decoded(size):
    with pytest.raises(ImageError, match=f"^the image: over {MAX_PIXELS:,} pixels$"):
        decode(png(*size, 8, 2, bytes(100)))


def test_a_picture_of_just_the_limit_is_tried():
    with pytest.raises(ImageError, match="truncated"):
        decode(png(20_000, MAX_PIXELS // 20_000, 1, 0, b"\0"))


def test_what_pillow_warns_of_is_decoded_in_silence():
    data = png(1, 1, 8, 0, b"\0\x80", (b"acTL", bytes(8)))
    with pytest.warns(UserWarning, match="Invalid APNG"), Image.open(io.BytesIO(data)):
        pass
    assert (decode(data).pixels == 128).all()


@pytest.mark.parametrize(("kind", "between"), [(b"zTXt", b"\0"), (b"iTXt", b"\1\0\0\0"), (b"iCCP", b"\0")])
def test_a_bomb_in_a_side_chunk_is_refused_or_passed_over_uninflated(kind, between):
    bomb = (kind, b"Comment\0" + between + zlib.compress(bytes(20_000_000), 1))
    tracemalloc.start()
    try:
        pixels = decode(png(1, 1, 8, 0, b"\0\x80", bomb)).pixels
    except ImageError:
        pixels = None
    finally:
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak < 5_000_000
    assert pixels is None or (pixels == 128).all()


@pytest.mark.parametrize(
    ("samples", "which"),
    [(GREY.astype(np.float32), "floating-point"), (GREY.astype(np.int32), "32-bit integer")],
)
def test_samples_without_an_agreed_range_are_refused(samples, which):
    image = Image.fromarray(samples)
    with pytest.raises(ImageError, match=f"^the image: {which} samples have no agreed range"):
        decode(saved(image, "TIFF"))
    with pytest.raises(ImageError, match=f"^{which} samples have no agreed range"):
        from_pillow(image)


def assert_decodes_or_refuses(data):
    try:
        pixels = decode(data).pixels
    except ImageError:
        return
    assert (pixels.dtype, pixels.ndim, pixels.shape[2]) == (np.uint8, 3, 3)


STARTS = st.sampled_from([b"", *sorted({data[:20] for data in FILES.values()})])
EDITS = st.lists(st.tuples(st.floats(0, 1), st.binary(max_size=6), st.integers(0, 6)), min_size=1, max_size=6)


@settings(max_examples=50, deadline=None)
@given(STARTS, st.binary(max_size=400))
def test_arbitrary_bytes_raise_image_error_or_nothing(start, data):
    assert_decodes_or_refuses(start + data)


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(sorted(FILES)), EDITS, st.floats(0.05, 1) | st.just(1.0))
def test_damaged_files_raise_image_error_or_nothing(kind, edits, kept):
    data = FILES[kind]
    for where, put, drop in edits:
        at = int(where * len(data))
        data = data[:at] + put + data[at + drop :]
    assert_decodes_or_refuses(data[: int(kept * len(data))])


@pytest.mark.parametrize("name", PHOTOS)
def test_a_file_is_read_as_its_bytes_are_decoded(name):
    picture, decoded = read(EXAMPLES / name), decode((EXAMPLES / name).read_bytes())
    assert (picture.pixels == decoded.pixels).all()
    assert picture.sha256 == decoded.sha256


def test_what_cannot_be_read_is_named(tmp_path):
    (tmp_path / "cut.png").write_bytes(SINGLE["PNG"][:600])
    for path in (tmp_path / "gone.png", tmp_path, tmp_path / "cut.png"):
        with pytest.raises(ImageError) as refused:
            read(path)
        assert str(refused.value).startswith(f"{path}: ")


def test_an_array_is_taken_as_it_is():
    picture = from_pixels(PIXELS[::2, ::-1])
    assert (picture.pixels == PIXELS[::2, ::-1]).all()
    assert picture.pixels.flags.c_contiguous
    assert (picture.format, picture.frames) == ("ARRAY", 1)
    assert picture.sha256 == hashlib.sha256(PIXELS[::2, ::-1].tobytes()).hexdigest()


@pytest.mark.parametrize(
    "array",
    [
        *(PIXELS.astype(float), PIXELS.astype(np.uint16), PIXELS.astype(bool), PIXELS[None]),
        *(PIXELS[..., 0], PIXELS[..., :2], PIXELS.transpose(2, 0, 1), PIXELS[:0]),
    ],
)
def test_arrays_that_are_no_pictures_are_refused(array):
    with pytest.raises(ImageError, match="is no picture") as refused:
        from_pixels(array)
    assert f"{array.dtype} and shape {array.shape}" in str(refused.value)


@pytest.mark.parametrize("kind", FILES)
def test_a_pillow_image_is_treated_as_its_file(kind):
    ours = decode(FILES[kind])
    with Image.open(io.BytesIO(FILES[kind])) as image:
        theirs = from_pillow(image)
    assert (theirs.pixels == ours.pixels).all()
    assert (theirs.format, theirs.mode, theirs.frames) == (ours.format, ours.mode, ours.frames)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ["JPEG lossy", "TIFF", "MPO animated", "GIF animated", "TIFF animated"])
def test_a_pillow_image_of_a_file_cut_short_is_refused_or_whole(kind):
    data = FILES[kind]
    for end in range(len(data) // 2, len(data), 100):
        with Image.open(io.BytesIO(data[:end])) as image:
            try:
                pixels = from_pillow(image).pixels
            except ImageError:
                continue
        assert (pixels == decode(data).pixels).all(), f"cut at {end} of {len(data)}"
