"""A scan: the rows are `pixelkin detect`'s, whatever the images do, and it goes on where it stopped."""

import io
import json
import os
import resource
import shutil
import tarfile
from collections import Counter
from contextlib import contextmanager

import killers
import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
from PIL import Image
from tiny import EXAMPLES, write_model

from pixelkin import images
from pixelkin.errors import ConfigError, DataError, MissingExtraError, ModelError, SourceError
from pixelkin.isolation import Limits
from pixelkin.model import load
from pixelkin.scan import parts, state
from pixelkin.scan.run import How, scan

FILES = sorted(EXAMPLES.glob("*-*.*"))
TWO = How(workers=2)
SMALL = How(workers=2, limits=Limits(seconds=5.0, memory=400 * 1024**2))


def rows_of(out):
    """The rows of a scan in order, without what depends on the clock."""
    tables = [pyarrow.parquet.read_table(file) for file in sorted(out.glob("part-*.parquet"))]
    rows = pyarrow.concat_tables(tables).to_pylist()
    for row in rows:
        assert row.pop("seconds") >= 0
    return rows


def plant(folder, count=23, side=40):
    """Small pictures of different sizes, and one that is none."""
    folder.mkdir(parents=True)
    source = np.array(Image.open(FILES[0]).convert("RGB"))
    for place in range(count):
        corner = place % 200
        pixels = source[corner : corner + side + place % 7, corner : corner + side]
        Image.fromarray(pixels).save(folder / f"{place:03}.png")
    (folder / "005bad.png").write_bytes(b"nothing")
    return folder


@pytest.fixture
def tiny(tmp_path):
    return str(write_model(tmp_path / "tiny.onnx"))


def test_the_rows_are_what_detect_says(tmp_path):
    model = load()
    counts = scan(str(EXAMPLES), tmp_path / "out", part=3, how=TWO)
    rows = rows_of(tmp_path / "out")
    assert len(rows) == len(FILES)
    assert counts == Counter(row["verdict"] for row in rows)
    for row, file in zip(rows, FILES, strict=True):
        said, facts = model.detect(file), images.inspect(file.read_bytes())
        assert row["probability"] == pytest.approx(said.probability, abs=1e-5)
        assert row["logit"] == pytest.approx(said.logit, abs=1e-5)
        assert row["sha256"] == images.read(file).sha256
        for key in ("width", "height", "format", "model_sha256", "verdict"):
            assert row[key] == getattr(said, key)
        assert row["jpeg_quality"] == (facts.quality or None)
        assert (row["path"], row["archive"], row["error"]) == (str(file), None, None)


def test_columns_have_the_types_that_are_told(tmp_path, tiny):
    scan(str(EXAMPLES), tmp_path / "out", model=tiny, how=TWO)
    schema = pyarrow.parquet.read_schema(tmp_path / "out" / "part-0000000.parquet")
    assert {field.name: field.type for field in schema} == {
        name: pyarrow.type_for_alias(kind) for name, kind in parts.COLUMNS.items()
    }


@pytest.mark.parametrize(("workers", "part"), [(1, 1000), (3, 5)])
def test_workers_and_parts_change_no_row(tmp_path, tiny, workers, part):
    plant(tmp_path / "data")
    scan(str(tmp_path / "data"), tmp_path / "a", model=tiny, part=7, how=TWO)
    scan(str(tmp_path / "data"), tmp_path / "b", model=tiny, part=part, how=How(workers=workers))
    assert rows_of(tmp_path / "a") == rows_of(tmp_path / "b")


def test_members_of_an_archive_are_rows_of_that_archive(tmp_path, tiny):
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        for file in FILES:
            tar.add(file, file.name)
    scan(str(tmp_path / "a.tar"), tmp_path / "out", model=tiny, how=TWO)
    scan(str(EXAMPLES), tmp_path / "plain", model=tiny, how=TWO)
    inside, plain = rows_of(tmp_path / "out"), rows_of(tmp_path / "plain")
    assert [row.pop("path") for row in inside] == [file.name for file in FILES]
    assert {row.pop("archive") for row in inside} == {str(tmp_path / "a.tar")}
    assert inside == [{k: v for k, v in row.items() if k not in {"path", "archive"}} for row in plain]


