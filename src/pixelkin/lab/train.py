"""One training loop for every detector.

A run is a folder; see `pixelkin.lab.runs`. Each step's randomness is a function of the seed and the
step, so a run killed anywhere and resumed reaches the weights of one that was never stopped.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.utils.data import DataLoader, Subset
from torch.utils.tensorboard.writer import SummaryWriter

from pixelkin.data import DataFacts
from pixelkin.errors import ConfigError, RunError
from pixelkin.lab import weights
from pixelkin.lab.batches import Crops, part_size, plan_epoch, reordered, share
from pixelkin.lab.checkpoint import State, facts_of, read_checkpoint, write_checkpoint
from pixelkin.lab.detectors.base import Detector
from pixelkin.lab.external import Store
from pixelkin.lab.machine import finished, started
from pixelkin.lab.material import Material, gathered
from pixelkin.lab.optimisers import climbed, merit, optimiser_of, step_size
from pixelkin.lab.recipe import TrainConfig
from pixelkin.lab.runs import BEST, LAST, new_detector
from pixelkin.lab.validation import validate


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a run stands, for whoever shows it.

    Attributes:
        step: steps done.
        steps: steps in all.
        loss: training loss of the step.
        images_per_second: over all processes, since the epoch began or was resumed.
        seconds_left: at that rate.
        validation: figures of the last validation, by name.
    """

    step: int
    steps: int
    loss: float
    images_per_second: float
    seconds_left: float
    validation: Mapping[str, float]


def train(
    config: TrainConfig,
    store: Store | None = None,
    *,
    resume: bool = False,
    minutes: float = 0.0,
    on_facts: Callable[[DataFacts], None] = lambda _: None,
    on_progress: Callable[[Progress], None] = lambda _: None,
) -> Path:
    """Train a detector; returns the folder of the run.

    Args:
        config: the recipe.
        store: weights of others that the detector starts from or looks through; none by default.
        resume: go on from the run's last checkpoint, or begin if it has none.
        minutes: stop after so many, with a checkpoint to go on from; 0 for no bound.
        on_facts: told what the check of the data found.
        on_progress: told of each step.

    Raises:
        RunError: the run exists and ``resume`` was not asked for, or its recipe was another one.
        DataError: the data cannot be used.
        MissingWeightsError: weights that the detector needs are not there; nothing is written.
    """
    run = Path(config.out)
    if (run / LAST).exists() and not resume:
        raise RunError(f"{run} already holds a run: give --resume to go on with it, or another --out")
    store = store or Store()
    begun = (run / LAST).exists()
    detector = new_detector(config, store, fresh=not begun)
    fabric = started(config)
    material = gathered(run, config, store, fabric)
    on_facts(material.facts)
    trainer = _Trainer(fabric, config, run, detector, store.facts(), material)
    if begun:
        trainer.restore()
    elif detector.fits:
        trainer.fit()
    trainer.run(time.monotonic() + 60 * minutes if minutes else float("inf"), on_progress)
    finished(fabric)
    return run


class _Loss(nn.Module):
    """A detector's loss as a network's output, so that Fabric's precision and processes act on it."""

    def __init__(self, detector: Detector) -> None:
        super().__init__()
        self.detector = detector

    def forward(self, batch: Tensor, labels: Tensor) -> Tensor:
        return self.detector.loss(batch, labels)


