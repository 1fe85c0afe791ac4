"""CNNDetection: its published files load as they are, and ImageNet's values are its first."""

import dataclasses
import math

import pytest
import torch

from pixelkin.errors import MissingWeightsError, WeightsError
from pixelkin.lab.detectors.cnndetection import CNNDetection
from pixelkin.lab.external import ASSETS, Store


def norm_shapes(name, channels):
    each = dict.fromkeys(["weight", "bias", "running_mean", "running_var"], (channels,))
    return {f"{name}.{part}": shape for part, shape in (each | {"num_batches_tracked": ()}).items()}


def resnet50_shapes(outputs):
    """Names and shapes of torchvision's ResNet-50, written out."""
    shapes = {"conv1.weight": (64, 3, 7, 7)} | norm_shapes("bn1", 64)
    channels = 64
    for stage, (width, depth) in enumerate([(64, 3), (128, 4), (256, 6), (512, 3)], start=1):
        for block in range(depth):
            name = f"layer{stage}.{block}"
            for place, (into, out, side) in enumerate(
                [(channels, width, 1), (width, width, 3), (width, 4 * width, 1)], start=1
            ):
                shapes[f"{name}.conv{place}.weight"] = (out, into, side, side)
                shapes |= norm_shapes(f"{name}.bn{place}", out)
            if block == 0:
                shapes[f"{name}.downsample.0.weight"] = (4 * width, channels, 1, 1)
                shapes |= norm_shapes(f"{name}.downsample.1", 4 * width)
            channels = 4 * width
    return shapes | {"fc.weight": (outputs, 2048), "fc.bias": (outputs,)}


def random_tensors(shapes):
    """A value for each name, of the size that a trained network's values have."""
    torch.manual_seed(7)

    def value(shape):
        if not shape:
            return torch.tensor(3)
        return torch.randn(shape) / math.prod(shape[1:]) ** 0.5 if shape[1:] else torch.rand(shape) + 0.5

    return {name: value(shape) for name, shape in shapes.items()}


@pytest.fixture
def imagenet(tmp_path, monkeypatch):
    """A folder with a stand-in for the published ResNet-50; returns the folder and the tensors."""
    asset = ASSETS["resnet50-imagenet"]
    monkeypatch.setitem(ASSETS, "resnet50-imagenet", dataclasses.replace(asset, sha256=""))
    shapes = resnet50_shapes(1000)
    # The published file is older than the counters of batch norms.
    tensors = random_tensors({k: v for k, v in shapes.items() if not k.endswith("num_batches_tracked")})
    torch.save(tensors, tmp_path / asset.file)
    return tmp_path, tensors


def test_the_published_file_loads_as_it_is(tmp_path):
    tensors = random_tensors(resnet50_shapes(1))
    torch.save({"model": tensors, "optimizer": {}, "total_steps": 1}, tmp_path / "blur_jpg_prob0.5.pth")
    detector = CNNDetection()
    detector.load_checkpoint(tmp_path / "blur_jpg_prob0.5.pth")
    held = detector.state_dict()
    assert len(held) == 320
    assert held.keys() == tensors.keys()
    assert all(torch.equal(held[name], value) for name, value in tensors.items())


def test_a_file_with_another_head_is_refused(tmp_path):
    torch.save(random_tensors(resnet50_shapes(1000)), tmp_path / "w.pth")
    with pytest.raises(WeightsError, match=r"fc.bias is \(1000,\), not \(1,\)"):
        CNNDetection().load_checkpoint(tmp_path / "w.pth")


def test_its_number_of_parameters_is_the_official_program_s():
    parameters = sum(p.numel() for p in CNNDetection().parameters())
    assert parameters == CNNDetection.card.parameters == 23_510_081


def test_first_values_are_imagenet_s_but_for_the_head(imagenet):
    folder, tensors = imagenet
    detector = CNNDetection()
    head = detector.fc.weight.clone()
    store = Store(folder)
    detector.equip(store, fresh=True)
    held = detector.state_dict()
    assert all(torch.equal(held[name], tensors[name]) for name in tensors if not name.startswith("fc."))
    assert torch.equal(detector.fc.weight, head)
    assert list(store.used) == ["resnet50-imagenet"]


def test_trained_numbers_need_no_first_values():
    store = Store()
    CNNDetection().equip(store, fresh=False)
    assert store.facts() == {"used": {}, "random": []}


def test_training_without_first_values_is_refused_unless_allowed():
    with pytest.raises(MissingWeightsError, match="resnet50-imagenet is needed"):
        CNNDetection().equip(Store(), fresh=True)
    store = Store(allow_random=True)
    CNNDetection().equip(store, fresh=True)
    assert store.random == ["resnet50-imagenet"]
