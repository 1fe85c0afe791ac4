"""Train every system by its recipe's reduced settings, measure it, and write the record.

    python benchmarks/systems.py [NAME ...] [--corpus corpus] [--out runs/reduced]

The working folder holds ``corpus/`` with ``train``, ``wild-dev`` and ``held-out`` (docs/results.md says
how to lay it out). What is there already is not made again, so that the command can be stopped and
goes on. Where a run's own validation leaves in doubt whether the system learns at all, it is trained
on a *control*, too: photographs against the same photographs with one pixel's value for each 2 x 2
cell (for a system that makes its own generated images, against those). A system that learns this but
not the corpus is right in code and lacks data, time or a method that fits; one that learns neither
is examined.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from pixelkin import tables
from pixelkin.config import build
from pixelkin.data import at_most, find_images, find_samples
from pixelkin.images import read
from pixelkin.lab.detectors import DETECTORS, detector_class
from pixelkin.lab.external import Store
from pixelkin.lab.recipe import TrainConfig, read_recipe
from pixelkin.lab.record import CONDITIONS, FILE, SETS, best_auc, differences, entry_of, write_entry
from pixelkin.lab.scorer import subject_of_run
from pixelkin.measure import Images, Measuring, Results, Subject
from pixelkin.robustness import CLEAN, Condition

RECIPES = Path(__file__).parents[1] / "recipes"
LEARNT = 0.75  # validation AUC from which no control is needed
PER_SOURCE = {"held-out": 40, "wild-dev": 0}  # images measured of each source; 0 for all
# Small batches for many steps: where first weights are tiny, batch norms take over a hundred to settle.
CONTROL = {"images_per_epoch": 1200, "batch": 8, "epochs": 1, "validation_images": 200}
CONTROL_PHOTOGRAPHS = 300
# Settings that say where and by whom, not how.
PLACES = ["data", "out", "validation", "sources", "tile", "workers", "validation_images"]


def main() -> None:
    """Train, measure and record the systems named, or all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", default=list(DETECTORS))
    for name, default in (("corpus", "corpus"), ("out", "runs/reduced"), ("record", FILE)):
        parser.add_argument(f"--{name}", type=Path, default=Path(default))
    asked = parser.parse_args()
    for name in asked.names:
        print(name, flush=True)
        run_system(name, asked.corpus, asked.out, asked.record)


def run_system(name: str, corpus: Path, out: Path, record: Path) -> None:
    """One system: its training, a control where it is needed, four measurements, an entry."""
    recipe, run = RECIPES / f"{name}.toml", out / name
    external = ["--allow-random-init", "--cache", str(out / "cache")]
    train(recipe, run, [f"data={corpus / 'train'}"], external)
    control = controlled(name, recipe, corpus, out, external) if best_auc(run) < LEARNT else None
    paper, reduced = read_recipe(recipe), read_recipe(recipe, reduced=True)
    reports = measured(run, corpus, out, reduced["most_tiles"])
    ours = differences(*(vars_of(build(TrainConfig, values)) for values in (paper, reduced)))
    for place in PLACES:
        ours.pop(place, None)
    write_entry(name, entry_of(run, reports, control=control, changed=ours), record)


def controlled(name: str, recipe: Path, corpus: Path, out: Path, external: list[str]) -> float:
    """The AUC of a system on its control, trained on it."""
    run = out / f"{name}-control"
    images = plant_control(name, corpus / "train" / "0_real" / "bsds500", out)
    settings = [f"data={images}", "sources=[]", "degradations={}", "fit_images=1200"]
    settings += [f"{key}={value}" for key, value in CONTROL.items()]
    train(recipe, run, settings, external)
    return best_auc(run)


def measured(run: Path, corpus: Path, out: Path, most_tiles: int) -> dict[str, dict[str, Path]]:
    """The folder of a run's report on each set under each condition, made where it is missing."""
    places = {
        images: {c: out / "reports" / f"{run.name}-{images}-{c}" for c in CONDITIONS} for images in SETS
    }
    store = Store(allow_random=True, cache=out / "cache")
    subject: Subject | None = None  # loaded once, and only where something is left to measure
    for images, of_condition in places.items():
        samples = find_samples(corpus / images)
        some = at_most(samples, PER_SOURCE[images]) if PER_SOURCE[images] else samples
        for condition, place in of_condition.items():
            if not (place / "report.json").exists():
                subject = subject or subject_of_run(run, store, most_tiles=most_tiles)
                measuring = Measuring(
                    subject=subject, images=Images(corpus / images, tuple(some)), out=place, workers=2
                )
                chain = CONDITIONS[condition]
                tables.save(
                    Results(report=measuring.report(Condition("degraded", chain, chain) if chain else CLEAN)),
                    place,
                )
    return places


def train(recipe: Path, run: Path, settings: list[str], external: list[str]) -> None:
    """Train a run to its end, or leave it as it is where it has got there."""
    words = [word for setting in [f"out={run}", *settings] for word in ("--set", setting)]
    pixelkin("train", str(recipe), "--reduced", "--resume", *words, *external)


def plant_control(name: str, photographs: Path, out: Path) -> Path:
    """The control problem of a system, as a labelled folder."""
    kind = detector_class(name)
    root = out / ("control-images" + f"-{name}" * kind.from_photographs)
    if root.exists():
        return root
    for place, file in enumerate(find_images(photographs)[:CONTROL_PHOTOGRAPHS]):
        # As large as the crop that a twin is made of in training, so that it is made in the same way.
        side = 136 if kind.from_photographs else 256
        pixels = read(file).pixels[:side, :side]
        if kind.from_photographs:
            made = kind().example(pixels, np.random.default_rng(place))
        else:
            made = pixels[::2, ::2].repeat(2, 0).repeat(2, 1)
        for folder, shown in (("0_real", pixels), ("1_fake", made)):
            kept = root / "photographs" / folder / f"{place:03}.png"
            kept.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(shown).save(kept)
    return root


def vars_of(config: TrainConfig) -> dict[str, Any]:
    """A recipe's settings as they are recorded."""
    return json.loads(json.dumps(asdict(config)))


def pixelkin(*words: str) -> None:
    """Run a command as a person would type it."""
    subprocess.run([sys.executable, "-m", "pixelkin", *words], check=True)  # noqa: S603


if __name__ == "__main__":
    main()
