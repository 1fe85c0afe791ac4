"""Heads on frozen features: extraction and its cache, training, joining on left-out sources, export."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from test_cli import run  # noqa: F401 - a fixture
from tiny import EXAMPLES, plant

from pixelkin import models
from pixelkin.config import build
from pixelkin.data import find_samples
from pixelkin.errors import ConfigError, DataError, ModelError, ParityError, RunError
from pixelkin.images import read
from pixelkin.lab.experts import export as exporting
from pixelkin.lab.experts import features as extraction
from pixelkin.lab.experts.features import STORED, Cache, Extractor, Features, extract, features_of
from pixelkin.lab.experts.fit import (
    Trained,
    extractor_of,
    fit,
    folds_of,
    is_run,
    join_weights,
    load_run,
    logits_of,
    save_run,
)
from pixelkin.lab.experts.heads import (
    Ensemble,
    LayerHead,
    PatchHead,
    divergence,
    predict,
    train_ensemble,
    votes,
)
from pixelkin.lab.experts.networks import networks
from pixelkin.lab.experts.recipe import ExpertsConfig, HeadConfig
from pixelkin.lab.recipe import read_recipe
from pixelkin.metrics import auc
from pixelkin.model import Model, load
from pixelkin.tiles import look
from pixelkin.types import Sample

SMALL = HeadConfig(width=8, epochs=40, seeds=1, blocks=(11, 12))
RECIPE = {"overview": SMALL, "native": SMALL, "folds": 2, "workers": 0, "traces": 8}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A few squares, photographs and the same after nearest-neighbour up-sampling, in three sources."""
    root = plant(tmp_path_factory.mktemp("planted"), 6)
    for label in ("0_real", "1_fake"):
        for place, file in enumerate(sorted((root / "squares" / label).iterdir())):
            folder = root / f"source{place % 3}" / label
            folder.mkdir(parents=True, exist_ok=True)
            file.rename(folder / file.name)
    return root


@pytest.fixture(scope="module")
def config(root, tmp_path_factory):
    work = tmp_path_factory.mktemp("work")
    return ExpertsConfig(data=str(root), out=str(work / "run"), cache=str(work / "features"), **RECIPE)


@pytest.fixture(scope="module")
def features(root, config):
    samples = find_samples(root)
    for _ in extract(root, samples, extractor_of(config), config_cache(config)):
        pass
    return features_of(root, samples, extractor_of(config), config_cache(config))


def config_cache(config):
    return Path(config.cache)


