"""Kin and its small trunks: what they take, what they cost, what becomes of them outside of torch."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from golden import fill
from published import official
from tiny import CARD, EXAMPLES
from torch import nn

from pixelkin.errors import ConfigError, MissingWeightsError, WeightsError
from pixelkin.images import from_pixels, read
from pixelkin.lab.backbones.efficientnet import EfficientNet
from pixelkin.lab.backbones.small import ImageNetTrunk, small_trunk
from pixelkin.lab.detectors.base import standardised
from pixelkin.lab.detectors.ferretnet import FerretNet
from pixelkin.lab.detectors.kin import SAY, Kin
from pixelkin.lab.export import check_parity, to_onnx
from pixelkin.lab.external import ASSETS, Store
from pixelkin.lab.recipe import TrainConfig
from pixelkin.lab.representations.views import VIEWS
from pixelkin.lab.runs import new_detector

TRUNKS = ["lite0", "dense", "depthwise", "patch"]
SIZES = [(32, 32), (33, 47), (64, 35), (97, 131)]
PHOTO = read(EXAMPLES / "photo-rocket.jpg").pixels


def count(module):
    return sum(p.numel() for p in module.parameters())


def gigaflops(detector, side):
    """Two for each multiply-accumulate of convolutions and linear layers, for one square tile, over 1e9."""
    counted = []

    def convolution(layer, _inputs, out):
        counted.append(out.numel() * layer.weight[0].numel())

    def linear(layer, _inputs, out):
        counted.append(out.numel() * layer.in_features)

    for layer in detector.modules():
        if isinstance(layer, nn.Conv2d):
            layer.register_forward_hook(convolution)
        elif isinstance(layer, nn.Linear):
            layer.register_forward_hook(linear)
    with torch.inference_mode():
        detector(torch.rand(1, 3, side, side))
    return 2 * sum(counted) / 1e9


# Trunks --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "channels", "side"),
    [("lite0", 112, 4), ("dense", 144, 4), ("depthwise", 256, 4), ("patch", 128, 32)],
)
def test_a_trunk_s_maps_have_the_channels_it_states_and_are_as_small_as_it_says(kind, channels, side):
    trunk, stated = small_trunk(kind, 5)
    assert stated == channels
    assert trunk.eval()(torch.rand(2, 5, 64, 64)).shape == (2, channels, side, side)


def test_a_feature_of_the_patch_trunk_sees_12_pixels_each_way():
    x = torch.rand(1, 3, 48, 48, requires_grad=True)
    trunk = fill(small_trunk("patch", 3)[0])
    trunk(x)[0, :, 12, 11].sum().backward()
    rows, columns = x.grad[0].abs().sum(0).nonzero().T
    assert (rows.max() - rows.min() + 1, columns.max() - columns.min() + 1) == (12, 12)


def test_an_unknown_trunk_is_answered_with_the_known_ones():
    with pytest.raises(ConfigError, match="no small trunk is named 'deep'; the names are: lite0, dense, d"):
        small_trunk("deep", 3)


def test_the_imagenet_trunk_makes_the_maps_of_the_whole_network_it_was_cut_from():
    whole = fill(EfficientNet("lite0", outputs=1000))
    trunk = ImageNetTrunk(3)
    trunk.begin_from(whole.state_dict(), "the whole network")
    batch = torch.rand(2, 3, 65, 48) * 4 - 2
    with torch.inference_mode():
        maps = whole.activation(whole._bn0(whole._conv_stem(batch / 2)))
        for block in list(whole._blocks)[: ImageNetTrunk.BLOCKS]:
            maps = block(maps)
        torch.testing.assert_close(trunk.eval()(batch), maps, rtol=1e-4, atol=1e-4)


def test_a_view_beside_the_pixels_begins_without_a_say():
    tensors = fill(EfficientNet("lite0", outputs=1000)).state_dict()
    alone, beside = ImageNetTrunk(3), ImageNetTrunk(6)
    for trunk in (alone, beside):
        trunk.begin_from(tensors, "the whole network")
    batch = torch.rand(1, 6, 40, 40)
    with torch.inference_mode():
        torch.testing.assert_close(beside(batch), alone(batch[:, :3]))


# Kin -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("traces", [False, True])
@pytest.mark.parametrize("trunk", TRUNKS)
def test_every_network_gives_a_picture_one_logit_which_its_patches_average_to(trunk, traces, size):
    detector = fill(Kin(trunk=trunk, traces=traces)).eval()
    batch = torch.rand(3, 3, *size)
    with torch.inference_mode():
        logits, patches = detector(batch), detector.patch_logits(batch)
    assert logits.shape == (3,)
    assert patches.shape[0] == 3
    assert patches.dim() == 3
    assert logits.unique().numel() == 3
    torch.testing.assert_close(patches.mean((1, 2)), logits, rtol=1e-4, atol=1e-4)


@pytest.fixture
def ferretnet(tmp_path, monkeypatch):
    """Some FerretNet in eval mode, and a store that takes its weights for the published ones."""
    asset = replace(ASSETS["ferretnet-s"], sha256="")
    monkeypatch.setitem(ASSETS, "ferretnet-s", asset)
    detector = fill(FerretNet()).eval()
    torch.save({"model": official(detector)}, tmp_path / asset.file)
    return detector, Store(tmp_path)


def middles(batch):
    """What of each tile of 128 pixels the traces are sought in, by hand."""
    return batch[..., 46:82, 46:82]


def test_traces_begin_beside_a_finished_network_as_a_share_of_the_published_logit(ferretnet):
    published, store = ferretnet
    finished = fill(Kin())
    detector = Kin(traces=True)
    detector.begin_from(finished.state_dict(), store, "a run")
    batch = torch.rand(2, 3, 128, 128)
    of_traces = published(standardised(middles(batch), FerretNet.statistics))
    with torch.inference_mode():
        expected = finished.eval()(batch) + SAY * of_traces
        torch.testing.assert_close(detector.eval()(batch), expected, rtol=1e-4, atol=1e-4)
    assert store.facts()["used"].keys() == {"ferretnet-s"}


def test_a_trunk_that_is_held_keeps_its_weights_while_the_rest_learns():
    detector = fill(Kin(trunk="dense", traces=True, hold=True)).train()
    before = {name: value.clone() for name, value in detector.state_dict().items()}
    stepped = [p for group in detector.groups() for p in group["params"]]
    optimiser = torch.optim.SGD(stepped, 0.1)
    detector.loss(torch.rand(4, 3, 64, 64), torch.tensor([0, 1, 0, 1])).backward()
    optimiser.step()
    changed = {n for n, p in detector.named_parameters() if not torch.equal(p, before[n])}
    assert not [name for name in changed if name.startswith("trunk.")]
    assert {"head.weight", "traces.cbr1.0.weight", "traces.feature.2.weight"} <= changed


def test_a_network_with_traces_goes_on_from_one_strictly(ferretnet):
    _, store = ferretnet
    first, second = fill(Kin(traces=True)), Kin(traces=True)
    second.begin_from(first.state_dict(), store, "a run")
    assert all(torch.equal(value, second.state_dict()[name]) for name, value in first.state_dict().items())
    assert not store.facts()["used"]
    with pytest.raises(WeightsError, match="a run: not weights of Kin"):
        Kin().begin_from(first.state_dict(), store, "a run")
    with pytest.raises(WeightsError, match="a run: not weights of Kin"):
        second.begin_from({"head.weight": torch.zeros(3)}, store, "a run")


def test_traces_without_the_published_weights_say_which_file_is_missing():
    with pytest.raises(MissingWeightsError, match="ferretnet-s is needed"):
        Kin(trunk="patch", traces=True).equip(Store(), fresh=True)


def test_views_lie_beside_one_another_in_the_order_of_their_names():
    detector = Kin(views=("phases", "pixels", "npr8"))
    shown = []
    detector.trunk.register_forward_pre_hook(lambda _, inputs: shown.append(inputs[0]))
    x = torch.rand(1, 3, 33, 36)
    detector.eval()(x)
    expected = torch.cat([VIEWS[name].function(x) for name in ("phases", "pixels", "npr8")], 1)
    assert torch.equal(shown[0], expected)
    assert shown[0].shape[1] == 18


def test_a_picture_is_prepared_as_pixels_in_0_to_1():
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
    prepared = Kin().prepare(from_pixels(pixels))
    np.testing.assert_allclose(prepared.permute(1, 2, 0), pixels / 255, rtol=0, atol=1e-6)


def test_it_is_small_and_cheap_with_traces_too():
    assert count(Kin()) == Kin.card.parameters
    for detector in (Kin(), Kin(traces=True)):
        assert count(detector) <= 1_500_000
        assert 0.1 < gigaflops(detector.eval(), 256) <= 0.6


def test_arithmetic_is_counted_as_by_hand():
    maps = 128 * 128 * 32 * (4 * 4 * 3) + 128 * 128 * 9 * (32 * 32 + 32 * 48)
    by_hand = 2 * (maps + 128 * 128 * (48 * 64 + 64 * 128) + 128)
    assert gigaflops(Kin(trunk="patch").eval(), 256) == pytest.approx(by_hand / 1e9)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"views": ("pixels", "npr3")}, "no view is named npr3; the names are: pixels, npr2"),
        ({"views": ()}, "no view is named nothing; the names are: pixels"),
        ({"trunk": "deep"}, "no small trunk is named 'deep'; the names are: lite0, dense"),
    ],
)
def test_an_unknown_option_is_answered_with_the_known_ones(options, told):
    with pytest.raises(ConfigError, match=told):
        Kin(**options)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"view": ["pixels"]}, "no option of kin is named 'view'; the names are: views, trunk, traces, hold"),
        ({"views": "pixels"}, "options.views takes"),
        ({"trunk": 3}, "options.trunk takes text"),
    ],
)
def test_an_option_of_a_recipe_that_is_none_is_named(options, told):
    with pytest.raises(ConfigError, match=told):
        recipe_s(options)


def recipe_s(options):
    config = TrainConfig(data="-", out="-", detector="kin", options=options)
    return new_detector(config, Store(), fresh=True)


def test_a_recipe_s_list_of_views_is_taken():
    detector = recipe_s({"views": ["median", "pixels"], "trunk": "patch"})
    assert tuple(detector.views) == ("median", "pixels")
    assert detector(torch.rand(2, 3, 32, 32)).shape == (2,)


@pytest.mark.parametrize(
    "make",
    [
        *(pytest.param(partial(Kin, views=(name,)), id=name) for name in VIEWS),
        pytest.param(partial(Kin, views=("pixels", "npr8", "phases")), id="pixels, npr8 and phases"),
        *(pytest.param(partial(Kin, trunk=name), id=name) for name in ("depthwise", "patch")),
        pytest.param(partial(Kin, traces=True), id="with traces"),
    ],
)
def test_an_exported_kin_is_small_and_answers_as_the_network_at_odd_sizes(make):
    detector = fill(make())
    graph = to_onnx(detector, CARD)
    assert len(graph) <= 6_000_000
    sizes = [(32, 32), (33, 47), (97, 131), (64, 301)]
    assert check_parity(graph, detector, [PHOTO[:height, :width] for height, width in sizes]) < 1e-3
