import numpy as np
import pytest

from pixelkin.lab.calibrate import calibrate, fit_temperature

RNG = np.random.default_rng(0)
TRUTH = RNG.normal(0, 2, 20_000)
LABELS = (RNG.random(20_000) < 1 / (1 + np.exp(-TRUTH))).astype(int)


@pytest.mark.parametrize("overconfidence", [0.5, 1.0, 4.0])
def test_temperature_undoes_overconfidence(overconfidence):
    assert fit_temperature(TRUTH * overconfidence, LABELS) == pytest.approx(overconfidence, rel=0.05)


def test_temperature_is_the_best_of_a_slow_search():
    def loss(temperature):
        p = 1 / (1 + np.exp(-3 * TRUTH / temperature))
        return -np.mean(np.log(np.where(LABELS == 1, p, 1 - p)))

    grid = np.geomspace(0.5, 20, 400)
    assert fit_temperature(3 * TRUTH, LABELS) == pytest.approx(min(grid, key=loss), rel=0.02)


@pytest.mark.parametrize("mistakes", [0.01, 0.05, 0.2])
@pytest.mark.parametrize("scale", [0.2, 1.0, 8.0])
def test_thresholds_err_on_at_most_the_share_allowed(mistakes, scale):
    logits = LABELS * 2 - 1 + TRUTH * scale
    found = calibrate(logits, LABELS, mistakes)
    probability = 1 / (1 + np.exp(-logits / found.temperature))
    assert found.real_below <= found.generated_above
    assert np.mean(probability[LABELS == 0] > found.generated_above) <= mistakes
    assert np.mean(probability[LABELS == 1] < found.real_below) <= mistakes


def test_thresholds_of_a_perfect_detector_leave_no_mistake_and_a_band_between():
    logits, labels = np.array([-9.0, -8, -7, 7, 8, 9]), np.array([0, 0, 0, 1, 1, 1])
    found = calibrate(logits, labels)
    probability = 1 / (1 + np.exp(-logits / found.temperature))
    assert (probability[:3] <= found.real_below).all()
    assert (probability[3:] >= found.generated_above).all()
