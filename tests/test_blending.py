"""Each step of self-blending against a slow writing-out of it, and what a blend must leave alone."""

import colorsys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pixelkin.lab import blending, faces

FACE = np.array([(64 + 30 * np.cos(a), 60 + 40 * np.sin(a)) for a in np.linspace(0, 6.2, 81)])


def noise(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def byte(value):
    return int(min(max(np.rint(value), 0), 255))


def mirrored(place, length):
    """Reflection at the middle of the first and of the last pixel."""
    place = abs(place) % (2 * (length - 1))
    return min(place, 2 * (length - 1) - place)


def within(place, length):
    return min(max(place, 0), length - 1)


def test_a_blend_is_the_formula():
    source, target = noise(5, 7), noise(5, 7, 1)
    mask = np.random.default_rng(2).random((5, 7))
    made = blending.blend(source, target, mask)
    for i, k, c in np.ndindex(made.shape):
        m = mask[i, k]
        assert made[i, k, c] == byte(m * float(source[i, k, c]) + (1 - m) * float(target[i, k, c]))


def test_where_the_mask_is_nothing_or_the_source_the_same_the_target_stays():
    source, target = noise(20, 30), noise(20, 30, 1)
    mask = np.random.default_rng(2).random((20, 30))
    assert (blending.blend(source, target, mask * 0.0) == target).all()
    assert (blending.blend(target, target, mask) == target).all()
    assert (blending.blend(source, target, mask * 0 + 1) == source).all()


def test_channels_and_brightness_change_by_their_formulas():
    pixels, by = noise(4, 5), np.array([-20.0, 3.4, 19.6])
    shifted, brighter = blending.shift_channels(pixels, by), blending.brighten(pixels, -0.07, 0.1)
    for i, k, c in np.ndindex(pixels.shape):
        assert shifted[i, k, c] == byte(pixels[i, k, c] + by[c])
        assert brighter[i, k, c] == byte(pixels[i, k, c] * 1.1 - 0.07 * 255)


@pytest.mark.parametrize("by", [(0, 0, 0), (-0.3, 0.2, -0.3), (40.5, -12.0, 30.0)])
def test_hue_saturation_and_value_move_in_whole_levels(by):
    pixels = np.concatenate([noise(8, 9), np.full((1, 9, 3), 77, np.uint8), np.zeros((1, 9, 3), np.uint8)])
    made = blending.shift_hsv(pixels, np.array(by, float))
    for i, k in np.ndindex(pixels.shape[:2]):
        hue, saturation, value = colorsys.rgb_to_hsv(*(pixels[i, k] / 255))
        hue = np.floor((np.rint(hue * 180) + by[0]) % 180) / 180
        saturation = np.floor(np.clip(np.rint(saturation * 255) + by[1], 0, 255)) / 255
        value = np.floor(np.clip(np.rint(value * 255) + by[2], 0, 255)) / 255
        expected = np.array(colorsys.hsv_to_rgb(hue, saturation, value)) * 255
        assert abs(made[i, k] - expected).max() <= 0.5 + 1e-6


@pytest.mark.parametrize("factor", [2, 4])
def test_a_coarse_picture_is_a_nearest_small_one_interpolated(factor):
    pixels = noise(16, 24)
    small = pixels[::factor, ::factor]
    made = blending.coarsen(pixels, factor)
    for i, k in np.ndindex(made.shape[:2]):
        y, x = (i + 0.5) / factor - 0.5, (k + 0.5) / factor - 0.5
        total = np.zeros(3)
        for top, left in np.ndindex(2, 2):
            row, column = int(np.floor(y)) + top, int(np.floor(x)) + left
            weight = (1 - abs(y - row)) * (1 - abs(x - column))
            total += weight * small[within(row, small.shape[0]), within(column, small.shape[1])]
        assert abs(made[i, k] - total).max() <= 1.5  # Pillow rounds after each axis


def test_sharpening_mixes_the_picture_with_its_laplacian():
    pixels, alpha, lightness = noise(6, 7), 0.35, 0.8
    made = blending.sharpen(pixels, alpha, lightness)
    for i, k, c in np.ndindex(made.shape):
        sharp = (8 + lightness) * float(pixels[i, k, c])
        for down, right in np.ndindex(3, 3):
            if (down, right) != (1, 1):
                sharp -= float(pixels[mirrored(i + down - 1, 6), mirrored(k + right - 1, 7), c])
        expected = np.clip(alpha * sharp + (1 - alpha) * float(pixels[i, k, c]), 0, 255)
        assert abs(made[i, k, c] - expected) <= 0.5 + 1e-6


def test_a_hull_holds_what_lies_on_the_inner_side_of_all_its_edges():
    corners = [(3, 2), (14, 5), (10, 12), (2, 9)]  # in order around
    points = np.array([*corners, (8, 7), (6, 5)], float)  # the last two lie inside
    mask = blending.hull_mask(points, 15, 18)
    for i, k in np.ndindex(mask.shape):
        sides = [
            (bx - ax) * (i - ay) - (by - ay) * (k - ax)
            for (ax, ay), (bx, by) in zip(corners, corners[1:] + corners[:1], strict=True)
        ]
        assert mask[i, k] == (min(sides) >= -1e-9)


def test_points_on_a_line_have_an_empty_hull():
    assert blending.hull_mask(np.array([(1.0, 1.0), (2.0, 2.0), (5.0, 5.0)]), 9, 9).sum() == 0


def test_a_move_samples_the_picture_about_its_middle():
    pixels, (down, right), scale = noise(9, 11), (1.3, -2.2), 1.04
    made = blending.move(pixels, (down, right), scale)
    for i, k in np.ndindex(made.shape[:2]):
        y, x = within((i - 4 - down) / scale + 4, 9), within((k - 5 - right) / scale + 5, 11)
        total = np.zeros(3)
        for row, column in np.ndindex(9, 11):
            total += max(0, 1 - abs(y - row)) * max(0, 1 - abs(x - column)) * pixels[row, column]
        assert abs(made[i, k] - total).max() <= 0.5 + 1e-6


def test_a_mask_moves_with_its_picture_and_keeps_its_two_values():
    disc = blending.hull_mask(FACE, 128, 128)
    moved = blending.move_mask(disc, (1.7, -3.1), 1.05)
    picture = np.repeat(disc[..., None] * 255, 3, -1).astype(np.uint8)
    assert set(np.unique(moved)) == {0.0, 1.0}
    assert (
        abs(blending.move(picture, (1.7, -3.1), 1.05)[..., 0] / 255 - moved).max() <= 0.76
    )  # nearest, bilinear
    assert (blending.move(picture, (0, 0), 1) == picture).all()


def test_a_warp_moves_each_pixel_by_a_smoothed_noise():
    mask = np.random.default_rng(1).random((9, 10))
    made = blending.warp(mask, np.random.default_rng(5), alpha=20, sigma=2)
    noises = np.random.default_rng(5)
    fields = [noises.uniform(-1, 1, mask.shape) for _ in range(2)]
    weights = np.exp(-(np.arange(-8, 9) ** 2) / 8)
    weights /= weights.sum()

    def smoothed(field, i, k):
        total = 0.0
        for down, right in np.ndindex(17, 17):
            # Reflection at the picture's border, which repeats the border's pixels.
            row = np.pad(np.arange(9), 8, "symmetric")[i + down]
            column = np.pad(np.arange(10), 8, "symmetric")[k + right]
            total += weights[down] * weights[right] * field[row, column]
        return total

    for i, k in np.ndindex(mask.shape):
        row, column = (round(p + 20 * smoothed(f, i, k)) for p, f in zip((i, k), fields, strict=True))
        assert made[i, k] == mask[mirrored(row, 9), mirrored(column, 10)]


def test_smoothing_is_a_gaussian_cut_to_its_kernel():
    mask, sigma = np.random.default_rng(0).random((9, 12)), 1.7
    made = blending.smooth(mask, 5, sigma)
    total = sum(np.exp(-(a * a + b * b) / (2 * sigma**2)) for a in range(-2, 3) for b in range(-2, 3))
    for i, k in np.ndindex(mask.shape):
        expected = sum(
            np.exp(-(a * a + b * b) / (2 * sigma**2)) * mask[mirrored(i + a, 9), mirrored(k + b, 12)]
            for a in range(-2, 3)
            for b in range(-2, 3)
        )
        assert made[i, k] == pytest.approx(expected / total, abs=1e-12)


def test_erosion_keeps_what_has_only_ones_within_the_kernel():
    mask = blending.hull_mask(FACE, 128, 128)
    made = blending.erode(mask, 7)
    for i, k in np.ndindex(mask.shape):
        around = mask[max(i - 3, 0) : i + 4, max(k - 3, 0) : k + 4]
        assert made[i, k] == around.all()


@pytest.mark.parametrize("seed", range(5))
def test_a_soft_mask_lies_in_0_to_1_and_reaches_one_inside(seed):
    mask = blending.hull_mask(FACE, 128, 128)
    soft = blending.soften(mask, np.random.default_rng(seed))
    assert soft.shape == mask.shape
    assert soft.min() == 0
    assert 0.98 < soft.max() <= 1
    assert ((soft > 0.02) & (soft < 0.98)).sum() > 0
    assert soft[60, 64] > 0.9


def test_no_mask_stays_none():
    assert blending.soften(np.zeros((40, 50)), np.random.default_rng(0)).max() == 0


@settings(max_examples=25, deadline=None)
@given(st.integers(64, 400), st.integers(64, 400), st.integers(0, 2**32), st.sampled_from([None, FACE]))
def test_any_picture_has_a_blend_by_its_seed_alone(height, width, seed, points):
    for pixels in (noise(height, width), np.full((height, width, 3), 128, np.uint8)):
        made, again = (blending.self_blend(pixels, np.random.default_rng(seed), points) for _ in range(2))
        assert made.dtype == np.uint8
        assert made.shape == pixels.shape
        assert (made == again).all()


def test_a_blend_changes_the_face_and_nothing_else():
    changed = np.zeros((128, 128), int)
    for seed in range(20):
        made = blending.self_blend(noise(128, 128), np.random.default_rng(seed), FACE)
        changed += (made != noise(128, 128)).any(-1)
    assert changed[60, 64] == 20
    assert changed[:10].sum() + changed[:, :20].sum() + changed[115:].sum() == 0


def test_a_random_outline_lies_inside_and_seeds_differ():
    for seed in range(50):
        points = blending.random_outline(100, 150, np.random.default_rng(seed))
        assert 8 <= len(points) <= 16
        assert points.min() >= 0
        assert (points.max(0) <= [149, 99]).all()
    first, second = (blending.self_blend(noise(90, 90), np.random.default_rng(s)) for s in (0, 1))
    assert (first != second).any()


def test_the_moves_and_the_forehead_are_drawn_as_the_paper_says():
    rng = np.random.default_rng(0)
    moves = [blending.random_move(200, 100, rng) for _ in range(300)]
    downs, rights = (np.abs([shift[axis] for shift, _ in moves]).max() for axis in (0, 1))
    scales = [scale for _, scale in moves]
    assert 2.5 < downs <= 3
    assert 2.5 < rights <= 3
    assert 0.95 <= min(scales) < max(scales) <= 1 / 0.95


def test_without_the_extra_no_face_is_found_and_that_is_said_once(monkeypatch, caplog):
    monkeypatch.setattr(faces, "find_spec", lambda _: None)
    faces._tools.cache_clear()
    with caplog.at_level("INFO"):
        assert faces.landmarks(noise(64, 64)) is None
        assert faces.crop_face(noise(64, 64)).shape == (64, 64, 3)
    faces._tools.cache_clear()
    assert [r.message for r in caplog.records] == ["faces are not looked for: pip install 'pixelkin[faces]'"]


class Box:
    def __init__(self, left, top, right, bottom):
        self.sides = left, top, right, bottom

    def __getattr__(self, name):
        return lambda: self.sides[["left", "top", "right", "bottom"].index(name)]

    def width(self):
        return self.sides[2] - self.sides[0] + 1

    def height(self):
        return self.sides[3] - self.sides[1] + 1

    def area(self):
        return self.width() * self.height()


class Points:
    def __init__(self, box):
        self.box = box

    def parts(self):
        return [type("Point", (), {"x": self.box.left() + n, "y": n})() for n in range(68)]


def test_the_greatest_of_the_faces_is_taken_and_its_box_enlarged_by_an_eighth(monkeypatch):
    found = [Box(5, 5, 20, 20), Box(40, 50, 79, 89), Box(0, 0, 9, 9)]
    monkeypatch.setattr(faces, "_tools", lambda: (lambda *_: found, lambda _, box: Points(box)))
    points = faces.landmarks(noise(92, 120))
    assert points.shape == (68, 2)
    assert points[0].tolist() == [40, 0]
    np.testing.assert_array_equal(faces.crop_face(noise(92, 120)), noise(92, 120)[45:92, 35:85])


def test_nothing_has_no_face():
    pytest.importorskip("dlib")
    assert faces.landmarks(np.full((128, 128, 3), 90, np.uint8)) is None
