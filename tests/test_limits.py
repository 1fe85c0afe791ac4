"""What docs/limits.md tells: its tables are what was measured, by evasions that are what they claim to be."""

import json
import math

import evasions
import gradient
import limits
import limits_page
import numpy as np
import pytest
import torch
from PIL import Image
from tiny import EXAMPLES

from pixelkin import models
from pixelkin.caution import CAUTION
from pixelkin.errors import DataError, ParityError, WeightsError
from pixelkin.images import from_pixels, read
from pixelkin.lab import recapture
from pixelkin.model import Model

DOCS = EXAMPLES.parent / "docs"
CAUTIOUS = ("limits", "quickstart", "scale", "service", "model-card")
PHOTO = read(EXAMPLES / "photo-chelsea.png").pixels
MEASURED = (
    "kin-2"  # the network whose own slopes are known; kin-3 reads an encoder that is not differentiated
)
DATA = {name: (models.folder() / shipped.file).read_bytes() for name, shipped in models.SHIPPED.items()}


@pytest.fixture(scope="module")
def model():
    return Model(DATA[MEASURED], threads=1)


@pytest.fixture(scope="module")
def network(model):
    return gradient.network_of(DATA[MEASURED], model)


@pytest.fixture
def record():
    return json.loads((DOCS / limits.RECORD).read_text("utf-8"))


def grey(level, height=120, width=180):
    return np.full((height, width, 3), level, np.uint8)


def test_the_page_of_limits_is_what_was_measured(record):
    page = (DOCS / limits.PAGE).read_text("utf-8")
    assert page == limits_page.page(page, record), "make it anew: python benchmarks/limits.py"


def test_the_page_tells_which_shipped_model_was_measured(record):
    name = record["model"]["name"]
    assert record["model"]["sha256"] == models.SHIPPED[name].sha256
    if name != models.DEFAULT:
        words = " ".join((DOCS / limits.PAGE).read_text("utf-8").split())
        assert f"measured with {name}, not with {models.DEFAULT}" in words


@pytest.mark.parametrize("page", ["README.md", *(f"docs/{name}.md" for name in CAUTIOUS)])
def test_pages_that_tell_of_verdicts_say_the_caution_in_its_words(page):
    assert CAUTION.rstrip(".") in (DOCS.parent / page).read_text("utf-8")


def test_a_page_without_its_marks_is_refused(record):
    with pytest.raises(DataError, match="no part between"):
        limits_page.page("# Limits", record)


@pytest.mark.parametrize("prevalence", [0.01, 0.1, 0.5])
def test_what_a_verdict_is_worth_is_its_share_of_right_ones_among_many(prevalence):
    rng = np.random.default_rng(0)
    generated = rng.random(2_000_000) < prevalence
    called = rng.random(2_000_000) < np.where(generated, 0.32, 0.026)
    assert limits_page.worth(0.32, 0.026, prevalence) == pytest.approx(generated[called].mean(), abs=0.01)
    assert math.isnan(limits_page.worth(0, 0, prevalence))


def test_the_network_answers_as_the_file_it_was_taken_from(network, model):
    for height, width in ((128, 128), (96, 130), (33, 65)):
        tiles = np.ascontiguousarray(PHOTO[:height, :width].transpose(2, 0, 1)[None])
        with torch.inference_mode():
            said = network.from_pixels(torch.from_numpy(tiles)).numpy()
        np.testing.assert_allclose(said, model.logits(tiles), atol=1e-4)


def test_weights_of_another_network_are_refused(model):
    with pytest.raises(WeightsError, match="not weights of"):
        gradient.network_of(DATA["npr-first"], Model(DATA["npr-first"], threads=1))
    silent = Model(DATA[MEASURED], threads=1)
    silent.logits = lambda tiles: np.zeros(len(tiles))
    with pytest.raises(ParityError, match="off the file's"):
        gradient.network_of(DATA[MEASURED], silent)


def test_slopes_are_what_a_small_step_along_them_gains(network):
    tiles = torch.from_numpy(
        np.stack([PHOTO[:96, :96], PHOTO[100:196, 100:196]]).transpose(0, 3, 1, 2).copy()
    )
    slopes = gradient.slopes_of(network, tiles)
    ahead, behind = (tiles.float() + way * 0.002 * slopes.sign() for way in (1, -1))
    with torch.inference_mode():
        gained = network(network.normalise(ahead)) - network(network.normalise(behind))
    torch.testing.assert_close(gained, 0.004 * slopes.abs().sum((1, 2, 3)), rtol=0.02, atol=0)


@pytest.mark.parametrize("shape", [(39, 50), (128, 128), (150, 201)], ids=["repeated", "one", "overlapping"])
def test_slopes_of_all_tiles_are_gathered_where_their_samples_lie(network, model, shape):
    picture = from_pixels(PHOTO[: shape[0], : shape[1]])
    boxes, tiles = model.look(picture)
    total = np.zeros(picture.pixels.shape)
    for (top, left, bottom, right), slope in zip(
        boxes, gradient.slopes_of(network, torch.from_numpy(tiles)), strict=True
    ):
        height, width = (
            length if length >= model.card.tile else length - length % 2
            for length in (bottom - top, right - left)
        )
        for row, column in np.ndindex(*slope.shape[1:]):
            total[top + row % height, left + column % width] += slope[:, row, column].numpy()
    assert np.array_equal(gradient.uphill(network, model, picture), np.sign(total))


def test_what_no_tile_sees_is_left_as_it_is(network, model):
    pixels = np.tile(PHOTO, (4, 4, 1))
    boxes, _ = model.look(from_pixels(pixels))
    seen = np.zeros(pixels.shape[:2], bool)
    for top, left, bottom, right in boxes:
        seen[top:bottom, left:right] = True
    signs = gradient.uphill(network, model, from_pixels(pixels))
    assert not signs[~seen].any()
    assert (signs[seen] != 0).mean() > 0.99


