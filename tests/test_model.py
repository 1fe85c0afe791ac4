"""The model that ships."""

import numpy as np
import pytest
from tiny import EXAMPLES

import pixelkin
from pixelkin import models
from pixelkin.errors import ImageError, ModelError
from pixelkin.explain import heatmap_png, ramp
from pixelkin.images import decode, read


@pytest.fixture(scope="module")
def model():
    return pixelkin.load()


def test_the_shipped_model_is_small_and_says_what_it_is(model):
    shipped = models.SHIPPED[models.DEFAULT]
    assert model.card.name == models.DEFAULT
    assert model.sha256 == shipped.sha256
    assert (models.folder() / shipped.file).stat().st_size <= 8_000_000
    assert {"clean", "jpeg 75"} <= model.card.measured.keys()
    for told in (model.card.trained_on, model.card.licence, model.card.limits, model.card.recipe):
        assert told


@pytest.mark.parametrize("file", sorted(EXAMPLES.glob("*.[jp][pn]g")), ids=lambda file: file.name)
def test_every_example_is_judged(model, file):
    said = model.detect(file)
    assert said.verdict in pixelkin.Verdict
    assert 0 <= said.probability <= 1
    assert (said.height, said.width) == read(file).pixels.shape[:2]


def test_an_altered_shipped_model_is_refused(monkeypatch, tmp_path):
    shipped = models.SHIPPED[models.DEFAULT]
    data = bytearray((models.folder() / shipped.file).read_bytes())
    data[-1] ^= 1
    (tmp_path / shipped.file).write_bytes(data)
    monkeypatch.setattr("pixelkin.model.folder", lambda: tmp_path)
    with pytest.raises(ModelError, match="was altered"):
        pixelkin.load()


def test_a_model_of_no_such_name_is_answered_with_the_known_ones():
    with pytest.raises(ModelError, match=rf"'nope'.*{models.DEFAULT}"):
        pixelkin.load("nope")


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (7, 600), (129, 127)])
def test_a_picture_of_any_size_is_judged(model, size):
    pixels = read(EXAMPLES / "photo-coffee.png").pixels[: size[0], : size[1]]
    said = model.detect(np.ascontiguousarray(pixels))
    assert (said.height, said.width) == size
    assert np.isfinite(said.logit)


@pytest.mark.parametrize("source", [None, 3, np.zeros((4, 4)), np.zeros((4, 4, 4), np.uint8), "missing.png"])
def test_what_is_no_picture_is_refused(model, source):
    with pytest.raises(ImageError):
        model.detect(source)


def test_detect_at_the_door_of_the_package_is_the_shipped_model(model):
    file = EXAMPLES / "photo-chelsea.png"
    assert pixelkin.detect(file).logit == model.detect(file).logit


def test_a_heat_map_has_the_picture_s_size_and_leaves_unseen_pixels_alone(model):
    picture = read(EXAMPLES / "photo-flower.jpg")
    large = np.tile(picture.pixels, (3, 3, 1))
    said = model.detect(large)
    painted = decode(heatmap_png(large, said)).pixels
    unseen = np.isnan(said.heatmap)
    assert painted.shape == large.shape
    assert unseen.any()
    assert (painted[unseen] == large[unseen]).all()
    assert (painted[~unseen] != large[~unseen]).any()


def test_the_colours_run_from_blue_through_white_to_red():
    blue, white, red = ramp(np.array([0, 0.5, 1], np.float32))
    assert blue[2] > blue[0]
    assert white.min() > 240
    assert red[0] > red[2]
