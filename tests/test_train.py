"""Whole runs on a tiny set, killed, resumed, spread over processes."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
import torch
from tiny import RECIPE, plant
from tiny import settings as words

from pixelkin import config as settings
from pixelkin.errors import RunError
from pixelkin.lab.recipe import TrainConfig
from pixelkin.lab.runs import BEST, DATA, LAST, load_run
from pixelkin.lab.train import train
from pixelkin.lab.weights import load_tensors

QUICK = dict(os.environ, OMP_NUM_THREADS="1")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return plant(tmp_path_factory.mktemp("data"))


def recipe(data, out, **values):
    return settings.build(TrainConfig, RECIPE | {"data": str(data), "out": str(out)} | values)


@pytest.fixture(scope="module")
def whole(data, tmp_path_factory):
    """A run that was never stopped."""
    return train(recipe(data, tmp_path_factory.mktemp("whole") / "run"))


def assert_same_weights(run, other):
    (ours, facts), (theirs, other_facts) = (load_tensors(r / LAST) for r in (run, other))
    assert ours.keys() == theirs.keys()
    assert [name for name in ours if not torch.equal(ours[name], theirs[name])] == []
    assert facts["state"]["step"] == other_facts["state"]["step"]
    assert facts["state"]["history"] == other_facts["state"]["history"]


def test_a_run_leaves_weights_facts_and_a_log(whole):
    detector, config, facts = load_run(whole)
    assert not detector.training
    assert config.detector == "npr"
    assert facts["state"]["step"] in (5, 10)
    assert {"auc", "ap", "accuracy", "loss"} <= facts["state"]["history"][0].keys()
    assert json.loads((whole / DATA).read_text())["real"]["images"] == 24
    assert list((whole / "tensorboard").glob("events.*"))
    _, last = load_tensors(whole / LAST)
    assert last["state"]["step"] == 10


def test_the_same_recipe_gives_the_same_weights(whole, data, tmp_path):
    assert_same_weights(train(recipe(data, tmp_path / "again")), whole)


def test_a_run_stopped_by_the_clock_and_resumed_equals_one_that_was_not(whole, data, tmp_path):
    config = recipe(data, tmp_path / "run")
    stops = 0
    while not stops or load_tensors(tmp_path / "run" / LAST)[1]["state"]["step"] < 10:
        train(config, resume=True, minutes=0.001)
        stops += 1
    assert stops > 1
    assert_same_weights(tmp_path / "run", whole)


def start(*arguments):
    command = [sys.executable, "-m", "pixelkin", "train", *arguments]
    return subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, env=QUICK)


def written(run):
    return (run / LAST).stat().st_mtime_ns if (run / LAST).exists() else 0


def test_a_run_killed_at_any_moment_and_resumed_equals_one_that_was_not(data, tmp_path):
    run = tmp_path / "run"
    arguments = [f"--data={data}", f"--out={run}", "--resume", *words(checkpoint_steps=1)]
    killed = 0
    for patience in (0.0, 0.3):
        process = start(*arguments)
        began = written(run)
        while process.poll() is None and written(run) == began:
            time.sleep(0.01)
        time.sleep(patience)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        killed += process.returncode == -signal.SIGKILL
    last = start(*arguments)
    _, told = last.communicate(timeout=120)
    assert last.returncode == 0, told.decode()
    assert killed
    assert_same_weights(run, train(recipe(data, tmp_path / "uninterrupted", checkpoint_steps=1)))


def test_two_processes_under_torchrun_train_one_network(data, tmp_path):
    run = tmp_path / "run"
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--nproc-per-node=2",
        "--master-port=0",
        "--standalone",
    ]
    command += ["-m", "pixelkin", "train", f"--data={data}", f"--out={run}", *words()]
    done = subprocess.run(command, env=QUICK, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    _, facts = load_tensors(run / LAST)
    assert facts["state"]["step"] == 10
    assert len(facts["state"]["history"]) == 2
    load_run(run)


def test_a_run_is_not_begun_over_another(whole, data):
    with pytest.raises(RunError, match="already holds a run"):
        train(recipe(data, whole))


def test_a_run_is_not_resumed_by_another_recipe(whole, data):
    with pytest.raises(RunError, match=r"lr was 0\.0002, is 0\.1"):
        train(recipe(data, whole, lr=0.1), resume=True)


def test_a_run_is_not_resumed_on_other_images(data, tmp_path):
    some = plant(tmp_path / "data", 16)
    train(recipe(some, tmp_path / "run", epochs=1))
    (some / "squares" / "1_fake" / "00.png").unlink()
    with pytest.raises(RunError, match="other images"):
        train(recipe(some, tmp_path / "run", epochs=2), resume=True)


def test_unreadable_images_are_named_and_left_out(tmp_path):
    some = plant(tmp_path / "data", 16)
    (some / "squares" / "0_real" / "99.png").write_bytes(b"not an image")
    told = []
    train(recipe(some, tmp_path / "run", epochs=1), on_facts=told.append)
    assert list(told[0].unreadable) == ["squares/0_real/99.png"]
    assert told[0].real.images == 16


def test_a_folder_that_is_no_run_is_refused(tmp_path):
    with pytest.raises(RunError, match=BEST):
        load_run(tmp_path)


def test_progress_tells_rate_and_time_left(data, tmp_path):
    told = []
    train(recipe(data, tmp_path / "run"), on_progress=told.append)
    assert [progress.step for progress in told] == list(range(1, 11))
    assert all(progress.images_per_second > 0 for progress in told)
    assert told[-1].seconds_left == 0
    assert told[-1].validation["auc"] >= 0


@pytest.mark.parametrize("values", [{"policy": "paper", "resize": 40}, {"channels_last": False}])
def test_other_input_policies_and_memory_orders_train(data, tmp_path, values):
    train(recipe(data, tmp_path / "run", epochs=1, **values))
    load_run(tmp_path / "run")


@pytest.mark.slow
def test_npr_learns_nearest_neighbour_up_sampling(tmp_path):
    some = plant(tmp_path / "data", 80)
    run = train(recipe(some, tmp_path / "run", epochs=6, images_per_epoch=240, lr=1e-3))
    _, facts = load_tensors(run / LAST)
    assert facts["state"]["best"] > 0.95
