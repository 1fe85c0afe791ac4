"""Train variants of a recipe for the same processor time each and compare them on sources that none has seen.

    python benchmarks/ablation.py benchmarks/ablation.toml --set data=corpus/train --minutes 5 [NAME ...]

The recipe's table ``[variants.NAME]`` holds what a variant changes. Each is timed first, then given as
many crops as fit in its minutes of the training process, so that a cheaper network sees more of them and
other work on the machine takes nothing from it. What is compared is the
AUC of whole pictures (mean logit of a few tiles) of labelled folders, as they are and after two
histories; the results are appended to a table as they come.
"""

from __future__ import annotations

import argparse
import json
import shutil
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from conditions import CONDITIONS
from numpy.typing import NDArray

from pixelkin import degrade
from pixelkin.config import build, over, override
from pixelkin.data import at_most, find_samples
from pixelkin.images import read
from pixelkin.lab.external import Store
from pixelkin.lab.recipe import TrainConfig, read_recipe
from pixelkin.lab.runs import LAST, load_run
from pixelkin.lab.scorer import tile_logits
from pixelkin.lab.train import Progress, train
from pixelkin.metrics import auc
from pixelkin.tiles import cut, tile_boxes

SIDE, TILES = 128, 6  # of the tiles that a picture is judged by
WARM_UP = 0.4  # minutes of the run that times a variant


def main() -> None:
    """Train and compare the variants named, or all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("recipe", type=Path)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--minutes", type=float, default=5.0, help="of training, each, of processor time")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="over the recipe's")
    parser.add_argument(
        "--images", type=Path, action="append", default=[], help="labelled folder to compare on"
    )
    parser.add_argument("--per-source", type=int, default=40, help="images compared of each source")
    parser.add_argument("--weights-dir", type=Path, help="where a teacher's checkpoint lies")
    parser.add_argument("--out", type=Path, default=Path("runs/ablation"))
    asked = parser.parse_args()
    values = read_recipe(asked.recipe)
    variants: dict[str, Mapping[str, Any]] = values.pop("variants")
    values = override(values, asked.set)
    sets = {
        folder.name: Tiles(folder, asked.out / "tiles" / folder.name, asked.per_source)
        for folder in asked.images
    }
    for name in asked.names or variants:
        config = build(TrainConfig, over(values, {"out": str(asked.out / name), **variants[name]}))
        entry = compared(config, asked.minutes, sets, Store(asked.weights_dir))
        with (asked.out / "results.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps({"name": name, **entry}) + "\n")
        print(name, json.dumps(entry), flush=True)


def compared(config: TrainConfig, minutes: float, sets: Mapping[str, Tiles], store: Store) -> dict[str, Any]:
    """What a variant reaches in its minutes: crops seen, last loss, AUC by set and condition."""
    run = Path(config.out)
    shutil.rmtree(run, ignore_errors=True)
    if not config.fit_images:
        images = int(timed(config, store) * 60 * minutes / config.epochs) // config.batch * config.batch
        config = replace(config, images_per_epoch=images)
    losses: list[float] = []
    began = time.process_time()
    train(config, store, on_progress=lambda progress: losses.append(progress.loss))
    spent = time.process_time() - began
    detector, _, _ = load_run(run, LAST)
    figures = {name: tiles.measured(detector) for name, tiles in sets.items()}
    return {
        "crops": config.fit_images or config.images_per_epoch * config.epochs,
        "minutes": round(spent / 60, 2),
        "loss": round(float(np.mean(losses[-50:])), 4) if losses else None,
        **figures,
    }


def timed(config: TrainConfig, store: Store) -> float:
    """Crops per second of processor time, by a short run thrown away; its check of the data is kept."""
    run, seen = Path(config.out), Path(config.out).with_name("timing")
    shutil.rmtree(seen, ignore_errors=True)
    steps: list[tuple[int, float]] = []

    def keep(progress: Progress) -> None:
        steps.append((progress.step, time.process_time()))

    facts = run.parent / "data.json"
    for folder in (seen, run):
        folder.mkdir(parents=True, exist_ok=True)
        if facts.exists():
            shutil.copy(facts, folder / "data.json")
    train(replace(config, out=str(seen)), store, minutes=WARM_UP, on_progress=keep)
    if not facts.exists():
        shutil.copy(seen / "data.json", facts)
        shutil.copy(facts, run / "data.json")
    (first, began), (last, ended) = steps[0], steps[-1]
    return config.batch * (last - first) / (ended - began)


class Tiles:
    """The tiles of a labelled folder's pictures under each condition, cut once."""

    def __init__(self, folder: Path, kept: Path, per_source: int) -> None:
        self.samples = at_most(find_samples(folder), per_source)
        self.folder, self.kept = folder, kept
        for name, chain in CONDITIONS.items():
            if not (kept / f"{name}.npz").exists():
                self._cut(name, chain)

    def _cut(self, name: str, chain: str) -> None:
        tiles, owners = [], []
        for place, sample in enumerate(self.samples):
            whole = degrade.apply(degrade.parse(chain), read(self.folder / sample.path).pixels, sample.path)
            some = cut(whole, tile_boxes(whole.shape[0], whole.shape[1], SIDE, TILES), SIDE)
            tiles.append(some)
            owners += [place] * len(some)
        self.kept.mkdir(parents=True, exist_ok=True)
        np.savez(self.kept / f"{name}.part.npz", tiles=np.concatenate(tiles), owners=np.array(owners))
        (self.kept / f"{name}.part.npz").replace(self.kept / f"{name}.npz")

    def measured(self, detector: Any) -> dict[str, dict[str, Any]]:
        """AUC over all pictures, its mean over generated sources, and that of each source, by condition."""
        return {name: self._measured(detector, name) for name in CONDITIONS}

    def logits(self, detector: Any, name: str) -> NDArray[np.float64]:
        """A detector's mean logit of each picture's tiles under one condition."""
        with np.load(self.kept / f"{name}.npz") as kept:
            tiles, owners = kept["tiles"], kept["owners"]
        with torch.inference_mode():
            parts = [tile_logits(detector, tiles[start : start + 32]) for start in range(0, len(tiles), 32)]
        of_tiles = np.concatenate(parts)
        return np.array([of_tiles[owners == place].mean() for place in range(len(self.samples))])

    def _measured(self, detector: Any, name: str) -> dict[str, Any]:
        logits = self.logits(detector, name)
        labels = np.array([sample.label for sample in self.samples])
        sources = np.array([sample.source for sample in self.samples])
        each = {str(s): of_source(logits, labels, sources == s) for s in dict.fromkeys(sources)}
        generated = [each[s] for s in dict.fromkeys(sources[labels == 1])]
        whole = round(float(auc(logits, labels)), 4)
        return {"auc": whole, "mean": round(float(np.mean(generated)), 4), "sources": each}


def of_source(logits: NDArray[Any], labels: NDArray[Any], inside: NDArray[Any]) -> float:
    """AUC of one source against all pictures of the other label."""
    against = inside | (labels != labels[inside][0])
    return round(float(auc(logits[against], labels[against])), 4)


if __name__ == "__main__":
    main()
