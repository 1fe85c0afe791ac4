import pickle

import numpy as np
import pytest
from tiny import EXAMPLES

from pixelkin import degrade
from pixelkin.errors import ConfigError
from pixelkin.images import read

PHOTO = read(EXAMPLES / "photo-coffee.png").pixels[:160, :200]


def distance(a, b):
    return float(np.abs(a.astype(float) - b).mean())


@pytest.mark.parametrize("step", [degrade.jpeg, degrade.webp])
def test_lower_quality_is_farther_from_the_original(step):
    far, near = (distance(step(PHOTO, quality), PHOTO) for quality in (20, 95))
    assert far > 2 * near > 0


def test_blur_takes_detail_away_and_keeps_the_mean():
    blurred = degrade.blur(PHOTO, 2.0)
    detail = [np.abs(np.diff(p.astype(float), axis=1)).mean() for p in (PHOTO, blurred)]
    assert detail[1] < detail[0] / 2
    assert blurred.mean() == pytest.approx(PHOTO.mean(), rel=0.01)


@pytest.mark.parametrize(
    ("scale", "size"), [(0.5, (80, 100)), (1.5, (240, 300)), (0.333, (53, 67)), (0.001, (1, 1))]
)
def test_resizing_rounds_the_sides(scale, size):
    for name in degrade.FILTERS:
        assert degrade.resize(PHOTO, scale, name).shape == (*size, 3)


def test_a_chain_is_its_steps_in_turn():
    chained = degrade.apply(degrade.parse(" resize:0.75, jpeg:80,jpeg:70 "), PHOTO)
    by_hand = degrade.jpeg(degrade.jpeg(degrade.resize(PHOTO, 0.75), 80), 70)
    assert (chained == by_hand).all()
    assert chained.dtype == np.uint8
    assert (degrade.apply(degrade.parse(""), PHOTO) == PHOTO).all()


def test_a_chain_can_be_sent_to_worker_processes():
    steps = degrade.parse("blur:1,webp:60")
    sent = pickle.loads(pickle.dumps(steps))  # noqa: S301 - our own
    assert (degrade.apply(sent, PHOTO) == degrade.apply(steps, PHOTO)).all()


@pytest.mark.parametrize(
    "step", ["jpg:75", "jpeg", "jpeg:", "jpeg:101", "jpeg:0", "resize:0", "blur:-1", "webp:nan", "blur:x"]
)
def test_a_step_that_is_none_is_named(step):
    with pytest.raises(ConfigError) as refused:
        degrade.parse(f"blur:1,{step}")
    assert step.split(":")[0] in str(refused.value)
