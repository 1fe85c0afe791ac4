"""Maps of where and why: relations, spectra, tiles, occlusion, and their pictures."""

import numpy as np
import pytest
import torch
from pairs_model import logit_of, pairs_model, planted
from tiny import EXAMPLES

import pixelkin
from pixelkin import explain
from pixelkin.errors import ConfigError, ExplanationError
from pixelkin.explain.occlusion import neutral
from pixelkin.images import from_pixels, read
from pixelkin.lab import representations
from pixelkin.tiles import overlapping_boxes

RNG = np.random.default_rng(0)
FUR = read(EXAMPLES / "photo-chelsea.png")
TABLE = read(EXAMPLES / "photo-coffee.png")
EXACT = {"rtol": 1e-5, "atol": 1e-4}


def slow_relation(pixels, period, reference):
    height, width, channels = pixels.shape
    found = np.zeros((height - height % period, width - width % period, channels))
    for y, x, c in np.ndindex(found.shape):
        top, left = y - y % period, x - x % period
        cell = [float(pixels[top + i, left + k, c]) for i in range(period) for k in range(period)]
        anchor = {"mean": sum(cell) / len(cell), "max": max(cell)}.get(reference) or 0.0
        if not isinstance(reference, str):
            anchor = cell[reference - 1]
        found[y, x, c] = pixels[y, x, c] - anchor
    return found


@pytest.mark.parametrize(
    ("period", "reference"), [(2, 1), (2, 2), (2, 4), (3, 5), (4, 16), (2, "mean"), (3, "max"), (5, "mean")]
)
def test_the_relation_is_the_equations_and_the_laboratorys(period, reference):
    pixels = RNG.integers(0, 256, (11, 14, 3), np.uint8)
    found = explain.neighbour_relation(pixels, period, reference)
    np.testing.assert_allclose(found, slow_relation(pixels, period, reference), **EXACT)
    planes = torch.from_numpy(pixels).permute(2, 0, 1).float()
    theirs = representations.neighbour_relation(planes, period, reference)
    np.testing.assert_allclose(found, theirs.permute(1, 2, 0).numpy(), **EXACT)


@pytest.mark.parametrize(("period", "reference"), [(1, 1), (2, 0), (2, 5), (2, "median")])
def test_a_cell_that_the_equation_does_not_have_is_refused(period, reference):
    with pytest.raises(ConfigError):
        explain.relation_image(FUR.pixels, period, reference)


def test_a_picture_without_a_whole_cell_has_no_relation():
    with pytest.raises(ExplanationError, match="1 x 4 pixels hold no cell of 2 x 2"):
        explain.neighbour_relation(np.zeros((4, 1, 3), np.uint8))


def test_the_relation_as_a_picture_has_its_size_and_a_stated_scale():
    pixels = np.full((5, 7, 3), 100, np.uint8)
    pixels[1, 1] = (116, 84, 255)
    image = explain.relation_image(pixels, span=32)
    assert image.shape == pixels.shape
    assert image[1, 1].tolist() == [round(128 + 127 / 2), round(128 - 127 / 2), 255]
    image[1, 1] = 128
    assert (image == 128).all()


def test_channels_are_blue_below_white_at_and_red_above_the_reference():
    relation = np.array([[[-8.0, 0, 8], [np.nan, -80, 80]]], np.float32)
    red, green, blue = explain.channel_images(relation, 8)
    assert (red[0, 0], green[0, 0], blue[0, 0]) == pytest.approx(explain.RAMP.astype(int))
    assert (red[0, 1] == 128).all()
    assert (green[0, 1] == red[0, 0]).all()
    assert (blue[0, 1] == blue[0, 0]).all()


def test_a_picture_and_itself_differ_in_no_relation_and_another_size_is_refused():
    assert not explain.relation_difference(FUR.pixels, FUR.pixels).any()
    nearest = FUR.pixels[:300:2, :450:2].repeat(2, 0).repeat(2, 1)
    crop = FUR.pixels[:300, :450]
    gone = explain.relation_difference(crop, nearest)
    np.testing.assert_array_equal(gone, -explain.neighbour_relation(crop))
    with pytest.raises(ExplanationError, match="451 x 300 and 450 x 300"):
        explain.relation_difference(FUR.pixels, crop)