@pytest.mark.slow
def test_an_image_that_crashes_hangs_or_eats_memory_costs_that_image(tmp_path, tiny):
    data = plant(tmp_path / "data")
    for word in killers.KILLERS:
        shutil.copy(data / "001.png", data / f"004{word}.png")
    counts = scan(str(data), tmp_path / "out", model=tiny, part=10, how=SMALL, decode=killers.decode)
    rows = rows_of(tmp_path / "out")
    errors = {os.path.basename(row["path"]): row["error"] for row in rows if row["error"]}  # noqa: PTH119
    assert "died of SIGSEGV, and was replaced" in errors.pop("004crash.png")
    assert "took over 5 s, and its process was replaced" in errors.pop("004hang.png")
    assert "too large for the memory there is" in errors.pop("004eat.png")
    assert "not an image" in errors.pop("005bad.png")
    assert errors == {}
    assert counts["unreadable"] == 4
    for word in killers.KILLERS:
        (data / f"004{word}.png").unlink()
    scan(str(data), tmp_path / "calm", model=tiny, how=TWO)
    assert [row for row in rows if "004" not in row["path"] or not row["error"]] == rows_of(tmp_path / "calm")


def test_a_name_that_is_no_utf_8_is_escaped_and_its_image_judged(tmp_path, tiny):
    (tmp_path / "data").mkdir()
    shutil.copy(FILES[0], os.fsencode(tmp_path / "data") + b"/\xff.png")
    scan(str(tmp_path / "data"), tmp_path / "out", model=tiny, how=TWO)
    (row,) = rows_of(tmp_path / "out")
    assert row["path"].endswith("/\\udcff.png")
    assert row["verdict"]


def test_a_model_that_gives_no_number_gives_an_error_and_no_verdict(tmp_path):
    broken = str(write_model(tmp_path / "m.onnx", scale=float("nan")))
    assert scan(str(EXAMPLES), tmp_path / "out", model=broken, how=TWO) == {"unreadable": len(FILES)}
    assert "the model gave nan, no number" in rows_of(tmp_path / "out")[0]["error"]


