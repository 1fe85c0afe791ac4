"""One training loop for every detector.

A run is a folder; see `pixelkin.lab.runs`. Each step's randomness is a function of the seed and the
step, so a run killed anywhere and resumed reaches the weights of one that was never stopped.
"""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.utils.data import DataLoader, Subset
from torch.utils.tensorboard.writer import SummaryWriter

import pixelkin
from pixelkin import config as settings
from pixelkin.data import DataFacts, check, digest, find_samples, of_sources
from pixelkin.errors import ConfigError, RunError
from pixelkin.files import write_atomically
from pixelkin.images import from_pixels
from pixelkin.lab import weights
from pixelkin.lab.bank import Bank, make_bank
from pixelkin.lab.batches import Crops, part, plan_epoch, reordered, share
from pixelkin.lab.detectors import detector_class
from pixelkin.lab.detectors.base import Detector
from pixelkin.lab.external import Store
from pixelkin.lab.machine import finished, started
from pixelkin.lab.optimisers import climbed, merit, optimiser_of, step_size
from pixelkin.lab.recipe import TrainConfig
from pixelkin.lab.runs import (
    BEST,
    DATA,
    LAST,
    OPTIMISER,
    new_detector,
    optimiser_tensors,
    restore_optimiser,
    same_networks,
    taught_by,
)
from pixelkin.metrics import accuracy, auc, average_precision
from pixelkin.types import Sample

MAY_CHANGE = {
    "data",
    "validation",
    "out",
    "workers",
    "devices",
    "accelerator",
    "threads",
    "compile",
    "epochs",
    "tile",
    "most_tiles",
    "bank",
}


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


@dataclass(slots=True)
class _State:
    """What a checkpoint holds beside tensors."""

    step: int = 0
    seconds: float = 0.0
    best: float = float("-inf")
    history: list[dict[str, float]] = field(default_factory=list)


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
    detector = new_detector(config, store, fresh=not (run / LAST).exists())
    fabric = started(config)
    facts, training, validation = _data(run, config, fabric)
    on_facts(facts)
    bank = _bank(config, store, training, fabric)
    trainer = _Trainer(fabric, config, run, detector, store.facts(), training, validation, bank)
    if (run / LAST).exists():
        trainer.restore()
    elif detector.fits:
        trainer.fit()
    trainer.run(time.monotonic() + 60 * minutes if minutes else float("inf"), on_progress)
    finished(fabric)
    return run


class _Trainer:
    """The state of a run and the loop over it."""

    def __init__(
        self,
        fabric: Fabric,
        config: TrainConfig,
        run: Path,
        detector: Detector,
        external: Mapping[str, Any],
        training: list[Sample],
        validation: tuple[Path, list[Sample]],
        bank: Bank | None,
    ) -> None:
        self.fabric, self.config, self.run_folder = fabric, config, run
        self.samples, self.validation, self.bank = training, validation, bank
        self.detector, self.external = detector, external
        if config.channels_last:
            self.detector.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        network: nn.Module = self.detector
        if config.compile:
            network = torch.compile(self.detector)  # type: ignore[assignment]
        self.descends = bool(groups := detector.groups())
        if self.descends:
            self.network, self.optimiser = fabric.setup(network, optimiser_of(config, groups))
            self.network.mark_forward_method("loss")
        self.state = _State()
        # Twins are two places of a plan and stay in one batch.
        if (twins := detector.from_photographs) and config.batch % (2 * fabric.world_size):
            raise ConfigError(f"{config.detector} trains on pairs: a batch is even, not {config.batch}")
        images = config.images_per_epoch or len(training)
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
        plan = plan_epoch(self.samples, self.config, 0)
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
        for batch, labels in self._batches(epoch):
            loss = self._step(batch, labels)
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

    def _batches(self, epoch: int) -> DataLoader[tuple[Tensor, Tensor]]:
        """What is left of an epoch, this process's share of each batch."""
        drawn = 0 if self.config.same_crops else epoch
        twins = self.detector.from_photographs
        plan = plan_epoch(self.samples, self.config, drawn, twins=twins)
        order = reordered(len(plan), self.config, epoch, twins=twins)
        done = self.state.step - epoch * self.steps_per_epoch
        rank, world, size = self.fabric.global_rank, self.fabric.world_size, self.config.batch
        batches = [
            share(order[start : start + size], rank, world, twins=twins)
            for start in range(done * size, len(plan), size)
        ]
        return DataLoader(self._crops(plan, drawn), batch_sampler=batches, num_workers=self.config.workers)

    def _crops(self, plan: Sequence[int], epoch: int) -> Crops:
        root = Path(self.config.data)
        return Crops(root, self.samples, plan, self.detector, self.config, epoch, self.bank)

    def _step(self, batch: Tensor, labels: Tensor) -> float:
        torch.manual_seed(hash((self.config.seed, self.state.step, self.fabric.global_rank)) % 2**63)
        device = self.fabric.device
        last = self.config.channels_last and batch.ndim == 4
        order = torch.channels_last if last else torch.contiguous_format
        batch, labels = batch.to(device, memory_format=order), labels.to(device)
        loss = self._backward(batch, labels)
        if self.config.rho:
            with climbed(self.detector.parameters(), self.config.rho):
                self._backward(batch, labels)
        self.optimiser.step()
        return loss

    def _backward(self, batch: Tensor, labels: Tensor) -> float:
        """Gradients of the loss where the weights are now; returns the loss."""
        loss: Tensor = self.network.loss(batch, labels)
        self.optimiser.zero_grad()
        self.fabric.backward(loss)
        return float(loss.detach())

    def _stop(self, deadline: float) -> bool:
        """Whether the first process has reached the deadline, if there is one; the others follow it."""
        return deadline < float("inf") and bool(self.fabric.broadcast(time.monotonic() >= deadline))

    def _validate(self) -> None:
        """Figures on the validation crops; keeps the weights if they are the best so far by `keep`.

        The first process measures; all of them know the figures, which the step size may follow.
        """
        measured: dict[str, float] = {}
        if self.fabric.is_global_zero:
            measured = validate(self.detector, *self.validation, self.config, self.fabric.device)
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
        return {
            "config": dataclasses.asdict(self.config),
            "state": dataclasses.asdict(self.state),
            "external": self.external,
            "pixelkin": pixelkin.__version__,
            "torch": torch.__version__,
        }

    def save(self) -> None:
        """Write ``last.safetensors``, atomically."""
        if self.fabric.is_global_zero:
            tensors = dict(self.detector.state_dict())
            if self.descends:
                tensors |= optimiser_tensors(self.optimiser)
            weights.save_tensors(self.run_folder / LAST, tensors, self._facts())
        self.fabric.barrier()

    def restore(self) -> None:
        """Go on from ``last.safetensors``.

        Raises:
            RunError: it was trained by another recipe.
            WeightsError: it was trained through another frozen network.
        """
        path = self.run_folder / LAST
        tensors, facts = weights.load_tensors(path)
        was = settings.build(TrainConfig, facts["config"])
        changed = [
            f"{f.name} was {getattr(was, f.name)!r}, is {getattr(self.config, f.name)!r}"
            for f in dataclasses.fields(TrainConfig)
            if f.name not in MAY_CHANGE and getattr(was, f.name) != getattr(self.config, f.name)
        ]
        if changed:
            raise RunError(f"{path} was trained by another recipe: {'; '.join(changed)}")
        same_networks(path, facts["external"], self.external)
        was = facts["external"]
        self.external = {
            "used": {**was["used"], **self.external["used"]},
            "random": sorted({*was["random"], *self.external["random"]}),
        }
        moments = {name: tensors.pop(name) for name in list(tensors) if name.startswith(OPTIMISER)}
        weights.load_strictly(self.detector, tensors, path)
        if self.descends:
            restore_optimiser(self.optimiser, moments)
        self.state = _State(**facts["state"])