def synthetic(count=240, views=2, layers=4, channels=12, seed=0):
    """Features in which one direction of the last layer is the label, in twelve sources."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 2
    values = rng.normal(size=(count, views, layers, channels)).astype(np.float32)
    values[:, :, -1, 0] += 3 * labels[:, None]
    sources = np.array([f"{label}-{place // 2 % 6}" for place, label in enumerate(labels)])
    return values, labels, sources


def test_features_are_what_the_networks_make_of_what_the_model_looks_at(root, config, features):
    extractor = extractor_of(config)
    encoder, trunk = extraction._sessions((extractor.networks.encoder, *extractor.networks.traces))
    sample, at = features.samples[3], 3
    _, tiles = look(read(root / sample.path).pixels, "overview", 224, 2)
    for view, tile in enumerate(tiles):
        class_tokens, mean_tokens, _ = encoder.run(None, {"tiles": tile[None]})
        np.testing.assert_allclose(
            features.tokens["class"][at, 0, view], class_tokens[0], rtol=1e-2, atol=1e-2
        )
        np.testing.assert_allclose(features.tokens["mean"][at, 0, view], mean_tokens[0], rtol=1e-2, atol=1e-2)
    np.testing.assert_allclose(
        features.traces[at, 0, 0], trunk.run(None, {"tiles": tiles[1:]})[0][0], atol=1e-4
    )


def test_what_is_cached_is_not_extracted_again(root, config, features, monkeypatch):
    del features
    monkeypatch.setattr(Extractor, "__call__", lambda *_: pytest.fail("extracted again"))
    samples = find_samples(root)
    assert list(extract(root, samples, extractor_of(config), config_cache(config))) == [len(samples)]


def test_a_cache_is_known_by_the_pictures_not_by_their_names(root, config, features, tmp_path):
    first = features.samples[0]
    moved = tmp_path / "elsewhere" / "1_fake" / "other.png"
    moved.parent.mkdir(parents=True)
    moved.write_bytes((root / first.path).read_bytes())
    found = features_of(tmp_path, find_samples(tmp_path), extractor_of(config), config_cache(config))
    np.testing.assert_array_equal(found.tokens["class"][0], features.tokens["class"][0])


def test_other_views_and_degradations_have_another_cache(config):
    keys = {
        extractor_of(config).key,
        extractor_of(config, (STORED,)).key,
        extractor_of(dataclasses.replace(config, views=2)).key,
        extractor_of(dataclasses.replace(config, circulation={"grey": 1.0})).key,
    }
    assert len(keys) == 4
    assert extractor_of(config).key == extractor_of(config).key


def test_what_cannot_be_read_is_left_out_with_a_word(root, config, tmp_path, caplog):
    good = tmp_path / "a" / "0_real" / "good.png"
    good.parent.mkdir(parents=True)
    Image.open(next((root / "source0" / "0_real").iterdir())).save(good)
    (good.parent / "torn.png").write_bytes(b"torn")
    samples = find_samples(tmp_path)
    extractor = extractor_of(config, (STORED,))
    assert list(extract(tmp_path, samples, extractor, tmp_path / "cache"))[-1] == 2
    found = features_of(tmp_path, samples, extractor, tmp_path / "cache")
    assert [sample.path for sample in found.samples] == ["a/0_real/good.png"]
    assert "torn.png" in caplog.text


def test_an_interrupted_file_of_the_cache_is_not_half_there(root, config, features, monkeypatch, tmp_path):
    del features
    monkeypatch.setattr(extraction, "PART", 4)
    samples, extractor = find_samples(root), extractor_of(config, (STORED,))
    steps = extract(root, samples, extractor, tmp_path)
    assert [next(steps), next(steps)] == [0, 4]
    steps.close()
    assert len(Cache.open(tmp_path, extractor).places) == 4
    assert next(extract(root, samples, extractor, tmp_path)) == 4


@pytest.mark.parametrize(("power", "share"), [(0.0, 0.5), (1.0, 0.75)])
def test_labels_have_equal_votes_and_sources_theirs_by_size(power, share):
    labels = np.array([1, 1, 1, 1, 0, 0])
    sources = np.array(["a", "a", "a", "b", "c", "c"])
    found = votes(labels, sources, power)
    assert found.sum() == pytest.approx(1)
    assert found[labels == 1].sum() == pytest.approx(0.5)
    assert found[sources == "a"].sum() == pytest.approx(share / 2)


def test_a_head_finds_the_direction_that_is_the_label():
    values, labels, sources = synthetic()
    head = train_ensemble(values, labels, sources, dataclasses.replace(SMALL, seeds=2, lr=1e-2, epochs=100))
    others, theirs, _ = synthetic(seed=1)
    assert auc(predict(head, others[:, 0]), theirs) > 0.95


def test_the_same_seed_gives_the_same_head_and_another_another():
    values, labels, sources = synthetic(60)
    first, again, other = (
        predict(train_ensemble(values, labels, sources, SMALL, seed), values[:, 0]) for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, again)
    assert not np.allclose(first, other)


def test_a_head_is_its_definition():
    torch.manual_seed(0)
    head = LayerHead(3, 5, HeadConfig(width=4)).eval()
    head.mean.uniform_(), head.deviation.uniform_(1, 2)
    x = torch.randn(2, 3, 5)
    gelu = torch.nn.functional.gelu
    for row, found in zip(x, head(x).detach(), strict=True):
        mixed = torch.zeros(4)
        for layer in range(3):
            scaled = (row[layer] - head.mean[layer]) / head.deviation[layer]
            share = torch.softmax(head.weights, 0)[layer]
            mixed += share * gelu(scaled @ head.projection[layer] + head.bias[layer])
        assert found == pytest.approx(head.perceptron(mixed).item(), abs=1e-5)


def test_an_ensemble_is_the_mean_of_its_heads():
    heads = [LayerHead(2, 3, SMALL).eval() for _ in range(3)]
    x = torch.randn(4, 2, 3)
    torch.testing.assert_close(Ensemble(heads)(x), sum(head(x) for head in heads) / 3)


def test_two_views_that_agree_diverge_by_nothing():
    a, b = torch.randn(16), torch.randn(16)
    assert divergence(a, a) == pytest.approx(0, abs=1e-6)
    assert divergence(a, b) == pytest.approx(divergence(b, a).item())
    p, q = torch.sigmoid(a), torch.sigmoid(b)
    kl = lambda p, q: (p * (p / q).log() + (1 - p) * ((1 - p) / (1 - q)).log()).mean()  # noqa: E731
    assert divergence(a, b).item() == pytest.approx(((kl(p, q) + kl(q, p)) / 2).item(), abs=1e-5)


def test_folds_hold_whole_sources_and_both_labels():
    _, labels, sources = synthetic()
    folds = folds_of(labels, sources, 3, 0)
    for source in np.unique(sources):
        assert len(np.unique(folds[sources == source])) == 1
    for fold in range(3):
        assert set(labels[folds == fold]) == {0, 1}


def test_a_head_that_knows_nothing_has_hardly_a_weight():
    values, labels, sources = synthetic(count=480, layers=12)
    noise = np.random.default_rng(5).normal(size=values.shape)
    tokens = np.stack([values, noise], 2).astype(np.float16)
    samples = [
        Sample(f"{at}.png", str(s), int(y)) for at, (s, y) in enumerate(zip(sources, labels, strict=True))
    ]
    features = Features(
        samples=samples, tokens={"class": tokens, "mean": tokens}, traces=np.zeros((480, 2, 2, 1), np.float32)
    )
    quick = dataclasses.replace(SMALL, lr=1e-2)
    config = ExpertsConfig(data="-", out="-", overview=quick, native=quick, folds=2, traces=0)
    weights = join_weights(features, config)
    assert set(weights) == {"overview", "native", "bias"}
    assert 0 <= weights["native"] < 0.2 * weights["overview"]


def test_a_run_is_what_was_saved_and_its_file_answers_as_its_heads_do(root, features, config, tmp_path):
    trained = fit(features, config)
    save_run(tmp_path, trained)
    assert is_run(tmp_path)
    assert not is_run(tmp_path / "nowhere")
    again = load_run(tmp_path)
    assert again.config == config
    assert again.weights == trained.weights
    joined = again.joined(logits_of(again, features))
    np.testing.assert_array_equal(joined, trained.joined(logits_of(trained, features)))
    settings = exporting.ExportConfig(name="small", most_tiles=2, calibrate_on=str(root))
    card = exporting.export(tmp_path, tmp_path / "small.onnx", settings)
    model = Model((tmp_path / "small.onnx").read_bytes(), threads=1)
    assert model.card == card
    assert card.encoder_sha256 == models.ENCODERS["clip-vit-b16"].sha256
    said = [model.detect(root / sample.path).logit for sample in features.samples]
    np.testing.assert_allclose(said, joined[:, 0], atol=2e-2)


def test_a_run_of_another_kind_or_none_is_refused(tmp_path):
    with pytest.raises(RunError, match="no run of heads"):
        load_run(tmp_path)


def test_a_file_that_answers_otherwise_is_not_written():
    with pytest.raises(ParityError, match="differs from the heads by 1 "):
        exporting.check_parity([0.0, 1.0], [0.0, 2.0])
    with pytest.raises(ParityError):
        exporting.check_parity([], [])


def test_thresholds_hold_over_all_conditions():
    rng = np.random.default_rng(0)
    labels = np.tile(np.repeat([0, 1], [500, 300]), 2)
    logits = rng.normal(np.where(labels == 1, 2.0, -2.0), np.repeat([1.0, 3.0], 800))
    found = exporting.calibrated(exporting.Fitted(logits=logits, labels=labels), 0.02)
    probabilities = 1 / (1 + np.exp(-logits / found.temperature))
    assert 0.01 < (probabilities[labels == 0] > found.generated_above).mean() <= 0.02
    assert (probabilities[labels == 1] < found.real_below).mean() <= 0.05
    assert found.real_below <= found.generated_above


def test_heads_without_pictures_to_calibrate_on_are_refused(features, config, tmp_path):
    save_run(tmp_path, fit(features, dataclasses.replace(config, folds=2)))
    with pytest.raises(DataError, match="calibrate_on"):
        exporting.export(tmp_path, tmp_path / "m.onnx", exporting.ExportConfig())


def test_a_model_of_an_encoder_that_is_not_there_is_a_sentence(features, config, tmp_path, monkeypatch):
    save_run(tmp_path, fit(features, config))
    settings = exporting.ExportConfig(name="m", most_tiles=2, calibrate_on=config.data)
    exporting.export(tmp_path, tmp_path / "m.onnx", settings)
    monkeypatch.setattr("pixelkin.model.ENCODERS", {})
    with pytest.raises(ModelError, match="needs the encoder 'clip-vit-b16'"):
        Model((tmp_path / "m.onnx").read_bytes())


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"blocks": (3,)}, "blocks are the first and the last"),
        ({"tokens": ("patch",)}, "tokens are some of class, mean"),
        ({"dropout": 2.0}, "dropout lies in 0 to 1"),
        ({"epochs": 0}, "epochs is 1 or more"),
        ({"lr": 0.0}, "lr is above zero"),
    ],
)
def test_impossible_heads_are_refused(values, words):
    with pytest.raises(ConfigError, match=words):
        HeadConfig(**values)


def test_an_unknown_encoder_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="no encoder is named 'other'"):
        networks("other", tmp_path)


def test_the_shipped_recipe_is_one():
    recipe = build(ExpertsConfig, read_recipe(EXAMPLES.parent / "recipes" / "kin-3.toml"))
    assert recipe.encoder in models.ENCODERS


@pytest.mark.slow
def test_a_recipe_becomes_a_model_that_judges(run, root, tmp_path):  # noqa: F811
    recipe = tmp_path / "small.toml"
    heads = "\nblocks = [11, 12]\nwidth = 8\nseeds = 1\nepochs = 20\n"
    recipe.write_text(
        f'system = "experts"\ndata = "{root}"\nout = "{tmp_path / "run"}"\ncache = "{tmp_path / "cache"}"\n'
        f"workers = 0\nfolds = 2\ntraces = 8\n[overview]{heads}[native]{heads}"
    )
    card = tmp_path / "card.toml"
    card.write_text(f'name = "small"\nmost_tiles = 2\ncalibrate_on = "{root}"\n')
    assert run("train", recipe)[0] == 0
    assert run("export", tmp_path / "run", "-o", tmp_path / "small.onnx", "--card", card)[0] == 0
    code, said, _ = run("detect", EXAMPLES / "photo-rocket.jpg", "--json", "--model", tmp_path / "small.onnx")
    assert code == 0
    assert json.loads(said)["model"] == "small"
    assert isinstance(load_run(tmp_path / "run"), Trained)


def test_patches_say_on_average_what_their_mean_says():
    torch.manual_seed(1)
    head = PatchHead(2, 6, SMALL).eval()
    head.weight.data.normal_()
    head.mean.uniform_()
    head.deviation.uniform_(1, 2)
    patches = torch.randn(3, 9, 2, 6)
    torch.testing.assert_close(head(patches).mean(1), head(patches.mean(1)))


def test_the_heat_map_lies_over_the_overview_and_its_mean_log_odds_are_the_verdict():
    picture = read(EXAMPLES / "photo-rocket.jpg")
    said = load(threads=2).detect(picture)
    top, left, bottom, right = said.boxes[0]
    assert (bottom - top, right - left) == (427, 427)
    heat = said.heatmap
    assert heat.shape == (427, 640)
    assert np.isnan(heat[:, :left]).all()
    assert np.isnan(heat[:, right:]).all()
    assert not np.isnan(heat[top:bottom, left:right]).any()
    odds = np.log(said.patch_probabilities / (1 - said.patch_probabilities))
    assert odds.mean() == pytest.approx(np.log(said.probability / (1 - said.probability)), abs=1e-4)
    row, column = np.unravel_index(said.patch_probabilities.argmax(), said.patch_probabilities.shape)
    patch = 427 / len(odds)
    middle = heat[int((row + 0.5) * patch), left + int((column + 0.5) * patch)]
    assert middle == pytest.approx(said.patch_probabilities.max(), rel=0.1)
