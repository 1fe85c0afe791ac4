"""The official program's input, written out as a definition, against ours on the same files."""

import numpy as np
import pytest
import torch
import trees
from PIL import Image, ImageFile
from tiny import EXAMPLES

from pixelkin.benchmarks import COLLECTIONS, benchmark
from pixelkin.degrade import parse
from pixelkin.errors import ConfigError
from pixelkin.images import decode, from_pixels, read
from pixelkin.lab.detectors.npr import NPR
from pixelkin.protocol import OURS, Protocol, middle
from pixelkin.scoring import score
from pixelkin.types import Sample

MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
FORENSYNTHS = Protocol(official=True, resize=256, even=True)


def official(file, protocol):
    """The network's input as options and transforms of the official program spell it out (protocol.md, 3)."""
    ImageFile.LOAD_TRUNCATED_IMAGES = True
    try:
        with file.open("rb") as opened:
            image = Image.open(opened).convert("RGB")
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = False
    if protocol.resize:
        image = image.resize((protocol.resize, protocol.resize), Image.Resampling.BILINEAR)
    if protocol.duplicate and min(image.size) < protocol.crop:
        across, down = -(-protocol.crop // image.width), -(-protocol.crop // image.height)
        canvas = Image.new("RGB", (across * image.width, down * image.height))
        for row in range(down):
            for column in range(across):
                canvas.paste(image, (column * image.width, row * image.height))
        image = canvas
    if protocol.crop:
        left, top = round((image.width - protocol.crop) / 2.0), round((image.height - protocol.crop) / 2.0)
        image = image.crop((left, top, left + protocol.crop, top + protocol.crop))
    values = np.empty((3, image.height, image.width))
    for channel in range(3):
        plane = np.array(image)[:, :, channel].astype(np.float64) / 255
        values[channel] = (plane - MEAN[channel]) / DEVIATION[channel]
    if protocol.even:  # the README's remedy for odd sides
        values = values[:, : values.shape[1] // 2 * 2, : values.shape[2] // 2 * 2]
    return values


class Seen:
    """A scorer that keeps what a network is shown."""

    def __init__(self):
        self.inputs = []

    def log_odds(self, pictures):
        self.inputs += [NPR().prepare(picture).numpy() for picture in pictures]
        return [0.0] * len(pictures)


@pytest.fixture
def odd_files(tmp_path):
    """Real files of every kind that decoders differ on."""
    photo = np.array(Image.open(EXAMPLES / "photo-coffee.png").convert("RGB"))
    jpeg = trees.encoded(photo, "JPEG", quality=90)
    ramp = np.tile(np.linspace(0, 255, photo.shape[1]).astype(np.uint8), (photo.shape[0], 1))
    turned = Image.Exif()
    turned[0x0112] = 6
    for name, image, options in (
        ("alpha.png", np.dstack([photo, ramp]), {}),
        ("odd.png", photo[:173, :259], {}),
        ("tall.png", photo[:301, :90], {}),
        ("little.png", photo[:33, :47], {}),
        ("turned.jpg", photo[:100, :200], {"exif": turned, "quality": 92}),
    ):
        Image.fromarray(image).save(tmp_path / name, **options)
    Image.fromarray(photo).quantize(32).save(tmp_path / "palette.png")
    Image.fromarray(photo).convert("L").save(tmp_path / "grey.png")
    Image.fromarray(photo).convert("CMYK").save(tmp_path / "cmyk.jpg")
    (tmp_path / "cut.jpg").write_bytes(jpeg[: len(jpeg) // 2])
    (tmp_path / "whole.jpg").write_bytes(jpeg)
    return tmp_path


@pytest.mark.parametrize("name", COLLECTIONS)
def test_a_network_is_shown_what_the_official_program_shows_it(name, odd_files):
    protocol = benchmark(name).collections[0].protocol
    files = [*sorted(odd_files.iterdir()), *sorted(EXAMPLES.glob("*.png")), *sorted(EXAMPLES.glob("*.jpg"))]
    seen = Seen()
    samples = [Sample(str(file), "s", 0) for file in files]
    rows = list(score(seen, odd_files, samples, protocol=protocol))
    assert [row.error for row in rows] == [None] * len(files)
    for file, found in zip(files, seen.inputs, strict=True):
        wanted = official(file, protocol)
        assert found.shape == wanted.shape, file.name
        assert np.abs(found - wanted).max() < 1e-6, file.name


def test_the_official_decoding_differs_from_ours_where_it_is_meant_to(odd_files):
    for name in ("alpha.png", "turned.jpg"):
        ours, theirs = (read(odd_files / name, official=how).pixels for how in (False, True))
        assert ours.shape != theirs.shape or (ours != theirs).any(), name
    cut = (odd_files / "cut.jpg").read_bytes()
    filled = decode(cut, official=True).pixels
    assert (filled[-1] == 128).all()
    (row,) = score(Seen(), odd_files, [Sample("cut.jpg", "s", 0)])
    assert "cut short" in row.error
    assert (read(odd_files / "whole.jpg", official=True).pixels == read(odd_files / "whole.jpg").pixels).all()


def test_a_file_that_is_no_image_is_an_error_under_either_decoding(tmp_path):
    (tmp_path / "no.png").write_bytes(b"hello")
    (row,) = score(Seen(), tmp_path, [Sample("no.png", "s", 0)], protocol=FORENSYNTHS)
    assert "not an image" in row.error


def test_ours_shows_a_picture_as_it_is():
    pixels = trees.pieces("photo")[0][:31, :47]
    assert (OURS.shown(pixels) == pixels).all()


def test_the_middle_of_a_small_picture_stands_on_black():
    shown = middle(np.full((3, 4, 3), 200, np.uint8), 6)
    assert shown.shape == (6, 6, 3)
    assert (shown[1:4, 1:5] == 200).all()
    assert shown.sum() == 200 * 36


def test_degradations_come_before_the_protocol():
    sample = [Sample(str(EXAMPLES / "photo-coffee.png"), "s", 0)]
    seen = Seen()
    list(score(seen, EXAMPLES, sample, chain=parse("resize:0.5"), protocol=FORENSYNTHS))
    assert seen.inputs[0].shape == (3, 256, 256)


def test_a_protocol_is_told_in_words_and_refuses_nonsense():
    words = benchmark("genimage").collections[0].protocol.in_words()
    assert words == (
        "decoded as the official program does (transparency dropped, orientation ignored, files cut short "
        "filled), native size, smaller ones repeated to 224, middle 224 x 224 cut out, odd last rows and "
        "columns dropped"
    )
    with pytest.raises(ConfigError, match="sides in pixels"):
        Protocol(resize=-1)


def test_scores_are_those_of_the_official_forward_on_the_official_input():
    """`> 0.5` on the sigmoid, one image at a time, as one of a batch."""
    torch.manual_seed(0)
    network = NPR().eval()
    file = EXAMPLES / "photo-flower.jpg"
    with torch.inference_mode():
        wanted = float(network(torch.from_numpy(official(file, FORENSYNTHS)).float()[None]))
    (row,) = score(network, EXAMPLES, [Sample(file.name, "s", 0)], protocol=FORENSYNTHS)
    assert row.logit == pytest.approx(wanted, abs=1e-5)
    assert (row.score > 0.5) == (wanted > 0)
    assert network.logit(from_pixels(FORENSYNTHS.shown(read(file, official=True).pixels))) == row.logit
