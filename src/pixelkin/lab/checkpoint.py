"""A run's state in its ``last.safetensors``: all that it takes to go on as if it had never stopped."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

import pixelkin
from pixelkin import config as settings
from pixelkin.errors import RunError
from pixelkin.lab import weights
from pixelkin.lab.detectors.base import Detector
from pixelkin.lab.recipe import TrainConfig
from pixelkin.lab.runs import OPTIMISER, optimiser_tensors, restore_optimiser, same_networks

MAY_CHANGE = {
    "data",
    "validation",
    "out",
    "workers",
    "devices",
    "accelerator",
    "threads",
    "compile",
    "accumulate",
    "epochs",
    "tile",
    "most_tiles",
    "bank",
}


@dataclass(slots=True)
class State:
    """Where a run stands.

    Attributes:
        step: steps done.
        seconds: spent on them.
        best: merit of the best epoch, by the recipe's ``keep``.
        history: validation figures of each epoch.
    """

    step: int = 0
    seconds: float = 0.0
    best: float = float("-inf")
    history: list[dict[str, float]] = field(default_factory=list)


def facts_of(
    config: TrainConfig, state: State, external: Mapping[str, Any], scaling: Mapping[str, Any]
) -> dict[str, Any]:
    """What a checkpoint says beside its tensors.

    Args:
        config: the recipe.
        state: of the run.
        external: what `pixelkin.lab.external.Store.facts` says of weights of others.
        scaling: the state of the loss's scale, in 16-bit floats; empty in others.
    """
    return {
        "config": dataclasses.asdict(config),
        "state": dataclasses.asdict(state),
        "external": external,
        "scaling": scaling,
        "pixelkin": pixelkin.__version__,
        "torch": torch.__version__,
    }


def write_checkpoint(
    path: Path, detector: Detector, optimiser: torch.optim.Optimizer | None, facts: Mapping[str, Any]
) -> None:
    """Write weights, the optimiser's state and `facts_of` the run, atomically."""
    moments = optimiser_tensors(optimiser) if optimiser else {}
    weights.save_tensors(path, detector.state_dict() | moments, facts)


def read_checkpoint(
    path: Path,
    config: TrainConfig,
    external: Mapping[str, Any],
    detector: Detector,
    optimiser: torch.optim.Optimizer | None,
) -> dict[str, Any]:
    """Put what `write_checkpoint` wrote into a detector and its optimiser; returns the facts.

    Args:
        path: of the checkpoint.
        config: the recipe to go on with.
        external: as in `facts_of`, of this process. What the facts then say of it is of the whole run.
        detector: takes the weights.
        optimiser: takes its state; None where nothing is descended to.

    Raises:
        RunError: it was trained by another recipe.
        WeightsError: it is damaged, or was trained through another frozen network.
    """
    tensors, facts = weights.load_tensors(path)
    _same_recipe(path, settings.build(TrainConfig, facts["config"]), config)
    was = facts["external"]
    same_networks(path, was, external)
    facts["external"] = {
        "used": {**was["used"], **external["used"]},
        "random": sorted({*was["random"], *external["random"]}),
    }
    moments = {name: tensors.pop(name) for name in list(tensors) if name.startswith(OPTIMISER)}
    weights.load_strictly(detector, tensors, path)
    if optimiser:
        restore_optimiser(optimiser, moments)
    return facts


def _same_recipe(path: Path, was: TrainConfig, now: TrainConfig) -> None:
    changed = [
        f"{f.name} was {getattr(was, f.name)!r}, is {getattr(now, f.name)!r}"
        for f in dataclasses.fields(TrainConfig)
        if f.name not in MAY_CHANGE and getattr(was, f.name) != getattr(now, f.name)
    ]
    if changed:
        raise RunError(f"{path} was trained by another recipe: {'; '.join(changed)}")
