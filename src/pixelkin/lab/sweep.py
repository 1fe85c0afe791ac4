"""One recipe file to several runs: a table ``sweep`` names settings and the values each is to take.

Every ``[[sweep]]`` table is a grid of its own: its keys are settings as ``--set`` takes them, and
all combinations of their values are trained. The paper's Table 7 is two such grids
(recipes/table7.toml); runs over seeds are one with the key ``seed``.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from pixelkin.config import build, put
from pixelkin.errors import ConfigError, RunError
from pixelkin.files import write_atomically
from pixelkin.lab.recipe import TrainConfig

SWEEP = "sweep.json"


@dataclass(frozen=True, slots=True)
class Cell:
    """One run of a sweep.

    Attributes:
        name: what it sets, e.g. ``"period=2,reference=mean"``; its folder below the sweep's.
        values: setting, dotted, to its value.
        config: the recipe of the run.
    """

    name: str
    values: dict[str, Any]
    config: TrainConfig


def cells(recipe: Mapping[str, Any]) -> list[Cell]:
    """The runs that a recipe with a ``sweep`` asks for, in the file's order.

    Raises:
        ConfigError: the sweep is no list of tables of lists, or a setting in it is unknown or out
            of its range.
    """
    plain = {key: value for key, value in recipe.items() if key != "sweep"}
    found = [
        Cell(name, values, build(TrainConfig, put(plain, values | {"out": f"{plain.get('out', '')}/{name}"})))
        for values in _combinations(recipe["sweep"])
        for name in [_name(values)]
    ]
    counts = Counter(cell.name for cell in found)
    if twice := [name for name, count in counts.items() if count > 1]:
        raise ConfigError(f"the sweep has {twice[0]} more than once")
    return found


def begin(recipe: Mapping[str, Any]) -> list[TrainConfig]:
    """The recipe of each run, with the list of them written to ``recipe["out"]``, to measure them by."""
    found = cells(recipe)
    out = Path(str(recipe["out"]))
    out.mkdir(parents=True, exist_ok=True)
    facts = [{"name": cell.name, "values": cell.values} for cell in found]
    write_atomically(out / SWEEP, json.dumps(facts, indent=1).encode())
    return [cell.config for cell in found]


def runs_of(folder: Path) -> dict[str, tuple[Path, dict[str, Any]]]:
    """The runs of a sweep by name, each with its folder and what it sets; of a single run, itself.

    Raises:
        RunError: the sweep's list cannot be read.
    """
    path = folder / SWEEP
    if not path.exists():
        return {folder.resolve().name: (folder, {})}
    try:
        facts = json.loads(path.read_text("utf-8"))
        return {each["name"]: (folder / each["name"], dict(each["values"])) for each in facts}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError(f"{path}: no list of a sweep's runs ({error})") from error


def _combinations(grids: Any) -> Iterator[dict[str, Any]]:
    if not isinstance(grids, list) or not grids or not all(isinstance(grid, Mapping) for grid in grids):
        raise ConfigError("a sweep is written as [[sweep]] tables, each a setting = [values] a line")
    for grid in grids:
        for key, values in grid.items():
            if not isinstance(values, list) or not values:
                raise ConfigError(f"sweep.{key} takes a list of values, as in [1, 2], not {values!r}")
        for chosen in product(*grid.values()):
            yield dict(zip(grid, chosen, strict=True))


def _name(values: Mapping[str, Any]) -> str:
    """A folder's name that tells the cell: the last word of each setting with its value."""
    return ",".join(f"{key.rpartition('.')[2]}={value}" for key, value in values.items()).replace("/", "-")
