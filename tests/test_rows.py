"""Scores are kept: resumed, reported again without the model, and never mixed up."""

import dataclasses
import math
import time

import pyarrow.parquet
import pytest
import trees
from test_evaluate import noisy
from test_scoring import Brightness

from pixelkin import rows, tables
from pixelkin.data import digest, find_samples
from pixelkin.errors import DataError
from pixelkin.evaluate import About, evaluate
from pixelkin.measure import Images, Measuring, Subject, kept, measure, report_again
from pixelkin.types import Sample, Scored

ABOUT = About(model="m", model_sha256="f" * 64, dataset="d", dataset_sha256="e" * 64, thresholds=(0.2, 0.8))
SCORED = [
    Scored(Sample("a/0_real/ü |.png", "a", 0), 0.25, None, math.log(1 / 3), "ab"),
    Scored(Sample("a/1_fake/2.png", "a", 1), 1.0, None, 400.0, "cd"),
    Scored(Sample("b/1_fake/3.png", "b", 1), None, "cut short"),
    Scored(Sample("stray.png", ".", None), 0.5, None, 0.0, "ef"),
]


def test_rows_come_back_as_they_were(tmp_path):
    rows.write(tmp_path / "s.parquet", ABOUT, SCORED)
    assert rows.read(tmp_path / "s.parquet") == (ABOUT, SCORED)
    table = pyarrow.parquet.read_table(tmp_path / "s.parquet")
    assert table.column_names == list(rows.COLUMNS)
    assert table.column_names[:6] == ["path", "label", "source", "logit", "probability", "error"]
    rows.write(tmp_path / "none.parquet", ABOUT, [])
    assert rows.read(tmp_path / "none.parquet") == (ABOUT, [])


@pytest.mark.parametrize("content", [b"", b"PAR1", b"hello"])
def test_a_file_that_holds_no_scores_is_refused(tmp_path, content):
    (tmp_path / "s.parquet").write_bytes(content)
    with pytest.raises(DataError, match=r"s\.parquet: no scores"):
        rows.read(tmp_path / "s.parquet")
    with pytest.raises(DataError, match="no scores"):
        rows.read(tmp_path / "gone.parquet")


def test_somebody_else_s_parquet_is_refused(tmp_path):
    pyarrow.parquet.write_table(pyarrow.table({"path": ["a"]}), tmp_path / "s.parquet")
    with pytest.raises(DataError, match="no scores"):
        rows.read(tmp_path / "s.parquet")


class StopHereError(Exception):
    pass


def scoring(seen, stop_after=None):
    def call(samples):
        for place, sample in enumerate(samples):
            if place == stop_after:
                raise StopHereError
            seen.append(sample.path)
            yield Scored(sample, 0.5, None, 0.0, "ab")

    return call


SAMPLES = [Sample(f"{i}.png", "s", i % 2) for i in range(20)]


@pytest.mark.parametrize("stop_after", [0, 1, 4, 7, 19])
def test_an_interrupted_scoring_goes_on_without_scoring_again(tmp_path, monkeypatch, stop_after):
    monkeypatch.setattr(rows, "PART_ROWS", 4)
    file, first, second = tmp_path / "s.parquet", [], []
    with pytest.raises(StopHereError):
        rows.keep(file, ABOUT, SAMPLES, scoring(first, stop_after))
    assert not file.exists()
    scored = rows.keep(file, ABOUT, SAMPLES, scoring(second))
    assert [each.sample for each in scored] == SAMPLES
    assert first + second == [sample.path for sample in SAMPLES]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["s.parquet"]
    third = []
    assert rows.keep(file, ABOUT, SAMPLES, scoring(third)) == scored
    assert third == []


def test_what_could_not_be_read_or_was_changed_is_scored_again(tmp_path):
    trees.fill(tmp_path / "0_real", "photo", 4)
    samples = find_samples(tmp_path)

    def failing(left):
        for sample in left:
            lost = sample is samples[1]
            yield Scored(sample, None, "lost") if lost else Scored(sample, 0.5, None, 0.0)

    file, seen = tmp_path / "s.parquet", []
    first = rows.keep(file, ABOUT, samples, failing, tmp_path)
    assert [each.error for each in first] == [None, "lost", None, None]
    assert rows.keep(file, ABOUT, samples, scoring(seen), tmp_path)[1].score == 0.5
    assert seen == [samples[1].path]
    time.sleep(0.02)
    trees.fill(tmp_path / "0_real", "generated", 1)
    rows.keep(file, ABOUT, samples, scoring(again := []), tmp_path)
    assert again == [samples[0].path]
    rows.keep(file, ABOUT, samples, scoring(none := []), tmp_path)
    assert none == []


