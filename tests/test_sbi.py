"""SBI: its card's sizes, what it sees, its loss, its twins, and checkpoints as published."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from pixelkin.errors import ConfigError, MissingWeightsError
from pixelkin.images import from_pixels
from pixelkin.lab.detectors import sbi
from pixelkin.lab.detectors.base import squared
from pixelkin.lab.detectors.sbi import SBI
from pixelkin.lab.external import ASSETS, Store


@pytest.fixture(scope="module")
def paper():
    torch.manual_seed(0)
    return SBI().eval()


@pytest.fixture(scope="module")
def small():
    torch.manual_seed(0)
    return SBI(variant="b0").eval()


def noise(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def test_it_has_the_paper_s_parameters(paper):
    assert sum(p.numel() for p in paper.parameters()) == paper.card.parameters == 17_552_202


def test_a_picture_is_divided_by_255_and_left_alone(small):
    x = small.prepare(from_pixels(noise(97, 131)))
    torch.testing.assert_close(x, torch.from_numpy(noise(97, 131)).permute(2, 0, 1) / 255)


def test_a_tiny_picture_is_repeated(paper):
    x = paper.prepare(from_pixels(noise(5, 70)))
    assert x.shape == (3, 64, 70)
    torch.testing.assert_close(x[:, 5:10], x[:, :5])
    assert paper(x[None]).isfinite().all()


def test_a_score_is_the_softmax_of_the_second_logit_and_the_loss_its_cross_entropy(small):
    batch, labels = torch.rand(3, 3, 64, 64), torch.tensor([1, 0, 1])
    with torch.no_grad():
        two = small.net(batch)
        torch.testing.assert_close(small(batch).sigmoid(), two.softmax(-1)[:, 1])
        torch.testing.assert_close(small.loss(batch, labels), F.cross_entropy(two, labels))


def test_a_twin_is_made_by_the_seed_inside_the_landmarks_that_are_found(small, monkeypatch):
    points = np.array([(40.0, 40.0), (90.0, 40.0), (90.0, 90.0), (40.0, 90.0)])
    monkeypatch.setattr(sbi, "landmarks", lambda _: points)
    twin, again = (small.example(noise(128, 128), np.random.default_rng(3)) for _ in range(2))
    changed = (twin != noise(128, 128)).any(-1)
    assert (twin == again).all()
    assert changed[60:70, 60:70].all()
    assert not changed[:25].any()


def test_with_a_size_the_face_is_cut_out_and_brought_to_it(monkeypatch):
    detector = SBI("b0", size=96)
    monkeypatch.setattr(sbi, "crop_face", lambda pixels: pixels[10:90, 20:100])
    x = detector.prepare(from_pixels(noise(300, 200)))
    assert x.shape == (3, 96, 96)
    face = SBI("b0").prepare(squared(from_pixels(noise(300, 200)[10:90, 20:100]), 96))
    torch.testing.assert_close(x, face)
    whole = detector.prepare(from_pixels(noise(96, 96)))
    torch.testing.assert_close(whole, torch.from_numpy(noise(96, 96)).permute(2, 0, 1) / 255)


def test_without_a_face_it_is_the_middle_of_the_picture():
    assert squared(from_pixels(noise(200, 300)), 100).pixels.shape == (100, 100, 3)
    middle = squared(from_pixels(noise(100, 140)), 100).pixels
    assert middle.tolist() == noise(100, 140)[:, 20:120].tolist()


def test_a_published_checkpoint_loads(paper, tmp_path):
    tensors = {f"net.{name}": torch.full_like(v, 0.01) for name, v in paper.net.state_dict().items()}
    assert {"net._conv_stem.weight", "net._blocks.31._bn2.bias", "net._fc.weight"} <= tensors.keys()
    assert tensors["net._fc.weight"].shape == (2, 1792)
    torch.save({"model": tensors, "optimizer": {"state": {}}, "epoch": 99}, tmp_path / "FFraw.tar")
    detector = SBI()
    detector.load_checkpoint(tmp_path / "FFraw.tar")
    assert all((v == 0.01).all() for v in detector.parameters())


def test_first_values_are_all_but_the_head(tmp_path):
    detector, donor = SBI(), SBI()
    tensors = donor.net.state_dict() | {"_fc.weight": torch.zeros(1000, 1792), "_fc.bias": torch.zeros(1000)}
    head = detector.net._fc.weight.clone()
    store = Store(tmp_path)
    store.tensors = lambda name: tensors if name == "efficientnet-b4-advprop" else None
    detector.equip(store, fresh=False)
    assert (detector.net._conv_stem.weight != donor.net._conv_stem.weight).any()
    detector.equip(store, fresh=True)
    assert (detector.net._conv_stem.weight == donor.net._conv_stem.weight).all()
    assert (detector.net._fc.weight == head).all()


def test_missing_first_values_are_named_and_other_variants_need_none(tmp_path, paper, small):
    with pytest.raises(MissingWeightsError, match="efficientnet-b4-advprop"):
        paper.equip(Store(tmp_path), fresh=True)
    small.equip(Store(tmp_path), fresh=True)
    assert set(sbi.FIRST.values()) <= ASSETS.keys()


def test_a_size_too_small_and_an_unknown_variant_are_refused():
    with pytest.raises(ConfigError, match="not 20"):
        SBI(size=20)
    with pytest.raises(ConfigError, match="'b9'"):
        SBI(variant="b9")
