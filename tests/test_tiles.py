"""Where a picture is looked at, for pictures of any size."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pixelkin.tiles import JOINS, cut, repeat_to, tile_boxes

SIDES = st.integers(1, 3000)
TILES = st.integers(16, 128).map(lambda half: 2 * half)
SMALL = st.integers(1, 150)


def noise(height, width):
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)


@settings(deadline=None)
@given(height=SIDES, width=SIDES, side=TILES, most=st.integers(1, 40))
def test_tiles_lie_inside_the_picture_on_even_corners_and_are_not_too_many(height, width, side, most):
    boxes = tile_boxes(height, width, side, most)
    top, left, bottom, right = boxes.T
    assert 1 <= len(boxes) <= most
    assert (boxes >= 0).all()
    assert (bottom <= height).all()
    assert (right <= width).all()
    assert (top % 2 == 0).all()
    assert (left % 2 == 0).all()
    assert (bottom - top == min(side, height)).all()
    assert (right - left == min(side, width)).all()


@settings(deadline=None)
@given(height=SIDES, width=SIDES, side=TILES, most=st.integers(1, 40))
@example(height=1, width=33, side=32, most=2)
def test_no_tile_is_looked_at_twice(height, width, side, most):
    boxes = tile_boxes(height, width, side, most)
    assert len(np.unique(boxes, axis=0)) == len(boxes)


@settings(deadline=None)
@given(height=SIDES, width=SIDES, side=TILES)
def test_just_enough_tiles_cover_all_but_an_odd_last_row_and_column(height, width, side):
    enough = -(-height // side) * -(-width // side)
    seen = np.zeros((height, width), bool)
    for top, left, bottom, right in tile_boxes(height, width, side, enough):
        seen[top:bottom, left:right] = True
    assert seen[: max(height - height % 2, 1), : max(width - width % 2, 1)].all()


@pytest.mark.parametrize(
    ("size", "tiles"), [((1024, 1024), 16), ((427, 640), 16), ((128, 5000), 16), ((5000, 100), 16)]
)
def test_a_large_picture_gets_all_the_tiles_it_may(size, tiles):
    assert len(tile_boxes(*size, 128, 16)) == tiles


def test_a_single_tile_lies_at_the_middle():
    assert tile_boxes(300, 500, 100, 1).tolist() == [[100, 200, 200, 300]]


def test_a_tile_is_the_picture_s_own_pixels():
    pixels = noise(90, 70)
    boxes = tile_boxes(90, 70, 32, 9)
    tiles = cut(pixels, boxes, 32)
    assert tiles.shape == (len(boxes), 3, 32, 32)
    assert tiles.dtype == np.uint8
    for tile, (top, left, bottom, right) in zip(tiles, boxes, strict=True):
        assert (tile.transpose(1, 2, 0) == pixels[top:bottom, left:right]).all()


@settings(deadline=None)
@given(height=SMALL, width=SMALL, half=st.integers(16, 40), most=st.integers(1, 9))
def test_tiles_of_any_picture_are_its_boxes_repeated_by_even_periods(height, width, half, most):
    pixels, side = noise(height, width), 2 * half
    boxes = tile_boxes(height, width, side, most)
    tiles = cut(pixels, boxes, side)
    assert tiles.shape == (len(boxes), 3, side, side)
    rows, columns = (side if have >= side else max(have - have % 2, 1) for have in (height, width))
    y, x = np.arange(side)[:, None] % rows, np.arange(side) % columns
    for tile, (top, left, _, _) in zip(tiles, boxes, strict=True):
        assert (tile.transpose(1, 2, 0) == pixels[top + y, left + x]).all()


def test_a_small_picture_is_repeated_with_its_grid_phase_kept():
    pixels = noise(5, 7)
    (tile,) = cut(pixels, tile_boxes(5, 7, 32, 4), 32)
    for y in range(32):
        for x in range(32):
            assert (tile[:, y, x] == pixels[y % 4, x % 6]).all()


def test_a_single_pixel_fills_a_tile():
    pixels = noise(1, 1)
    assert (repeat_to(pixels, 4) == np.broadcast_to(pixels, (4, 4, 3))).all()


@pytest.mark.parametrize(("name", "joined"), [("mean", 1.0), ("median", 0.0), ("max", 4.0)])
def test_logits_are_joined_by_the_rule_of_that_name(name, joined):
    assert JOINS[name](np.array([-1.0, 0.0, 4.0])) == joined
    assert JOINS[name](np.array([4.0, -1.0, 0.0])) == joined


@pytest.mark.parametrize("name", JOINS)
def test_a_single_logit_is_joined_to_itself(name):
    assert JOINS[name](np.array([-2.5])) == -2.5


def test_the_rules_are_these():
    assert set(JOINS) == {"mean", "median", "max"}
