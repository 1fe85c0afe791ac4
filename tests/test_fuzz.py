"""A short run of the fuzzer (`make fuzz` is the long one), what was found before, and its parts."""

import io
import json
import subprocess
import sys
import time
from dataclasses import fields
from pathlib import Path
from random import Random

import bombs
import inputs
import pictures
import pyarrow
import pytest
import run
from containers import Part, joined, split
from hypothesis import given, settings
from hypothesis import strategies as st
from mutation import by_chance, mutate
from pyarrow import parquet
from reliability_page import page
from targets import MEGABYTES, SECONDS, TARGETS

from pixelkin.config import build
from pixelkin.errors import PixelkinError
from pixelkin.images import decode
from pixelkin.types import Card

ROOT = Path(__file__).parents[1]
REGRESSIONS = sorted(file for file in (ROOT / "tests" / "regressions").rglob("*") if file.is_file())
IMAGES = pictures.images()
WHOLE = sorted(pictures.whole())
QUICK = ["PNG, 50 megapixels, RGBA", "JPEG, 50 megapixels, 1,000 scans", "TIFF of 8 million strips"]


@pytest.fixture(scope="module")
def made():
    """Each target's function, made once."""
    functions = {}
    return lambda name: functions.setdefault(name, TARGETS[name].make())


@pytest.mark.parametrize("file", REGRESSIONS, ids=lambda file: f"{file.parent.name}/{file.name}")
def test_what_was_found_once_is_refused_or_read_in_seconds(file, made):
    tried, began = made(file.parent.name), time.process_time()
    try:
        tried(file.read_bytes())
    except PixelkinError as error:
        assert str(error).count(" ") > 3  # noqa: PT017 - some may be read
    assert time.process_time() - began < SECONDS


@pytest.mark.parametrize("name", sorted(set(TARGETS) - {"upload"}))
def test_changed_inputs_are_read_or_refused_with_a_sentence(name, made):
    seeds, tried = sorted(TARGETS[name].seeds().items()), made(name)
    for number in range(300):
        random = Random(number)
        data = TARGETS[name].mutate(random.choice(seeds)[1], 16_384, number, by_chance(random))
        try:
            tried(data)
        except PixelkinError as error:
            assert str(error)  # noqa: PT017


def test_changed_forms_are_answered(made):
    seeds = sorted(TARGETS["upload"].seeds().values())
    for number in range(100):
        random = Random(number)
        made("upload")(by_chance(random)(random.choice(seeds), TARGETS["upload"].longest))


CELLS = (
    st.none() | st.integers(-(2**63), 2**63 - 1) | st.text(max_size=9) | st.binary(max_size=9) | st.booleans()
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=50, deadline=None)
@given(
    st.lists(CELLS, max_size=3),
    st.sampled_from([["path"], ["path", "path"], ["label", "path"], ["label"], []]),
)
def test_a_manifest_of_any_columns_is_read_or_refused_with_a_sentence(made, cells, names):
    kinds = {type(cell) for cell in cells if cell is not None}
    column = pyarrow.array(cells if len(kinds) < 2 else [repr(cell) for cell in cells])
    file = io.BytesIO()
    parquet.write_table(pyarrow.table([column] * len(names), names=names), file)
    try:
        made("manifest")(bytes([inputs.KINDS_OF_MANIFEST.index(".parquet")]) + file.getvalue())
    except PixelkinError as error:
        assert "path" in str(error)  # noqa: PT017
    else:
        assert names.count("path") == 1
        assert all(isinstance(cell, str) and cell for cell in cells) or len(kinds) > 1


@given(st.dictionaries(st.sampled_from([each.name for each in fields(Card)]), JSON) | JSON)
def test_a_card_of_any_values_is_refused_with_a_sentence_or_whole(values):
    try:
        card = build(Card, inputs.CARD | values if isinstance(values, dict) else values)
    except PixelkinError as error:
        assert " " in str(error)  # noqa: PT017
    else:
        assert type(card.tile) is int
        assert type(card.temperature) is float


@pytest.mark.slow
def test_a_fixed_seed_of_the_guided_fuzzer_finds_nothing_and_goes_on_where_it_was_stopped(tmp_path):
    pytest.importorskip("atheris")
    first = run.fuzzed("decode", 2000, tmp_path, batch=2000)
    assert (first.inputs, first.processes, first.findings) == (2000, 1, {})
    assert first.coverage > 500
    assert first.corpus > 100
    assert sum(first.refused.values()) < 2000
    again = run.fuzzed("decode", 3000, tmp_path, batch=2000)
    assert (again.inputs, again.processes, again.findings) == (3000, 2, {})
    assert again.peak < MEGABYTES


@pytest.mark.slow
@pytest.mark.parametrize("name", QUICK)
def test_a_file_made_to_be_expensive_takes_neither_time_nor_memory(name):
    weight = bombs.weighed(name)
    assert weight.seconds < SECONDS
    assert weight.peak < MEGABYTES
    assert weight.answer == "decoded" or "read here" in weight.answer


@pytest.mark.parametrize("name", WHOLE)
def test_the_parts_of_a_file_together_are_the_file(name):
    assert len(split(IMAGES[name])) > 1
    assert joined(split(IMAGES[name])) == IMAGES[name]


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(sorted({data[:12] for data in IMAGES.values()})), st.binary(max_size=300))
def test_whatever_it_is_its_parts_can_be_joined(start, data):
    parts = split(start + data)
    assert b"".join(part.body for part in parts)[:2] == (start + data)[:2]
    joined(parts)
    joined(parts[1:])


def test_a_changed_part_reaches_the_codec_under_a_right_checksum():
    parts = split(IMAGES["PNG-RGB"])
    at = next(at for at, part in enumerate(parts) if part.kind == b"IHDR")
    header = bytearray(parts[at].body)
    header[7] -= 1  # of the height
    parts[at] = Part(b"IHDR", bytes(header))
    assert decode(joined(parts)).height == pictures.SIDE - 1


def test_changes_are_alike_on_every_machine_and_of_the_size_that_is_asked_for():
    for number, name in enumerate(WHOLE):
        changed = [mutate(IMAGES[name], 500, number, by_chance(Random(number))) for _ in range(2)]
        assert changed[0] == changed[1]
        assert len(changed[0]) <= 500


def test_seeds_are_spoiled_in_every_way_that_is_told():
    for way in ("cut01", "cut-inside", "huge", "headed", "animated", "laden", "polyglot"):
        assert [name for name in IMAGES if way in name], way
    assert max(map(len, IMAGES.values())) <= TARGETS["decode"].longest


def test_the_page_of_reliability_is_what_was_measured():
    again = "make it anew: python fuzz/run.py --page"
    kept = json.loads((ROOT / "docs" / run.RECORD).read_text("utf-8"))
    assert (ROOT / "docs" / run.PAGE).read_text("utf-8") == page(kept), again


def test_a_target_of_another_name_is_told():
    command = [sys.executable, str(ROOT / "fuzz" / "run.py"), "dekode"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "no target is named 'dekode'; the names are: decode, carried" in done.stderr
