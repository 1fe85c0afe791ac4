"""The folder of a training run: what lies in it, and how a detector comes back out of it.

``last.safetensors`` holds weights and the state to go on from, ``best.safetensors`` the weights of
the best validation, ``data.json`` what the check of the data found, ``tensorboard/`` a log.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from inspect import signature
from pathlib import Path
from typing import Any, get_type_hints

import torch
from torch import Tensor, nn

from pixelkin import config as settings
from pixelkin.errors import ConfigError, MissingExtraError, RunError, WeightsError
from pixelkin.lab import weights
from pixelkin.lab.detectors import detector_class
from pixelkin.lab.detectors.base import Detector
from pixelkin.lab.external import Store
from pixelkin.lab.recipe import TrainConfig
from pixelkin.lab.weights import Tensors

LAST, BEST, DATA = "last.safetensors", "best.safetensors", "data.json"
OPTIMISER = "/optimiser/"  # no parameter's name holds a slash


def new_detector(config: TrainConfig, store: Store, *, fresh: bool) -> Detector:
    """A recipe's detector with the weights of others that it needs.

    Args:
        config: names it and its options.
        store: where the weights of others lie.
        fresh: its first values are wanted, too; its trained numbers are not loaded after this.

    Raises:
        MissingWeightsError: a file is not there.
        ConfigError: an option is unknown, or has no such value.
        MissingExtraError: a package that it looks through is not installed.
        RunError: the run to start from has no weights.
        WeightsError: its weights are of another network.
    """
    kind = detector_class(config.detector)
    known = list(signature(kind).parameters)
    if unknown := [name for name in config.options if name not in known]:
        names = ", ".join(known) or "it has none"
        raise ConfigError(f"no option of {config.detector} is named {unknown[0]!r}; the names are: {names}")
    hints = get_type_hints(kind.__init__)
    given = config.options.items()
    options = {name: settings.value_of(hints[name], value, f"options.{name}") for name, value in given}
    with _seeded(config.seed):
        detector = kind(**options)
    try:
        with _seeded(config.seed):  # what stands in for a missing file is the same in every process
            detector.equip(store, fresh=fresh and not config.start)
    except ModuleNotFoundError as error:
        raise MissingExtraError(config.detector, "lab", error.name) from error
    if fresh and config.start:
        path = Path(config.start) / BEST
        detector.begin_from(_checkpoint(path)[0], store, path)
    return detector


def load_run(
    run: Path, which: str = BEST, store: Store | None = None
) -> tuple[Detector, TrainConfig, dict[str, Any]]:
    """The detector of a run in eval mode, its recipe, and its checkpoint's facts.

    Raises:
        RunError: the run has no such checkpoint yet.
        WeightsError: the checkpoint is damaged.
        MissingWeightsError: a network that it looks through is not in ``store``.
    """
    path = run / which
    tensors, facts = _checkpoint(path)
    store = store or Store()
    config = settings.build(TrainConfig, facts["config"])
    detector = new_detector(config, store, fresh=False)
    same_networks(path, facts.get("external", {"used": {}, "random": []}), store.facts())
    weights.load_strictly(detector, tensors, path)
    return detector.eval(), config, facts


def _checkpoint(path: Path) -> tuple[Tensors, dict[str, Any]]:
    """The weights and facts of a run's file, without the optimiser's state."""
    if not path.exists():
        raise RunError(
            f"{path.parent} holds no {path.name}: is it the folder of a run, and has an epoch ended?"
        )
    tensors, facts = weights.load_tensors(path)
    return {k: v for k, v in tensors.items() if not k.startswith(OPTIMISER)}, facts


def taught_by(system: str, asset: str, store: Store) -> Detector:
    """A published detector in eval mode, to learn from.

    Args:
        system: its registered name.
        asset: its checkpoint, one of its card's.
        store: where that lies.

    Raises:
        ConfigError: the system has no such checkpoint.
        MissingWeightsError: it is not there.
    """
    teacher = detector_class(system)()
    if asset not in teacher.card.checkpoints:
        names = ", ".join(teacher.card.checkpoints) or "it has none"
        raise ConfigError(f"no checkpoint of {system} is named {asset!r}; the names are: {names}")
    if file := store.find(asset):
        teacher.load_checkpoint(file)
    return teacher.eval()


def same_networks(path: Path, then: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Refuse weights that were trained through another frozen network than is there now.

    Args:
        path: of the weights, for the message.
        then: `Store.facts` of their training.
        now: of what has been read since.

    Raises:
        WeightsError: a network differs, or random values stood in for it then.
    """
    for name, digest in now["used"].items():
        was = "random values" if name in then["random"] else then["used"].get(name, digest)
        if was != digest:
            raise WeightsError(f"{path} was trained through {name} of {was[:13]}, not of {digest[:13]}")


def optimiser_tensors(optimiser: torch.optim.Optimizer) -> Tensors:
    """The state of an optimiser as named tensors."""
    return {
        f"{OPTIMISER}{place}/{name}": value
        for place, entry in optimiser.state_dict()["state"].items()
        for name, value in entry.items()
        if value is not None
    }


def restore_optimiser(optimiser: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Give an optimiser the state that `optimiser_tensors` took."""
    parameters: list[nn.Parameter] = [p for group in optimiser.param_groups for p in group["params"]]
    kept: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        place, what = name.removeprefix(OPTIMISER).split("/")
        if tensor.ndim:  # in its parameter's memory order, which fused steps take for granted
            tensor = torch.empty_like(parameters[int(place)]).copy_(tensor)
        kept.setdefault(int(place), {})[what] = tensor
    groups = optimiser.state_dict()["param_groups"]
    optimiser.load_state_dict({"state": kept, "param_groups": groups})


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Chance that begins anew, and leaves the process's own as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield
