"""Each spectrum against a slow writing-out of its definition, and its laws."""

import cmath
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.interpolate import interp1d

from pixelkin.lab.representations.spectra import (
    azimuthal_mean,
    centred_fourier,
    dct2,
    dct_matrix,
    high_pass,
    inverse_fourier,
    log_dct,
    log_magnitude,
    luma,
    resampled,
    squared_frequency_radius,
    squared_pixel_radius,
    standardised,
)

EXACT = {"rtol": 0, "atol": 1e-9}
SIZES = [(4, 4), (5, 7), (6, 9)]


def image(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width)).astype(float)


def dct_by_the_definition(x):
    """X[k, l] = a(k) a(l) sum of x[i, j] cos(pi k (2i + 1) / 2H) cos(pi l (2j + 1) / 2W)."""
    height, width = x.shape
    found = np.empty((height, width))
    for k in range(height):
        for l in range(width):  # noqa: E741
            total = 0.0
            for i in range(height):
                for j in range(width):
                    down = math.cos(math.pi * k * (2 * i + 1) / (2 * height))
                    total += x[i, j] * down * math.cos(math.pi * l * (2 * j + 1) / (2 * width))
            norms = [math.sqrt((1 if place == 0 else 2) / n) for place, n in ((k, height), (l, width))]
            found[k, l] = total * norms[0] * norms[1]
    return found


def fourier_by_the_definition(x):
    """F[u, v] = sum of x[i, j] exp(-2 pi i (ui / H + vj / W)), frequency zero moved to (H // 2, W // 2)."""
    height, width = x.shape
    found = np.empty((height, width), complex)
    for row in range(height):
        for column in range(width):
            u, v = row - height // 2, column - width // 2
            found[row, column] = sum(
                x[i, j] * cmath.exp(-2j * math.pi * (u * i / height + v * j / width))
                for i in range(height)
                for j in range(width)
            )
    return found


def rings_by_the_definition(x):
    """Means over rings of equal integer distance from the centre, the first and the last left out."""
    height, width = x.shape
    rings = {}
    for i in range(height):
        for j in range(width):
            distance = math.sqrt((j - (width - 1) / 2) ** 2 + (i - (height - 1) / 2) ** 2)
            rings.setdefault(math.floor(distance), []).append(x[i, j])
    return [sum(rings[place]) / len(rings[place]) for place in sorted(rings)[1:-1]]


@pytest.mark.parametrize("size", SIZES)
def test_the_cosine_transform_is_its_definition(size):
    x = image(*size)
    expected = dct_by_the_definition(x)
    np.testing.assert_allclose(dct2(torch.tensor(x)), expected, **EXACT)
    logarithms = [[math.log(abs(c) + 1e-12) for c in row] for row in dct2(torch.tensor(x)).tolist()]
    np.testing.assert_allclose(log_dct(torch.tensor(x)), logarithms, **EXACT)


@settings(deadline=None)
@given(n=st.integers(1, 70))
def test_a_cosine_matrix_is_orthonormal(n):
    matrix = dct_matrix(n, torch.float64)
    torch.testing.assert_close(matrix @ matrix.T, torch.eye(n, dtype=torch.float64), **EXACT)
    assert dct_matrix(n).dtype == torch.float32


def test_a_batch_is_transformed_image_by_image():
    x = torch.rand(2, 3, 6, 8)
    torch.testing.assert_close(dct2(x)[1, 2], dct2(x[1, 2]))
    assert dct2(x).dtype == torch.float32


def test_luma_is_the_rounded_standard_one():
    pixels = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (3, 60, 60), np.uint8))
    exact = 0.299 * pixels[0].double() + 0.587 * pixels[1].double() + 0.114 * pixels[2].double()
    grey = luma(pixels)[0]
    assert (grey - exact).abs().max() <= 0.5 + 0.01  # the integers' own error
    assert torch.equal(grey, grey.round())
    for value in (0, 77, 255):
        assert float(luma(torch.full((3, 1, 1), value, dtype=torch.uint8))) == value


