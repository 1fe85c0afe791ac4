"""One step of the whole batch, however it is cut: over processes, into micro-batches, in fewer bits."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tiny import RECIPE, plant
from tiny import settings as words

from pixelkin import config as settings
from pixelkin.errors import ConfigError
from pixelkin.lab.machine import _Autocast, started
from pixelkin.lab.recipe import TrainConfig
from pixelkin.lab.runs import LAST
from pixelkin.lab.train import train
from pixelkin.lab.weights import load_tensors

QUICK = dict(os.environ, OMP_NUM_THREADS="1")
# No batch norm and no dropout: what a step does is a mean over its images. Of 41 images in batches of
# 8 the last batch is one image, of which a second process has none.
CUT = {"detector": "frank", "options": {"size": 32, "classifier": "cnn"}, "images_per_epoch": 41, "lr": 1e-3}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return plant(tmp_path_factory.mktemp("data"))


def recipe(data, out, **values):
    return settings.build(TrainConfig, RECIPE | {"data": str(data), "out": str(out)} | values)


def losses(run):
    """The loss of each step, as the run's log has it."""
    log = EventAccumulator(str(run / "tensorboard"))
    log.Reload()
    events = sorted(log.Scalars("loss/training"), key=lambda event: event.step)
    return np.array([event.value for event in events])


def assert_one_training(run, other):
    """Two runs that differ by the order of sums alone."""
    assert len(losses(run)) == 12
    np.testing.assert_allclose(losses(run), losses(other), rtol=1e-4)
    (ours, _), (theirs, _) = (load_tensors(r / LAST) for r in (run, other))
    for name, tensor in ours.items():
        if not name.startswith("/"):
            torch.testing.assert_close(tensor, theirs[name], rtol=1e-3, atol=1e-4)


@pytest.fixture(scope="module")
def whole(data, tmp_path_factory):
    """A run of whole batches in one process."""
    return train(recipe(data, tmp_path_factory.mktemp("whole") / "run", **CUT))


@pytest.mark.slow
@pytest.mark.parametrize("values", [{}, {"accumulate": 2}], ids=str)
def test_two_processes_train_as_one_does_on_the_same_batches(data, whole, tmp_path, values):
    run = tmp_path / "run"
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "--standalone"]
    command += ["-m", "pixelkin", "train", f"--data={data}", f"--out={run}"]
    given = {name: value for name, value in (CUT | values).items() if name != "options"}
    command += [*words(**given), "--set=options.size=32", "--set=options.classifier='cnn'"]
    done = subprocess.run(command, env=QUICK, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    assert_one_training(run, whole)


@pytest.mark.parametrize("accumulate", [2, 3, 100])
def test_micro_batches_make_the_step_of_the_whole_batch(data, whole, tmp_path, accumulate):
    assert_one_training(train(recipe(data, tmp_path / "run", **CUT, accumulate=accumulate)), whole)


def test_batch_norms_see_a_micro_batch_alone(data, tmp_path):
    one, other = (train(recipe(data, tmp_path / str(n), epochs=1, accumulate=n)) for n in (1, 2))
    assert abs(losses(one) - losses(other)).max() > 1e-3


def test_a_run_goes_on_in_other_micro_batches(data, whole, tmp_path):
    train(recipe(data, tmp_path / "run", **CUT), minutes=1e-9)
    assert_one_training(train(recipe(data, tmp_path / "run", **CUT, accumulate=4), resume=True), whole)


def test_half_the_bits_train_nearly_alike_and_resume_exactly(data, whole, tmp_path):
    half = CUT | {"precision": "bf16-mixed"}
    run = train(recipe(data, tmp_path / "run", **half))
    assert 0 < abs(losses(run) - losses(whole)).max() < 0.05
    tensors, facts = load_tensors(run / LAST)
    assert {tensor.dtype for tensor in tensors.values() if tensor.is_floating_point()} == {torch.float32}
    train(recipe(data, tmp_path / "other", **half), minutes=1e-9)
    other, _ = load_tensors(train(recipe(data, tmp_path / "other", **half), resume=True) / LAST)
    assert all(torch.equal(tensor, other[name]) for name, tensor in tensors.items())
    assert facts["scaling"] == {}


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"precision": "fp16"}, "precision is one of 32-true, bf16-mixed, 16-mixed, not 'fp16'"),
        ({"accelerator": "gpu"}, "accelerator is one of auto, cpu, cuda, not 'gpu'"),
        ({"accumulate": 0}, "accumulate is 1 or more, not 0"),
        ({"precision": "16-mixed"}, "'16-mixed' is for GPUs: on a CPU it is 'bf16-mixed' or '32-true'"),
        ({"accelerator": "cuda", "devices": 999}, "with 999 processes needs as many GPUs, and torch sees"),
    ],
)
def test_what_this_machine_cannot_do_is_refused_in_words(data, tmp_path, values, told):
    with pytest.raises(ConfigError, match=told):
        started(recipe(data, tmp_path, **values))


def test_pictures_themselves_keep_their_bits(data, tmp_path):
    fabric = started(recipe(data, tmp_path, precision="bf16-mixed"))
    network = fabric.setup(torch.nn.Linear(4, 1))
    seen = []
    network.module.register_forward_hook(lambda _, given, made: seen.append((given[0].dtype, made.dtype)))
    assert network(torch.rand(2, 4)).dtype == torch.float32
    assert seen == [(torch.float32, torch.bfloat16)]


def test_the_scale_of_a_loss_in_16_bits_is_kept_and_taken_up_again(data, tmp_path):
    """Of the path for GPUs, what can be seen on a CPU: the scale travels in a checkpoint's facts."""
    precision = _Autocast("16-mixed", "cpu", torch.amp.GradScaler("cpu", init_scale=1024.0))
    precision.scaler.scale(torch.ones(1))
    other = _Autocast("16-mixed", "cpu", torch.amp.GradScaler("cpu"))
    other.load_state_dict(json.loads(json.dumps(precision.state_dict())))
    other.scaler.scale(torch.ones(1))
    assert other.scaler.get_scale() == 1024.0