def test_a_step_goes_as_far_as_it_says_and_stays_in_eight_bits(network, model):
    signs = gradient.uphill(network, model, from_pixels(PHOTO))
    for levels in (1, 4):
        up, down = gradient.stepped(PHOTO, signs, levels), gradient.stepped(PHOTO, -signs, levels)
        assert np.abs(up.astype(int) - PHOTO).max() == levels
        assert model.detect(up).logit > model.detect(PHOTO).logit > model.detect(down).logit
    assert (gradient.stepped(grey(254), np.ones((120, 180, 3), np.int8), 4) == 255).all()


def test_every_evasion_gives_a_picture_that_is_the_same_for_the_same_key():
    signs = np.ones(PHOTO.shape, np.int8)
    for evasion in evasions.EVASIONS:
        first, again = (evasion.change(evasions.Target(PHOTO, "a", signs)) for _ in range(2))
        assert first.dtype == np.uint8
        assert np.array_equal(first, again)
        assert np.array_equal(first, PHOTO) == (evasion.family == evasions.CLEAN)
        if evasion.aligned:
            assert evasions.psnr(PHOTO, first) > 12
    names = [(evasion.family, evasion.name) for evasion in evasions.EVASIONS]
    assert len(set(names)) == len(names)


def test_psnr_is_its_definition():
    assert evasions.psnr(grey(100), grey(103)) == pytest.approx(10 * math.log10(255**2 / 9))
    assert evasions.psnr(grey(100), grey(100)) == math.inf
    assert evasions.psnr(grey(100), grey(103, 60, 90)) == pytest.approx(10 * math.log10(255**2 / 9))


def test_a_warp_takes_the_four_places_to_the_four_others():
    places = np.array([(0, 0), (200, 0), (200, 100), (0, 100)], float)
    sources = np.array([(3, 2), (196, 4), (198, 97), (1, 99)], float)
    a, b, c, d, e, f, g, h = recapture.perspective(places, sources)
    for (x, y), source in zip(places, sources, strict=True):
        far = g * x + h * y + 1
        assert ((a * x + b * y + c) / far, (d * x + e * y + f) / far) == pytest.approx(tuple(source))


def test_a_photographed_screen_has_bands_of_colour_where_it_showed_grey():
    seen = recapture.screen(grey(180, 300, 400), np.random.default_rng(0))
    assert seen.shape == (300, 400, 3)
    inside = seen[40:-40, 40:-40].astype(float)
    assert 150 < inside.mean() < 180  # the cells hold some of the light back
    spectrum = np.abs(np.fft.rfft((inside[..., 0] - inside[..., 2]).mean(0)))
    slow = 1 + int(spectrum[1:].argmax())
    assert 0.01 < slow / inside.shape[1] < 0.08  # cycles a pixel: cells of one pixel beat with the camera's


@pytest.mark.parametrize("cell", [3, 4])
@pytest.mark.parametrize("level", [0, 64, 128, 192, 255])
def test_a_print_has_the_tone_of_the_picture_in_dots_of_the_screen(cell, level):
    printed = recapture.halftone(grey(level, 240, 240), cell)
    assert printed.mean() == pytest.approx(level, abs=15)
    if level == 128:
        plane = printed[..., 0].astype(float)
        spectrum = np.abs(np.fft.fft2(plane - plane.mean()))
        rows, columns = np.unravel_index(spectrum.argmax(), spectrum.shape)
        cycles = np.hypot(*(min(k, 240 - k) / 240 for k in (rows, columns)))
        assert cycles == pytest.approx(1 / cell, abs=0.01)


def test_print_uses_its_own_ink_for_each_colour():
    red = np.zeros((60, 60, 3), np.uint8)
    red[..., 0] = 255
    printed = recapture.halftone(red, 3).astype(int)
    assert printed[..., 0].min() == 255
    assert printed[..., 1:].max() < 40


@pytest.mark.slow
def test_a_few_pictures_are_measured_and_told_from_end_to_end(tmp_path):
    for label, kind in (("0_real", "photo"), ("1_fake", "generated")):
        folder = tmp_path / "set" / "few" / label
        folder.mkdir(parents=True)
        for name in ("chelsea", "flower"):
            (file,) = EXAMPLES.glob(f"{kind}-{name}*")
            Image.open(file).convert("RGB").crop((0, 0, 200, 160)).save(folder / f"{name}.png")
    record = limits.measured(tmp_path / "set", MEASURED, 5)
    for part in ("met", "evaded"):
        images = {"name": "set", "sources": ["few"], "photographs": 2, "generated": 2}
        assert record[part]["images"] == images
    rows = {(row["family"], row["name"]): row for row in record["evaded"]["rows"]}
    assert len(rows) == len(evasions.EVASIONS) + 1
    for row in [*record["met"]["rows"], *rows.values()]:
        assert sum(row["generated"].values()) == sum(row["photographs"].values()) == 2
    assert record["met"]["rows"][0]["generated"] == rows[evasions.CLEAN, "-"]["generated"]
    for row in rows.values():
        assert 0 <= row["auc"] <= 1
    clean, step = rows[evasions.CLEAN, "-"], rows[evasions.INFORMED, "4 / 255"]
    assert clean["moved"] == {"generated": 0, "photographs": 0}
    assert step["moved"]["generated"] < 0 < step["moved"]["photographs"]
    assert step["psnr"] > 35
    page = limits_page.page((DOCS / limits.PAGE).read_text("utf-8"), record)
    assert "2 photographs and 2 generated" in page
