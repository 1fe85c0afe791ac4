import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixelkin.tiles import JOINS, cut, repeat_to, tile_boxes

SIDES = st.integers(1, 3000)
TILES = st.integers(16, 128).map(lambda half: 2 * half)


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
    assert len(np.unique(boxes, axis=0)) == len(boxes)


@given(height=st.integers(1, 700), width=st.integers(1, 700), side=TILES)
def test_enough_tiles_cover_all_but_an_odd_last_row_and_column(height, width, side):
    seen = np.zeros((height, width), bool)
    for top, left, bottom, right in tile_boxes(height, width, side, 10_000):
        seen[top:bottom, left:right] = True
    assert seen[: max(height - 1, 1), : max(width - 1, 1)].all()


@pytest.mark.parametrize(
    ("size", "tiles"), [((1024, 1024), 16), ((427, 640), 16), ((128, 5000), 16), ((5000, 100), 16)]
)
def test_a_large_picture_gets_all_the_tiles_it_may(size, tiles):
    assert len(tile_boxes(*size, 128, 16)) == tiles


def test_a_tile_is_the_picture_s_own_pixels():
    pixels = np.random.default_rng(0).integers(0, 256, (90, 70, 3), np.uint8)
    boxes = tile_boxes(90, 70, 32, 9)
    tiles = cut(pixels, boxes, 32)
    assert tiles.shape == (len(boxes), 3, 32, 32)
    for tile, (top, left, bottom, right) in zip(tiles, boxes, strict=True):
        assert (tile.transpose(1, 2, 0) == pixels[top:bottom, left:right]).all()


def test_a_small_picture_is_repeated_with_its_grid_phase_kept():
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
    (tile,) = cut(pixels, tile_boxes(5, 7, 32, 4), 32)
    for y in range(32):
        for x in range(32):
            assert (tile[:, y, x] == pixels[y % 4, x % 6]).all()
    assert repeat_to(pixels[:1, :1], 4).shape == (4, 4, 3)


def test_joining_rules():
    logits = np.array([-1.0, 0.0, 4.0])
    assert {name: float(join(logits)) for name, join in JOINS.items()} == {
        "mean": 1.0,
        "median": 0.0,
        "max": 4.0,
    }