class _Trainer:
    """The state of a run and the loop over it."""

    def __init__(
        self,
        fabric: Fabric,
        config: TrainConfig,
        run: Path,
        detector: Detector,
        external: Mapping[str, Any],
        material: Material,
    ) -> None:
        self.fabric, self.config, self.run_folder = fabric, config, run
        self.detector, self.external, self.material = detector, external, material
        if config.channels_last:
            self.detector.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        network: nn.Module = _Loss(detector)
        if config.compile:
            network = torch.compile(network)  # type: ignore[assignment]
        self.descends = bool(groups := detector.groups())
        if self.descends:
            self.network, self.optimiser = fabric.setup(network, optimiser_of(config, groups))
        self.state = State()
        # Twins are two places of a plan and stay in one batch.
        if (twins := detector.from_photographs) and config.batch % (2 * fabric.world_size):
            raise ConfigError(f"{config.detector} trains on pairs: a batch is even, not {config.batch}")
        images = config.images_per_epoch or len(material.training)
        self.steps_per_epoch = -(-(images + images % 2 * twins) // config.batch)
        self.board = SummaryWriter(run / "tensorboard") if fabric.is_global_zero else None

    @property
    def steps(self) -> int:
        """Steps of the whole run."""
        return self.config.epochs * self.steps_per_epoch

    def run(self, deadline: float, on_progress: Callable[[Progress], None]) -> None:
        """Train until the last step or the deadline, on the monotonic clock."""
        if not self.descends and not self.state.history:
            self._validate()
            self.save()
        while self.descends and self.state.step < self.steps:
            epoch = self.state.step // self.steps_per_epoch
            lr = step_size(self.config, epoch, self.state.history)
            if not lr:
                break
            self._epoch(epoch, lr, deadline, on_progress)
            if self.state.step < (epoch + 1) * self.steps_per_epoch:
                self.save()
                break
        if self.board:
            self.board.close()

    def fit(self) -> None:
        """Let the detector fit what it fits, on the first training images, in every process alike."""
        began = time.monotonic()
        plan = plan_epoch(self.material.training, self.config, 0)
        some = range(min(self.config.fit_images or len(plan), len(plan)))
        crops = self._crops(plan, epoch=0)
        self.detector.fit(DataLoader(Subset(crops, some), self.config.batch, num_workers=self.config.workers))
        self.state.seconds += time.monotonic() - began

    def _epoch(self, epoch: int, lr: float, deadline: float, on_progress: Callable[[Progress], None]) -> None:
        for group in self.optimiser.param_groups:
            group["lr"] = lr
        self.network.train()
        began, first = time.monotonic(), self.state.step
        seconds = self.state.seconds
        for batch, labels, weight in self._batches(epoch):
            loss = self._step(batch, labels, weight)
            self.state.step += 1
            spent = time.monotonic() - began
            self.state.seconds = seconds + spent
            rate = (self.state.step - first) / spent
            left = (self.steps - self.state.step) / rate
            latest = self.state.history[-1] if self.state.history else {}
            on_progress(Progress(self.state.step, self.steps, loss, rate * self.config.batch, left, latest))
            if self.board:
                self.board.add_scalar("loss/training", loss, self.state.step)
                self.board.add_scalar("images per second", rate * self.config.batch, self.state.step)
            if self._stop(deadline):
                break
            # An epoch's last step is saved after its validation, or a run killed between would lose that.
            every = self.config.checkpoint_steps
            if every and self.state.step % every == 0 and self.state.step % self.steps_per_epoch:
                self.save()
        if self.state.step == (epoch + 1) * self.steps_per_epoch:
            self._validate()
            self.save()

    def _batches(self, epoch: int) -> Iterator[tuple[Tensor, Tensor, float]]:
        """What is left of an epoch: this process's share of each batch, its labels and its weight."""
        drawn = 0 if self.config.same_crops else epoch
        twins = self.detector.from_photographs
        plan = plan_epoch(self.material.training, self.config, drawn, twins=twins)
        order = reordered(len(plan), self.config, epoch, twins=twins)
        done = self.state.step - epoch * self.steps_per_epoch
        rank, world, size = self.fabric.global_rank, self.fabric.world_size, self.config.batch
        shares = [
            share(order[start : start + size], rank, world, twins=twins)
            for start in range(done * size, len(plan), size)
        ]
        places, workers = [places for places, _ in shares], self.config.workers
        batches = DataLoader(self._crops(plan, drawn), batch_sampler=places, num_workers=workers)
        for (batch, labels), (_, weight) in zip(batches, shares, strict=True):
            yield batch, labels, weight

    def _crops(self, plan: Sequence[int], epoch: int) -> Crops:
        root, of = Path(self.config.data), self.material
        return Crops(root, of.training, plan, self.detector, self.config, epoch, of.bank)

    def _step(self, batch: Tensor, labels: Tensor, weight: float) -> float:
        torch.manual_seed(hash((self.config.seed, self.state.step, self.fabric.global_rank)) % 2**63)
        device = self.fabric.device
        last = self.config.channels_last and batch.ndim == 4
        order = torch.channels_last if last else torch.contiguous_format
        batch, labels = batch.to(device, memory_format=order), labels.to(device)
        loss = self._backward(batch, labels, weight)
        if self.config.rho:
            with climbed(self.detector.parameters(), self.config.rho):
                self._backward(batch, labels, weight)
        self.optimiser.step()
        return loss

    def _backward(self, batch: Tensor, labels: Tensor, weight: float) -> float:
        """Gradients of the mean loss over the processes, where the weights are now; returns that loss."""
        size = part_size(len(batch), self.config.accumulate, twins=self.detector.from_photographs)
        parts = list(zip(torch.split(batch, size), torch.split(labels, size), strict=True))
        total = torch.zeros((), device=batch.device)
        self.optimiser.zero_grad()
        for place, (inputs, known) in enumerate(parts, start=1):
            with self.fabric.no_backward_sync(self.network, enabled=place < len(parts)):
                loss: Tensor = self.network(inputs, known) * (weight * len(inputs) / len(batch))
                self.fabric.backward(loss)
            total += loss.detach()
        return float(self.fabric.all_reduce(total))  # type: ignore[arg-type]

    def _stop(self, deadline: float) -> bool:
        """Whether the first process has reached the deadline, if there is one; the others follow it."""
        return deadline < float("inf") and bool(self.fabric.broadcast(time.monotonic() >= deadline))

    def _validate(self) -> None:
        """Figures on the validation crops; keeps the weights if they are the best so far by `keep`.

        The first process measures; all of them know the figures, which the step size may follow.
        """
        measured: dict[str, float] = {}
        if self.fabric.is_global_zero:
            measured = validate(
                self.detector, self.material.root, self.material.held, self.config, self.fabric.device
            )
        figures: dict[str, float] = self.fabric.broadcast(measured)
        self.state.history.append({"step": self.state.step, **figures})
        for name, value in figures.items():
            if self.board:
                self.board.add_scalar(f"validation/{name}", value, self.state.step)
        found = merit(self.config.keep, figures, len(self.state.history))
        if found > self.state.best:
            self.state.best = found
            if self.fabric.is_global_zero:
                weights.save_tensors(self.run_folder / BEST, self.detector.state_dict(), self._facts())
        self.fabric.barrier()

    def _facts(self) -> dict[str, Any]:
        return facts_of(self.config, self.state, self.external, self.fabric.strategy.precision.state_dict())

    def save(self) -> None:
        """Write ``last.safetensors``, atomically."""
        if self.fabric.is_global_zero:
            optimiser = self.optimiser if self.descends else None
            write_checkpoint(self.run_folder / LAST, self.detector, optimiser, self._facts())
        self.fabric.barrier()

    def restore(self) -> None:
        """Go on from ``last.safetensors``; raises as `read_checkpoint`."""
        optimiser = self.optimiser if self.descends else None
        path = self.run_folder / LAST
        facts = read_checkpoint(path, self.config, self.external, self.detector, optimiser)
        self.external, self.state = facts["external"], State(**facts["state"])
        if scaling := facts.get("scaling"):
            self.fabric.strategy.precision.load_state_dict(scaling)
