"""What steps the weights, and how far: optimisers, step sizes over a run, sharpness-aware steps."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from pixelkin.lab.recipe import TrainConfig

LEAST = 1e-6  # step sizes do not fall below it (official program of Tan et al. 2024; Wang et al. 2020)
# An accuracy is better by this, before and after the first drop (Wang et al.).
PROGRESS = (0.001, 0.002)


def optimiser_of(config: TrainConfig, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
    """The recipe's optimiser over a detector's parameter groups."""
    if config.optimiser == "sgd":
        return torch.optim.SGD(
            groups, config.lr, momentum=config.momentum, weight_decay=config.weight_decay, fused=True
        )
    kind = torch.optim.AdamW if config.optimiser == "adamw" else torch.optim.Adam
    betas = (config.betas[0], config.betas[1])
    return kind(groups, config.lr, betas=betas, weight_decay=config.weight_decay, fused=True)


def step_size(config: TrainConfig, epoch: int, history: Sequence[Mapping[str, float]] = ()) -> float:
    """The step size of ``epoch``, counted from zero; 0 where training is to end before it.

    A function of what was measured so far and nothing else, so that a resumed run goes on alike.

    Args:
        config: the recipe.
        epoch: to be begun.
        history: validation figures of each epoch before.
    """
    if config.schedule == "plateau":
        dropped = config.lr * 0.1 ** drops([figures["accuracy"] for figures in history], config.patience)
        return dropped if dropped >= LEAST * (1 - 1e-9) else 0.0
    if config.patience and not _improved(config, history):
        return 0.0
    if config.schedule == "linear":
        falling = config.epochs - config.lr_decay_epochs
        return config.lr * min(1.0, (config.epochs - epoch) / max(falling, 1))
    if config.schedule == "cosine":
        return config.lr * 0.5 * (1 + math.cos(math.pi * (epoch + 0.5) / config.epochs))
    fallen = config.lr * config.lr_decay ** max(0, (epoch - 1) // config.lr_decay_epochs)
    return max(fallen, min(config.lr, LEAST))


def drops(accuracies: Iterable[float], patience: int) -> int:
    """How often Wang et al.'s plateau rule has divided the step size by ten.

    An epoch is progress if its accuracy is over the best since the last drop by 0.001 (0.002 after
    the first drop); ``patience`` epochs in a row that are none are a drop.
    """
    best, waited, count = float("-inf"), 0, 0
    for accuracy in accuracies:
        if accuracy >= best + PROGRESS[count > 0]:
            best, waited = accuracy, 0
            continue
        waited += 1
        if waited == patience:
            best, waited, count = float("-inf"), 0, count + 1
    return count


def merit(keep: str, figures: Mapping[str, float], epoch: int) -> float:
    """What makes an epoch's weights the best: the greater, the better."""
    if keep == "last":
        return float(epoch)
    return -figures["loss"] if keep == "loss" else figures[keep]


@contextmanager
def climbed(parameters: Iterable[nn.Parameter], rho: float) -> Iterator[None]:
    """Inside, the weights are ``rho`` up along their gradient; after, they are what they were.

    The first step of sharpness-aware minimisation (Foret et al. 2021, Eq. 2): w + rho g / |g|, the
    norm taken over all weights together. Gradients computed inside are then used at the old place.
    """
    moved = [(p, p.detach().clone(), p.grad) for p in parameters if p.grad is not None]
    norm = torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(g) for _, _, g in moved]))
    with torch.no_grad():
        for parameter, _, gradient in moved:
            parameter.add_(gradient, alpha=rho / (float(norm) + 1e-12))
    try:
        yield
    finally:
        with torch.no_grad():
            for parameter, was, _ in moved:
                parameter.copy_(was)


def _improved(config: TrainConfig, history: Sequence[Mapping[str, float]]) -> bool:
    """Whether one of the last ``patience`` epochs was the best of all."""
    merits = [merit(config.keep, figures, epoch) for epoch, figures in enumerate(history)]
    return len(merits) <= config.patience or max(merits[-config.patience :]) > max(merits[: -config.patience])
