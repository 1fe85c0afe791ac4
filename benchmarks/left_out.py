"""Train with one family of generators left out in turn, and judge what that family makes.

    python benchmarks/left_out.py benchmarks/left_out.toml --data corpus/train --pairs raw [--out DIR]
        [--run NAME=RUN ...] [--published SYSTEM=ASSET ...]

``--data`` holds the corpus and ``pairs/GENERATOR``; ``--pairs`` pairs of photographs that no training
saw, by the same generators (`pixelkin.lab.pairs`). A generator is judged by the network whose training
left its whole family out, which is harder than leaving out itself alone. ``--run`` and ``--published``
name finished networks to judge beside it. Printed are, for each generator and condition, the balanced
accuracy at the score one half against its own photographs, the share of resampled photographs that
stay real, and AUC. What is trained already is not trained again.
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from ablation import Tiles, timed
from conditions import CONDITIONS
from numpy.typing import NDArray

from pixelkin.config import build, over
from pixelkin.data import find_samples
from pixelkin.lab.external import Store
from pixelkin.lab.recipe import TrainConfig, read_recipe
from pixelkin.lab.runs import BEST, load_run, taught_by
from pixelkin.lab.train import train
from pixelkin.metrics import auc

RESAMPLED, PAIRS, PER_SOURCE = "resampled", "pairs", 25
Logits = dict[str, NDArray[np.float64]]  # by condition, one a picture


@dataclass(frozen=True, slots=True)
class Plan:
    """Generators by family, minutes of each training, and the settings of its recipe."""

    families: Mapping[str, list[str]]
    minutes: float
    recipe: Mapping[str, Any]


def main() -> None:
    """Train what is not trained, judge, and write ``OUT/left_out.json``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("plan", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--pairs", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path("runs/left-out"))
    parser.add_argument("--weights-dir", type=Path)
    parser.add_argument("--run", action="append", default=[], metavar="NAME=RUN")
    parser.add_argument("--published", action="append", default=[], metavar="SYSTEM=ASSET")
    asked = parser.parse_args()
    recipe, store = read_recipe(asked.plan), Store(asked.weights_dir)
    plan = Plan(recipe.pop("families"), recipe.pop("minutes"), recipe)
    tiles = Tiles(asked.pairs, asked.out / "tiles", PER_SOURCE)
    sources = np.array([sample.source for sample in tiles.samples])
    judged = {"left out": composed(plan, asked, store, tiles, sources)}
    for name, run in (entry.split("=") for entry in asked.run):
        judged[name] = logits(tiles, load_run(Path(run), BEST, store)[0])
    for system, asset in (entry.split("=") for entry in asked.published):
        judged[asset] = logits(tiles, taught_by(system, asset, store))
    labels = np.array([sample.label for sample in tiles.samples])
    figures = {name: measured(some, sources, labels) for name, some in judged.items()}
    (asked.out / "left_out.json").write_text(json.dumps(figures, indent=1) + "\n", "utf-8")
    for name, by_condition in figures.items():
        for condition, found in by_condition.items():
            print(f"{name} {condition}: " + ", ".join(f"{k} {v}" for k, v in found.items() if k != "each"))


def composed(
    plan: Plan, asked: argparse.Namespace, store: Store, tiles: Tiles, sources: NDArray[Any]
) -> Logits:
    """Each generator's pictures judged by the network that saw none of its family; the rest by their mean."""
    parts: list[Logits] = []
    result: Logits = {}
    for family, generators in plan.families.items():
        run = trained(family, generators, plan, asked, store)
        parts.append(logits(tiles, load_run(run, BEST, store)[0]))
        inside = np.isin(sources, generators)
        for condition, some in parts[-1].items():
            result.setdefault(condition, np.full(len(sources), np.nan))[inside] = some[inside]
    for condition, some in result.items():
        some[np.isnan(some)] = np.mean([part[condition] for part in parts], axis=0)[np.isnan(some)]
    return result


def trained(family: str, generators: list[str], plan: Plan, asked: argparse.Namespace, store: Store) -> Path:
    """The run that never saw a family, trained for the plan's minutes."""
    run: Path = asked.out / family / "run"
    if not (run / BEST).exists():
        out = {f"{PAIRS}/{name}" for name in generators}
        kept = sorted({sample.source for sample in find_samples(asked.data)} - out)
        places = {"data": str(asked.data), "out": str(run), "bank": str(run / "bank"), "sources": kept}
        config = build(TrainConfig, over(plan.recipe, places))
        seconds = 60 * plan.minutes / config.epochs
        images = int(timed(config, store) * seconds) // config.batch * config.batch
        train(replace(config, images_per_epoch=images), store)
        shutil.rmtree(run / "bank")
    return run


def logits(tiles: Tiles, detector: Any) -> Logits:
    """A detector's logit of each picture under each condition."""
    return {condition: tiles.logits(detector, condition) for condition in CONDITIONS}


def measured(some: Logits, sources: NDArray[Any], labels: NDArray[Any]) -> dict[str, dict[str, Any]]:
    """What is printed of one network, by condition."""
    generators = list(dict.fromkeys(sources[labels == 1]))
    figures: dict[str, dict[str, Any]] = {}
    for condition, of in some.items():
        each = {}
        for name in generators:
            own = sources == name
            caught, kept = of[own & (labels == 1)] > 0, of[own & (labels == 0)] <= 0
            each[str(name)] = {
                "balanced accuracy": round(float(caught.mean() + kept.mean()) / 2, 3),
                "auc": round(float(auc(of[own], labels[own])), 3),
            }
        figures[condition] = {
            "balanced accuracy": round(float(np.mean([e["balanced accuracy"] for e in each.values()])), 3),
            "auc": round(float(np.mean([e["auc"] for e in each.values()])), 3),
            "photographs kept": round(float((of[(labels == 0) & (sources != RESAMPLED)] <= 0).mean()), 3),
            "resampled kept": round(float((of[sources == RESAMPLED] <= 0).mean()), 3),
            "each": each,
        }
    return figures


if __name__ == "__main__":
    main()
