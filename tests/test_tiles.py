"""Where a picture is looked at, for pictures of any size."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from pixelkin.tiles import (
    CHOICES,
    JOINS,
    by_texture,
    cut,
    in_words,
    look,
    of_each_tile,
    overview_and_textured,
    repeat_to,
    spread,
    textured,
    tile_boxes,
    trimmed_mean,
)

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


# Where there are more tiles than are looked at -----------------------------------------------------


def texture(pixels, box):
    """The sum of the differences of neighbouring pixels' green, one by one."""
    top, left, bottom, right = box
    green = pixels[top:bottom, left:right, 1].tolist()
    pairs = [pair for line in (*green, *zip(*green, strict=True)) for pair in pairwise(line)]
    return sum(abs(a - b) for a, b in pairs)


@pytest.mark.parametrize("turned", [0, 1, 2, 3])
def test_tiles_are_chosen_out_of_the_textured_half_of_a_picture(turned):
    pixels = np.full((256, 256, 3), 200, np.uint8)
    pixels[:, 128:] = noise(256, 128)
    boxes = textured(np.rot90(pixels, turned), 32, 16)
    assert len(boxes) == 16
    for top, left, bottom, right in boxes:
        assert np.rot90(pixels, turned)[top:bottom, left:right].std() > 50
    assert any(pixels[t:b, x:r].std() == 0 for t, x, b, r in spread(pixels, 32, 16))


@pytest.mark.parametrize(("size", "most"), [((96, 130), 5), ((64, 400), 1), ((31, 500), 9), ((201, 77), 20)])
def test_no_tile_that_is_left_out_has_more_texture_than_one_that_is_chosen(size, most):
    pixels = noise(*size)
    pixels = (pixels * np.linspace(0, 1, size[1])[:, None] ** 2).astype(np.uint8)
    chosen = textured(pixels, 16, most).tolist()
    rest = [box for box in spread(pixels, 16, 64).tolist() if box not in chosen]
    assert len(chosen) == most
    assert rest
    assert max(texture(pixels, box) for box in rest) <= min(texture(pixels, box) for box in chosen)


def test_red_and_blue_do_not_count_as_texture_and_great_differences_do_not_wrap():
    pixels = np.full((32, 96, 3), 250, np.uint8)
    pixels[:, :32, ::2] = noise(32, 32)[..., ::2]
    pixels[:, 32:64:2, 1] = 2  # a difference of 248, of 8 in eight bits
    pixels[:, 64::2, 1] = 200
    assert textured(pixels, 32, 1).tolist() == [[0, 32, 32, 64]]
    assert textured(pixels, 32, 2).tolist() == [[0, 32, 32, 64], [0, 64, 32, 96]]


@settings(deadline=None, max_examples=40)
@given(
    height=st.integers(1, 400), width=st.integers(1, 400), half=st.integers(8, 64), most=st.integers(1, 90)
)
@example(height=1, width=5000, half=16, most=16)
@example(height=5000, width=1, half=16, most=16)
@example(height=1, width=5000, half=16, most=1)
def test_textured_tiles_are_some_of_the_picture_s_in_reading_order(height, width, half, most):
    pixels, side = noise(height, width), 2 * half
    boxes = textured(pixels, side, most)
    top, left, bottom, right = boxes.T
    assert len(boxes) == min(most, len(spread(pixels, side, max(most, 64))))
    assert boxes.tolist() == sorted(boxes.tolist())
    assert len(np.unique(boxes, axis=0)) == len(boxes)
    assert (boxes[:, :2] % 2 == 0).all()
    assert (boxes[:, :2] >= 0).all()
    assert (bottom - top == min(side, height)).all()
    assert (right - left == min(side, width)).all()
    assert (bottom <= height).all()
    assert (right <= width).all()


@pytest.mark.parametrize(("size", "most"), [((100, 90), 12), ((100, 90), 40), ((1, 1), 1), ((700, 700), 90)])
def test_where_there_are_no_more_tiles_than_are_looked_at_texture_does_not_matter(size, most):
    pixels = noise(*size)
    np.testing.assert_array_equal(textured(pixels, 32, most), tile_boxes(*size, 32, most))


