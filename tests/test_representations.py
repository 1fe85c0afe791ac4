"""Each representation against a slow writing-out of its definition, and its laws."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pixelkin.errors import ConfigError
from pixelkin.lab.representations import neighbour_relation

REFERENCES = [(l, j) for l in (2, 3, 4) for j in (*range(1, l * l + 1), "mean", "max")]  # noqa: E741


def by_the_equation(x, period, reference):
    """Eq. 4, cell by cell: v = {w_1 ... w_n}, then {w_i - w_j}."""
    channels, height, width = x.shape
    height, width = height - height % period, width - width % period
    relation = torch.empty(channels, height, width)
    for c in range(channels):
        for top in range(0, height, period):
            for left in range(0, width, period):
                places = [(top + r, left + s) for r in range(period) for s in range(period)]
                w = [float(x[c, i, k]) for i, k in places]
                anchors = {"mean": sum(w) / len(w), "max": max(w)}
                w_j = anchors[reference] if reference in anchors else w[reference - 1]
                for (i, k), w_i in zip(places, w, strict=True):
                    relation[c, i, k] = w_i - w_j
    return relation


@pytest.mark.parametrize(("period", "reference"), REFERENCES)
@pytest.mark.parametrize("size", [(12, 12), (13, 17)])
def test_neighbour_relation_is_equation_4(period, reference, size):
    x = torch.rand(3, *size)
    expected = by_the_equation(x, period, reference)
    torch.testing.assert_close(neighbour_relation(x, period, reference), expected, rtol=0, atol=1e-6)


def test_the_paper_s_choice_is_what_the_official_program_computes():
    x = torch.rand(2, 3, 10, 14)
    small = torch.nn.functional.interpolate(x, scale_factor=0.5, mode="nearest", recompute_scale_factor=True)
    up = torch.nn.functional.interpolate(small, scale_factor=2, mode="nearest", recompute_scale_factor=True)
    torch.testing.assert_close(neighbour_relation(x), x - up, rtol=0, atol=0)


@given(case=st.sampled_from(REFERENCES), cells=st.integers(1, 4), shift=st.floats(-1, 1))
def test_a_relation_ignores_brightness_and_vanishes_on_nearest_up_sampled_images(case, cells, shift):
    period, reference = case
    small = torch.rand(3, cells, cells)
    upsampled = small.repeat_interleave(period, -2).repeat_interleave(period, -1)
    assert neighbour_relation(upsampled, period, reference).abs().max() < 1e-6
    x = torch.rand(3, cells * period, cells * period)
    brighter, plain = (neighbour_relation(image, period, reference) for image in (x + shift, x))
    torch.testing.assert_close(brighter, plain, rtol=0, atol=1e-5)


def test_a_pixel_that_is_its_own_reference_is_zero():
    relation = neighbour_relation(torch.rand(3, 9, 9), 3, 5)
    assert relation[..., 1::3, 1::3].abs().max() == 0
    assert relation[..., 0::3, 0::3].abs().min() > 0


def test_a_relation_is_differentiable():
    x = torch.rand(1, 3, 6, 6, requires_grad=True)
    neighbour_relation(x, 2, "max").square().sum().backward()
    assert x.grad is not None
    assert x.grad.abs().sum() > 0


@pytest.mark.parametrize(
    ("period", "reference", "told"),
    [(1, 1, "2 or more"), (2, 5, "1 to 4"), (3, 0, "1 to 9"), (2, "median", "mean or max")],
)
def test_a_cell_the_equation_does_not_have_is_refused(period, reference, told):
    with pytest.raises(ConfigError, match=told):
        neighbour_relation(torch.rand(3, 8, 8), period, reference)
