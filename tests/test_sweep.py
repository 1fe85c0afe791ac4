"""One recipe, several runs."""

import json
from pathlib import Path

import pytest
from tiny import RECIPE, plant

from pixelkin.config import read_toml
from pixelkin.errors import ConfigError, RunError
from pixelkin.lab.sweep import SWEEP, begin, cells, runs_of

BASE = {**RECIPE, "data": "d", "out": "o"}
TABLE7 = Path(__file__).parents[1] / "recipes" / "table7.toml"


def test_every_combination_is_a_run_with_a_name_and_a_folder_of_its_own():
    found = cells({**BASE, "sweep": [{"options.period": [2, 3], "seed": [1, 2]}, {"lr": [0.1]}]})
    assert [cell.name for cell in found] == [
        "period=2,seed=1", "period=2,seed=2", "period=3,seed=1", "period=3,seed=2", "lr=0.1",
    ]  # fmt: skip
    assert [cell.config.out for cell in found] == [f"o/{cell.name}" for cell in found]
    assert found[2].config.options == {"period": 3}
    assert (found[2].config.seed, found[4].config.lr) == (1, 0.1)


def test_the_paper_s_table_7_is_all_cells_of_both_sizes():
    found = cells(read_toml(TABLE7))
    settings = [(c.config.options["period"], c.config.options["reference"]) for c in found]
    assert settings[:6] == [(2, reference) for reference in (1, 2, 3, 4, "mean", "max")]
    assert settings[6:17] == [(3, reference) for reference in (*range(1, 10), "mean", "max")]
    assert {c.config.seed for c in found[:17]} == {100}
    assert len({c.name for c in found}) == len(found)


@pytest.mark.parametrize(
    ("sweep", "told"),
    [
        ([], "written as"),
        ({"lr": [1]}, "written as"),
        ([{"lr": 0.1}], r"sweep\.lr takes a list of values"),
        ([{"lr": []}], r"sweep\.lr takes a list"),
        ([{"lrr": [0.1]}], "no setting is named 'lrr'"),
        ([{"policy": ["papers"]}], "policy is one of"),
        ([{"seed": [1, 2]}, {"seed": [2]}], "the sweep has seed=2 more than once"),
        ([{"lr": [0.1, -1.0]}], "lr is above 0, not -1"),
    ],
)
def test_a_sweep_that_is_none_is_refused_before_anything_is_trained(sweep, told, tmp_path):
    with pytest.raises(ConfigError, match=told):
        begin({**BASE, "out": str(tmp_path / "o"), "sweep": sweep})
    assert not (tmp_path / "o").exists()


def test_a_sweep_s_runs_are_found_again(tmp_path):
    begin({**BASE, "out": str(tmp_path), "sweep": [{"seed": [1, 2]}]})
    assert runs_of(tmp_path) == {
        "seed=1": (tmp_path / "seed=1", {"seed": 1}),
        "seed=2": (tmp_path / "seed=2", {"seed": 2}),
    }
    (tmp_path / SWEEP).write_text(json.dumps([{"nam": 1}]))
    with pytest.raises(RunError, match=SWEEP):
        runs_of(tmp_path)


def test_a_single_run_is_a_sweep_of_one(tmp_path):
    assert runs_of(tmp_path) == {tmp_path.name: (tmp_path, {})}


def test_training_on_some_sources_leaves_the_others_out(tmp_path):
    from pixelkin.data import find_samples, of_sources
    from pixelkin.errors import DataError

    plant(tmp_path, 4)
    (tmp_path / "squares").rename(tmp_path / "a")
    plant(tmp_path / "b" / "c", 4)
    samples = find_samples(tmp_path)
    assert of_sources(samples, ()) == samples
    assert {s.source for s in of_sources(samples, ["b"])} == {"b/c/squares"}
    with pytest.raises(DataError, match="no images are of source 'bb'; the sources are: a, b/c/squares"):
        of_sources(samples, ["a", "bb"])
