"""What a small network can be given to see: each view against a slow writing-out of its definition."""

import math

import pytest
import torch
from tiny import EXAMPLES

from pixelkin.errors import ConfigError
from pixelkin.images import read
from pixelkin.lab.representations.neighbours import median_residual, neighbour_relation
from pixelkin.lab.representations.views import KV, VIEWS, check_views

RESIDUALS = sorted(VIEWS.keys() - {"pixels"})
SIZES = [(16, 24), (17, 23), (9, 2), (1, 40), (1, 1)]
CELLS = {"npr2": (2, 12), "npr4": (4, 8), "npr8": (8, 6)}  # side of a cell, scale


def view(name, x):
    return VIEWS[name].function(x)


def unlike(*shape):
    """Values in 0..1 of which no two are near: where the median's rank changes there is no derivative."""
    count = math.prod(shape)
    return ((torch.randperm(count, dtype=torch.float64) + 1) / (count + 1)).view(shape).requires_grad_()


def around(plane, i, k, reach):
    """The square of values around a place of an image (H, W), row by row; zero beyond its borders."""
    height, width = plane.shape
    places = [(i + r, k + s) for r in range(-reach, reach + 1) for s in range(-reach, reach + 1)]
    return [float(plane[r, s]) if 0 <= r < height and 0 <= s < width else 0.0 for r, s in places]


def each_pixel(x, of_pixel):
    """``of_pixel(plane, i, k)`` for every pixel of images (..., H, W)."""
    planes = x.reshape(-1, *x.shape[-2:])
    rows, columns = (range(length) for length in x.shape[-2:])
    return torch.tensor([[[of_pixel(p, i, k) for k in columns] for i in rows] for p in planes]).view(x.shape)


def less_the_median(plane, i, k):
    nine = around(plane, i, k, 1)
    nine[4] = 0.0
    return float(plane[i, k]) - sorted(nine)[4]


def less_the_mean(plane, i, k):
    return (float(plane[i, k]) - sum(around(plane, i, k, 1)) / 9) * 15


def filtered(plane, i, k):
    weights = [weight for row in KV for weight in row]
    return sum(w * v for w, v in zip(weights, around(plane, i, k, 2), strict=True)) / 12 * 20


# The median of neighbours --------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(7, 5), (3, 8, 9), (2, 3, 5, 4), (1, 6), (2, 1, 1)])
def test_a_median_residual_is_the_difference_from_the_fifth_smallest_of_nine(shape):
    x = torch.randn(shape)
    torch.testing.assert_close(median_residual(x), each_pixel(x, less_the_median), rtol=0, atol=1e-6)


def test_a_median_residual_among_equal_values_is_that_of_the_definition():
    x = torch.randint(-2, 3, (40, 6, 7)).float()
    assert torch.equal(median_residual(x), each_pixel(x, less_the_median))


def test_a_median_residual_passes_a_gradient_to_the_pixel_and_to_its_median():
    x = unlike(2, 5, 4)
    assert torch.autograd.gradcheck(median_residual, x)
    (given,) = torch.autograd.grad(median_residual(x)[0, 2, 2], x)
    median = sorted(set(x[0, 1:4, 1:4].flatten().tolist()) - {x[0, 2, 2].item()})[3]
    assert torch.equal(given, (x == x[0, 2, 2]).double() - (x == median).double())


