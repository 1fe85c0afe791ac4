"""The record of what this project has trained: ``trained.json``, an entry a system.

`benchmarks/systems.py` writes it; `pixelkin detectors` and the pages of `pixelkin.lab.pages` read it.
No number in it is typed by hand.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from pixelkin.config import build
from pixelkin.files import write_atomically
from pixelkin.lab.detectors import detector_class
from pixelkin.lab.runs import BEST, LAST
from pixelkin.lab.weights import load_facts, sha256_of

FILE = Path(__file__).parent / "trained.json"

SETS = ("held-out", "wild-dev")
CONDITIONS = {"clean": "", "jpeg75": "jpeg:75"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """One system's run by its recipe's reduced settings, and what was measured of it.

    Attributes:
        sha256: of the weights measured.
        parameters: that were trained, as its recipe constructs it.
        crops: training crops shown, repeats counted; those that were only fitted to included.
        minutes: of training, validation left out.
        images_per_second: crops over that time.
        validation: AUC on held-out crops of the training sources, of the weights kept.
        control: AUC on the control problem; see `benchmarks/systems.py`.
        random: published weights that random values stood in for.
        used: SHA-256 of the published weights that were used, by name.
        figures: by set, condition and metric: value, low, high of the mean over sources.
        changed: settings that differ from the paper's recipe: name to [paper's, here].
    """

    sha256: str
    parameters: int
    crops: int
    minutes: float
    images_per_second: float
    validation: float
    control: float | None
    random: tuple[str, ...] = ()
    used: Mapping[str, Any] = field(default_factory=dict)
    figures: Mapping[str, Any] = field(default_factory=dict)
    changed: Mapping[str, Any] = field(default_factory=dict)


@cache
def read_record(file: Path = FILE) -> dict[str, Trained]:
    """Every entry, by system."""
    if not file.exists():
        return {}
    return {name: build(Trained, values) for name, values in json.loads(file.read_text("utf-8")).items()}


def write_entry(system: str, entry: Trained, file: Path = FILE) -> None:
    """Put one system's entry into the record, a line of the file."""
    entries = json.loads(file.read_text("utf-8")) if file.exists() else {}
    entries[system] = dataclasses.asdict(entry)
    lines = (f"{json.dumps(name)}: {json.dumps(entries[name], sort_keys=True)}" for name in sorted(entries))
    write_atomically(file, ("{\n" + ",\n".join(lines) + "\n}\n").encode())
    read_record.cache_clear()


def entry_of(run: Path, reports: Mapping[str, Mapping[str, Path]], **more: Any) -> Trained:
    """What a run's best checkpoint and its reports say.

    Args:
        run: folder of a training run that has ended.
        reports: folder of an evaluation, by set and condition.
        more: attributes of `Trained` that neither knows.
    """
    facts, last = load_facts(run / BEST), load_facts(run / LAST)
    config, state, external = facts["config"], last["state"], facts["external"]
    of_epoch = config["images_per_epoch"]
    shown = state["step"] * of_epoch // -(-of_epoch // config["batch"]) or config["fit_images"]
    return Trained(
        sha256=sha256_of(run / BEST),
        parameters=sum(
            p.numel() for p in detector_class(config["detector"])(**config["options"]).parameters()
        ),
        crops=shown,
        minutes=round(state["seconds"] / 60, 2),
        images_per_second=round(shown / state["seconds"], 1),
        validation=best_auc(run),
        random=tuple(external["random"]),
        used=external["used"],
        figures={name: {c: _figures(f) for c, f in of.items()} for name, of in reports.items()},
        **more,
    )


def best_auc(run: Path) -> float:
    """On validation crops, of the weights that a run kept."""
    return round(load_facts(run / BEST)["state"]["history"][-1]["auc"], 4)


def differences(paper: Mapping[str, Any], ours: Mapping[str, Any]) -> dict[str, list[Any]]:
    """Settings of two recipes that differ, dotted, to [the first's, the second's]."""
    found: dict[str, list[Any]] = {}
    for key in sorted({*paper, *ours}):
        was, now = paper.get(key), ours.get(key)
        if isinstance(was, Mapping) and isinstance(now, Mapping):
            found |= {f"{key}.{name}": values for name, values in differences(was, now).items()}
        elif was != now:
            found[key] = [was, now]
    return found


def _figures(report: Path) -> dict[str, list[float | None]]:
    mean = json.loads((report / "report.json").read_text("utf-8"))["mean"]
    return {
        name: [None if v is None else round(v, 4) for v in mean[name].values()] for name in ("auc", "acc")
    }
