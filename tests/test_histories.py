"""What happens to a training picture: crops of one size, histories of one law, nothing repeated in vain."""

import hashlib
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import EXAMPLES

from pixelkin import degrade
from pixelkin.images import read
from pixelkin.lab.histories import SHIFT, Pass, drawn_history, sides, training_crop, with_history
from pixelkin.lab.recipe import Degradations, TrainConfig

PHOTO = read(EXAMPLES / "photo-rocket.jpg").pixels
EVERYTHING = Degradations(again=1, resize=1, blur=1, noise=1, jpeg=1, webp=1)
STEPS = {"blur": "sigma", "noise": "sigma", "jpeg": "quality", "webp": "quality", "avif": "quality"}
# Every pixel of this picture is its own: red and green are its column and row.
MAP = np.stack(np.broadcast_arrays(np.arange(256)[None], np.arange(256)[:, None], 0), -1).astype(np.uint8)


def config(**values):
    return TrainConfig(**{"data": "-", "out": "-", "policy": "native", "crop": 32, "flip": 0} | values)


def crop_of(pixels, seed=0, *, fixed=False, strength=1.0, **values):
    rng = np.random.default_rng(seed)
    return training_crop(pixels, config(**values), rng, fixed=fixed, strength=strength)


def drawn(settings, draws=1, strength=1.0):
    """Histories that chance gives one after the other."""
    rng = np.random.default_rng(11)
    return [drawn_history(settings, rng, strength) for _ in range(draws)]


def names(leg):
    return [step.func.__name__ for step in leg.steps]


@pytest.mark.parametrize("size", [(200, 300), (20, 300), (9, 7)])
@pytest.mark.parametrize("policy", ["paper", "native"])
def test_a_crop_has_its_size_whatever_the_picture(policy, size):
    everything = Degradations(resize=1, blur=1, jpeg=1, webp=1)
    for seed in range(4):
        crop = crop_of(
            PHOTO[: size[0], : size[1]], seed, policy=policy, resize=48, degradations=everything, flip=0.5
        )
        assert crop.shape == (32, 32, 3)
        assert crop.dtype == np.uint8


@settings(deadline=None, max_examples=40)
@given(
    height=st.integers(1, 90),
    width=st.integers(1, 90),
    side=st.integers(1, 40),
    scale=st.tuples(st.floats(0.2, 1), st.floats(1, 3)),
    again=st.booleans(),
    seed=st.integers(0, 2**32),
)
def test_a_native_crop_has_its_size_whatever_the_picture_and_history(height, width, side, scale, again, seed):
    history = Degradations(again=float(again), resize=1, scale=scale, blur=0.5, noise=0.5, jpeg=0.5)
    for fixed in (False, True):
        crop = crop_of(PHOTO[:height, :width], seed, fixed=fixed, crop=side, degradations=history)
        assert crop.shape == (side, side, 3)


def test_a_clean_native_crop_is_a_piece_of_the_picture():
    corners = set()
    for seed in range(6):
        crop = crop_of(MAP, seed)
        left, top, _ = (int(place) for place in crop[0, 0])
        assert (crop == MAP[top : top + 32, left : left + 32]).all()
        corners.add((top, left))
    assert len(corners) == 6


@pytest.mark.parametrize("side", [32, 33, 36, 39, 40, 41, 60])
@pytest.mark.parametrize("clean", [0, 1])
def test_a_picture_with_room_for_a_crop_is_not_repeated(side, clean):
    for seed in range(20):
        crop = crop_of(MAP[:side, :side], seed, degradations=Degradations(clean=clean)).astype(int)
        assert (np.diff(crop[..., 0], axis=1) == 1).all()
        assert (np.diff(crop[..., 1], axis=0) == 1).all()


@pytest.mark.parametrize("side", [32, 36, 40, 60, 100])
@pytest.mark.parametrize("again", [0, 1])
def test_a_picture_too_small_for_all_the_shrinking_is_shrunk_less_and_not_repeated(side, again):
    shrunk = Degradations(resize=1, scale=(0.2, 0.4), again=again)
    for seed in range(10):
        crop = crop_of(MAP[:side, :side], seed, degradations=shrunk).astype(int)
        for steps in (np.diff(crop[..., 0], axis=1), np.diff(crop[..., 1], axis=0)):
            assert steps.min() >= 0
            assert steps.mean() == pytest.approx(side / 40 if side > 40 else 1, rel=0.2)


def needed(side, scales):
    """Sides before and after each pass for a crop of ``side``, from the last pass to the first."""
    pairs, after = [], side + SHIFT
    for scale in scales[::-1]:
        pairs = [(max(1, round(after / scale)), after), *pairs]
        after = pairs[0][0] + SHIFT
    return pairs


@given(
    scales=st.lists(st.floats(0.1, 4), min_size=1, max_size=2),
    side=st.integers(1, 300),
    available=st.integers(1, 2000),
)
def test_every_pass_leaves_room_for_what_follows(scales, side, available):
    pairs = sides(side, [Pass(scale, "box", ()) for scale in scales], available)
    asked = needed(side, scales)
    if available >= asked[0][0] or available < side:
        assert pairs == asked
    else:
        assert pairs[0][0] == available
    lengths = [available, *(length for pair in pairs for length in pair), side]
    for have, takes in zip(lengths[::2], lengths[1::2], strict=True):
        assert takes <= have or available < side  # no cut repeats anything


