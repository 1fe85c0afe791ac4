"""The grid: every condition is made from the image and its path alone, and told as a curve."""

import numpy as np
import pytest
import trees
from test_scoring import Brightness
from tiny import EXAMPLES

from pixelkin import degrade, tables
from pixelkin.data import find_samples
from pixelkin.images import read
from pixelkin.measure import SCORES, Measuring, Subject, gather, measure
from pixelkin.robustness import GRID, Condition
from pixelkin.scoring import score

PHOTO = read(EXAMPLES / "photo-rocket.jpg").pixels
SUBJECT = Subject(Brightness(), "brightness", "0" * 64, "whole")


def test_the_grid_has_what_people_ask_for():
    families = {condition.family for condition in GRID}
    assert len({condition.name for condition in GRID}) == len(GRID)
    assert {"JPEG quality", "WebP quality", "resize factor", "screenshot", "shared twice"} < families
    qualities = [float(c.value) for c in GRID if c.family == "JPEG quality"]
    assert (max(qualities), min(qualities)) == (95, 50)
    factors = [float(c.value) for c in GRID if c.family == "resize factor"]
    assert (min(factors), max(factors)) == (0.25, 2)
    assert any(c.family.startswith("blur") for c in GRID)
    assert any(c.family.startswith("noise") for c in GRID)
    assert any(c.family.startswith("crop") for c in GRID)
    shares = [c.chain for c in GRID if c.family == "shared twice"]
    assert all(chain.count("fit:") == 2 for chain in shares)


@pytest.mark.parametrize("condition", GRID, ids=lambda condition: condition.name)
def test_a_condition_is_a_function_of_the_picture_and_its_key(condition):
    steps = degrade.parse(condition.chain)
    one, again, other = (degrade.apply(steps, PHOTO, key) for key in ("a.png", "a.png", "b.png"))
    assert (one == again).all()
    assert one.shape != PHOTO.shape or (one != PHOTO).any()
    random = any(degrade.CHAINABLE[step.name].random for step in steps)
    assert random == (one.shape != other.shape or bool((one != other).any()))


def test_each_condition_draws_chance_of_its_own():
    weak, strong = (degrade.apply(degrade.parse(f"noise:{s}"), PHOTO, "a") for s in (5, 10))
    added = [np.clip(p.astype(int) - PHOTO, -4, 4).ravel() for p in (weak, strong)]
    assert abs(np.corrcoef(*added)[0, 1]) < 0.05


def test_noise_has_the_deviation_it_says():
    grey = np.full((200, 200, 3), 128, np.uint8)
    noisy = degrade.apply(degrade.parse("noise:5"), grey, "k").astype(float) - 128
    assert noisy.std() == pytest.approx(5, rel=0.03)
    assert abs(noisy.mean()) < 0.1


def test_a_crop_is_a_piece_of_the_picture_at_its_own_scale():
    piece = degrade.apply(degrade.parse("crop:0.5"), PHOTO, "k")
    height, width = piece.shape[:2]
    assert (height, width) == (round(PHOTO.shape[0] / 2), round(PHOTO.shape[1] / 2))
    rows = [r for r in range(PHOTO.shape[0] - height + 1) if (PHOTO[r, :, 0] == piece[0, 0, 0]).any()]
    assert any(
        (PHOTO[r : r + height, c : c + width] == piece).all()
        for r in rows
        for c in np.flatnonzero(PHOTO[r, : PHOTO.shape[1] - width + 1, 0] == piece[0, 0, 0])
    )


def test_a_shared_picture_is_brought_down_and_never_enlarged():
    assert degrade.fit(PHOTO, 100).shape[:2] == (66 if PHOTO.shape[0] < 424 else 67, 100)
    assert (degrade.fit(PHOTO, 5000) == PHOTO).all()


def test_a_screenshot_shows_the_picture_on_a_page():
    shot = degrade.apply(degrade.parse("screenshot:1"), PHOTO, "k")
    extra = np.subtract(shot.shape[:2], PHOTO.shape[:2])
    assert (extra >= 2).all()
    assert (extra <= 32).all()
    views = np.lib.stride_tricks.sliding_window_view(shot, PHOTO.shape).reshape(-1, *PHOTO.shape)
    assert any((view == PHOTO).all() for view in views)
    assert len(np.unique(shot[0])) == 1


def test_an_image_is_degraded_alike_whatever_is_scored_beside_it(tmp_path):
    trees.pair(tmp_path, 4)
    samples = find_samples(tmp_path)
    steps = degrade.parse("noise:10,crop:0.5")
    together = [row.logit for row in score(Brightness(), tmp_path, samples, chain=steps)]
    by_workers = [row.logit for row in score(Brightness(), tmp_path, samples, chain=steps, workers=2)]
    alone = [next(iter(score(Brightness(), tmp_path, [s], chain=steps))).logit for s in reversed(samples)]
    assert together == by_workers == alone[::-1]


def test_the_report_has_a_row_a_condition_and_stores_scores_but_no_image(tmp_path):
    trees.pair(tmp_path / "set", 6)
    grid = [Condition("JPEG quality", "75", "jpeg:75"), Condition("crop", "0.5", "crop:0.5")]
    measuring = Measuring(
        subject=SUBJECT, images=gather(tmp_path / "set"), out=tmp_path / "out", resamples=20
    )
    clean = measuring.report()
    found = measuring.robustness(clean, grid)
    assert [report.about.protocol["degradation"] for _, report in found.conditions] == ["jpeg:75", "crop:0.5"]
    kept = {file.name for file in (tmp_path / "out" / SCORES).iterdir()}
    assert kept == {"clean.parquet", "jpeg-75.parquet", "crop-0.5.parquet"}
    assert {file.suffix for file in (tmp_path / "out").rglob("*") if file.is_file()} == {".parquet"}


def test_the_whole_grid_is_told_as_heat_tables_and_curves(tmp_path):
    trees.pair(tmp_path / "set", 3)
    results = measure(
        Measuring(subject=SUBJECT, images=gather(tmp_path / "set"), resamples=5), robustness=True
    )
    page = tables.page_of(results)
    heat = next(block for block in page.blocks if getattr(block, "shades", ()))
    assert [row[0] for row in heat.rows] == ["as they are", *(f"{c.family}: {c.value}" for c in GRID)]
    assert heat.columns == ("condition", "mean", ".")
    text = tables.html.write(page)
    assert text.count("<svg") >= len({condition.family for condition in GRID})
    assert "background: hsl(" in text
