"""Heads: what of frozen features says that a picture was generated."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from pixelkin.lab.experts.recipe import HeadConfig
from pixelkin.types import Floats

BATCH = 128
WARM = 0.15  # share of the steps in which the step size rises
PREDICTED = 512  # pictures at once
SCALED_ON = 8192  # feature vectors whose mean and deviation are taken


class Head(nn.Module):
    """A head on standardised tokens.

    Args:
        layers: tokens of a picture.
        channels: numbers of a token.
        config: dropout of the inputs.

    Attributes:
        mean: of each number of each token over the training pictures, shape (layers, channels).
        deviation: likewise.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, layers: int, channels: int, config: HeadConfig) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(layers, channels))
        self.register_buffer("deviation", torch.ones(layers, channels))
        self.dropout = nn.Dropout(config.dropout)

    def standardised(self, tokens: Tensor) -> Tensor:
        """Tokens less their mean and over their deviation, some of them dropped in training."""
        dropped: Tensor = self.dropout((tokens - self.mean) / self.deviation)
        return dropped

    def standardise_by(self, features: Floats) -> None:
        """Take mean and deviation from features of shape (n, views, layers, channels)."""
        flat = features.reshape(-1, *features.shape[2:])
        some = flat[:: max(1, len(flat) // SCALED_ON)].astype(np.float32)
        self.mean.copy_(torch.from_numpy(some.mean(0)))
        self.deviation.copy_(torch.from_numpy(some.std(0) + 1e-3))


class LayerHead(Head):
    """Tokens of several layers to one logit.

    Each layer's token is standardised and projected by a matrix of its own; the projections are averaged by
    learnt weights, one softmax over layers for each of their numbers; a small perceptron makes the logit.
    After Koutlis and Papadopoulos 2024 (RINE, 2402.19091), Sec. 3.2.

    Args:
        layers: tokens of a picture.
        channels: numbers of a token.
        config: width and dropout.
    """

    def __init__(self, layers: int, channels: int, config: HeadConfig) -> None:
        super().__init__(layers, channels, config)
        width = config.width
        self.projection = nn.Parameter(torch.randn(layers, channels, width) / channels**0.5)
        self.bias = nn.Parameter(torch.zeros(layers, width))
        self.weights = nn.Parameter(torch.zeros(layers, width))
        self.perceptron = nn.Sequential(
            nn.LayerNorm(width),
            nn.Linear(width, width),
            nn.GELU(),
            nn.Dropout(config.dropout),
            nn.Linear(width, 1),
        )

    def forward(self, tokens: Tensor) -> Tensor:
        """Logits, shape (B,), of float32 tokens of shape (B, layers, channels)."""
        seen = self.standardised(tokens)
        projected = F.gelu(torch.einsum("blc,lcw->blw", seen, self.projection) + self.bias)
        mixed = (projected * torch.softmax(self.weights, 0)).sum(1)
        logits: Tensor = self.perceptron(mixed).squeeze(-1)
        return logits


class PatchHead(Head):
    """One linear layer on standardised tokens of several layers.

    Of the mean over a picture's patches it gives the mean of what it gives of each patch, so that a head
    trained on pictures tells of places, too.

    Args:
        layers: tokens of a picture.
        channels: numbers of a token.
        config: dropout of the inputs.
    """

    def __init__(self, layers: int, channels: int, config: HeadConfig) -> None:
        super().__init__(layers, channels, config)
        self.weight = nn.Parameter(torch.zeros(layers, channels))
        self.bias = nn.Parameter(torch.zeros(()))

    def forward(self, tokens: Tensor) -> Tensor:
        """Logits, shape (...,), of float32 tokens of shape (..., layers, channels)."""
        return (self.standardised(tokens) * self.weight).sum((-2, -1)) + self.bias


class Ensemble(nn.Module):
    """The mean of several heads' logits.

    Attributes:
        channels: numbers of a token that it reads.
    """

    def __init__(self, heads: Sequence[Head]) -> None:
        super().__init__()
        self.channels = heads[0].mean.shape[1]
        self.heads = nn.ModuleList(heads)

    def forward(self, tokens: Tensor) -> Tensor:
        """Logits, shape (...,), of float32 tokens of shape (..., layers, channels)."""
        return torch.stack([head(tokens) for head in self.heads]).mean(0)


def votes(labels: NDArray[np.int64], sources: NDArray[np.str_], power: float) -> NDArray[np.float64]:
    """The probability that each picture is drawn; both labels alike often, sources by size to ``power``.

    Args:
        labels: 1 generated, 0 real, shape (n,).
        sources: shape (n,).
        power: 0 for one vote a source, 1 for one vote a picture.
    """
    _, inverse, counts = np.unique(sources, return_inverse=True, return_counts=True)
    weights = counts[inverse] ** (power - 1.0)
    for label in (0, 1):
        weights[labels == label] /= max(weights[labels == label].sum(), 1e-12)
    return weights / weights.sum()


def train_ensemble(
    features: Floats,
    labels: NDArray[np.int64],
    sources: NDArray[np.str_],
    config: HeadConfig,
    seed: int = 0,
    kind: type[Head] = LayerHead,
) -> Ensemble:
    """Train the heads of an ensemble, each from its own seed.

    Args:
        features: float16 or float32, shape (n, views, layers, channels).
        labels: 1 generated, 0 real, shape (n,).
        sources: shape (n,).
        config: of the head.
        seed: of the first head.
        kind: of the heads.
    """
    heads = [
        train_head(features, labels, sources, config, seed + place, kind) for place in range(config.seeds)
    ]
    return Ensemble(heads).eval()


def train_head(
    features: Floats,
    labels: NDArray[np.int64],
    sources: NDArray[np.str_],
    config: HeadConfig,
    seed: int,
    kind: type[Head] = LayerHead,
) -> Head:
    """Train one head on pairs of views of pictures; as `train_ensemble`."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        _, _, layers, channels = features.shape
        head = kind(layers, channels, config)
        return _trained(head, features, labels, sources, config, np.random.default_rng(seed))


def _trained(
    head: Head,
    features: Floats,
    labels: NDArray[np.int64],
    sources: NDArray[np.str_],
    config: HeadConfig,
    rng: np.random.Generator,
) -> Head:
    count, views = features.shape[:2]
    head.standardise_by(features)
    matrices = [p for p in head.parameters() if p.ndim > 1]
    others = [p for p in head.parameters() if p.ndim <= 1]
    groups = [
        {"params": matrices, "weight_decay": config.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    optimiser = torch.optim.AdamW(groups, lr=config.lr)
    steps = max(1, config.epochs * count // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, config.lr, total_steps=steps, pct_start=WARM)
    drawn = rng.choice(count, (steps, BATCH), p=votes(labels, sources, config.power))
    for rows in drawn:
        wanted = torch.from_numpy(labels[rows]).float() * (1 - 2 * config.smooth) + config.smooth
        first = rng.integers(views, size=BATCH)
        second = (first + rng.integers(1, max(views, 2), BATCH)) % views
        said = [head(torch.from_numpy(features[rows, view]).float()) for view in (first, second)]
        loss = torch.stack([F.binary_cross_entropy_with_logits(each, wanted) for each in said]).mean()
        if config.consistency and views > 1:
            loss = loss + config.consistency * divergence(said[0], said[1])
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        schedule.step()
    return head.eval()


def divergence(first: Tensor, second: Tensor) -> Tensor:
    """Mean symmetric Kullback-Leibler divergence of two verdicts, each given as a logit, shape (B,)."""

    def one_way(told: Tensor, other: Tensor) -> Tensor:
        target = torch.sigmoid(told.detach())
        entropy = F.binary_cross_entropy(target, target)
        return F.binary_cross_entropy_with_logits(other, target) - entropy

    return (one_way(first, second) + one_way(second, first)) / 2


@torch.inference_mode()
def predict(network: nn.Module, features: Floats) -> NDArray[np.float64]:
    """Logits, shape (n,), of features of shape (n, layers, channels)."""
    return np.concatenate(list(_predicted(network, features)) or [np.zeros(0)])


def _predicted(network: nn.Module, features: Floats) -> Iterator[NDArray[np.float64]]:
    for start in range(0, len(features), PREDICTED):
        batch = torch.from_numpy(features[start : start + PREDICTED]).float()
        yield network(batch).double().numpy()


def of_traces(width: int, config: HeadConfig) -> HeadConfig:
    """The settings of a head of traces: one layer of all their features."""
    return replace(config, width=width, blocks=(1, 1), tokens=("class",))


def of_patches(config: HeadConfig) -> HeadConfig:
    """The settings of a head of patches: linear, on mean tokens alone, one seed."""
    return replace(config, tokens=("mean",), seeds=1)
