"""What happens to pictures that circulate."""

import numpy as np
import pytest
from tiny import EXAMPLES

from pixelkin.errors import ConfigError
from pixelkin.images import read
from pixelkin.lab.circulation import LONGEST, STEPS, Circulation, circulated, interface, night, thumbnail
from pixelkin.lab.recipe import Degradations

PHOTO = read(EXAMPLES / "photo-rocket.jpg").pixels
NOTHING = dict.fromkeys(STEPS, 0.0)


def rng(seed=0):
    return np.random.default_rng(seed)


@pytest.mark.parametrize("shape", [(1, 1), (3, 200), (97, 61), (427, 640)])
@pytest.mark.parametrize("name", STEPS)
def test_a_step_makes_a_picture_of_any_picture_and_the_same_again(name, shape):
    pixels = np.ascontiguousarray(PHOTO[: shape[0], : shape[1]])
    before = pixels.copy()
    first, second = (STEPS[name][1](pixels, rng(7)) for _ in range(2))
    assert first.dtype == np.uint8
    assert first.ndim == 3
    assert first.shape[2] == 3
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(pixels, before)


def test_with_no_step_and_no_codec_a_picture_stays_as_it_is():
    settings = Circulation(NOTHING, Degradations(clean=1.0))
    np.testing.assert_array_equal(circulated(PHOTO, settings, rng()), PHOTO)


def test_a_large_picture_is_brought_down_first():
    large = np.repeat(np.repeat(PHOTO, 4, 0), 4, 1)
    assert max(circulated(large, Circulation(NOTHING, Degradations(clean=1.0)), rng()).shape) == LONGEST


def test_a_step_that_is_certain_happens():
    settings = Circulation(NOTHING | {"grey": 1.0}, Degradations(clean=1.0))
    seen = circulated(PHOTO, settings, rng(3))
    ratios = seen.reshape(-1, 3).astype(float) / np.maximum(seen[..., :1].reshape(-1, 1), 1)
    assert np.ptp(ratios[seen[..., 0].ravel() > 100], axis=0).max() < 0.02


def test_an_interface_shows_the_picture_within_a_larger_page():
    seen = interface(PHOTO, rng(1))
    assert seen.shape != PHOTO.shape
    assert len(np.unique(seen[0].reshape(-1, 3), axis=0)) <= 3


def test_a_thumbnail_is_never_larger_than_the_picture():
    small = PHOTO[:80, :90]
    assert thumbnail(small, rng()) is small
    assert 96 <= min(thumbnail(PHOTO, rng()).shape[:2]) <= 320


def test_noise_reduction_at_night_flattens_fine_detail():
    fine = lambda pixels: np.abs(np.diff(pixels.astype(int), axis=1)).mean()  # noqa: E731
    noisy = np.clip(PHOTO + rng().normal(0, 12, PHOTO.shape), 0, 255).astype(np.uint8)
    assert fine(night(PHOTO, rng())) < fine(noisy)


@pytest.mark.parametrize(
    ("steps", "words"), [({"sepia": 0.1}, "no step of circulation"), ({"grey": 1.5}, "0 to 1, not 1.5")]
)
def test_impossible_settings_are_refused(steps, words):
    with pytest.raises(ConfigError, match=words):
        Circulation(steps, Degradations())
