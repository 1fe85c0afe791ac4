"""The mean of runs."""

import pytest
import torch
from tiny import plant

from pixelkin.lab.average import average, main, mean
from pixelkin.lab.recipe import TrainConfig
from pixelkin.lab.runs import BEST, load_run
from pixelkin.lab.train import train
from pixelkin.lab.weights import load_tensors, sha256_of


def run(tmp_path, name, **values):
    config = {
        "detector": "kin",
        "options": {"trunk": "depthwise"},
        "policy": "native",
        "crop": 32,
        "workers": 0,
    }
    config |= {"epochs": 1, "images_per_epoch": 8, "batch": 4, "validation_share": 0.3, "threads": 1} | values
    return train(TrainConfig(data=str(tmp_path / "data"), out=str(tmp_path / name), **config))


@pytest.fixture
def runs(tmp_path):
    plant(tmp_path / "data")
    return [run(tmp_path, f"run-{seed}", seed=seed, validation_seed=3) for seed in (1, 2)]


def test_the_mean_of_two_runs_is_a_run(runs, tmp_path):
    average(runs, tmp_path / "mean")
    detector, config, facts = load_run(tmp_path / "mean")
    ours, first, second = (load_tensors(r / BEST)[0] for r in (tmp_path / "mean", *runs))
    assert (first["head.weight"] != second["head.weight"]).any()
    torch.testing.assert_close(ours["head.weight"], (first["head.weight"] + second["head.weight"]) / 2)
    assert facts["averaged"] == [sha256_of(r / BEST) for r in runs]
    assert config.detector == "kin"
    assert torch.isfinite(detector(torch.rand(1, 3, 40, 40))).all()


def test_counts_are_the_first_run_s_and_optimisers_left_out():
    states = [
        {"a": torch.tensor([v]), "n": torch.tensor(int(v)), "/optimiser/0/x": torch.ones(1)}
        for v in (1.0, 4.0)
    ]
    assert {name: t.item() for name, t in mean(states).items()} == {"a": 2.5, "n": 1}


def test_runs_of_different_kinds_have_no_mean(runs, tmp_path, capsys):
    other = run(tmp_path, "other", options={"trunk": "dense"})
    with pytest.raises(SystemExit) as stopped:
        main([str(runs[0]), str(other), "--out", str(tmp_path / "mean")])
    assert stopped.value.code == 2
    assert "their weights have no mean" in capsys.readouterr().err
    assert not (tmp_path / "mean").exists()


def test_a_folder_that_is_no_run_is_named(tmp_path, capsys):
    with pytest.raises(SystemExit):
        main([str(tmp_path), "--out", str(tmp_path / "mean")])
    assert f"{tmp_path} holds no best.safetensors" in capsys.readouterr().err
