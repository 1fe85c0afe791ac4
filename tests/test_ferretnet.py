"""FerretNet: the published network by its names, its size and its answers."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from golden import fill, wave
from published import official

from pixelkin.errors import WeightsError
from pixelkin.images import from_pixels
from pixelkin.lab.detectors.ferretnet import FerretNet
from pixelkin.lab.external import ASSETS, Store

FILE = ASSETS["ferretnet-s"].file
# Of the official program (xigua7105/FerretNet@e92796c) with its published weights, for `wave` of this shape.
SHAPE, LOGITS = (4, 3, 96, 80), [18.7847, 18.4846, 20.2172, 16.3540]


def test_the_number_of_parameters_is_the_official_program_s():
    assert sum(p.numel() for p in FerretNet().parameters()) == 126_289


def test_only_the_convolutions_of_shortcuts_have_a_bias():
    convolutions = {n: m for n, m in FerretNet().named_modules() if isinstance(m, torch.nn.Conv2d)}
    with_bias = [name for name, convolution in convolutions.items() if convolution.bias is not None]
    assert with_bias == ["trunk.feature.0.0.shortcut.0", "trunk.feature.1.0.shortcut.0"]
    assert len(convolutions) == 25


def test_a_picture_is_normalised_as_clip_does_and_not_resized():
    pixels = np.random.default_rng(0).integers(0, 256, (37, 50, 3), np.uint8)
    mean, deviation = [0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711]
    expected = (pixels / 255 - mean) / deviation
    np.testing.assert_allclose(
        FerretNet().prepare(from_pixels(pixels)).permute(1, 2, 0), expected, rtol=0, atol=1e-5
    )


def test_tensors_by_their_official_names_load(tmp_path):
    theirs = fill(FerretNet())
    tensors = official(theirs)
    assert {"feature.0.1.layers.3.depth_wise.weight", "logit.1.bias"} <= tensors.keys()
    torch.save({"model": tensors}, tmp_path / FILE)
    ours = FerretNet().eval()
    x = wave(2, 3, 40, 33, rate=0.11).float()
    assert not torch.allclose(ours(x), theirs(x))
    ours.load_checkpoint(tmp_path / FILE)
    assert torch.equal(ours(x), theirs(x))


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda tensors: tensors.pop("logit.1.bias"), r"1 missing \(head.1.bias\)"),
        (lambda tensors: tensors.pop("feature.0.0.layers.3.point_wise.weight"), "1 missing"),
        (lambda tensors: tensors.update({"logit.2.weight": torch.ones(1)}), r"1 unknown \(head.2.weight\)"),
        (lambda tensors: tensors.update({"feature.2.weight": torch.ones(64, 128, 1, 1)}), "of another shape"),
    ],
)
def test_tensors_that_are_not_all_in_place_are_refused_and_nothing_is_changed(tmp_path, spoil, told):
    tensors = official(fill(FerretNet()))
    spoil(tensors)
    torch.save({"model": tensors}, tmp_path / FILE)
    detector = FerretNet()
    before = {name: value.clone() for name, value in detector.state_dict().items()}
    with pytest.raises(WeightsError, match=f"{FILE}: not weights of FerretNet: .*{told}"):
        detector.load_checkpoint(tmp_path / FILE)
    assert all(torch.equal(value, before[name]) for name, value in detector.state_dict().items())


def test_logits_of_the_published_weights_are_the_official_program_s():
    folder = os.environ.get("PIXELKIN_WEIGHTS_DIR")
    if not folder or not (Path(folder) / FILE).is_file():
        pytest.skip(f"PIXELKIN_WEIGHTS_DIR names no folder with {FILE}")
    detector = FerretNet()
    detector.load_checkpoint(Store(Path(folder)).find("ferretnet-s"))
    with torch.inference_mode():
        found = detector.eval()(wave(*SHAPE, rate=0.11).float())
    torch.testing.assert_close(found, torch.tensor(LOGITS), rtol=1e-4, atol=1e-3)
