"""Train the heads of a recipe on cached features, and weigh them against each other on sources left out."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from pixelkin.config import build
from pixelkin.data import at_most, find_samples
from pixelkin.errors import DataError, RunError, WeightsError
from pixelkin.lab.circulation import Circulation
from pixelkin.lab.experts.features import CIRCULATED, STORED, Extractor, Features, features_of
from pixelkin.lab.experts.heads import (
    Ensemble,
    Head,
    LayerHead,
    PatchHead,
    of_patches,
    of_traces,
    predict,
    train_ensemble,
    votes,
)
from pixelkin.lab.experts.networks import networks
from pixelkin.lab.experts.recipe import ExpertsConfig, HeadConfig
from pixelkin.lab.weights import Tensors, load_facts, load_strictly, load_tensors, save_tensors
from pixelkin.types import Floats

logger = logging.getLogger(__name__)

BEST = "best.safetensors"
OVERVIEW_VIEW, NATIVE_VIEW = 0, 1  # in the features of a view


@dataclass(frozen=True, slots=True)
class Trained:
    """Heads and their weights, as a run has learnt them.

    Attributes:
        config: its recipe.
        heads: by name: ``overview``, ``native``, ``traces`` where the recipe has it, and ``patches``, which
            has no part in the joined logit.
        weights: of each head's logit in the joined one, by name, and ``bias``.
    """

    config: ExpertsConfig
    heads: dict[str, Ensemble]
    weights: dict[str, float]

    def joined(self, logits: dict[str, NDArray[np.float64]]) -> NDArray[np.float64]:
        """The joined logit of pictures, given each head's, all of one shape."""
        weighted = np.stack([self.weights[name] * logits[name] for name in self.weights if name != "bias"])
        return np.asarray(weighted.sum(0) + self.weights["bias"])


def extractor_of(config: ExpertsConfig, views: tuple[str, ...] = ()) -> Extractor:
    """The extractor of a recipe's training features, or of those of other ``views``."""
    drawn = (STORED, *(f"{CIRCULATED}:{place}" for place in range(1, config.views + 1)))
    circulation = Circulation(config.circulation, config.degradations)
    return Extractor(networks(config.encoder, Path(config.cache)), views or drawn, circulation)


def head_input(features: Features, name: str, config: HeadConfig) -> Floats:
    """A head's input, shape (n, views, layers, channels): tokens, or traces of the most textured tile."""
    if name == "traces":
        return features.traces[:, :, :1]
    view = NATIVE_VIEW if name == "native" else OVERVIEW_VIEW
    first, last = config.blocks
    kinds = [features.tokens[kind][:, :, view, first - 1 : last] for kind in config.tokens]
    return np.concatenate(kinds, 2)


def joined_configs(config: ExpertsConfig) -> dict[str, HeadConfig]:
    """The settings of each head of the joined logit, by name."""
    found = {"overview": config.overview, "native": config.native}
    return found | ({"traces": of_traces(config.traces, config.native)} if config.traces else {})


def head_configs(config: ExpertsConfig) -> dict[str, HeadConfig]:
    """The settings of each head by name."""
    return joined_configs(config) | {"patches": of_patches(config.overview)}


def kind_of(name: str) -> type[Head]:
    """The class of the head of that name."""
    return PatchHead if name == "patches" else LayerHead


def logits_of(trained: Trained, features: Features) -> dict[str, NDArray[np.float64]]:
    """The logits of each head by name, shape (n, views)."""
    found = {}
    for name, config in head_configs(trained.config).items():
        inputs = head_input(features, name, config)
        views = [predict(trained.heads[name], inputs[:, view]) for view in range(inputs.shape[1])]
        found[name] = np.stack(views, 1)
    return found


def train(config: ExpertsConfig, on_progress: Callable[[int, int], None] = lambda *_: None) -> Path:
    """Extract what the cache lacks, train, and write the run's folder; returns it.

    Stopped at any moment, the same call goes on: features are kept by whole files, and heads train in
    minutes.

    Args:
        config: the recipe.
        on_progress: told the pictures that are done, and of how many.

    Raises:
        DataError: too few pictures can be read.
    """
    root = Path(config.data)
    labelled = [sample for sample in find_samples(root) if sample.label is not None]
    samples = at_most(labelled, config.most)
    cache = Path(config.cache)
    features = features_of(root, samples, extractor_of(config), cache, config.workers, on_progress)
    if set(features.labels) != {0, 1}:
        raise DataError(f"{root}: both labels are needed, and too few pictures can be read")
    trained = fit(features, config)
    out = Path(config.out)
    out.mkdir(parents=True, exist_ok=True)
    save_run(out, trained)
    return out


