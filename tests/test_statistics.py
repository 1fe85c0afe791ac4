"""Statistics of classical forensics against slow loops, and the linear head that is fitted to them."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from tiny import EXAMPLES

from pixelkin import degrade
from pixelkin.errors import ConfigError, DataError
from pixelkin.images import from_pixels, read
from pixelkin.lab.detectors.base import to_tensor
from pixelkin.lab.detectors.rich import LENGTH, Rich
from pixelkin.lab.representations.spectra import luma
from pixelkin.lab.representations.statistics import (
    co_occurrences,
    forensic_statistics,
    phase_moments,
    ring_powers,
)
from pixelkin.lab.weights import load_strictly, load_tensors, save_tensors

PHOTO = read(EXAMPLES / "photo-coffee.png").pixels[:200, :176]
KINDS = [(step, order) for step in (1.0, 2.0) for order in (1, 2)]


def grey(pixels):
    return luma(to_tensor(from_pixels(np.ascontiguousarray(pixels))))[0].numpy()


def noise(*shape, seed=0, deviation=20.0):
    return np.random.default_rng(seed).normal(128, deviation, shape)


# Statistics ----------------------------------------------------------------------------------------


def lines_of(picture):
    return [*picture.tolist(), *picture.T.tolist()]


def second(line):
    return [line[k + 2] - 2 * line[k + 1] + line[k] for k in range(len(line) - 2)]


def triples_by_counting(picture, step, order):
    """Every three differences in a row, of all rows and all columns, one after the other."""
    counts = np.zeros((5, 5, 5))
    for line in lines_of(picture):
        differences = second(line) if order == 2 else [b - a for a, b in pairwise(line)]
        levels = [max(-2, min(2, round(d / (step * order)))) for d in differences]
        for a, b, c in zip(levels, levels[1:], levels[2:], strict=False):
            counts[a + 2, b + 2, c + 2] += 1
    return counts.ravel() / counts.sum()


@pytest.mark.parametrize(("step", "order"), KINDS)
@pytest.mark.parametrize("size", [(40, 31), (5, 5), (5, 12)])
def test_co_occurrences_are_counted_triples(size, step, order):
    shown = grey(PHOTO[: size[0], : size[1]])
    found = co_occurrences(shown, step, order)
    np.testing.assert_allclose(found, triples_by_counting(shown, step, order), rtol=0, atol=1e-12)
    assert found.sum() == pytest.approx(1)
    assert (found >= 0).all()


@pytest.mark.parametrize(("step", "order"), KINDS)
def test_a_transposed_picture_has_the_same_co_occurrences(step, order):
    shown = grey(PHOTO[:64, :90])
    np.testing.assert_array_equal(
        co_occurrences(shown.T, step, order), co_occurrences(np.ascontiguousarray(shown), step, order)
    )


@pytest.mark.parametrize(("step", "order"), KINDS)
def test_nothing_but_zeros_follows_zeros_in_a_flat_picture(step, order):
    assert co_occurrences(np.full((9, 7), 31.0), step, order)[62] == 1


def phases_by_the_definition(picture):
    """Second differences of columns by the row that they begin in, then of rows by the column."""
    moments = []
    for turned in (picture.T, picture):
        sizes = {phase: [] for phase in range(8)}
        for line in turned.tolist():
            for place, difference in enumerate(second(line)):
                sizes[place % 8].append((place, abs(difference)))
        means = [np.mean([size for _, size in sizes[phase]]) for phase in range(8)]
        moments += [mean / np.mean(means) for mean in means]
    return moments


@pytest.mark.parametrize("size", [(40, 31), (10, 10), (26, 11)])
def test_phase_moments_are_their_definition(size):
    shown = grey(PHOTO[: size[0], : size[1]])
    np.testing.assert_allclose(phase_moments(shown), phases_by_the_definition(shown), rtol=1e-9)


def test_phase_moments_of_noise_are_flat():
    np.testing.assert_allclose(phase_moments(noise(256, 240)), 1, rtol=0, atol=0.03)


@pytest.mark.parametrize(("down", "right"), [(0, 0), (3, 5)])
@pytest.mark.parametrize("file", sorted(EXAMPLES.glob("photo-*")), ids=lambda file: file.name)
def test_phase_moments_of_a_strong_jpeg_peak_where_its_blocks_meet(file, down, right):
    shown = degrade.jpeg(read(file).pixels[:200, :200], 30)[down:, right:]
    for moments, moved in zip(np.split(phase_moments(grey(shown)), 2), (down, right), strict=True):
        order = np.argsort(moments)
        assert set(order[-2:]) == {(6 - moved) % 8, (7 - moved) % 8}
        assert moments[order[-2]] > 1.3 * moments[order[-3]]


def rings_by_the_definition(picture):
    """Power by distance from frequency zero, up to half a cycle a pixel; corners beyond are of the last."""
    height, width = picture.shape
    spectrum = np.fft.fft2(picture - picture.mean())
    rings = {}
    for i in range(height):
        for k in range(width // 2 + 1):
            frequency = math.hypot(min(i, height - i) / height, k / width)
            power = abs(spectrum[i, k]) ** 2 / (height * width)
            rings.setdefault(min(int(frequency / 0.5 * 16), 15), []).append(power)
    return [math.log(np.mean(rings.get(ring, 0)) + 1e-3) for ring in range(16)]


@pytest.mark.parametrize("size", [(41, 31), (18, 25), (6, 5)])
def test_ring_powers_are_their_definition(size):
    shown = grey(PHOTO[: size[0], : size[1]])
    np.testing.assert_allclose(ring_powers(shown), rings_by_the_definition(shown), rtol=1e-6, atol=1e-6)


def test_ring_powers_of_white_noise_are_flat_at_its_variance():
    np.testing.assert_allclose(ring_powers(noise(256, 192)), math.log(20**2), rtol=0, atol=0.4)


def test_ring_powers_of_blurred_noise_fall_by_the_square_of_the_filter_s_response():
    white = noise(256, 256)
    drop = ring_powers(white) - ring_powers(gaussian_filter(white, 1.0, mode="wrap"))
    assert (np.diff(drop) > 0).all()
    middles = (np.arange(16) + 0.5) / 32  # cycles a pixel
    np.testing.assert_allclose(drop[:10], ((2 * np.pi * middles) ** 2)[:10], rtol=0.1, atol=0.05)


def test_brightness_changes_no_statistic():
    shown = grey(PHOTO[:64, :64])
    np.testing.assert_allclose(forensic_statistics(shown + 7), forensic_statistics(shown), atol=1e-9)


def test_all_statistics_are_these_one_after_the_other():
    shown = grey(PHOTO[:50, :60])
    shares = [np.sqrt(co_occurrences(shown, step, order)) for order in (1, 2) for step in (1.0, 2.0)]
    expected = np.concatenate([*shares, phase_moments(shown), ring_powers(shown)])
    np.testing.assert_array_equal(forensic_statistics(shown), expected)
    assert len(expected) == LENGTH == 4 * 125 + 16 + 16


# Rich ----------------------------------------------------------------------------------------------


def known(count, seed=0):
    """Noise, and the same blurred by half a pixel, which is labelled generated: features and labels."""
    detector, rows, labels = Rich(), [], []
    for place in range(count):
        white = noise(64, 64, 3, seed=1000 * seed + place)
        shown = gaussian_filter(white, (0.5, 0.5, 0)) if place % 2 else white
        rows.append(detector.prepare(from_pixels(np.clip(np.rint(shown), 0, 255).astype(np.uint8))))
        labels.append(place % 2)
    return torch.stack(rows), torch.tensor(labels)


def fitted(batch, labels, sizes):
    detector = Rich().eval()
    detector.fit(zip(batch.split(sizes), labels.split(sizes), strict=True))
    return detector


def test_rich_is_fitted_to_tell_blurred_noise_it_has_not_seen_and_is_kept_in_a_file(tmp_path):
    detector = fitted(*known(24), [24])
    unseen, labels = known(12, seed=1)
    logits = detector(unseen)
    assert ((logits > 0) == (labels > 0)).all()
    save_tensors(tmp_path / "rich.safetensors", detector.state_dict(), {"of": "rich"})
    other = Rich().eval()
    assert not torch.equal(other(unseen), logits)
    load_strictly(other, load_tensors(tmp_path / "rich.safetensors")[0], "rich.safetensors")
    assert torch.equal(other(unseen), logits)


def test_rich_s_logits_are_scikit_learn_s_decision_function_on_standardised_statistics():
    from sklearn.linear_model import LogisticRegression

    batch, labels = known(20)
    values = batch.double().numpy()
    deviation = np.maximum(values.std(0, ddof=1), 1e-4)
    standardised = (values - values.mean(0)) / deviation
    model = LogisticRegression(C=0.01, max_iter=300).fit(standardised, labels.numpy())
    found = fitted(batch, labels, [20])(batch).detach().numpy()
    np.testing.assert_allclose(found, model.decision_function(standardised), rtol=1e-3, atol=1e-3)


def test_rich_is_fitted_alike_whatever_the_batches():
    batch, labels = known(16)
    whole, parts = (fitted(batch, labels, sizes)(batch) for sizes in ([16], [1, 9, 6]))
    torch.testing.assert_close(parts, whole, rtol=1e-4, atol=1e-5)


def test_rich_divides_by_no_deviation_of_nothing():
    batch = torch.rand(4, LENGTH)
    batch[:, :200] = 0.25
    detector = fitted(batch, torch.tensor([0, 1, 0, 1]), [4])
    assert torch.equal(detector.deviation[:200], torch.full((200,), 1e-4))
    assert torch.isfinite(detector(batch)).all()


@pytest.mark.parametrize("size", [(1, 1), (5, 9), (1, 300), (16, 16), (31, 4)])
@pytest.mark.parametrize("flat", [True, False])
def test_rich_has_finite_features_of_flat_and_of_tiny_pictures(size, flat):
    pixels = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    features = Rich().prepare(from_pixels(np.full_like(pixels, 90) if flat else pixels))
    assert features.shape == (LENGTH,)
    assert features.dtype == torch.float32
    assert torch.isfinite(features).all()


@pytest.mark.parametrize(
    "batches",
    [
        [],
        [(torch.rand(3, LENGTH), torch.ones(3, dtype=torch.int64))],
        [(torch.rand(2, LENGTH), torch.zeros(2, dtype=torch.int64))] * 2,
    ],
)
def test_rich_is_fitted_to_both_labels_or_not_at_all(batches):
    detector = Rich()
    before = {name: value.clone() for name, value in detector.state_dict().items()}
    with pytest.raises(DataError, match="not both"):
        detector.fit(batches)
    assert all(torch.equal(value, before[name]) for name, value in detector.state_dict().items())


@pytest.mark.parametrize("cost", [0.0, -1.0])
def test_a_cost_that_is_none_is_refused(cost):
    with pytest.raises(ConfigError, match=f"cost is above 0, not {cost}"):
        Rich(cost=cost)
