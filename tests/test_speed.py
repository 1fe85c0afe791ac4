"""How fast one image is, and the network; measured in seconds of cores where the machine may be shared."""

import os
import statistics
import time

import engines
import latency
import performance
import pytest
from performance_page import page
from tiny import EXAMPLES

DOCS = EXAMPLES.parent / "docs"


@pytest.fixture(scope="module")
def programs(tmp_path_factory):
    return latency.programs(tmp_path_factory.mktemp("images"), 3)


@pytest.mark.alone
def test_one_image_is_judged_in_two_and_a_half_seconds_imports_included(programs):
    assert statistics.median(run.cpu for run in programs["one"]) < 2.5
    assert min(run.seconds for run in programs["one"]) < 3.0


@pytest.mark.alone
def test_help_takes_under_0_4_seconds(programs):
    assert statistics.median(run.cpu for run in programs["--help"]) < 0.4


@pytest.mark.alone
def test_a_photograph_of_24_megapixels_is_judged_in_700_megabytes(programs):
    assert max(run.peak for run in programs["large"]) < 700


@pytest.mark.alone
def test_a_verdict_takes_a_third_of_a_second_of_two_cores_and_by_kin_2_five_times_pillow_s_decoding():
    seen = latency.inside(9, threads=1, clock=time.process_time)
    assert statistics.median(seen["decode"]) < 2 * statistics.median(seen["pillow"])
    assert statistics.median(seen["verdict"]) < 2 * 350
    fast = latency.inside(15, threads=1, clock=time.process_time, model="kin-2")
    assert fast["ratio"] < 5 * os.cpu_count()  # of one core's seconds; the runtime uses them all


@pytest.mark.slow
@pytest.mark.alone
def test_npr_runs_at_2_5_times_eager_pytorch():
    """ONNX Runtime as Pixelkin calls it."""
    some = {name: engines.engines_of("npr")[name] for name in (engines.EAGER, engines.SHARED)}
    rows = engines.rows("npr", batch=32, threads=2, rounds=9, engines=some)
    ratios = {row.engine: row.ratio for row in rows}
    assert ratios[engines.SHARED] >= 2.5


def test_the_page_of_performance_is_what_was_measured():
    record, scan = (performance.read(DOCS / name) for name in (performance.RECORD, performance.SCAN))
    again = "make it anew: python benchmarks/performance.py --only"
    assert (DOCS / performance.PAGE).read_text("utf-8") == page(record, scan), again


def test_a_scan_has_its_table_and_a_busy_machine_is_told():
    record = performance.read(DOCS / performance.RECORD)
    scan = {"about": "Two workers.", "rows": [{"workers": "1", "images/s": "8.1"}], "memory": []}
    busy, free = (record | {"machine": record["machine"] | {"load": load}} for load in (3.2, 0.0))
    assert "Two workers.\n\n| workers | images/s |\n|---|--:|\n| 1 | 8.1 |\n" in page(record, scan)
    assert "Provisional: 3.2 other" in page(busy)
    assert "Provisional" not in page(free)