def fit(features: Features, config: ExpertsConfig) -> Trained:
    """Train every head on all pictures, and their weights on logits of sources that were left out."""
    weights = join_weights(features, config)
    heads = {
        name: train_ensemble(
            head_input(features, name, of), features.labels, features.sources, of, config.seed, kind_of(name)
        )
        for name, of in head_configs(config).items()
    }
    return Trained(config, heads, weights)


def join_weights(features: Features, config: ExpertsConfig) -> dict[str, float]:
    """The weight of each head and the bias, by logistic regression on logits of left-out sources.

    Sources are dealt into folds; each fold's logits come from heads that never saw its sources (stacking,
    Wolpert 1992). No weight is below zero.
    """
    labels, sources = features.labels, features.sources
    folds = folds_of(labels, sources, config.folds, config.seed)
    logits: dict[str, Floats] = {}
    for name, of in joined_configs(config).items():
        inputs = head_input(features, name, of)
        views = inputs.shape[1]
        logits[name] = np.zeros((len(labels), views))
        single = dataclasses.replace(of, seeds=1)
        for fold in range(config.folds):
            inside = folds != fold
            head = train_ensemble(inputs[inside], labels[inside], sources[inside], single, config.seed)
            for view in range(views):
                logits[name][~inside, view] = predict(head, inputs[~inside, view])
    names = list(logits)
    stacked = np.stack([logits[name] for name in names], -1)
    shares = votes(labels, sources, config.overview.power)
    found = _logistic(stacked, labels, shares)
    return dict(zip([*names, "bias"], found, strict=True))


def folds_of(
    labels: NDArray[np.int64], sources: NDArray[np.str_], count: int, seed: int
) -> NDArray[np.int64]:
    """The fold of each picture, shape (n,): whole sources, each label's dealt out in turn."""
    rng = np.random.default_rng(seed)
    folds = np.zeros(len(labels), np.int64)
    for label in (0, 1):
        for place, source in enumerate(rng.permutation(np.unique(sources[labels == label]))):
            folds[(sources == source) & (labels == label)] = place % count
    return folds


def _logistic(inputs: Floats, labels: NDArray[np.int64], shares: Floats) -> list[float]:
    """Weights, not below zero, and bias; ``inputs`` (n, views, heads), ``shares`` the weight of a picture."""
    heads = inputs.shape[-1]
    signs = np.where(labels == 1, 1.0, -1.0)[:, None]

    def loss(values: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        margins = signs * (inputs @ values[:heads] + values[heads])
        slopes = -signs / (1 + np.exp(np.clip(margins, -500, 500))) * shares[:, None] / inputs.shape[1]
        total = float((np.logaddexp(0, -margins).mean(1) * shares).sum())
        return total, np.append((slopes[..., None] * inputs).sum((0, 1)), slopes.sum())

    bounds = [(0, None)] * heads + [(None, None)]
    found = minimize(loss, np.append(np.full(heads, 1 / heads), 0.0), jac=True, bounds=bounds)
    return [float(value) for value in found.x]


def save_run(out: Path, trained: Trained) -> None:
    """Write heads and weights into a run's folder."""
    tensors: Tensors = {}
    for name, head in trained.heads.items():
        tensors |= {f"{name}.{key}": value for key, value in head.state_dict().items()}
    facts = {"config": dataclasses.asdict(trained.config), "weights": trained.weights}
    save_tensors(out / BEST, tensors, facts)


def is_run(folder: Path) -> bool:
    """Whether a run's folder holds heads, and not a network."""
    try:
        return "weights" in load_facts(folder / BEST)
    except (WeightsError, OSError):
        return False


def load_run(folder: Path) -> Trained:
    """Load the heads of a run.

    Raises:
        RunError: the folder holds no such run.
        WeightsError: its file was altered, or does not fit its recipe.
    """
    if not (folder / BEST).is_file():
        raise RunError(f"{folder}: no run of heads: {BEST} is missing")
    tensors, facts = load_tensors(folder / BEST)
    config: ExpertsConfig = build(ExpertsConfig, facts["config"])
    heads: dict[str, Ensemble] = {}
    for name, of in head_configs(config).items():
        own = {key.removeprefix(f"{name}."): v for key, v in tensors.items() if key.startswith(f"{name}.")}
        layers, channels = own["heads.0.mean"].shape
        made = [kind_of(name)(layers, channels, of) for _ in range(of.seeds)]
        heads[name] = Ensemble(made).eval()
        load_strictly(heads[name], own, folder / BEST)
    return Trained(config, heads, facts["weights"])
