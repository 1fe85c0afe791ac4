"""`pixelkin scan` as a process that is killed, stopped, and run out of disk."""

import json
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from test_scan import plant, rows_of
from tiny import EXAMPLES, write_model

TIMED = EXAMPLES.parent / "benchmarks" / "timed.py"
PATIENCE = 120  # seconds
IMAGES = 400


def command(*arguments):
    return [sys.executable, "-m", "pixelkin", "scan", *map(str, arguments)]


def program(*arguments, **options):
    return subprocess.run(
        command(*arguments), capture_output=True, text=True, check=False, timeout=PATIENCE, **options
    )


@pytest.fixture
def arguments(tmp_path):
    """Those of a scan of many small images, but for its --out."""
    model = write_model(tmp_path / "tiny.onnx")
    return plant(tmp_path / "data", IMAGES), "--model", model, "--workers", 2, "--part", 7


def heard():
    """A process that a shell runs in the background is started to ignore SIGINT, and all that it starts."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def children_of(process):
    """Ids of the processes that a process started."""
    task = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    return [int(each) for each in task.read_text().split()] if task.exists() else []


def is_gone(pid):
    """Whether a process has ended, be it that nobody has waited for it."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


@pytest.mark.slow
def test_killed_at_any_moment_and_started_again_it_loses_and_doubles_nothing(tmp_path, arguments):
    began = time.monotonic()
    assert program(*arguments, "--out", tmp_path / "whole").returncode == 1
    whole = time.monotonic() - began
    out, kills, moments = tmp_path / "out", 0, np.random.default_rng(7)
    while kills < 12:
        process = subprocess.Popen(command(*arguments, "--out", out), stderr=subprocess.DEVNULL)
        time.sleep(whole * moments.uniform(0.15, 0.65))
        children = children_of(process)
        process.kill()
        if process.wait() != -signal.SIGKILL:
            break  # it was done
        kills += 1
        until = time.monotonic() + 10
        while not all(map(is_gone, children)) and time.monotonic() < until:
            time.sleep(0.05)
        assert all(map(is_gone, children)), "a worker outlived the scan"
    assert kills >= 2
    assert program(*arguments, "--out", out).returncode == 1
    rows = rows_of(out)
    assert rows == rows_of(tmp_path / "whole")
    assert len({row["path"] for row in rows}) == len(rows) == IMAGES + 1
    assert not list(out.glob(".*.parquet*"))


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_told_to_stop_it_says_how_to_go_on_and_does(tmp_path, arguments, number):
    out = tmp_path / "out"
    process = subprocess.Popen(
        command(*arguments, "--out", out),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=heard,
    )
    until = time.monotonic() + PATIENCE
    while not (out / "part-0000003.parquet").exists() and time.monotonic() < until:
        time.sleep(0.01)
    process.send_signal(number)
    told = process.communicate(timeout=PATIENCE)[1]
    assert process.returncode == 130
    assert told.splitlines()[-1].startswith("stopped: what is in ")
    assert "Traceback" not in told
    assert 4 <= len(list(out.glob("part-*.parquet"))) < IMAGES // 7
    assert program(*arguments, "--out", out).returncode == 1
    assert len(rows_of(out)) == IMAGES + 1


@pytest.mark.slow
def test_a_full_disk_is_a_sentence_and_status_2(tmp_path, arguments):
    def small():
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, resource.RLIM_INFINITY))

    shutil.copy(EXAMPLES / "photo-coffee.png", tmp_path / "data" / "000000.png")
    out = tmp_path / "out"
    assert program(*arguments, "--out", out, "--part=100000", preexec_fn=small).returncode == 2
    done = program(*arguments, "--out", out, "--part=100000", preexec_fn=small)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert "File too large" in done.stderr
    assert "Traceback" not in done.stderr
    assert program(*arguments, "--out", out).returncode == 1
    assert len(rows_of(out)) == IMAGES + 2


@pytest.mark.slow
def test_an_output_folder_that_cannot_be_written_is_a_sentence_and_status_2(tmp_path):
    (tmp_path / "file").write_text("")
    done = program(EXAMPLES, "--out", tmp_path / "file")
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_a_list_comes_by_standard_input_and_the_exit_status_tells_of_unreadable_images(tmp_path):
    model = write_model(tmp_path / "tiny.onnx")
    listed = "\n".join([str(EXAMPLES / "photo-coffee.png"), str(EXAMPLES / "missing.png")])
    done = program("-", "--out", tmp_path / "out", "--model", model, input=listed)
    assert done.returncode == 1
    assert "1 generated, 1 unreadable" in done.stdout
    assert [row["error"] for row in rows_of(tmp_path / "out")] == [
        None,
        f"{EXAMPLES / 'missing.png'}: No such file or directory",
    ]
    listed = str(EXAMPLES / "photo-coffee.png")
    assert program("-", "--out", tmp_path / "out2", "--model", model, input=listed).returncode == 0


@pytest.mark.slow
def test_memory_does_not_grow_with_the_number_of_images(tmp_path):
    """Of the scan's own process: 2,000 images against 20,000. benchmarks/scan.py has 200,000.

    Started by a small process: Linux counts into a child's peak what its parent had, and this one has more.
    """
    model = write_model(tmp_path / "tiny.onnx")
    (tmp_path / "one.png").write_bytes(b"unreadable")
    peaks = []
    for count in (2_000, 20_000):
        (tmp_path / f"{count}.txt").write_text("one.png\n" * count)
        arguments = (tmp_path / f"{count}.txt", "--out", tmp_path / str(count), "--model", model)
        words = [sys.executable, str(TIMED), *map(str, command(*arguments))]
        done = subprocess.run(words, capture_output=True, check=False, timeout=PATIENCE)
        assert done.returncode == 1
        peaks.append(json.loads(done.stdout)["peak"])
    assert peaks[0] > 50, f"{peaks} MiB"
    assert peaks[1] - peaks[0] < 20, f"{peaks} MiB"
