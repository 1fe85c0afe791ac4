"""From public repositories to the shipped model: corpus, pairs, training in three parts, their mean, export.

    python benchmarks/default_model.py --repos CLONES --work DIR [--zoo FOLDER] [--minutes 55]

``CLONES`` holds clones of the repositories that ``python -m pixelkin.lab.corpus --list`` names; ``FOLDER``
a ``zoo.py`` of real generators (see `pixelkin.lab.pairs`). What is there already is not made again, so
that the command goes on where it was stopped; with ``--minutes`` training stops after so many, with a
checkpoint. Seeds are the recipe's; the digests of all that went in are written to ``DIR/digests.json``.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
from pathlib import Path

from pixelkin.lab import pairs
from pixelkin.lab.average import average
from pixelkin.lab.corpus import MANIFEST, entries, lay_out
from pixelkin.lab.runs import LAST
from pixelkin.lab.weights import load_facts

RECIPES = Path(__file__).parents[1] / "recipes"
PHOTOGRAPHS = (
    "bsds500",
    "cid22",
    "imagenet1000",
    "polyu_orig",
    "raccoon",
    "sunhays80",
)  # pairs are made of them
PARTS = ("kin", "kin-again", "kin-soft")  # recipes in order, each from the weights of the one before
NAME = "kin-2"  # of the model, which has the mean of their weights
OF_ZOO, SIMULATED = 150, 100  # pairs a generator
TRAIN = ("-m", "pixelkin", "train")


def main() -> int:
    """Do what is left to do."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repos", type=Path, required=True, help="folder of clones")
    parser.add_argument("--work", type=Path, required=True, help="folder for everything that is made")
    parser.add_argument("--zoo", type=Path, help="folder with a zoo.py of real generators")
    parser.add_argument("--minutes", default="0", help="of training at once; 0 for all of it")
    asked = parser.parse_args()
    data = asked.work / "train"
    _, missing = lay_out([e for e in entries() if e.split == "train"], asked.repos, asked.work)
    if missing:
        print(f"missing: {dict(missing)}", file=sys.stderr)
        return 1
    plant_pairs(data, asked.zoo)
    for recipe in PARTS:
        run = asked.work / "runs" / recipe
        if not finished(run):
            if done := trained(recipe, run, data, asked):
                return done
            if not finished(run):
                print(f"{run} is not at its end: the same command goes on", file=sys.stderr)
                return 0
    write_digests(asked.work, data, run)
    runs = [asked.work / "runs" / recipe for recipe in reversed(PARTS)]
    mean = asked.work / "runs" / NAME
    average(runs, mean)
    card = RECIPES / f"{NAME}.card.toml"
    return called("-m", "pixelkin", "export", str(mean), "--card", str(card), "-o", f"{mean}.onnx")


def trained(recipe: str, run: Path, data: Path, asked: argparse.Namespace) -> int:
    """Train one part for the minutes asked; returns its exit code."""
    places = {"data": data, "bank": asked.work / "bank", "out": run}
    if recipe != PARTS[0]:
        places["start"] = run.with_name(PARTS[PARTS.index(recipe) - 1])
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
