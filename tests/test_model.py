"""The model that ships."""

import json
import os
import subprocess
import sys

import numpy as np
import onnx
import pytest
from tiny import EXAMPLES

import pixelkin
from pixelkin import models
from pixelkin.errors import ImageError, ModelError
from pixelkin.explain import heatmap_png, ramp
from pixelkin.images import decode, read
from pixelkin.model import CARD_KEY
from pixelkin.modelfile import sealed
from pixelkin.tiles import spread, textured

TILED = "kin-2"  # its graph takes tiles of any size, and no encoder


@pytest.fixture(scope="module")
def model():
    return pixelkin.load()


@pytest.fixture
def recarded(tmp_path):
    """Writes kin-2 with what ``change`` does to its card's values; returns the file."""

    def recarded(change):
        graph = onnx.load(models.folder() / models.SHIPPED[TILED].file)
        (card,) = (json.loads(p.value) for p in graph.metadata_props if p.key == CARD_KEY)
        change(card)
        onnx.helper.set_model_props(graph, {CARD_KEY: json.dumps(card)})
        (tmp_path / "model.onnx").write_bytes(sealed(graph.SerializeToString()))
        return tmp_path / "model.onnx"

    return recarded


def test_the_shipped_model_is_small_and_says_what_it_is(model):
    shipped = models.SHIPPED[models.DEFAULT]
    assert model.card.name == models.DEFAULT
    assert model.sha256 == shipped.sha256
    assert (models.folder() / shipped.file).stat().st_size <= 16_000_000
    assert (models.folder() / models.ENCODERS[model.card.encoder].file).stat().st_size <= 90_000_000
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


def test_a_card_from_before_there_was_a_choice_of_tiles_means_an_even_spread(recarded):
    old = pixelkin.load(recarded(lambda card: card.pop("choice", None)))
    picture = read(EXAMPLES / "photo-coffee.png")
    assert old.card.choice == "spread"
    expected = spread(picture.pixels, old.card.tile, old.card.most_tiles)
    np.testing.assert_array_equal(old.detect(picture).boxes, expected)


def test_a_model_looks_where_its_card_says(recarded):
    pixels = np.full((160, 320, 3), 120, np.uint8)
    pixels[:, 160:] = read(EXAMPLES / "photo-coffee.png").pixels[:160, :160]
    for name, choice in (("spread", spread), ("textured", textured)):
        values = {"choice": name, "tile": 32, "most_tiles": 4}
        said = pixelkin.load(recarded(lambda card, values=values: card.update(values))).detect(pixels)
        np.testing.assert_array_equal(said.boxes, choice(pixels, 32, 4))
        assert (said.boxes[:, 1] >= 160).all() == (name == "textured")


@pytest.mark.parametrize("choice", ["", "Spread", "loudest"])
def test_a_choice_that_is_none_is_refused(recarded, choice):
    with pytest.raises(ModelError, match=r"model\.onnx: its card holds an impossible"):
        pixelkin.load(recarded(lambda card: card.update(choice=choice)))


def test_a_trimmed_model_joins_its_tiles_without_the_extremes(recarded):
    values = {"join": "trimmed", "tile": 32, "most_tiles": 9, "temperature": 1.0}
    said = pixelkin.load(recarded(lambda card: card.update(values))).detect(EXAMPLES / "photo-rocket.jpg")
    logits = np.sort(np.log(said.tile_probabilities / (1 - said.tile_probabilities)))
    assert len(logits) == 9
    assert said.logit == pytest.approx(logits[1:-1].mean(), abs=1e-3)


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


def test_the_runtime_reports_nothing_and_leaves_nothing_behind(tmp_path):
    judge = f"import pixelkin; pixelkin.detect({str(EXAMPLES / 'photo-chelsea.png')!r})"
    environment = {key: value for key, value in os.environ.items() if key != "ORT_DISABLE_TELEMETRY"}
    subprocess.run([sys.executable, "-c", judge], check=True, env=environment | {"HOME": str(tmp_path)})
    assert list(tmp_path.iterdir()) == []