# Views ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", VIEWS)
def test_a_view_has_the_channels_it_states_at_the_size_of_the_picture(name, size):
    x = torch.rand(2, 3, *size)
    seen = view(name, x)
    assert seen.shape == (2, VIEWS[name].channels, *size)
    torch.testing.assert_close(view(name, x[1]), seen[1], rtol=0, atol=1e-5)
    torch.testing.assert_close(view(name, x.double()), seen.double(), rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", VIEWS)
def test_a_view_passes_gradients(name):
    assert torch.autograd.gradcheck(lambda x: view(name, x), unlike(1, 3, 9, 8))


@pytest.mark.parametrize(
    ("name", "of_pixel"),
    [
        ("pixels", lambda plane, i, k: (float(plane[i, k]) - 0.5) / 0.25),
        ("median", lambda plane, i, k: less_the_median(plane, i, k) * 12),
        ("mean", less_the_mean),
        ("highpass", filtered),
    ],
)
@pytest.mark.parametrize("size", [(8, 6), (7, 9), (1, 3)])
def test_a_view_of_one_pixel_and_its_surroundings_is_its_definition(name, of_pixel, size):
    x = torch.rand(2, 3, *size)
    torch.testing.assert_close(view(name, x), each_pixel(x, of_pixel), rtol=0, atol=1e-4)


def test_phases_are_differences_from_four_neighbours_the_border_repeated():
    x = torch.rand(2, 3, 5, 7)
    expected = torch.empty(2, 12, 5, 7)
    for place, (down, right) in enumerate([(-1, 0), (0, -1), (-1, -1), (-1, 1)]):
        for i in range(5):
            for k in range(7):
                other = x[:, :, max(i + down, 0), min(max(k + right, 0), 6)]
                expected[:, 3 * place : 3 * place + 3, i, k] = (x[:, :, i, k] - other) * 12
    torch.testing.assert_close(view("phases", x), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("size", [(16, 24), (17, 23), (5, 3), (1, 9)])
@pytest.mark.parametrize("name", CELLS)
def test_a_relation_is_equation_4_with_the_last_row_and_column_repeated_to_whole_cells(name, size):
    x = torch.rand(2, 3, *size)
    period, scale = CELLS[name]
    rows, columns = (torch.arange(-(-length // period) * period).clamp(max=length - 1) for length in size)
    expected = neighbour_relation(x[..., rows, :][..., columns], period) * scale
    torch.testing.assert_close(view(name, x), expected[..., : size[0], : size[1]], rtol=0, atol=1e-5)


@pytest.mark.parametrize("shift", [(0, 1), (1, 0), (1, 1)])
def test_phases_do_not_depend_on_where_the_grid_begins_and_npr_does(shift):
    x = torch.rand(3, 20, 22)
    cropped = x[:, shift[0] :, shift[1] :]
    whole, part = ({name: view(name, each) for name in ("phases", "npr2")} for each in (x, cropped))
    moved = {name: seen[:, shift[0] :, shift[1] :] for name, seen in whole.items()}
    inside = (slice(None), slice(1, -1), slice(1, -1))
    assert torch.equal(part["phases"][inside], moved["phases"][inside])
    assert (part["npr2"] - moved["npr2"])[inside].abs().mean() > 1


@pytest.mark.parametrize("value", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("name", RESIDUALS)
def test_nothing_is_left_of_a_flat_picture_away_from_its_borders(name, value):
    assert view(name, torch.full((1, 3, 17, 20), value))[..., 2:-2, 2:-2].abs().max() < 1e-4


@pytest.mark.parametrize("name", RESIDUALS)
def test_a_residual_ignores_brightness_away_from_borders(name):
    x = torch.rand(3, 16, 16) / 2 + 0.2
    shifted, plain = (view(name, each)[:, 2:-2, 2:-2] for each in (x + 0.1, x))
    torch.testing.assert_close(shifted, plain, rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", VIEWS)
def test_views_of_photographs_vary_on_one_scale(name):
    photographs = [read(file).pixels[:256, :256] for file in sorted(EXAMPLES.glob("photo-*"))]
    shown = [torch.from_numpy(pixels).permute(2, 0, 1)[None] / 255 for pixels in photographs]
    assert 0.25 < sum(float(view(name, x).std()) for x in shown) / len(shown) < 2


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (("pixels", "npr3"), "no view is named npr3; the names are: pixels, npr2, "),
        (("Pixels", "edges"), "no view is named Pixels, edges; the names are: "),
        ((), "no view is named nothing; the names are: "),
    ],
)
def test_an_unknown_view_is_answered_with_the_known_ones(names, told):
    with pytest.raises(ConfigError) as refused:
        check_views(names)
    assert str(refused.value).startswith(told)
    assert str(refused.value).endswith(", ".join(VIEWS))


def test_known_views_are_let_pass_in_any_order():
    check_views(list(VIEWS)[::-1])