def test_of_equal_texture_as_many_tiles_are_chosen():
    assert len(textured(np.zeros((320, 320, 3), np.uint8), 32, 7)) == 7


def test_the_choices_are_these_and_are_told_in_words():
    assert {"spread": spread, "textured": textured, "overview": overview_and_textured} == CHOICES
    assert in_words(128, 16, "mean") == "at most 16 native-scale tiles of 128 px, logits joined by mean"
    assert in_words(64, 9, "trimmed", "textured") == (
        "at most 9 native-scale tiles of 64 px, the most textured ones, logits joined by trimmed"
    )
    assert in_words(224, 3, "overview", "overview") == (
        "the picture at 224 px and its 2 most textured native-scale tiles of 224 px"
    )


@pytest.mark.parametrize("size", [(64, 64), (40, 200), (900, 600), (301, 97)])
def test_an_overview_is_the_middle_square_and_the_most_textured_tiles_after_it(size):
    pixels = np.array(Image.fromarray(noise(8, 8)).resize(size[::-1], Image.Resampling.BICUBIC))
    boxes, tiles = look(pixels, "overview", 64, 3)
    shorter = min(size)
    top, left = ((side - shorter) // 2 for side in size)
    assert boxes[0].tolist() == [top, left, top + shorter, left + shorter]
    np.testing.assert_array_equal(boxes[1:], textured(pixels, 64, 2))
    assert tiles.shape == (len(boxes), 3, 64, 64)
    np.testing.assert_array_equal(tiles[1:], cut(pixels, boxes[1:], 64))
    square = Image.fromarray(pixels[top : top + shorter, left : left + shorter])
    near = np.asarray(square.resize((64, 64), Image.Resampling.BICUBIC), float)
    assert np.abs(tiles[0].transpose(1, 2, 0) - near).mean() < 3


def test_the_most_textured_tile_comes_first_by_texture():
    pixels = np.full((64, 256, 3), 128, np.uint8)
    pixels[:, 192:] = noise(64, 64)
    pixels[:, 64:128] = noise(64, 64) // 4
    assert by_texture(pixels, 64, 2)[:, 1].tolist() == [192, 64]


def test_the_overview_and_the_mean_of_the_native_tiles_add_up():
    logits = np.array([[2.0, 50.0, 0.1], [60.0, 1.0, 0.2], [70.0, -3.0, 0.3]])
    assert JOINS["overview"](logits) == 2.0 + (1.0 - 3.0) / 2
    np.testing.assert_array_equal(of_each_tile("overview", logits), [1.0, 3.0, -1.0])
    single = np.array([1.0, 2.0])
    assert of_each_tile("mean", single) is single


# Joining -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "joined"), [("mean", 1.0), ("median", 0.0), ("max", 4.0), ("trimmed", 1.0)])
def test_logits_are_joined_by_the_rule_of_that_name(name, joined):
    assert JOINS[name](np.array([-1.0, 0.0, 4.0])) == joined
    assert JOINS[name](np.array([4.0, -1.0, 0.0])) == joined


@pytest.mark.parametrize("name", sorted(set(JOINS) - {"overview"}))
def test_a_single_logit_is_joined_to_itself(name):
    assert JOINS[name](np.array([-2.5])) == -2.5


def test_the_rules_are_these():
    assert set(JOINS) == {"mean", "median", "max", "trimmed", "overview"}


@given(logits=st.lists(st.floats(-50, 50), min_size=1, max_size=40), seed=st.integers(0, 9))
def test_a_trimmed_mean_leaves_out_a_fifth_at_either_end(logits, seed):
    kept = sorted(logits)
    for _ in range(len(logits) // 5):
        kept.remove(min(kept))
        kept.remove(max(kept))
    shuffled = np.random.default_rng(seed).permutation(logits)
    assert trimmed_mean(shuffled) == pytest.approx(sum(kept) / len(kept), abs=1e-9)


def test_one_wild_logit_of_five_does_not_move_a_trimmed_mean():
    assert JOINS["trimmed"](np.array([1.0, 2.0, 3.0, 1e9, 2.0])) == pytest.approx(7 / 3)
    assert JOINS["trimmed"](np.array([-1e9, 2.0, 3.0, 4.0])) < -1e8
