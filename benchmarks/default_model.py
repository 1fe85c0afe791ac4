"""From public repositories to the shipped model: corpus, pairs, three trainings, their mean, export.

    python benchmarks/default_model.py --repos CLONES --work DIR [--zoo FOLDER] [--judge IMAGES]

``CLONES`` holds clones of the repositories that ``python -m pixelkin.lab.corpus list`` names; ``--zoo`` a
folder with a ``zoo.py`` of real generators (see `pixelkin.lab.pairs`). The model is calibrated on the
corpus's sources ``dev``; what it reaches on the labelled images of ``--judge`` comes into its card. What is
there already is not made again, so that the command goes on where it was stopped; with ``--minutes``
training stops after so many, with a checkpoint. Seeds are the recipe's; the digests of all that went in are
written to ``DIR/digests.json``.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from conditions import CONDITIONS

from pixelkin.config import build, read_toml
from pixelkin.lab import pairs
from pixelkin.lab.average import average
from pixelkin.lab.corpus import MANIFEST, lay_out, read_manifest
from pixelkin.lab.export import ExportConfig, export, with_card
from pixelkin.lab.runs import LAST
from pixelkin.lab.weights import load_facts
from pixelkin.measure import measured
from pixelkin.model import Model

RECIPES = Path(__file__).parents[1] / "recipes"
PHOTOGRAPHS = (
    "bsds500",
    "cid22",
    "imagenet1000",
    "polyu_orig",
    "raccoon",
    "sunhays80",
)  # pairs are made of them
# In order: a recipe and the run that it begins from, or the runs whose weights have their mean in this one.
RUNS: Mapping[str, tuple[str, ...]] = {
    "kin": (),
    "kin-again": ("kin",),
    "kin-soft": ("kin-again",),
    "kin-2": ("kin-soft", "kin-again", "kin"),
}
NAME = "kin-2"  # of the model, which has the weights of the last run
OF_ZOO, SIMULATED = 150, 100  # pairs a generator
TRAIN = ("-m", "pixelkin", "train")


def main() -> int:
    """Do what is left to do."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repos", type=Path, required=True, help="folder of clones")
    parser.add_argument("--work", type=Path, required=True, help="folder for everything that is made")
    parser.add_argument("--zoo", type=Path, help="folder with a zoo.py of real generators")
    parser.add_argument("--minutes", default="0", help="of training at once; 0 for all of it")
    parser.add_argument("--judge", type=Path, help="labelled images to measure the model on")
    asked = parser.parse_args()
    data = asked.work / "train"
    _, missing = lay_out(read_manifest(), asked.repos, asked.work)
    if missing:
        print(f"missing: {dict(missing)}", file=sys.stderr)
        return 1
    plant_pairs(data, asked.zoo)
    for name, origins in RUNS.items():
        run = asked.work / "runs" / name
        if not (RECIPES / f"{name}.toml").exists():
            average([run.with_name(origin) for origin in origins], run)
        elif not finished(run):
            if done := trained(name, origins, run, asked):
                return done
            if not finished(run):
                print(f"{run} is not at its end: the same command goes on", file=sys.stderr)
                return 0
    write_digests(asked.work, data, run)
    model = run.with_suffix(".onnx")
    settings = build(ExportConfig, read_toml(RECIPES / f"{NAME}.card.toml"))
    export(run, model, replace(settings, calibrate_on=str(asked.work / settings.calibrate_on)))
    finish_card(model, asked.work, judged(model, asked.judge) if asked.judge else {})
    return 0


def judged(model: Path, images: Path) -> dict[str, Any]:
    """What a model reaches on labelled images under each condition, as cards tell it."""
    reports = []
    for condition, chain in CONDITIONS.items():
        out = model.with_name(f"{NAME}-{condition}")
        words = ("--model", str(model), "--data", str(images), "--out", str(out))
        called("-m", "pixelkin", "evaluate", *words, *(("--degrade", chain) if chain else ()))
        reports.append(f"{condition}={out / 'report.json'}")
    return measured(reports)


def finish_card(model: Path, work: Path, figures: Mapping[str, Any]) -> None:
    """Write what was measured, and the recipe without the places of this machine, into a model's card."""
    data = model.read_bytes()
    card = Model(data).card
    recipe = json.loads(json.dumps(card.recipe).replace(f"{work}/", ""))
    model.write_bytes(with_card(data, replace(card, recipe=recipe, measured=figures)))


def trained(recipe: str, origins: tuple[str, ...], run: Path, asked: argparse.Namespace) -> int:
    """Train by a recipe for the minutes asked; returns its exit code."""
    places = {"data": asked.work / "train", "bank": asked.work / "bank", "out": run}
    if origins:
        places["start"] = run.with_name(origins[0])
    words = [word for key, place in places.items() for word in ("--set", f"{key}={place}")]
    return called(*TRAIN, str(RECIPES / f"{recipe}.toml"), *words, "--resume", "--minutes", asked.minutes)


def finished(run: Path) -> bool:
    """Whether a run has reached its last epoch."""
    if not (run / LAST).exists():
        return False
    facts = load_facts(run / LAST)
    return len(facts["state"]["history"]) >= facts["config"]["epochs"]


def plant_pairs(data: Path, zoo: Path | None) -> None:
    """The pairs of `PHOTOGRAPHS`, by the generators of a zoo and by simulated up-samplers."""
    photographs = data.parent / "photographs"
    photographs.mkdir(exist_ok=True)
    for source in PHOTOGRAPHS:
        if not (photographs / source).exists():
            (photographs / source).symlink_to((data / "0_real" / source).resolve())
    out = ["--out", str(data / "pairs")]
    if zoo:
        pairs.main([str(photographs), *out, "--zoo", str(zoo), "--each", str(OF_ZOO)])
    pairs.main([str(photographs), *out, "--simulated", "--each", str(SIMULATED)])


def write_digests(work: Path, data: Path, run: Path) -> None:
    """SHA-256 of the manifests and of the weights, as far as they are there."""
    files = {
        "corpus": MANIFEST,
        "pairs": data / "pairs" / pairs.MANIFEST,
        "weights": run / "best.safetensors",
    }
    digests = {name: hashlib.sha256(f.read_bytes()).hexdigest() for name, f in files.items() if f.exists()}
    (work / "digests.json").write_text(json.dumps(digests, indent=1) + "\n", "utf-8")


def called(*words: str) -> int:
    """Run Python on these words; returns its exit code."""
    return subprocess.run([sys.executable, *words], check=False).returncode  # noqa: S603


if __name__ == "__main__":
    sys.exit(main())