@pytest.mark.parametrize("size", SIZES)
def test_the_log_magnitude_is_its_definition(size):
    x = image(*size)
    expected = [[20 * math.log(abs(f + 1e-8)) for f in row] for row in fourier_by_the_definition(x)]
    np.testing.assert_allclose(log_magnitude(x), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("size", [(4, 4), (5, 5), (12, 12), (9, 17), (17, 4), (3, 30), (1, 12), (40, 2)])
def test_the_azimuthal_mean_is_its_definition(size):
    x = image(*size)
    np.testing.assert_allclose(azimuthal_mean(x), rings_by_the_definition(x), **EXACT)


@pytest.mark.parametrize(("side", "rings"), [(128, 88), (224, 156), (256, 179), (299, 209), (1024, 722)])
def test_a_profile_has_the_official_program_s_length(side, rings):
    assert azimuthal_mean(np.zeros((side, side))).shape == (rings,)


@settings(deadline=None)
@given(height=st.integers(1, 40), width=st.integers(1, 40))
def test_every_picture_has_a_finite_profile(height, width):
    profile = azimuthal_mean(log_magnitude(image(height, width)))
    assert len(profile) >= 1
    assert np.isfinite(profile).all()
    assert np.isfinite(resampled(profile, 11)).all()


@pytest.mark.parametrize("length", [4, 7, 88, 300])
def test_resampling_is_scipy_s_cubic_interpolation(length):
    profile = image(1, 88)[0]
    expected = interp1d(np.linspace(0, 300, 88), profile, kind="cubic")(np.linspace(0, 300, length))
    np.testing.assert_allclose(resampled(profile, length), expected, rtol=0, atol=1e-6)


def test_a_short_profile_is_resampled_linearly_and_one_of_the_right_length_not_at_all():
    np.testing.assert_allclose(resampled(np.array([0.0, 2.0, 3.0]), 5), [0, 1, 2, 2.5, 3])
    np.testing.assert_allclose(resampled(np.array([4.0]), 3), [4, 4, 4])
    profile = np.array([1.0, 5.0, 2.0, 7.0])
    assert resampled(profile, 4) is profile


@pytest.mark.parametrize("size", SIZES)
def test_the_fourier_matrices_are_the_definition_and_invert(size):
    x = image(*size)
    real, imaginary = centred_fourier(torch.tensor(x))
    expected = fourier_by_the_definition(x)
    np.testing.assert_allclose(real, expected.real, **EXACT)
    np.testing.assert_allclose(imaginary, expected.imag, **EXACT)
    np.testing.assert_allclose(inverse_fourier(real, imaginary), x, **EXACT)


@pytest.mark.parametrize("size", [(4, 4), (5, 7), (1, 3)])
def test_the_high_pass_filters_are_their_formulas(size):
    height, width = size
    in_picture = high_pass(squared_pixel_radius(height, width), 0.3)
    in_spectrum = high_pass(squared_frequency_radius(height, width), 0.7)
    for i in range(height):
        for j in range(width):
            middle = (height - 1) / 2, (width - 1) / 2
            r = math.dist((i, j), middle) / math.dist((0, 0), middle)
            assert float(in_picture[i, j]) == pytest.approx(1 - math.exp(-(r**2) / (2 * 0.3**2)))
            cycles = math.hypot((i - height // 2) / height, (j - width // 2) / width)
            r = cycles / math.hypot(0.5, 0.5)
            assert float(in_spectrum[i, j]) == pytest.approx(1 - math.exp(-(r**2) / (2 * 0.7**2)))


def test_standardised_images_have_mean_zero_and_deviation_one_and_flat_ones_are_zero():
    x = standardised(torch.rand(2, 3, 5, 6, dtype=torch.float64) * 40 + 7)
    torch.testing.assert_close(x.mean((-2, -1)), torch.zeros(2, 3, dtype=torch.float64), **EXACT)
    torch.testing.assert_close(
        x.std((-2, -1), unbiased=False), torch.ones(2, 3, dtype=torch.float64), **EXACT
    )
    assert standardised(torch.full((1, 4, 4), 3.0)).abs().max() == 0