def test_the_span_of_a_map_covers_nearly_all_of_it():
    values = np.arange(-100, 101, dtype=np.float32)
    assert explain.span_of(values) == 99
    assert explain.span_of(np.zeros(4, np.float32)) == 1


def test_a_wave_is_a_pair_of_peaks_in_the_spectrum_and_one_in_the_profile():
    height, width = 96, 160
    rows, columns = np.mgrid[:height, :width]
    wave = 20 * np.cos(2 * np.pi * (0.25 * rows + 0.125 * columns))
    spectrum = explain.power_spectrum(wave)
    peaks = np.argwhere(spectrum == spectrum.max())
    places = {(y - height // 2, x - width // 2) for y, x in peaks.tolist()}
    assert places <= {(24, 20), (-24, -20)}
    frequencies, powers = explain.radial_profile(spectrum)
    assert frequencies[np.argmax(powers)] == pytest.approx(np.hypot(0.25, 0.125), abs=0.02)


def test_white_noise_has_its_variance_as_power_at_every_frequency():
    noise = RNG.normal(0, 4, (256, 200))
    _, powers = explain.radial_profile(explain.power_spectrum(noise), 16)
    # The mean of a logarithm of an exponential variable lies 2.51 dB below that of its mean.
    np.testing.assert_allclose(powers[1:], 10 * np.log10(16) - 2.51, atol=0.6)


def test_the_profile_is_the_mean_over_each_ring():
    spectrum = RNG.normal(size=(14, 9))
    frequencies, means = explain.radial_profile(spectrum, 3)
    rings = [[] for _ in range(3)]
    for y, x in np.ndindex(spectrum.shape):
        frequency = np.hypot((y - 7) / 14, (x - 4) / 9)
        if frequency < 0.5 - 1e-9:
            rings[int(frequency * 6 + 1e-9)].append(spectrum[y, x])
    np.testing.assert_allclose(means, [np.mean(ring) for ring in rings])
    np.testing.assert_allclose(frequencies, [1 / 12, 3 / 12, 5 / 12])


def test_what_has_no_spectrum_is_refused():
    with pytest.raises(ExplanationError, match="5 x 40"):
        explain.power_spectrum(np.zeros((40, 5, 3), np.uint8))


@pytest.mark.parametrize("size", [(300, 451), (64, 64), (31, 200), (1, 1), (128, 129)])
def test_overlapping_tiles_cover_a_picture_on_even_corners(size):
    boxes = overlapping_boxes(*size, 64, 1000)
    seen = np.zeros(size, int)
    for top, left, bottom, right in boxes:
        assert top % 2 == left % 2 == 0
        seen[top:bottom, left:right] += 1
    rest = [slice(None, side - side % 2 or None) for side in size]
    assert seen[tuple(rest)].all()
    assert len(overlapping_boxes(*size, 64, 5)) <= 5


def test_the_tile_map_is_the_mean_log_odds_of_the_tiles_over_each_pixel():
    picture = from_pixels(np.ascontiguousarray(planted(FUR.pixels, 0, 0, 32)[:45, :70]))
    model = pairs_model(tile=32, temperature=2.0)
    told = [[[] for _ in range(70)] for _ in range(45)]
    for top, left, bottom, right in overlapping_boxes(45, 70, 32, 100).tolist():
        logit = logit_of(picture.pixels[top:bottom, left:right]) / 2
        for y in range(top, bottom):
            for x in range(left, right):
                told[y][x].append(logit)
    expected = [[np.mean(each) if each else np.nan for each in row] for row in told]
    np.testing.assert_allclose(explain.tile_map(model, picture), expected, **EXACT)


@pytest.mark.parametrize(("join", "most"), [("mean", 40), ("median", 9), ("trimmed", 1)])
def test_the_occlusion_map_is_the_log_odds_lost_with_each_square(join, most):
    picture = from_pixels(np.ascontiguousarray(planted(FUR.pixels, 32, 32, 32)[:64, :97]))
    model = pairs_model(tile=32, most_tiles=6, temperature=2.0, join=join)
    found = explain.occlusion_map(model, picture, most, seed=3)
    assert found.passes <= max(most, 6)
    rng, boxes = np.random.default_rng(3), model.detect(picture).boxes
    expected = np.full((64, 97), np.nan)
    seen = np.zeros((64, 97), bool)
    for top, left, bottom, right in boxes:
        seen[top:bottom, left:right] = True
    for top in range(0, 64, found.side):
        for left in range(0, 97, found.side):
            bottom, right = min(top + found.side, 64), min(left + found.side, 97)
            if not seen[top:bottom, left:right].any():
                continue
            hidden = picture.pixels.copy()
            hidden[top:bottom, left:right] = neutral(picture.pixels, (top, left, bottom, right), rng)
            tiles = np.stack([hidden[t:b, x:r].transpose(2, 0, 1) for t, x, b, r in boxes])
            without = pixelkin.model.JOINS[join](model.logits(tiles)) / 2
            expected[top:bottom, left:right] = model.detect(picture).logit / 2 - without
    expected[~seen] = np.nan
    np.testing.assert_allclose(found.log_odds, expected, **EXACT)


def test_neutral_content_keeps_level_and_detail_and_loses_the_relation():
    square = (40, 60, 72, 92)
    rows, columns = slice(40, 72), slice(60, 92)
    doubled = planted(FUR.pixels, 40, 60, 32)
    filled = neutral(doubled, square, np.random.default_rng(0))
    own = doubled[rows, columns].astype(float)
    assert filled.shape == own.shape
    np.testing.assert_allclose(filled.mean((0, 1)), own.mean((0, 1)), atol=1)
    assert filled.std() == pytest.approx(own.std(), rel=0.2)
    assert logit_of(doubled[rows, columns]) == 4
    assert logit_of(filled) < -2


def test_both_maps_find_a_generated_patch_in_a_photograph():
    top, left, side = 128, 192, 64
    picture = from_pixels(planted(TABLE.pixels, top, left, side))
    model = pairs_model(tile=64, most_tiles=128)
    patch = np.zeros(picture.pixels.shape[:2], bool)
    patch[top : top + side, left : left + side] = True

    occluded = explain.occlusion_map(model, picture).log_odds
    assert occluded.shape == patch.shape
    mass = np.clip(np.nan_to_num(occluded), 0, None)
    assert mass[patch].sum() > 0.9 * mass.sum()
    assert occluded[patch].min() > np.nanmax(occluded[~patch])

    tiles = explain.tile_map(model, picture)
    assert patch[np.unravel_index(np.nanargmax(tiles), tiles.shape)]
    assert tiles[patch].mean() > np.nanquantile(tiles[~patch], 0.95)


def test_occlusion_finds_nothing_where_nothing_was_planted():
    found = explain.occlusion_map(pairs_model(tile=64, most_tiles=64), TABLE, 60)
    assert np.nanmax(np.abs(found.log_odds)) < 0.1


@pytest.mark.parametrize("size", [(300, 451), (97, 131), (1, 1), (3, 90)])
def test_the_shipped_models_maps_have_the_pictures_size(size):
    model = pixelkin.load(threads=1)
    picture = from_pixels(np.ascontiguousarray(FUR.pixels[: size[0], : size[1]]))
    assert explain.tile_map(model, picture, 4).shape == size
    found = explain.occlusion_map(model, picture, 8)
    assert found.log_odds.shape == size
    assert np.isfinite(found.log_odds).any()
    assert found.passes <= max(8, len(model.detect(picture).boxes))
    again = explain.occlusion_map(model, picture, 8)
    np.testing.assert_array_equal(found.log_odds, again.log_odds)


def test_an_overlay_colours_what_was_seen_and_leaves_the_rest():
    picture = from_pixels(RNG.integers(0, 256, (6, 8, 3), np.uint8))
    heat = np.full((6, 8), np.nan, np.float32)
    heat[2:4, 2:4] = [[0, 0.5], [1, 1]]
    over = explain.heat_overlay(picture, heat, 1.0)
    blue, white, red = explain.RAMP
    assert (over[2, 2] == blue).all()
    assert (over[2, 3] == np.rint(white)).all()
    assert (over[3, 2:4] == red).all()
    unseen = np.isnan(heat)
    np.testing.assert_array_equal(over[unseen], picture.pixels[unseen])
    np.testing.assert_array_equal(explain.heat_overlay(picture, heat, 0.0), picture.pixels)
    with pytest.raises(ExplanationError, match="does not lie over"):
        explain.heat_overlay(picture, heat[:5])
