"""What every registered detector must do. A new detector is tested here by being registered."""

import numpy as np
import pytest
import torch
from tiny import EXAMPLES

from pixelkin.errors import UnknownDetectorError
from pixelkin.images import from_pixels, read
from pixelkin.lab.detectors import DETECTORS, detector_class
from pixelkin.lab.export import check_parity, to_onnx
from pixelkin.lab.weights import load_strictly, load_tensors, save_tensors
from pixelkin.types import Card

TOGETHER = {"rtol": 1e-4, "atol": 1e-5}
CARD = Card(
    name="contract",
    version="0",
    system="-",
    paper="-",
    weights_sha256="-",
    trained_on="nothing",
    licence="-",
    tile=64,
)


@pytest.fixture(scope="module", params=sorted(DETECTORS))
def detector(request):
    torch.manual_seed(0)
    return detector_class(request.param)().eval()


def picture(height, width):
    return from_pixels(np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8))


@pytest.mark.parametrize("size", [(224, 224), (97, 131), (64, 300)])
def test_any_size_gives_one_score_in_the_unit_interval(detector, size):
    (score,) = detector.score([picture(*size)])
    assert 0.0 <= score <= 1.0


def test_a_batch_scores_as_its_members_do_alone(detector):
    prepared = detector.prepare(from_pixels(read(EXAMPLES / "photo-coffee.png").pixels[:160, :160]))
    batch = torch.stack([prepared, prepared.flip(-1), prepared.flip(-2)])
    together = detector(batch)
    alone = torch.cat([detector(x[None]) for x in batch])
    torch.testing.assert_close(together, alone, **TOGETHER)


def test_every_parameter_gets_a_gradient(detector):
    batch = detector.prepare(picture(96, 96))[None]
    detector.loss(batch, torch.tensor([1])).backward()
    assert [n for n, p in detector.named_parameters() if p.requires_grad and p.grad is None] == []


def test_weights_round_trip(detector, tmp_path):
    save_tensors(tmp_path / "w.safetensors", detector.state_dict(), {"of": detector.card.name})
    tensors, facts = load_tensors(tmp_path / "w.safetensors")
    other = type(detector)().eval()
    load_strictly(other, tensors, "w.safetensors")
    x = detector.prepare(picture(96, 96))[None]
    assert facts == {"of": detector.card.name}
    torch.testing.assert_close(other(x), detector(x), rtol=0, atol=0)


def test_the_exported_model_answers_as_the_network_does(detector):
    photograph = read(EXAMPLES / "photo-rocket.jpg").pixels
    sizes = [(128, 128), (97, 131), (64, 301)]
    assert check_parity(to_onnx(detector, CARD), detector, [photograph[:h, :w] for h, w in sizes]) < 1e-3


def test_the_name_in_the_table_is_the_card_s(detector):
    assert type(detector) is detector_class(detector.card.name)


def test_an_unknown_name_is_answered_with_the_known_ones():
    with pytest.raises(UnknownDetectorError, match=r"no detector is named 'nprr'; the names are: .*npr"):
        detector_class("nprr")
