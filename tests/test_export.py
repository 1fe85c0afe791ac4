"""From a run to a model file: the gate, the card, and the same answers on every way in."""

import dataclasses
import json
import re

import numpy as np
import onnx
import pytest
import torch
from PIL import Image
from tiny import EXAMPLES, RECIPE, plant

from pixelkin import config as settings
from pixelkin.errors import ConfigError, DataError, ExportError, ModelError, ParityError, RunError
from pixelkin.images import read
from pixelkin.lab.export import ExportConfig, check_parity, export, to_onnx, with_card
from pixelkin.lab.quantise import KEPT, quantised
from pixelkin.lab.recipe import TrainConfig
from pixelkin.lab.runs import BEST, load_run
from pixelkin.lab.scorer import RunScorer, subject_of_run
from pixelkin.lab.train import train
from pixelkin.lab.weights import sha256_of
from pixelkin.model import CARD_KEY, load
from pixelkin.modelfile import sealed
from pixelkin.types import Verdict

PHOTO = EXAMPLES / "photo-flower.jpg"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    recipe = RECIPE | {"data": str(plant(folder / "data", 40)), "out": str(folder / "run"), "epochs": 1}
    return train(settings.build(TrainConfig, recipe))


@pytest.fixture(scope="module")
def exported(run):
    out = run / "model.onnx"
    card = export(run, out, ExportConfig(name="tiny", tile=32, most_tiles=4, licence="none", version="3"))
    return out, card


def test_the_card_travels_inside_the_file(exported, run):
    out, card = exported
    assert load(out).card == card
    assert (card.name, card.system, card.tile, card.most_tiles, card.version) == ("tiny", "npr", 32, 4, "3")
    assert card.weights_sha256 == sha256_of(run / BEST)
    assert card.recipe["crop"] == RECIPE["crop"]
    assert 0 <= card.real_below <= card.generated_above <= 1
    assert card.temperature > 0


def test_the_model_answers_as_the_run_it_came_from(exported, run):
    detector, config, _ = load_run(run)
    config = dataclasses.replace(config, tile=32, most_tiles=4)
    scorer, model = RunScorer(detector, config), load(exported[0])
    for file in sorted(EXAMPLES.glob("*.*")):
        if file.suffix in {".png", ".jpg"}:
            picture = read(file)
            assert model.detect(picture).logit == pytest.approx(scorer.logit(picture), abs=1e-3)


def test_a_graph_that_answers_otherwise_does_not_pass_the_gate(exported, run):
    detector, _, _ = load_run(run)
    graph = exported[0].read_bytes()
    pictures = [read(PHOTO).pixels[:64, :80]]
    assert check_parity(graph, detector, pictures) < 1e-3
    with torch.no_grad():
        detector.fc1.bias += 0.01
    with pytest.raises(ParityError, match=r"80 x 64 .* differs from the network by 0\.01"):
        check_parity(graph, detector, pictures)


def test_a_detector_that_learnt_nothing_numbers_is_refused_and_nothing_is_written(run, tmp_path):
    detector, _, _ = load_run(run)
    with torch.no_grad():
        detector.fc1.weight.fill_(float("nan"))
    with pytest.raises(ParityError):
        check_parity(
            to_onnx(detector, load(run / "model.onnx").card), detector, [read(PHOTO).pixels[:64, :64]]
        )
    with pytest.raises(ParityError, match="no picture to compare"):
        check_parity(to_onnx(detector, load(run / "model.onnx").card), detector, [])


def test_export_without_a_run_or_without_its_images_says_so(run, tmp_path):
    with pytest.raises(RunError):
        export(tmp_path, tmp_path / "m.onnx", ExportConfig())
    with pytest.raises(DataError, match="not a folder"):
        export(run, tmp_path / "m.onnx", ExportConfig(), data=tmp_path / "gone")
    assert not (tmp_path / "m.onnx").exists()


def test_every_way_in_gives_the_same_answer(exported):
    model = load(exported[0])
    image = Image.open(PHOTO)
    ways = [PHOTO, str(PHOTO), PHOTO.read_bytes(), image, np.array(image.convert("RGB")), read(PHOTO)]
    assert len({model.detect(way).logit for way in ways}) == 1


def test_batches_and_threads_do_not_change_an_answer(exported):
    one, two = load(exported[0], threads=1), load(exported[0], threads=2)
    pictures = [read(file) for file in sorted(EXAMPLES.glob("*.jpg"))]
    together = two.score(pictures)
    alone = [one.score([picture])[0] for picture in pictures]
    np.testing.assert_allclose(together, alone, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("below", "above", "verdict"), [(0, 0, "generated"), (1, 1, "real"), (0, 1, "uncertain")]
)
def test_the_two_thresholds_of_the_card_make_the_verdict(exported, below, above, verdict, tmp_path):
    card = dataclasses.replace(exported[1], real_below=float(below), generated_above=float(above))
    (tmp_path / "m.onnx").write_bytes(with_card(exported[0].read_bytes(), card))
    assert load(tmp_path / "m.onnx").detect(PHOTO).verdict is Verdict(verdict)


