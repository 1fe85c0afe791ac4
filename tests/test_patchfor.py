"""Patchfor: its counts, its votes, its loss, and the classes of its published files."""

import math

import mpmath
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from test_cnndetection import norm_shapes, random_tensors
from tiny import CARD
from torch.nn import functional as F

from pixelkin.errors import ConfigError
from pixelkin.images import from_pixels
from pixelkin.lab.detectors.patchfor import Patchfor, joined
from pixelkin.lab.export import check_parity, to_onnx

COUNTS = {1: 55_010, 2: 191_330, 3: 1_108_218, 4: 2_722_194, 5: 4_336_170}
CHANNELS = [64, 128, 256, 728, 728, 728]  # before and after each block
LOGITS = st.lists(st.floats(-600, 600, width=32), min_size=1, max_size=12)


def official_shapes(blocks):
    """Names and shapes of an official checkpoint, written out."""
    shapes = {"conv1.weight": (32, 3, 3, 3)} | norm_shapes("bn1", 32)
    shapes |= {"conv2.weight": (64, 32, 3, 3)} | norm_shapes("bn2", 64)
    for number in range(1, blocks + 1):
        into, out = CHANNELS[number - 1 : number + 1]
        starts = [0, 3] if number == 1 else [1, 4] if number < 4 else [1, 4, 7]
        for place in starts:
            shapes[f"block{number}.rep.{place}.conv1.weight"] = (into, 1, 3, 3)
            shapes[f"block{number}.rep.{place}.pointwise.weight"] = (out, into, 1, 1)
            shapes |= norm_shapes(f"block{number}.rep.{place + 1}", out)
            into = out
        if number < 4:
            shapes[f"block{number}.skip.weight"] = (out, CHANNELS[number - 1], 1, 1)
            shapes |= norm_shapes(f"block{number}.skipbn", out)
    return shapes | {"convout.weight": (2, CHANNELS[blocks], 1, 1), "convout.bias": (2,)}


def exact_log_odds(logits):
    """The log-odds of the mean probability, to five hundred digits."""
    with mpmath.workdps(500):
        chances = [1 / (1 + mpmath.exp(-mpmath.mpf(value))) for value in logits]
        mean = sum(chances) / len(chances)
        return float(mpmath.log(mean / (1 - mean)))


@pytest.mark.parametrize(("blocks", "parameters"), COUNTS.items())
def test_its_number_of_parameters_is_the_official_program_s(blocks, parameters):
    detector = Patchfor(blocks)
    assert sum(p.numel() for p in detector.parameters()) == parameters
    assert detector.receptive_fields[blocks] == {1: 19, 2: 43, 3: 91, 4: 187, 5: 283}[blocks]


def test_by_default_it_keeps_two_blocks():
    assert sum(p.numel() for p in Patchfor().parameters()) == Patchfor.card.parameters == COUNTS[2]


@pytest.mark.parametrize("blocks", [1, 2, 5])
def test_a_published_file_loads_with_its_classes_swapped(blocks, tmp_path):
    tensors = random_tensors(official_shapes(blocks))
    others = {"optimizer": {}, "scheduler": {}, "epoch": 3, "best_val_metric": 0.9, "best_val_ep": 2}
    torch.save({"state_dict": tensors} | others, tmp_path / "bestval_net_D.pth")
    detector = Patchfor(blocks).eval()
    detector.load_checkpoint(tmp_path / "bestval_net_D.pth")
    x = detector.prepare(from_pixels(np.random.default_rng(0).integers(0, 256, (80, 96, 3), np.uint8)))[None]
    with torch.inference_mode():
        official = F.conv2d(detector.trunk(x), tensors["convout.weight"], tensors["convout.bias"])
        torch.testing.assert_close(detector.patch_logits(x), official[:, 0] - official[:, 1])
        torch.testing.assert_close(detector.loss(x, torch.tensor([1])), _patchwise(official, 0))
    assert torch.equal(detector.state_dict()["trunk.bn1.running_var"], tensors["bn1.running_var"])


def _patchwise(classes, wanted):
    """Cross-entropy of each patch, patch by patch, and their mean."""
    losses = [
        -math.log(math.exp(place[wanted] - max(place)) / sum(math.exp(v - max(place)) for v in place))
        for member in classes.permute(0, 2, 3, 1).double().tolist()
        for row in member
        for place in row
    ]
    return torch.tensor(sum(losses) / len(losses))


@given(LOGITS)
def test_the_mean_of_the_patches_is_exact_to_both_tails(logits):
    answer = float(joined(torch.tensor([logits]), "after"))
    # A logit near zero is the difference of two logarithms of about log n.
    assert answer == pytest.approx(exact_log_odds(logits), rel=1e-5, abs=1e-5)


def test_patches_of_one_mind_keep_their_logit():
    for value in (-600.0, -40.0, 0.0, 1e-3, 40.0, 600.0):
        for vote in ("after", "before"):
            logits = torch.full((1, 7), value)
            torch.testing.assert_close(joined(logits, vote), logits[:, 0], rtol=1e-6, atol=1e-6)


def test_the_other_votes_are_the_mean_logit_and_the_share_of_patches():
    logits = torch.tensor([[-2.0, 1.0, 3.0, 4.0], [5.0, -1.0, -1.0, -1.0]])
    torch.testing.assert_close(joined(logits, "before"), torch.tensor([1.5, 0.5]))
    expected = torch.tensor([math.log(0.75 / 0.25), math.log(0.25 / 0.75)])
    torch.testing.assert_close(joined(logits, "fraction"), expected)


def test_a_unanimous_vote_by_fraction_is_finite_and_grows_with_the_number_of_patches():
    few, many = (float(joined(torch.ones(1, n), "fraction")) for n in (4, 100))
    assert (few, many) == pytest.approx((math.log(4 / 0.5), math.log(100 / 0.5)))
    assert float(joined(-torch.ones(1, 4), "fraction")) == pytest.approx(-few)
    assert math.isfinite(float(joined(torch.zeros(1, 1), "fraction")))


@pytest.mark.parametrize("vote", ["after", "before", "fraction"])
def test_the_exported_model_votes_alike(vote):
    noise = np.random.default_rng(0).integers(0, 256, (129, 140, 3), np.uint8)
    detector = Patchfor(vote=vote)
    detector.load_state_dict(detector.from_official(random_tensors(official_shapes(2))))
    detector.eval()
    pictures = [noise[:96, :96], noise[:97, :131], noise // 8]
    spread = detector.patch_logits(detector.prepare(from_pixels(noise))[None])
    assert spread.min() < 0 < spread.max()
    assert check_parity(to_onnx(detector, CARD), detector, pictures) < 1e-3


def test_it_starts_from_small_weights():
    torch.manual_seed(0)
    state = Patchfor(3).state_dict()
    for name, value in state.items():
        if value.ndim == 4 and value.numel() > 2000:
            fan_in, fan_out = value[0].numel(), value.shape[0] * value[0, 0].numel()
            assert float(value.std()) == pytest.approx(0.02 * math.sqrt(2 / (fan_in + fan_out)), rel=0.1), (
                name
            )
    assert float(state["trunk.block3.rep.2.weight"].std()) == pytest.approx(0.02, rel=0.15)
    assert not state["convout.bias"].any()


@pytest.mark.parametrize(
    ("options", "told"),
    [({"blocks": 6}, "1 to 5 blocks, not 6"), ({"vote": "loud"}, "after, before, fraction, not 'loud'")],
)
def test_what_it_has_not_is_refused(options, told):
    with pytest.raises(ConfigError, match=told):
        Patchfor(**options)
