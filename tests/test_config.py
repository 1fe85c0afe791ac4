from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from pixelkin.config import build, override, read_toml
from pixelkin.errors import ConfigError
from pixelkin.lab.detectors import DETECTORS, detector_class
from pixelkin.lab.experts.recipe import ExpertsConfig
from pixelkin.lab.export import ExportConfig
from pixelkin.lab.optimisers import step_size
from pixelkin.lab.recipe import Degradations, TrainConfig, read_recipe
from pixelkin.lab.sweep import cells

SHIPPED = sorted((Path(__file__).parents[1] / "recipes").glob("*.toml"))
CARDS = [file for file in SHIPPED if file.name.endswith(".card.toml")]
SHARED = [file for file in SHIPPED if file.name == "reduced.toml"]  # half a recipe: what others begin with
RECIPES = [file for file in SHIPPED if file not in CARDS + SHARED]


@dataclass(frozen=True)
class Inner:
    depth: int = 1


@dataclass(frozen=True)
class Outer:
    name: str
    rate: float = 0.5
    ends: tuple[float, ...] = (0.0, 1.0)
    inner: Inner = field(default_factory=Inner)
    maybe: Inner | None = None
    free: dict[str, Any] = field(default_factory=dict)


def test_tables_become_nested_dataclasses():
    built = build(
        Outer, {"name": "n", "rate": 2, "ends": [1, 2], "inner": {"depth": 3}, "maybe": {"depth": 4}}
    )
    assert built == Outer("n", 2.0, (1.0, 2.0), Inner(3), Inner(4))
    assert isinstance(built.rate, float)
    assert isinstance(built.ends[0], float)


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"name": "n", "rat": 1}, "no setting is named 'rat'; the names are: name, rate"),
        ({"name": "n", "inner": {"deep": 1}}, r"'inner\.deep'; the names are: depth"),
        ({"name": "n", "inner": 3}, "inner takes a table, not 3"),
        ({"name": 3}, "name takes text, not 3"),
        ({"name": "n", "rate": True}, "rate takes a number, not True"),
        ({"name": "n", "rate": "fast"}, "rate takes a number, not 'fast'"),
        ({"name": "n", "inner": {"depth": True}}, r"inner\.depth takes a whole number, not True"),
        ({"name": "n", "inner": {"depth": 1.5}}, r"inner\.depth takes a whole number, not 1\.5"),
        ({"name": "n", "ends": "ab"}, "ends takes"),
        ({"name": "n", "ends": [1, "b"]}, "ends takes a number, not 'b'"),
        ({"name": "n", "maybe": {"deep": 1}}, r"'maybe\.deep'; the names are: depth"),
        ({}, "missing 1 required .*'name'"),
    ],
)
def test_every_mistake_is_named(values, told):
    with pytest.raises(ConfigError, match=told):
        build(Outer, values)


def test_settings_are_put_over_a_table_and_leave_it_as_it_was():
    before = {"a": 1, "t": {"b": 2}}
    after = override(before, ["a=2.5", "t.b=[1, 2]", "new.deep = true", "word=plain text", 'quoted="7"'])
    assert after == {"a": 2.5, "t": {"b": [1, 2]}, "new": {"deep": True}, "word": "plain text", "quoted": "7"}
    assert before == {"a": 1, "t": {"b": 2}}


def test_plain_text_is_read_without_the_space_around_the_equals_sign():
    assert override({}, ["policy = native"]) == {"policy": "native"}


@pytest.mark.parametrize(("setting", "told"), [("lr", "key=value"), ("a.b=1", "a is no table")])
def test_a_setting_that_is_none_is_refused(setting, told):
    with pytest.raises(ConfigError, match=told):
        override({"a": 1}, [setting])


def test_a_file_that_is_not_toml_is_named(tmp_path):
    (tmp_path / "broken.toml").write_text("a = [")
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe")
    for name in ("broken.toml", "binary.toml", "missing.toml"):
        with pytest.raises(ConfigError, match=name):
            read_toml(tmp_path / name)


@pytest.mark.parametrize("file", RECIPES, ids=lambda file: file.name)
def test_every_shipped_recipe_is_one(file):
    values = read_recipe(file)
    if "system" in values:
        heads = build(ExpertsConfig, values)
        assert not Path(heads.data).is_absolute()
        return
    recipes = [cell.config for cell in cells(values)] if "sweep" in values else [build(TrainConfig, values)]
    for recipe in recipes:
        assert not Path(recipe.data).is_absolute()
        assert recipe.epochs >= 1


@pytest.mark.parametrize("name", DETECTORS)
def test_every_system_has_a_recipe_with_the_paper_s_and_the_reduced_settings(name):
    file = RECIPES[0].with_name(f"{name}.toml")
    paper, reduced = (build(TrainConfig, read_recipe(file, reduced=r)) for r in (False, True))
    assert paper.detector == reduced.detector == name
    assert paper.out == f"runs/{name}"
    assert reduced.out == f"runs/reduced/{name}"
    detector_class(name)(**paper.options)
    shared = read_toml(SHARED[0])
    same = ("data", "policy", "crop", "tile", "seed")
    assert {key: getattr(reduced, key) for key in same} == {key: shared[key] for key in same}