def test_temperature_moves_the_probability_and_not_the_score(exported, tmp_path):
    card = dataclasses.replace(exported[1], temperature=7.0)
    (tmp_path / "m.onnx").write_bytes(with_card(exported[0].read_bytes(), card))
    hot, plain = load(tmp_path / "m.onnx").detect(PHOTO), load(exported[0]).detect(PHOTO)
    assert hot.score == plain.score == pytest.approx(1 / (1 + np.exp(-plain.logit)))
    assert hot.probability == pytest.approx(1 / (1 + np.exp(-plain.logit / 7)))


def test_the_heat_map_lays_each_tile_s_probability_in_its_place(exported):
    said = load(exported[0]).detect(PHOTO)
    heat = said.heatmap
    assert heat.shape == (said.height, said.width)
    for (top, left, bottom, right), probability in zip(said.boxes, said.tile_probabilities, strict=True):
        np.testing.assert_allclose(heat[top:bottom, left:right], probability, rtol=1e-5)
    assert len(said.boxes) == 4
    assert np.isnan(heat).sum() == heat.size - 4 * 32 * 32


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda _: b"", "does not end in a seal"),
        (lambda data: data[: len(data) // 2], "does not end in a seal"),
        (lambda _: sealed(b""), "not an ONNX model"),
        (lambda data: without_card(data), "without the card"),
        (lambda data: with_metadata(data, "{"), "card cannot be read"),
        (lambda data: with_metadata(data, '{"name": 3}'), "card cannot be read"),
        (lambda data: with_metadata(data, changed_card(data, temperature=0.0)), "impossible"),
        (lambda data: with_metadata(data, changed_card(data, join="vote")), "impossible"),
        (lambda data: with_metadata(data, changed_card(data, tile=1)), "impossible"),
        (lambda data: with_metadata(data, changed_card(data, most_tiles=0)), "impossible"),
        (lambda data: with_metadata(data, changed_card(data, most_tiles=10**9)), "impossible"),
        (lambda data: with_metadata(data, changed_card(data, tile=10**6)), "impossible"),
    ],
)
def test_a_file_that_is_no_model_is_refused_in_words(exported, tmp_path, spoil, told):
    (tmp_path / "spoilt.onnx").write_bytes(spoil(exported[0].read_bytes()))
    with pytest.raises(ModelError, match=told) as refused:
        load(tmp_path / "spoilt.onnx")
    assert "spoilt.onnx" in str(refused.value)


def without_card(data):
    graph = onnx.load_from_string(data)
    del graph.metadata_props[:]
    return sealed(graph.SerializeToString())


def with_metadata(data, text):
    graph = onnx.load_from_string(data)
    onnx.helper.set_model_props(graph, {CARD_KEY: text})
    return sealed(graph.SerializeToString())


def changed_card(data, **values):
    (card,) = (p.value for p in onnx.load_from_string(data).metadata_props if p.key == CARD_KEY)
    return json.dumps(json.loads(card) | values)


def test_a_run_is_measured_as_its_recipe_meant_it(run):
    subject = subject_of_run(run)
    assert "native-scale tiles" in subject.input
    (score,) = subject.scorer.score([read(PHOTO)])
    assert 0 <= score <= 1
    detector, config, _ = load_run(run)
    paper = RunScorer(detector, dataclasses.replace(config, policy="paper", resize=64))
    assert paper.protocol.startswith("resized to 64 x 64")
    assert 0 <= paper.score([read(PHOTO)])[0] <= 1


def test_an_unknown_setting_of_a_card_is_named():
    with pytest.raises(ConfigError, match="licens"):
        settings.build(ExportConfig, {"licens": "MIT"})


def test_thresholds_are_fitted_on_the_folder_that_is_named(exported, run, tmp_path):
    swapped = plant(tmp_path / "swapped")
    folders = [swapped / "squares" / name for name in ("0_real", "away", "1_fake")]
    for old, new in zip((0, 2, 1), (1, 0, 2), strict=True):  # what was real is now labelled generated
        folders[old].rename(folders[new])
    card = export(run, tmp_path / "model.onnx", ExportConfig(tile=32, calibrate_on=str(swapped)))
    assert card.temperature > 50 > exported[1].temperature  # every confidence is misplaced there
    with pytest.raises(DataError, match="is not a folder"):
        export(run, tmp_path / "other.onnx", ExportConfig(tile=32, calibrate_on=str(tmp_path / "gone")))
    assert not (tmp_path / "other.onnx").exists()


@pytest.mark.slow
def test_a_model_of_8_bits_says_what_they_cost(exported, run, tmp_path):
    out = tmp_path / "small.onnx"
    settings = ExportConfig(name="tiny", tile=32, most_tiles=4, eight_bits=True, limits="None known.")
    card = export(run, out, settings)
    assert load(out).card == card
    assert re.match(
        r"Its numbers have 8 bits: on the \d+ pictures .* AUC is \d+\.\d % .* None known\.", card.limits
    )
    kinds = [t.data_type for t in onnx.load(out).graph.initializer if len(t.dims) == 4]
    assert (kinds.count(onnx.TensorProto.FLOAT), kinds.count(onnx.TensorProto.INT8)) == (KEPT, 24 - KEPT)
    assert out.stat().st_size < exported[0].stat().st_size / 2.5
    plain, small = (load(file).detect(PHOTO).logit for file in (exported[0], out))
    assert plain != small == pytest.approx(plain, abs=0.2)


def test_8_bits_without_a_picture_to_find_scales_on_are_refused(exported):
    with pytest.raises(ExportError, match="none can be read"):
        quantised(exported[0].read_bytes(), [])
