"""`pixelkin evaluate`, `compare` and `benchmarks`, as somebody types them."""

import json
import os
import signal
import subprocess
import sys
import time

import pyarrow.parquet
import pytest
import torch
import trees
from test_cli import run  # noqa: F401 - a fixture
from test_scan_process import heard
from tiny import plant, settings

from pixelkin import rows
from pixelkin.benchmarks import NAMES, benchmark
from pixelkin.lab.detectors.npr import NPR
from pixelkin.measure import kept


@pytest.fixture
def forensynths(tmp_path):
    """Two sub-testsets of ForenSynths with class folders and flat, and a stray folder."""
    (collection,) = benchmark("forensynths").collections
    for subset in collection.subsets:
        if subset.name in ("CycleGAN", "BigGAN"):
            trees.plant_subset(tmp_path / "ForenSynths", subset)
    (tmp_path / "ForenSynths" / "whichfaceisreal").mkdir()
    return tmp_path / "ForenSynths"


def test_a_benchmark_says_what_is_there_before_it_scores(run, forensynths, tmp_path):  # noqa: F811
    status, page, err = run(
        "evaluate",
        "--model",
        "npr-first",
        "--benchmark",
        "ForenSynths",
        "--data",
        forensynths,
        "--out",
        tmp_path / "out",
        "--workers",
        0,
    )
    assert status == 0
    told = {line.split()[0]: line.split()[1] for line in err.splitlines() if line.startswith("ForenSynths/")}
    assert len(told) == 8
    assert told["ForenSynths/CycleGAN"] == told["ForenSynths/BigGAN"] == "incomplete"
    assert told["ForenSynths/ProGAN"] == "missing"
    assert "18 real, 18 generated of 2,600 published" in err
    assert "| BigGAN † | 3 | 3 |" in page
    assert "† not all of its images are there" in page
    assert "| ProGAN | missing | missing | - | 99.8 | - |" in page
    assert "pictures of ForenSynths: decoded as the official program does" in page
    assert "resized to 256 x 256 (Pillow, bilinear)" in page
    saved = json.loads((tmp_path / "out" / "report.json").read_text())
    assert [each["state"] for each in saved["presence"]].count("missing") == 6
    assert [row["source"] for row in saved["rows"]] == ["ForenSynths/BigGAN", "ForenSynths/CycleGAN"]


def test_the_paper_s_five_collections_are_one_benchmark(run, forensynths, tmp_path):  # noqa: F811
    trees.pair(tmp_path / "GANGen-Detection" / "AttGAN", 2)
    status, page, err = run("evaluate", "--benchmark", "paper", "--data", tmp_path, "--out", tmp_path / "out")
    assert status == 0
    assert err.count(" missing") == 35
    assert "3 of the 38 sub-testsets are here" in page
    assert "| GANDetection | 59.5 | 59.50 |" in page


def test_an_official_checkpoint_is_measured_as_the_paper_measures_it(run, forensynths, tmp_path):  # noqa: F811
    torch.manual_seed(0)
    network = NPR()
    torch.save({"model": {f"module.{k}": v for k, v in network.state_dict().items()}}, tmp_path / "NPR.pth")
    arguments = ["evaluate", "--benchmark", "forensynths", "--data", forensynths, "--workers", 0]
    status, page, _ = run(*arguments, "--checkpoint", tmp_path / "NPR.pth", "--out", tmp_path / "out")
    assert status == 0
    assert "NPR.pth (NPR)" in page
    assert "the whole picture as the benchmark shows it" in page
    status, _, err = run(*arguments, "--checkpoint", tmp_path / "gone.pth", "--out", tmp_path / "o2")
    assert (status, "gone.pth" in err) == (2, True)
    status, _, err = run(
        *arguments, "--checkpoint", tmp_path / "NPR.pth", "--detector", "nprr", "--out", tmp_path / "o3"
    )
    assert (status, "no detector is named 'nprr'" in err) == (2, True)