@contextmanager
def files_of_at_most(size):
    """A disk that is full: no file grows over ``size`` bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.fixture
def stopped(tmp_path, tiny, monkeypatch):
    """A scan that stops after its first part: the disk is full."""
    whole = parts.write

    def write(folder, number, part):
        with files_of_at_most(100 if number else resource.RLIM_INFINITY):
            whole(folder, number, part)

    def stopped(out, of=None):
        with monkeypatch.context() as patch:
            patch.setattr(parts, "write", write)
            with pytest.raises(DataError, match="cannot be written"):
                scan(str(of or plant(tmp_path / "data")), out, model=tiny, part=10, how=TWO)
        return out

    return stopped


def test_a_full_disk_stops_with_a_sentence_and_the_same_call_goes_on(tmp_path, tiny, stopped):
    out = stopped(tmp_path / "out")
    assert sorted(each.name for each in out.glob("*part*")) == ["part-0000000.parquet"]
    first, begun = (out / "part-0000000.parquet").stat(), []
    scan(str(tmp_path / "data"), out, model=tiny, part=4, how=TWO, on_begin=lambda *told: begun.append(told))
    assert begun[0][0] == 24
    assert begun[0][1].total() == 10
    assert (out / "part-0000000.parquet").stat() == first
    scan(str(tmp_path / "data"), tmp_path / "whole", model=tiny, part=10, how=TWO)
    assert rows_of(out) == rows_of(tmp_path / "whole")


def test_what_comes_into_a_folder_after_the_beginning_is_not_of_this_scan(tmp_path, tiny, stopped):
    out = stopped(tmp_path / "out")
    shutil.copy(FILES[0], tmp_path / "data" / "000new.png")
    scan(str(tmp_path / "data"), out, model=tiny, how=TWO)
    assert len(rows_of(out)) == 24


@pytest.mark.parametrize("damage", [lambda data: data[:50], lambda _: b"", lambda data: data[:-9]])
def test_a_part_that_is_not_whole_is_judged_again(tmp_path, tiny, damage):
    data, out = plant(tmp_path / "data"), tmp_path / "out"
    scan(str(data), out, model=tiny, part=10, how=TWO)
    rows, part = rows_of(out), out / "part-0000001.parquet"
    part.write_bytes(damage(part.read_bytes()))
    scan(str(data), out, model=tiny, how=TWO)
    assert rows_of(out) == rows


def test_another_model_source_or_list_is_refused(tmp_path, tiny, stopped):
    out = stopped(tmp_path / "out")
    other = str(write_model(tmp_path / "other.onnx", name="other"))
    with pytest.raises(DataError, match="whose model is a test's, not other: give another --out"):
        scan(str(tmp_path / "data"), out, model=other, how=TWO)
    with pytest.raises(DataError, match=r"whose source is .*data, not .*examples: give another"):
        scan(str(EXAMPLES), out, model=tiny, how=TWO)
    (tmp_path / "l.txt").write_text("\n".join(map(str, sorted((tmp_path / "data").iterdir()))))
    out = stopped(tmp_path / "out2", tmp_path / "l.txt")
    (tmp_path / "l.txt").write_text(str(FILES[0]))
    with pytest.raises(DataError, match=r"l\.txt is not what it was"):
        scan(str(tmp_path / "l.txt"), out, model=tiny, how=TWO)


def test_a_list_on_standard_input_must_be_the_same_again(tmp_path, tiny, monkeypatch):
    def given(*files):
        text = "\n".join(map(str, files)).encode()
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(text)))

    given(*FILES)
    scan("-", tmp_path / "out", model=tiny, how=TWO)
    given(*FILES)
    scan("-", tmp_path / "out", model=tiny, how=TWO)
    assert [row["path"] for row in rows_of(tmp_path / "out")] == list(map(str, FILES))
    given(FILES[0])
    with pytest.raises(DataError, match="standard input is not what it was"):
        scan("-", tmp_path / "out", model=tiny, how=TWO)


def test_a_source_that_vanishes_stops_with_a_sentence_and_loses_nothing(tmp_path, tiny, stopped):
    out = stopped(tmp_path / "out")
    (tmp_path / "data").rename(tmp_path / "gone")
    with pytest.raises(SourceError, match="once it can, the same command goes on"):
        scan(str(tmp_path / "data"), out, model=tiny, how=TWO)
    (tmp_path / "gone").rename(tmp_path / "data")
    scan(str(tmp_path / "data"), out, model=tiny, how=TWO)
    assert [bool(row["error"]) for row in rows_of(out)].count(True) == 1


def test_two_scans_into_one_folder_at_once_are_refused(tmp_path, tiny):
    with state.alone(tmp_path / "out"), pytest.raises(DataError, match="another process scans into"):
        scan(str(EXAMPLES), tmp_path / "out", model=tiny, how=TWO)


def test_rows_without_what_says_of_what_are_left_alone(tmp_path, tiny):
    (tmp_path / "part-0000000.parquet").write_bytes(b"somebody's")
    with pytest.raises(DataError, match=r"holds rows, but no _scan\.json"):
        scan(str(EXAMPLES), tmp_path, model=tiny, how=TWO)
    (tmp_path / "_scan.json").write_text("{")
    with pytest.raises(DataError, match="no state that"):
        scan(str(EXAMPLES), tmp_path, model=tiny, how=TWO)


def test_nothing_to_judge_and_impossible_settings_are_refused(tmp_path, tiny):
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no images in it"):
        scan(str(tmp_path / "empty"), tmp_path / "out", model=tiny, how=TWO)
    with pytest.raises(ConfigError, match="1 image or more, not 0"):
        scan(str(EXAMPLES), tmp_path / "out", model=tiny, how=TWO, part=0)
    with pytest.raises(ConfigError, match="0 or more, not -1"):
        How(workers=-1)
    with pytest.raises(ModelError, match="no model is named"):
        scan(str(EXAMPLES), tmp_path / "out", model="nope", how=TWO)
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").glob("*part*"))


def test_without_pyarrow_it_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'pixelkin\[scan\]'"):
        scan(str(EXAMPLES), tmp_path / "out")


def test_the_counts_that_are_told_add_up(tmp_path, tiny):
    told = Counter()
    data = plant(tmp_path / "data")
    counts = scan(str(data), tmp_path / "out", model=tiny, part=7, how=TWO, on_counts=told.update)
    assert told == counts
    assert counts.total() == 24
    assert json.loads((tmp_path / "out" / "_scan.json").read_text())["model_sha256"]
