"""What every registered detector must do. A new detector is tested here by being registered."""

import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from standins import FROZEN
from tiny import CARD, EXAMPLES

from pixelkin.errors import ExplanationError, ExportError, MissingWeightsError, UnknownDetectorError
from pixelkin.images import from_pixels, read
from pixelkin.lab.activation import class_activation
from pixelkin.lab.detectors import DETECTORS, detector_class
from pixelkin.lab.export import check_parity, to_onnx
from pixelkin.lab.external import ASSETS, Frozen, Store
from pixelkin.lab.weights import load_strictly, load_tensors, save_tensors

TOGETHER = {"rtol": 1e-4, "atol": 1e-4}  # of logits
# Smaller than the paper's where the paper's would take minutes on a core.
OPTIONS = {
    "f3net": {"size": 64},
    "dire": {"size": 96, "crop": 64},
    "frepgan": {"width": 8},
    "gandetection": {"variant": "b0", "patches": 2},
}


def built(name):
    """A system with stand-ins for the networks it looks through, batch norms as training leaves them."""
    torch.manual_seed(0)
    found = detector_class(name)(**OPTIONS.get(name, {}))
    if name in FROZEN:
        found.frozen = Frozen(FROZEN[name](), "a stand-in")
    crops = [read(file).pixels[:160, :160] for file in sorted(EXAMPLES.glob("photo-*"))]
    for part in found.modules():
        if isinstance(part, torch.nn.BatchNorm2d):
            part.momentum = 1.0
    with torch.no_grad():
        found.train()(torch.stack([found.prepare(from_pixels(crop)) for crop in crops]))
    return found.eval()


@pytest.fixture(scope="module", params=DETECTORS)
def detector(request):
    return built(request.param)


def picture(height, width):
    return from_pixels(np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8))


@pytest.mark.parametrize("size", [(224, 224), (97, 131), (64, 300), (1, 1), (1, 90)])
def test_any_size_gives_one_score_in_the_unit_interval(detector, size):
    (score,) = detector.score([picture(*size)])
    assert 0.0 <= score <= 1.0


def test_a_batch_scores_as_its_members_do_alone(detector):
    crop = read(EXAMPLES / "photo-coffee.png").pixels[:160, :160]
    turned = [crop, crop[:, ::-1], crop[::-1]]
    batch = torch.stack([detector.prepare(from_pixels(np.ascontiguousarray(each))) for each in turned])
    together = detector(batch)
    alone = torch.cat([detector(x[None]) for x in batch])
    torch.testing.assert_close(together, alone, **TOGETHER)


def test_every_parameter_gets_a_gradient(detector):
    batch = detector.prepare(picture(96, 96))[None]
    detector.loss(batch, torch.tensor([1])).backward()
    assert [n for n, p in detector.named_parameters() if p.grad is None] == []
    assert any(p.grad.any() for p in detector.parameters())
    stepped = {id(p) for group in detector.groups() for p in group["params"]}
    assert stepped == ({id(p) for p in detector.parameters()} if stepped else set())
    assert stepped or detector.fits


def test_a_class_activation_map_covers_what_was_shown_or_a_sentence_says_why_there_is_none(detector):
    try:
        found, told = class_activation(detector, picture(96, 128)), ""
    except ExplanationError as error:
        found, told = None, str(error)
    if found is None:
        assert told.startswith(f"{detector.card.name} has no class activation map: ")
        return
    assert found.values.shape == found.picture.pixels.shape[:2]
    assert found.values.min() >= 0
    assert np.isfinite(found.values).all()


def test_a_fit_sets_finite_numbers_that_scores_depend_on(detector):
    if not detector.fits:
        pytest.skip("it fits nothing")
    fitted = type(detector)(**OPTIONS.get(detector.card.name, {}))
    before = {name: value.clone() for name, value in fitted.state_dict().items()}
    pictures = [picture(128, 128), from_pixels(read(EXAMPLES / "photo-coffee.png").pixels[:128, :128])]
    batch = torch.stack([fitted.prepare(each) for each in pictures])
    fitted.fit([(batch, torch.tensor([1, 0]))])
    assert any(not torch.equal(value, before[name]) for name, value in fitted.state_dict().items())
    assert all(torch.isfinite(value).all() for value in fitted.state_dict().values())


def test_weights_round_trip(detector, tmp_path):
    save_tensors(tmp_path / "w.safetensors", detector.state_dict(), {"of": detector.card.name})
    tensors, facts = load_tensors(tmp_path / "w.safetensors")
    other = type(detector)(**OPTIONS.get(detector.card.name, {})).eval()
    load_strictly(other, tensors, "w.safetensors")
    if hasattr(detector, "frozen"):
        other.frozen = detector.frozen
    x = detector.prepare(picture(96, 96))[None]
    assert facts == {"of": detector.card.name}
    torch.testing.assert_close(other(x), detector(x), rtol=0, atol=0)


def test_the_exported_model_answers_as_the_network_does(detector):
    card = replace(CARD, tile=detector.side or CARD.tile)
    if detector.card.no_export:
        with pytest.raises(ExportError, match=re.escape(detector.card.no_export)):
            to_onnx(detector, card)
        return
    photograph = read(EXAMPLES / "photo-rocket.jpg").pixels
    sizes = [(detector.side, detector.side)] if detector.side else [(128, 128), (97, 131), (64, 301)]
    assert check_parity(to_onnx(detector, card), detector, [photograph[:h, :w] for h, w in sizes]) < 1e-3


def test_the_name_in_the_table_is_the_card_s(detector):
    assert type(detector) is detector_class(detector.card.name)


@pytest.mark.parametrize("name", DETECTORS)
def test_a_card_tells_what_it_must_and_counts_its_parameters(name):
    found = detector_class(name)()
    card = found.card
    assert sum(p.numel() for p in found.parameters() if p.requires_grad) == card.parameters
    assert all((card.title, card.reference, card.label, card.looks_at, card.idea))
    assert set(card.needs) <= ASSETS.keys()
    assert ("(reconstruction)" in card.label) == (name in {"bihpf", "frepgan"})


NOT_IN_PACKAGES = [
    name for name in DETECTORS if any(not ASSETS[need].package for need in detector_class(name).card.needs)
]


@pytest.mark.parametrize("name", NOT_IN_PACKAGES)
def test_missing_weights_are_refused_before_anything_else(name):
    with pytest.raises(MissingWeightsError, match="--allow-random-init"):
        detector_class(name)().equip(Store(), fresh=True)


def test_an_unknown_name_is_answered_with_the_known_ones():
    with pytest.raises(UnknownDetectorError, match=r"no detector is named 'nprr'; the names are: .*npr"):
        detector_class("nprr")