def test_a_name_that_is_no_text_is_refused_before_anything_is_scored(tmp_path):
    seen = []
    with pytest.raises(DataError, match="1 names are no UTF-8 text"):
        rows.keep(tmp_path / "s.parquet", ABOUT, [Sample("\udcff.png", "s", 0)], scoring(seen))
    assert seen == []


def test_a_half_written_part_does_no_harm(tmp_path, monkeypatch):
    monkeypatch.setattr(rows, "PART_ROWS", 4)
    with pytest.raises(StopHereError):
        rows.keep(tmp_path / "s.parquet", ABOUT, SAMPLES, scoring([], 9))
    (tmp_path / "s.parts" / "000002.begun").write_bytes(b"PAR1 half")
    seen = []
    assert len(rows.keep(tmp_path / "s.parquet", ABOUT, SAMPLES, scoring(seen))) == 20
    assert len(seen) == 11


@pytest.mark.parametrize(
    "change",
    [{"model_sha256": "0" * 64}, {"dataset_sha256": "0" * 64}, {"protocol": {"degradation": "jpeg:75"}}],
)
@pytest.mark.parametrize("stop_after", [9, None])
def test_scores_of_something_else_are_not_gone_on_with(tmp_path, monkeypatch, change, stop_after):
    monkeypatch.setattr(rows, "PART_ROWS", 4)
    file = tmp_path / "s.parquet"
    try:
        rows.keep(file, ABOUT, SAMPLES, scoring([], stop_after))
    except StopHereError:
        assert stop_after
    with pytest.raises(DataError, match=f"holds other scores \\({next(iter(change))} was .*another --out"):
        rows.keep(file, dataclasses.replace(ABOUT, **change), SAMPLES, scoring([]))


def test_an_image_of_several_sources_is_scored_once(tmp_path):
    shared = [Sample("laion/1.png", name, 0) for name in ("dalle", "glide")]
    seen = []
    scored = rows.keep(tmp_path / "s.parquet", ABOUT, shared, scoring(seen))
    assert seen == ["laion/1.png"]
    assert [each.sample.source for each in scored] == ["dalle", "glide"]
    assert rows.read(tmp_path / "s.parquet")[1] == scored


def test_a_kept_evaluation_is_reported_again_without_model_or_images(tmp_path):
    trees.pair(tmp_path / "set" / "a", 6)
    samples = tuple(find_samples(tmp_path / "set"))
    subject = Subject(Brightness(), "brightness", "0" * 64, "the whole picture")
    images = Images(tmp_path / "set", samples)
    out = tmp_path / "out"
    first = measure(Measuring(subject=subject, images=images, out=out, resamples=50))
    for file in (tmp_path / "set").rglob("*.png"):
        file.unlink()
    again = report_again(*kept(out), resamples=50)
    assert again.report == first.report
    assert again.report.about.dataset_sha256 == digest(samples)
    assert report_again(*kept(out / "scores" / "clean.parquet"), resamples=50).report == first.report
    assert tables.save(again, tmp_path / "page") == tables.markdown.write(tables.page_of(first))


@pytest.mark.slow
@pytest.mark.alone
def test_a_hundred_thousand_rows_are_reported_in_thirty_seconds(tmp_path):
    scored = [row for place in range(38) for row in noisy(f"source{place:02}", 1316, seed=place)]
    assert len(scored) > 100_000
    rows.write(tmp_path / "s.parquet", ABOUT, scored)
    began = time.monotonic()
    tables.save(report_again(*kept(tmp_path / "s.parquet")), tmp_path / "page")
    assert time.monotonic() - began < 30


def test_a_report_of_shuffled_rows_is_the_same():
    scored = [*noisy("a", 30), *noisy("b", 20, seed=1)]
    one, other = (evaluate(order, ABOUT, resamples=20) for order in (scored, scored[::-1]))
    assert [(row.source, row.figures["auc"].value) for row in one.rows] == [
        (row.source, pytest.approx(row.figures["auc"].value)) for row in other.rows
    ]
