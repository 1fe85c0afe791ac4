"""The runs that the shipped model comes out of, as benchmarks/default_model.py and the recipes tell them."""

import pytest
from tiny import EXAMPLES

from pixelkin.config import build, read_toml
from pixelkin.lab.export import ExportConfig
from pixelkin.lab.recipe import TrainConfig, read_recipe
from pixelkin.model import load

BENCHMARKS = EXAMPLES.parent / "benchmarks"
RECIPES = EXAMPLES.parent / "recipes"


@pytest.fixture(scope="module")
def pipeline():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARKS))
        import default_model

        yield default_model


def recipe_of(name):
    return build(TrainConfig, read_recipe(RECIPES / f"{name}.toml"))


def test_each_training_begins_where_its_recipe_says_and_after_that_run(pipeline):
    done = []
    for name, origins in pipeline.RUNS.items():
        assert set(origins) <= set(done)
        if (RECIPES / f"{name}.toml").exists():
            assert len(origins) <= 1
            assert recipe_of(name).start == "".join(f"runs/{origin}" for origin in origins)
        done.append(name)


def test_the_runs_of_a_mean_are_of_one_network(pipeline):
    for name, origins in pipeline.RUNS.items():
        if not (RECIPES / f"{name}.toml").exists():
            options = [dict(recipe_of(origin).options) for origin in origins]
            assert len(options) > 1
            assert all(each == options[0] for each in options)


def test_the_shipped_model_is_the_one_it_ends_with(pipeline):
    assert load(pipeline.NAME).card.name == pipeline.NAME
    settings = build(ExportConfig, read_toml(RECIPES / f"{pipeline.NAME}.card.toml"))
    assert (settings.name, settings.calibrate_on) == (pipeline.NAME, "dev")