def test_a_reduced_table_is_put_over_the_recipe_and_what_it_is_like_comes_before(tmp_path):
    (tmp_path / "shared.toml").write_text("lr = 2\nseed = 2\n[options]\na = 2\nb = 2")
    (tmp_path / "recipe.toml").write_text(
        "lr = 1\nepochs = 1\n[options]\na = 1\nc = 1\n[reduced]\nlike = 'shared.toml'\nlr = 3\noptions.b = 3"
    )
    paper = {"lr": 1, "epochs": 1, "options": {"a": 1, "c": 1}}
    reduced = {"lr": 3, "epochs": 1, "seed": 2, "options": {"a": 2, "b": 3, "c": 1}}
    assert read_recipe(tmp_path / "recipe.toml") == paper
    assert read_recipe(tmp_path / "recipe.toml", reduced=True) == reduced
    (tmp_path / "second.toml").write_text("like = 'recipe.toml'\nlr = 4\noptions.c = 4")
    assert read_recipe(tmp_path / "second.toml") == {"lr": 4, "epochs": 1, "options": {"a": 1, "c": 4}}
    with pytest.raises(ConfigError, match=r"has no table \[reduced\]"):
        read_recipe(tmp_path / "shared.toml", reduced=True)


@pytest.mark.parametrize(
    "values", [{"optimiser": "adm"}, {"schedule": "plateau"}, {"keep": "best"}, {"rho": -1.0}]
)
def test_how_weights_are_stepped_is_checked(values):
    with pytest.raises(ConfigError):
        build(TrainConfig, {"data": "d", "out": "o"} | values)


@pytest.mark.parametrize("file", CARDS, ids=lambda file: file.name)
def test_every_shipped_card_says_what_it_must(file):
    card = build(ExportConfig, read_toml(file))
    assert all((card.name, card.licence, card.trained_on, card.limits))


def test_the_defaults_are_the_paper_s():
    paper = TrainConfig(data="d", out="o")
    assert (paper.lr, paper.betas, paper.batch, paper.epochs) == (2e-4, (0.9, 0.999), 32, 50)
    assert (paper.policy, paper.resize, paper.crop, paper.flip) == ("paper", 256, 224, 0.5)
    assert paper.degradations == Degradations()
    expected = [2e-4] * 11 + [1.8e-4] * 10 + [1.62e-4] * 10 + [1.458e-4] * 10 + [1.3122e-4] * 9
    assert [step_size(paper, epoch) for epoch in range(50)] == pytest.approx(expected)
    assert step_size(TrainConfig(data="d", out="o", lr_decay=0.01), 49) == 1e-6


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"policy": "both"}, "policy is one of paper, short side, native"),
        ({"crop": 300}, "a crop of 300 does not fit in an image resized to 256"),
        ({"crop": 0}, "crop is 1 or more, not 0"),
        ({"batch": 0}, "batch is 1 or more, not 0"),
        ({"epochs": -1}, "epochs is 1 or more, not -1"),
        ({"lr_decay_epochs": 0}, "lr_decay_epochs is 1 or more, not 0"),
        ({"flip": 1.5}, "flip"),
        ({"validation_share": 0.0}, "between 0 and 1"),
        ({"validation_share": 1.0}, "between 0 and 1"),
        ({"betas": [0.9]}, "two numbers"),
        ({"degradations": {"scale": [0.0, 1.0]}}, "above zero"),
        ({"degradations": {"sigma": [2.0, 1.0]}}, r"degradations\.sigma is \[least, greatest\]"),
        ({"degradations": {"scale": [0.5]}}, r"degradations\.scale is \[least, greatest\]"),
        ({"degradations": {"webp_quality": [-1, 50]}}, r"degradations\.webp_quality is \[least, greatest\]"),
        ({"degradations": {"webp_quality": [50, 101]}}, "webp_quality"),
        ({"degradations": {"jpeg_quality": [50, 101]}}, "jpeg_quality"),
    ],
)
def test_settings_out_of_range_are_named(values, told):
    with pytest.raises(ConfigError, match=told):
        build(TrainConfig, {"data": "d", "out": "o"} | values)


@pytest.mark.parametrize("name", ["resize", "blur", "jpeg", "webp"])
@pytest.mark.parametrize("value", [-0.01, 1.01, float("nan")])
def test_a_degradation_that_is_no_probability_is_named(name, value):
    with pytest.raises(ConfigError, match=rf"degradations\.{name} is a probability"):
        Degradations(**{name: value})


def test_only_the_paper_s_policy_bounds_the_crop_by_the_resized_side():
    assert TrainConfig(data="d", out="o", crop=256).crop == 256
    assert TrainConfig(data="d", out="o", crop=300, policy="native").crop == 300
