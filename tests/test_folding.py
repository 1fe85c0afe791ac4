"""Exported networks answer as the laboratory's do with less work, at every size."""

import numpy as np
import onnx
import pytest
import torch
from tiny import CARD

from pixelkin.lab.backbones import EfficientNet
from pixelkin.lab.detectors import detector_class
from pixelkin.lab.detectors.base import FromPixels
from pixelkin.lab.export import to_onnx
from pixelkin.model import Model

SIDES = (2, 3, 4, 5, 7, 8, 13, 32, 33)
CLOSE = {"rtol": 0, "atol": 1e-4}


def tiles(height, width, count=2):
    return np.random.default_rng(height * 97 + width).integers(0, 256, (count, 3, height, width), np.uint8)


def settled(name, **options):
    """A system whose batch norms hold what they saw."""
    torch.manual_seed(0)
    network = detector_class(name)(**options)
    for part in network.modules():
        if isinstance(part, torch.nn.BatchNorm2d):
            part.momentum = 1.0
    with torch.no_grad():
        network.train().from_pixels(torch.from_numpy(tiles(64, 64, 8)))
    return network.eval()


@pytest.mark.parametrize("reference", [1, 2, 3, 4, "mean"])
@torch.inference_mode()
def test_npr_and_its_stem_are_one_convolution_at_every_size(reference):
    unfolded = settled("npr", reference=reference)
    folded = unfolded.graph()
    for height in SIDES:
        for width in SIDES:
            shown = torch.from_numpy(tiles(height, width))
            torch.testing.assert_close(folded(shown), unfolded.from_pixels(shown), **CLOSE)


@torch.inference_mode()
def test_the_one_convolution_gives_the_maps_of_the_two_up_to_the_edges():
    network = settled("npr")
    maps = {}
    network.bn1.register_forward_pre_hook(lambda _, seen: maps.update(now=seen[0]))
    for shape in ((64, 64), (65, 64), (64, 67), (33, 129), (2, 2), (3, 5)):
        shown = torch.from_numpy(tiles(*shape))
        network.from_pixels(shown)
        expected = maps["now"]
        network.graph()(shown)
        assert expected.shape[-2:] == (shape[0] // 2, shape[1] // 2)
        torch.testing.assert_close(maps["now"], expected, **CLOSE)
        assert expected[..., 0, 0].abs().max() > 0


@pytest.mark.parametrize("options", [{"reference": "max"}, {"period": 4}])
def test_a_relation_that_is_no_such_map_is_left_as_it_is(options):
    assert isinstance(detector_class("npr")(**options).graph(), FromPixels)


@pytest.mark.parametrize("name", ["npr", "kin"])
def test_a_graph_holds_convolutions_and_little_else(name):
    network = settled(name)
    data = to_onnx(network, CARD)
    kinds = [node.op_type for node in onnx.load_from_string(data).graph.node]
    assert "BatchNormalization" not in kinds
    assert kinds.count("Pad") == (name == "npr")
    model = Model(data, threads=1)
    for shape in ((64, 64), (65, 96), (97, 130)):
        shown = tiles(*shape)
        with torch.inference_mode():
            expected = network.from_pixels(torch.from_numpy(shown))
        np.testing.assert_allclose(model.logits(shown), expected, **CLOSE)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_same_padding_leaves_as_one_node_with_a_norm_behind_it_too(tmp_path):
    network = EfficientNet("lite0", outputs=1).eval()
    torch.onnx.export(network, (torch.zeros(1, 3, 64, 64),), tmp_path / "whole.onnx", dynamo=False)
    kinds = {node.op_type for node in onnx.load(tmp_path / "whole.onnx").graph.node}
    assert not kinds & {"Pad", "BatchNormalization"}
