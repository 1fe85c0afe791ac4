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
from pixelkin.errors import ConfigError, RunError, WeightsError
from pixelkin.lab.batches import part_size, share
from pixelkin.lab.external import Store
from pixelkin.lab.recipe import TrainConfig
from pixelkin.lab.runs import BEST, DATA, LAST, load_run, same_networks
from pixelkin.lab.scorer import subject_of_run
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
        train(config, resume=True, minutes=1e-9)
        stops += 1
    assert stops > 1
    assert_same_weights(tmp_path / "run", whole)


def start(*arguments):
    command = [sys.executable, "-m", "pixelkin", "train", *arguments]
    return subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, env=QUICK)


def written(run):
    return (run / LAST).stat().st_mtime_ns if (run / LAST).exists() else 0


@pytest.mark.slow
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


@pytest.mark.slow
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
    # A patience, too: the processes have to agree on when to end.
    command += ["-m", "pixelkin", "train", f"--data={data}", f"--out={run}", *words(patience=9)]
    done = subprocess.run(command, env=QUICK, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    _, facts = load_tensors(run / LAST)
    assert facts["state"]["step"] == 10
    assert len(facts["state"]["history"]) == 2
    load_run(run)


WAYS = {  # every kind of step, schedule and image that a recipe can ask for, each in some system
    "sharp steps on twins": {
        "detector": "sbi",
        "options": {"variant": "b0"},
        "optimiser": "sgd",
        "momentum": 0.9,
        "rho": 0.05,
        "schedule": "linear",
        "lr_decay_epochs": 1,
    },
    "fitted, and descended by a plateau": {
        "detector": "frank",
        "options": {"size": 32},
        "schedule": "plateau",
        "patience": 1,
        "keep": "accuracy",
        "lr": 1e-3,
    },
    "the same crops, in another order": {"same_crops": True, "optimiser": "adamw", "weight_decay": 0.1},
}

OF_WAYS = {"epochs": 2, "images_per_epoch": 24, "checkpoint_steps": 1}


@pytest.mark.slow
@pytest.mark.parametrize("values", WAYS.values(), ids=WAYS)
def test_however_it_steps_a_stopped_run_equals_one_that_was_not(values, data, tmp_path):
    store = Store(allow_random=True)
    one, other = (recipe(data, tmp_path / name, **OF_WAYS | values) for name in ("one", "other"))
    train(one, store)
    steps = [-1]
    while len(set(steps)) == len(steps):  # until a run adds none
        train(other, store, resume=True, minutes=1e-9)  # one step a call
        steps.append(load_tensors(tmp_path / "other" / LAST)[1]["state"]["step"])
    assert len(steps) > 3
    assert_same_weights(tmp_path / "one", tmp_path / "other")


def test_a_system_that_is_only_fitted_needs_no_step(data, tmp_path):
    run = train(recipe(data, tmp_path / "run", detector="durall", options={"length": 22}, fit_images=24))
    _, facts = load_tensors(run / LAST)
    assert facts["state"]["step"] == 0
    assert facts["state"]["history"][0]["auc"] > 0.5
    assert facts["state"]["seconds"] > 0
    again = train(recipe(data, run, detector="durall", options={"length": 22}, fit_images=24), resume=True)
    assert load_tensors(again / LAST)[1]["state"] == facts["state"]


def test_what_random_values_stood_in_for_is_remembered_when_a_run_goes_on(data, tmp_path):
    values = {"detector": "sbi", "options": {"variant": "b4"}, "images_per_epoch": 8, "batch": 4}
    values |= {"options": {"variant": "lite0"}, "crop": 32}
    lacking = Store(tmp_path, allow_random=True)
    lacking.random.append("a network")
    run = train(recipe(data, tmp_path / "run", epochs=1, **values), lacking)
    train(recipe(data, tmp_path / "run", epochs=2, **values), Store(), resume=True)
    assert load_run(run, LAST)[2]["external"]["random"] == ["a network"]
    assert "not comparable" in subject_of_run(run).name


def test_weights_are_not_used_through_another_frozen_network(data, tmp_path):
    said = {"used": {"clip": "a" * 64}, "random": ["adm"]}
    same_networks(tmp_path, said, {"used": {"clip": "a" * 64, "new": "c" * 64}, "random": []})
    with pytest.raises(WeightsError, match=r"through clip of a+, not of b+"):
        same_networks(tmp_path, said, {"used": {"clip": "b" * 64}, "random": []})
    with pytest.raises(WeightsError, match="through adm of random values"):
        same_networks(tmp_path, said, {"used": {"adm": "b" * 64}, "random": []})


def test_twins_stay_in_one_batch(data, tmp_path):
    with pytest.raises(ConfigError, match="a batch is even, not 5"):
        train(recipe(data, tmp_path / "run", detector="sbi", options={"variant": "lite0"}, batch=5))
    shares = [share(list(range(12)), rank, 2, twins=True) for rank in (0, 1)]
    assert shares == [([0, 1, 4, 5, 8, 9], 1.0), ([2, 3, 6, 7, 10, 11], 1.0)]
    assert [part_size(12, parts, twins=True) for parts in (1, 2, 4, 5, 6, 99)] == [12, 6, 4, 4, 2, 2]


def test_the_weights_of_unequal_shares_make_their_means_the_batch_s():
    batch = [3, 1, 4, 1, 5]
    for world in (1, 2, 3, 4, 7):  # with seven, two have none left and repeat the first for nothing
        shares = [share(batch, rank, world) for rank in range(world)]
        means = [weight * sum(mine) / len(mine) for mine, weight in shares]
        assert sum(means) / world == pytest.approx(sum(batch) / 5)
    assert share(batch, 6, 7) == ([3], 0.0)


def test_a_run_starts_from_the_weights_of_another(whole, data, tmp_path):
    on = recipe(data, tmp_path / "on", start=str(whole), lr=1e-12)
    first = load_run(train(on))[0].state_dict()
    begun = load_run(whole)[0].state_dict()
    for name, values in first.items():
        if values.is_floating_point() and "running" not in name:  # batch norms count without a step
            torch.testing.assert_close(values, begun[name], rtol=0, atol=1e-6)


def test_a_run_does_not_start_from_another_network_or_from_nothing(whole, data, tmp_path):
    with pytest.raises(RunError, match="holds no best"):
        train(recipe(data, tmp_path / "run", start=str(tmp_path)))
    with pytest.raises(WeightsError):
        train(recipe(data, tmp_path / "run", start=str(whole), detector="patchfor"))


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
    run = train(recipe(some, tmp_path / "run", epochs=8, images_per_epoch=240, lr=1e-3))
    _, facts = load_tensors(run / LAST)
    assert facts["state"]["best"] > 0.95