@torch.inference_mode()
def validate(
    detector: nn.Module, root: Path, samples: list[Sample], config: TrainConfig, device: torch.device
) -> dict[str, float]:
    """AUC, average precision, accuracy and loss on crops that are the same at every call."""
    detector.eval()
    crops = Crops(root, samples, range(len(samples)), detector, config, epoch=None)  # type: ignore[arg-type]
    found: list[float] = []
    known: list[int] = []
    for batch, of_batch in DataLoader(crops, config.batch, num_workers=config.workers):
        found += detector(batch.to(device)).tolist()
        known += of_batch.tolist()
    logits, labels = np.array(found), np.array(known)
    return {
        "auc": auc(logits, labels),
        "ap": average_precision(logits, labels),
        "accuracy": accuracy(logits, labels, threshold=0.0),
        "loss": float(np.mean(np.logaddexp(0, np.where(labels == 1, -logits, logits)))),
    }


def _data(
    run: Path, config: TrainConfig, fabric: Fabric
) -> tuple[DataFacts, list[Sample], tuple[Path, list[Sample]]]:
    """What the check found, and the samples to train and to validate on, unreadable ones left out."""
    samples = of_sources(find_samples(Path(config.data)), config.sources)
    facts = _checked(run, samples, config, fabric)
    readable = [sample for sample in samples if sample.path not in facts.unreadable]
    training, root, held = part(readable, config)
    return facts, training, (root, held)


def _bank(config: TrainConfig, store: Store, samples: list[Sample], fabric: Fabric) -> Bank | None:
    """The bank of the training samples, if the recipe wants one, made and taught by the first process."""
    if not config.bank:
        return None
    if config.teacher and detector_class(config.detector).from_photographs:
        raise ConfigError(f"{config.detector} makes its own generated images, which no teacher has seen")

    def made() -> Bank:
        bank = make_bank(
            Path(config.bank),
            Path(config.data),
            samples,
            side=config.bank_side,
            most=config.bank_most,
            seed=config.validation_seed or config.seed,
            workers=config.workers,
        )
        if config.teacher:
            teacher = taught_by(config.teacher_system, config.teacher, store)
            bank.teach(config.teacher, lambda pixels: teacher.logit(from_pixels(pixels)))
        return bank

    bank = made() if fabric.is_global_zero else None
    fabric.barrier()
    return made() if bank is None else bank


def _checked(run: Path, samples: list[Sample], config: TrainConfig, fabric: Fabric) -> DataFacts:
    """The check of the data, made once in a run's life, by its first process."""
    root, path = Path(config.data), run / DATA
    if fabric.is_global_zero and not path.exists():
        run.mkdir(parents=True, exist_ok=True)
        facts = check(root, samples, workers=config.workers)
        write_atomically(path, json.dumps(dataclasses.asdict(facts), indent=1).encode())
    fabric.barrier()
    facts = settings.build(DataFacts, json.loads(path.read_text("utf-8")))
    if facts.sha256 != digest(samples):
        raise RunError(f"{root} holds other images than when {run} began")
    return facts
