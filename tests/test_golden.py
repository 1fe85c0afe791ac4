"""Logits that each paper's official program gives for `golden.fill` weights and a `golden.wave` input.

To record a row: load the official network outside this repository, `fill` it, run it, paste the
logits with the commit they came from. No code or weights of theirs are kept here.
"""

import pytest
import torch
from golden import fill, wave

from pixelkin.lab.detectors import detector_class

RECORDED = [
    pytest.param(
        "npr",
        1_437_761,
        (4, 3, 96, 80),
        [-26.5365, -27.6834, -27.1551, -25.6502],
        id="npr: chuangchuangtan/NPR-DeepfakeDetection@73cde1c",
    ),
]


@pytest.mark.parametrize(("name", "_parameters", "shape", "logits"), RECORDED)
def test_logits_are_the_official_programs(name, _parameters, shape, logits):
    with torch.inference_mode():
        ours = fill(detector_class(name)())(wave(*shape, rate=0.11).float())
    torch.testing.assert_close(ours, torch.tensor(logits), rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize(("name", "parameters", "_shape", "_logits"), RECORDED)
def test_the_number_of_parameters_is_the_official_program_s(name, parameters, _shape, _logits):
    assert sum(p.numel() for p in detector_class(name)().parameters()) == parameters


def test_the_tensors_of_npr_are_those_of_the_official_checkpoint():
    names = list(detector_class("npr")().state_dict())
    assert len(names) == 146
    assert names[:2] == ["conv1.weight", "bn1.weight"]
    assert names[-2:] == ["fc1.weight", "fc1.bias"]
    assert "layer1.0.downsample.0.weight" in names
    assert "layer2.3.bn3.running_var" in names