def evaluation(data, out):
    command = [
        sys.executable,
        "-m",
        "pixelkin",
        "evaluate",
        "--data",
        str(data),
        "--out",
        str(out),
        "--workers",
        "0",
    ]
    slow = {"PYTHONPATH": str(data.parent), **{k: v for k, v in os.environ.items() if k != "PYTHONPATH"}}
    return command, slow


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_an_evaluation_stopped_at_any_point_goes_on_without_scoring_again(tmp_path, how):
    """Real processes: stopped once parts are written, then run to the end; the rows are those of one run."""
    trees.pair(tmp_path / "set", 12)
    # Small parts and a pause after each, so that the kill meets the scoring and not its end.
    (tmp_path / "sitecustomize.py").write_text(
        "import time\n"
        "def slowly(scored, plain):\n"
        "    for part in plain(scored):\n"
        "        yield part\n"
        "        time.sleep(0.5)\n"
        "import pixelkin.rows as rows, functools\n"
        "rows.PART_ROWS = 4\n"
        "rows._in_parts = functools.partial(slowly, plain=rows._in_parts)\n"
    )
    command, slow = evaluation(tmp_path / "set", tmp_path / "out")
    shown = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
    begun = subprocess.Popen(command, env=slow, preexec_fn=heard, **shown)
    parts = tmp_path / "out" / "scores" / "clean.parts"
    deadline = time.monotonic() + 60
    while len(list(parts.glob("*.parquet"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    begun.send_signal(how)
    _, told = begun.communicate(timeout=60)
    assert ("the same command goes on from there" in told) == (how == signal.SIGINT)
    assert "Traceback" not in told
    held = {file.name: file.stat().st_mtime_ns for file in parts.glob("*.parquet")}
    assert 2 <= len(held) < 6
    assert not (tmp_path / "out" / "report.md").exists()
    first = [
        path
        for file in sorted(parts.glob("*.parquet"))
        for path in pyarrow.parquet.read_table(file)["path"].to_pylist()
    ]

    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    _, resumed = kept(tmp_path / "out")
    whole_command, _ = evaluation(tmp_path / "set", tmp_path / "whole")
    subprocess.run(whole_command, capture_output=True, timeout=120, check=True)
    _, whole = kept(tmp_path / "whole")
    assert resumed == whole
    assert [each.sample.path for each in resumed][: len(first)] == first


def test_kept_scores_are_reported_and_compared_without_the_images(run, tmp_path):  # noqa: F811
    trees.pair(tmp_path / "set", 4)
    arguments = ["evaluate", "--data", tmp_path / "set", "--workers", 0]
    status, page, _ = run(*arguments, "--out", tmp_path / "one")
    assert status == 0
    assert run(*arguments, "--degrade", "blur:2", "--out", tmp_path / "two")[0] == 0
    status, again, _ = run("evaluate", "--scores", tmp_path / "one", "--out", tmp_path / "again")
    assert (status, again) == (0, page)
    assert (tmp_path / "two" / "scores" / "blur-2.parquet").exists()
    status, found, _ = run("compare", tmp_path / "one", tmp_path / "two", "--out", tmp_path / "c")
    assert status == 0
    assert "8 scored by both, 0 left out" in found
    assert "degradation blur:2" in found
    assert {file.name for file in (tmp_path / "c").iterdir()} == {"compare.md", "compare.tex", "compare.html"}
    status, _, err = run("compare", tmp_path / "one", tmp_path / "gone")
    assert (status, "no such file" in err) == (2, True)


def test_a_report_is_not_written_over_by_that_of_its_own_scores(run, tmp_path):  # noqa: F811
    trees.pair(tmp_path / "set", 2)
    assert run("evaluate", "--data", tmp_path / "set", "--workers", 0, "--out", tmp_path / "one")[0] == 0
    for scores in (tmp_path / "one", tmp_path / "one" / "scores" / "clean.parquet"):
        status, _, err = run("evaluate", "--scores", scores, "--out", tmp_path / "one")
        assert (status, "give another" in err) == (2, True)


def test_a_file_where_a_folder_must_be_is_said_in_a_sentence(run, tmp_path):  # noqa: F811
    trees.pair(tmp_path / "set", 2)
    (tmp_path / "file").write_text("x")
    status, _, err = run("evaluate", "--data", tmp_path / "set", "--workers", 0, "--out", tmp_path / "file")
    assert (status, "file" in err, "Traceback" in err) == (2, True, False)


def test_a_second_evaluation_of_something_else_into_the_same_folder_is_refused(run, tmp_path):  # noqa: F811
    trees.pair(tmp_path / "set", 3)
    arguments = ["evaluate", "--data", tmp_path / "set", "--out", tmp_path / "out", "--workers", 0]
    assert run(*arguments)[0] == 0
    trees.pair(tmp_path / "set" / "more", 1)
    status, _, err = run(*arguments)
    assert status == 2
    assert "holds other scores (dataset_sha256 was" in err


def test_runs_over_seeds_have_a_page_together(run, tmp_path):  # noqa: F811
    data = plant(tmp_path / "data", 24)
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(f'data = "{data}"\nout = "{tmp_path / "runs"}"\n[[sweep]]\nseed = [1, 2]\n')
    status, out, _ = run("train", recipe, *settings(epochs=1, images_per_epoch=8))
    assert (status, out.split()) == (0, [str(tmp_path / "runs" / f"seed={seed}") for seed in (1, 2)])
    status, page, _ = run("evaluate", "--data", data, "--run", tmp_path / "runs", "--out", tmp_path / "out")
    assert status == 0
    assert "| all runs | 2 |" in page
    assert "±" in page
    assert {"seed=1", "seed=2", "sweep.md", "sweep.html"} < {
        file.name for file in (tmp_path / "out").iterdir()
    }
    assert run("train", recipe, *settings(epochs=1, images_per_epoch=8))[0] == 2
    assert run("train", recipe, *settings(epochs=1, images_per_epoch=8), "--resume")[0] == 0


def test_the_benchmarks_are_listed(run):  # noqa: F811
    status, out, _ = run("benchmarks")
    assert status == 0
    assert [line.split()[0] for line in out.splitlines()] == list(NAMES)
    assert "38 sub-testsets, Table 6" in out


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--data", "{set}", "--benchmark", "genimagee"], "no benchmark is named 'genimagee'"),
        (["--data", "{set}", "--benchmark", "genimage"], "nothing of the benchmark genimage is in it"),
        (["--data", "{set}", "--limit", "-1"], "'--limit': Input should be greater than or equal to 0"),
        (["--data", "{set}", "--workers", "-1"], "'--workers': Input should be greater than or equal to 0"),
        (["--data", "{set}", "--seed", "-1"], "'--seed': Input should be greater than or equal to 0"),
        (["--data", "{set}", "--degrade", "jpg:5"], "no degradation is named 'jpg'"),
        (["--data", "{set}", "--degrade", "blur:1", "--audit"], "--degrade goes with neither"),
        (["--data", "{set}", "--run", "{set}"], "holds no best.safetensors"),
        (["--data", "{set}", "--run", "r", "--model", "m"], "exclude each other"),
        (["--data", "{gone}"], "is not a folder"),
        (["--data", "{plain}"], "none of its 3 images lies in a folder named"),
        ([], "--data is needed"),
        (["--scores", "{set}", "--audit"], "--scores are reported as they are"),
        (["--scores", "{set}"], "holds no scores that `pixelkin evaluate` kept"),
        (["--scores", "{gone}"], "no such file or folder"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_sentence(run, tmp_path, arguments, told):  # noqa: F811
    trees.pair(tmp_path / "set", 2)
    trees.fill(tmp_path / "plain", "photo")
    places = {name: str(tmp_path / name) for name in ("set", "gone", "plain")}
    status, _, err = run("evaluate", "--out", tmp_path / "out", *(a.format(**places) for a in arguments))
    assert status == 2
    assert told in err
    assert "Traceback" not in err


def test_a_limit_is_kept_for_each_label_of_each_source(run, tmp_path):  # noqa: F811
    trees.pair(tmp_path / "set" / "a", 6)
    trees.pair(tmp_path / "set" / "b", 2)
    status, page, _ = run(
        "evaluate", "--data", tmp_path / "set", "--limit", 3, "--out", tmp_path / "out", "--workers", 0
    )
    assert status == 0
    assert "| a | 3 | 3 |" in page
    assert "| b | 2 | 2 |" in page
    assert "at most 3 images of each label of each source, chosen by a hash" in page
    about, scored = rows.read(tmp_path / "out" / "scores" / "clean.parquet")
    assert len(scored) == 10
    assert about.notes