def test_a_validation_crop_is_the_middle_and_never_flipped():
    for seed in range(10):
        left, top = crop_of(MAP, seed, fixed=True, flip=1)[0, 0, :2].astype(int)
        assert abs(left - 112) <= SHIFT // 2 + 1
        assert abs(top - 112) <= SHIFT // 2 + 1
    assert (crop_of(MAP, 3, flip=1) == crop_of(MAP, 3)[:, ::-1]).all()


def mapping(pixels, quality, subsampling):
    """A codec that leaves in every pixel its place in the compressed square."""
    return MAP[: len(pixels), : len(pixels)]


def test_the_last_crop_lies_anywhere_on_the_grid_of_the_last_compression(monkeypatch):
    monkeypatch.setattr(degrade, "jpeg", mapping)
    for again in (0, 1):
        history = Degradations(jpeg=1, again=again)
        corners = [crop_of(PHOTO, seed, degradations=history)[0, 0] for seed in range(800)]
        offsets = Counter((int(top), int(left)) for left, top, _ in corners)
        assert set(offsets) == {(top, left) for top in range(SHIFT + 1) for left in range(SHIFT + 1)}
        assert max(offsets.values()) < 30


def test_the_same_chance_gives_the_same_crop():
    crops = [
        [hashlib.sha256(crop_of(PHOTO, seed, degradations=EVERYTHING)).hexdigest() for seed in range(6)]
        for _ in range(2)
    ]
    assert crops[0] == crops[1]
    assert len(set(crops[0])) == 6


@pytest.mark.parametrize("degradation", [*STEPS, "resize"])
def test_each_degradation_changes_the_crop_when_its_turn_comes(degradation):
    clean, degraded = (
        crop_of(PHOTO, 7, fixed=True, degradations=d)
        for d in (Degradations(), Degradations(**{degradation: 1}))
    )
    assert (clean != degraded).any()


RANGES = {"blur": "sigma", "noise": "grain"} | {name: f"{name}_quality" for name in ("jpeg", "webp", "avif")}


@pytest.mark.parametrize("name", STEPS)
def test_a_step_is_the_degradation_of_its_name_by_a_number_in_its_range(name):
    asked = Degradations(**{name: 1})
    least, greatest = getattr(asked, RANGES[name])
    picture, numbers, changed = PHOTO[:48, :64], [], []
    for (leg,) in drawn(asked, 12):
        assert names(leg) == [name]
        assert leg.scale == 1
        given_to_it = leg.steps[0].keywords
        numbers.append(given_to_it[STEPS[name]])
        found = with_history(picture, [leg])
        assert found.shape == picture.shape
        changed.append((found != picture).any())
        if name != "noise":  # its chance is spent
            assert (found == getattr(degrade, name)(picture, **given_to_it)).all()
    assert all(changed) or (name == "blur" and any(changed))  # a blur of a tenth of a pixel is none
    assert least <= min(numbers) < max(numbers) <= greatest


def test_a_pass_follows_the_order_of_life():
    (history,) = drawn(replace(EVERYTHING, avif=1))
    assert [names(leg) for leg in history] == [["blur", "noise", "jpeg", "webp", "avif"]] * 2
    assert with_history(PHOTO[:40, :40], [replace(leg, scale=0.5) for leg in history]).shape == (10, 10, 3)


def test_a_scale_is_drawn_evenly_on_a_logarithmic_axis_and_by_every_filter():
    first = [history[0] for history in drawn(Degradations(resize=1, scale=(0.25, 1.0)), 1000)]
    scales = np.array([leg.scale for leg in first])
    assert 0.25 <= scales.min() < scales.max() <= 1
    assert np.quantile(scales, [0.25, 0.5, 0.75]) == pytest.approx(
        4 ** np.array([-0.75, -0.5, -0.25]), rel=0.08
    )
    filters = Counter(leg.filter for leg in first)
    assert filters.keys() == degrade.FILTERS.keys()
    assert min(filters.values()) > 200


HALF = Degradations(again=0.5, resize=0.5, blur=0.5, noise=0.5, jpeg=0.5, webp=0.5, avif=0.5)


@pytest.mark.parametrize("strength", [0.0, 0.5, 1.0])
def test_strength_is_a_factor_of_every_frequency(strength):
    histories = drawn(HALF, 1500, strength)
    passes = [leg for history in histories for leg in history]
    times = Counter(name for leg in passes for name in names(leg))
    times["resize"] = sum(leg.scale != 1 for leg in passes)
    shares = {name: times[name] / len(passes) for name in (*STEPS, "resize")}
    shares["again"] = sum(len(history) == 2 for history in histories) / len(histories)
    assert shares == pytest.approx(dict.fromkeys(shares, strength / 2), abs=0.05 * strength)


def test_without_strength_crops_are_the_clean_ones():
    for seed in range(4):
        assert (crop_of(PHOTO, seed, strength=0, degradations=EVERYTHING) == crop_of(PHOTO, seed)).all()


@pytest.mark.parametrize("strength", [0.2, 1.0])
def test_a_share_stays_clean_whatever_the_strength(strength):
    clean = sum(not history for history in drawn(Degradations(clean=0.3, jpeg=1, again=1), 1500, strength))
    assert clean / 1500 == pytest.approx(0.3, abs=0.04)
    assert not any(drawn(replace(EVERYTHING, clean=1), 20))


def test_again_gives_two_passes_with_chances_of_their_own():
    (first, second) = drawn(replace(EVERYTHING, avif=1))[0]
    assert first.scale != second.scale
    assert [s.keywords for s in first.steps if s.func is degrade.jpeg] != [
        s.keywords for s in second.steps if s.func is degrade.jpeg
    ]
    assert {len(history) for history in drawn(replace(EVERYTHING, again=0), 20)} == {1}
