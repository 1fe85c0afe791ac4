"""What happens to pictures on their way does what it says, alone and in chains."""

import pickle

import numpy as np
import pytest
from tiny import EXAMPLES

from pixelkin import degrade
from pixelkin.errors import ConfigError
from pixelkin.images import read

PHOTO = read(EXAMPLES / "photo-coffee.png").pixels[:160, :200]
STEPS = ["jpeg:75", "webp:75", "avif:75", "resize:0.5", "resize:1.37", "blur:1.5", "noise:4"]
STEPS += ["crop:0.6", "fit:100", "square:48", "screenshot:0.8"]
OTHER_SIZES = ("resize", "crop", "fit", "square", "screenshot")


def distance(a, b):
    return float(np.abs(a.astype(float) - b).mean())


def detail(pixels, axis):
    return float(np.abs(np.diff(pixels.astype(float), axis=axis)).mean())


@pytest.mark.parametrize("step", [degrade.jpeg, degrade.webp, degrade.avif])
def test_lower_quality_is_farther_from_the_original(step):
    far, near = (distance(step(PHOTO, quality), PHOTO) for quality in (20, 95))
    assert far > 2 * near > 0


def test_colour_kept_at_full_size_is_nearer_to_the_original():
    full, half, quarter = (distance(degrade.jpeg(PHOTO, 90, subsampling), PHOTO) for subsampling in (0, 1, 2))
    assert full < half < quarter


@pytest.mark.parametrize("axis", [0, 1])
def test_blur_takes_detail_away_and_keeps_the_mean(axis):
    blurred = degrade.blur(PHOTO, 2.0)
    assert detail(degrade.blur(PHOTO, 4.0), axis) < detail(blurred, axis) < detail(PHOTO, axis) / 2
    assert blurred.mean() == pytest.approx(PHOTO.mean(), rel=0.01)


@pytest.mark.parametrize("chain", ["blur:0", "resize:1"])
def test_a_step_of_no_strength_changes_nothing(chain):
    assert (degrade.apply(degrade.parse(chain), PHOTO) == PHOTO).all()


@pytest.mark.parametrize(
    ("scale", "size"), [(0.5, (80, 100)), (1.5, (240, 300)), (0.333, (53, 67)), (0.001, (1, 1))]
)
@pytest.mark.parametrize("name", degrade.FILTERS)
def test_resizing_rounds_the_sides(name, scale, size):
    assert degrade.resize(PHOTO, scale, name).shape == (*size, 3)


def test_resizing_to_a_size_gives_rows_and_columns_in_that_order():
    assert degrade.resize_to(PHOTO, 31, 77).shape == (31, 77, 3)


def test_halving_by_box_gives_the_means_of_the_cells():
    cells = PHOTO.astype(float).reshape(80, 2, 100, 2, 3).mean((1, 3))
    assert np.abs(degrade.resize(PHOTO, 0.5, "box") - cells).max() <= 1


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (33, 17), (160, 200)])
@pytest.mark.parametrize("chain", STEPS)
def test_every_step_keeps_rgb_of_eight_bits(chain, size):
    before = PHOTO[: size[0], : size[1]]
    after = degrade.apply(degrade.parse(chain), before)
    assert after.dtype == np.uint8
    assert after.shape[2] == 3
    assert chain.startswith(OTHER_SIZES) or after.shape == before.shape
    assert (before == read(EXAMPLES / "photo-coffee.png").pixels[: size[0], : size[1]]).all()


def test_a_chain_is_its_steps_in_turn():
    chained = degrade.apply(degrade.parse(" resize:0.75, jpeg:80,jpeg:70 "), PHOTO)
    by_hand = degrade.jpeg(degrade.jpeg(degrade.resize(PHOTO, 0.75), 80), 70)
    assert (chained == by_hand).all()


def test_the_order_of_a_chain_matters():
    one, other = (
        degrade.apply(degrade.parse(chain), PHOTO) for chain in ("blur:2,jpeg:30", "jpeg:30,blur:2")
    )
    assert (one != other).any()


@pytest.mark.parametrize(
    ("chain", "steps"), [("", 0), (" ", 0), (",", 0), ("jpeg:1", 1), ("jpeg:100,,blur:0", 2), ("webp: 0,", 1)]
)
def test_empty_steps_count_for_nothing(chain, steps):
    assert len(degrade.parse(chain)) == steps


def test_no_steps_leave_the_picture_as_it_is():
    assert (degrade.apply(degrade.parse(""), PHOTO) == PHOTO).all()


@pytest.mark.parametrize("name", degrade.CHAINABLE)
def test_the_least_and_the_greatest_value_are_allowed(name):
    least, most = degrade.CHAINABLE[name].least, degrade.CHAINABLE[name].greatest
    assert len(degrade.parse(f"{name}:{least},{name}:{most}")) == 2


@pytest.mark.parametrize("chain", STEPS)
def test_a_chain_can_be_sent_to_worker_processes(chain):
    steps = degrade.parse(f"{chain},jpeg:60")
    sent = pickle.loads(pickle.dumps(steps))  # noqa: S301 - our own
    assert (degrade.apply(sent, PHOTO) == degrade.apply(steps, PHOTO)).all()


@pytest.mark.parametrize("step", ["jpg:75", "JPEG:75", "jpeg=75", ":75", "75", "résize:1"])
def test_an_unknown_step_is_named_beside_those_there_are(step):
    with pytest.raises(ConfigError) as refused:
        degrade.parse(f"blur:1,{step},jpeg:75")
    assert str(refused.value) == (
        f"no degradation is named {step.partition(':')[0]!r}; the names are: {', '.join(degrade.CHAINABLE)}"
    )


@pytest.mark.parametrize(
    "step",
    [
        *("jpeg", "jpeg:", "jpeg:x", "jpeg:80:90", "jpeg:0", "jpeg:101", "jpeg:-5"),
        *("webp:nan", "webp:-1", "webp:100.5", "avif:", "avif:-1", "avif:101"),
        *("resize:0", "resize:17", "resize:inf", "blur:-1", "blur:1e3"),
    ],
)
def test_a_value_that_is_none_is_named_with_its_step_and_range(step):
    name = step.partition(":")[0]
    with pytest.raises(ConfigError) as refused:
        degrade.parse(f"blur:1,{step},jpeg:75")
    least, most = degrade.CHAINABLE[name].least, degrade.CHAINABLE[name].greatest
    assert str(refused.value).startswith(f"{step!r}: {name} takes a number from {least} to {most}")
