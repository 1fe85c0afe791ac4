"""One training loop for every detector.

A run is a folder: ``last.safetensors`` (weights and the state to go on from), ``best.safetensors``
(weights of the best validation AUC), ``data.json`` (what the check found), ``tensorboard/``. Each
step's randomness is a function of the seed and the step, so a run killed anywhere and resumed
reaches the weights of one that was never stopped.
"""

from __future__ import annotations

import ctypes
import dataclasses
import json
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.utils.data import DataLoader
from torch.utils.tensorboard.writer import SummaryWriter

import pixelkin
from pixelkin import config as settings
from pixelkin.data import DataFacts, check, digest, find_samples, of_sources
from pixelkin.errors import RunError
from pixelkin.lab import weights
from pixelkin.lab.batches import Crops, part, plan_epoch
from pixelkin.lab.detectors import detector_class
from pixelkin.lab.detectors.base import Detector
from pixelkin.lab.recipe import TrainConfig
from pixelkin.metrics import accuracy, auc, average_precision
from pixelkin.types import Sample

LAST, BEST, DATA = "last.safetensors", "best.safetensors", "data.json"
OPTIMISER = "/adam/"  # no parameter's name holds a slash
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
    best: float = -1.0
    history: list[dict[str, float]] = field(default_factory=list)


def train(
    config: TrainConfig,
    *,
    resume: bool = False,
    minutes: float = 0.0,
    on_facts: Callable[[DataFacts], None] = lambda _: None,
    on_progress: Callable[[Progress], None] = lambda _: None,
) -> Path:
    """Train a detector; returns the folder of the run.

    Args:
        config: the recipe.
        resume: go on from the run's last checkpoint, or begin if it has none.
        minutes: stop after so many, with a checkpoint to go on from; 0 for no bound.
        on_facts: told what the check of the data found.
        on_progress: told of each step.

    Raises:
        RunError: the run exists and ``resume`` was not asked for, or its recipe was another one.
        DataError: the data cannot be used.
    """
    run = Path(config.out)
    if (run / LAST).exists() and not resume:
        raise RunError(f"{run} already holds a run: give --resume to go on with it, or another --out")
    fabric = _fabric(config)
    facts, training, validation = _data(run, config, fabric)
    on_facts(facts)
    trainer = _Trainer(fabric, config, run, training, validation)
    if (run / LAST).exists():
        trainer.restore()
    trainer.run(time.monotonic() + 60 * minutes if minutes else float("inf"), on_progress)
    return run


class _Trainer:
    """The state of a run and the loop over it."""

    def __init__(
        self,
        fabric: Fabric,
        config: TrainConfig,
        run: Path,
        training: list[Sample],
        validation: tuple[Path, list[Sample]],
    ) -> None:
        self.fabric, self.config, self.run_folder = fabric, config, run
        self.samples, self.validation = training, validation
        torch.manual_seed(config.seed)
        self.detector: Detector = detector_class(config.detector)(**config.options)
        if config.channels_last:
            self.detector.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        network: nn.Module = self.detector
        if config.compile:
            network = torch.compile(self.detector)  # type: ignore[assignment]
        adam = torch.optim.Adam(self.detector.parameters(), config.lr, betas=config.betas[:2], fused=True)  # type: ignore[arg-type]
        self.network, self.optimiser = fabric.setup(network, adam)
        self.network.mark_forward_method("loss")
        self.state = _State()
        images = config.images_per_epoch or len(training)
        self.steps_per_epoch = -(-images // config.batch)
        self.board = SummaryWriter(run / "tensorboard") if fabric.is_global_zero else None

    @property
    def steps(self) -> int:
        """Steps of the whole run."""
        return self.config.epochs * self.steps_per_epoch

    def run(self, deadline: float, on_progress: Callable[[Progress], None]) -> None:
        """Train until the last step or the deadline, on the monotonic clock."""
        while self.state.step < self.steps:
            epoch = self.state.step // self.steps_per_epoch
            self._epoch(epoch, deadline, on_progress)
            if self.state.step < (epoch + 1) * self.steps_per_epoch:
                self.save()
                break
        if self.board:
            self.board.close()

    def _epoch(self, epoch: int, deadline: float, on_progress: Callable[[Progress], None]) -> None:
        for group in self.optimiser.param_groups:
            group["lr"] = self.config.lr_at(epoch)
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
            every = self.config.checkpoint_steps
            if every and self.state.step % every == 0:
                self.save()
        if self.state.step == (epoch + 1) * self.steps_per_epoch:
            self._validate()
            self.save()

    def _batches(self, epoch: int) -> DataLoader[tuple[Tensor, Tensor]]:
        """What is left of an epoch, this process's share of each batch."""
        plan = plan_epoch(self.samples, self.config, epoch)
        done = self.state.step - epoch * self.steps_per_epoch
        rank, world, size = self.fabric.global_rank, self.fabric.world_size, self.config.batch
        batches = [
            list(range(start + rank, min(start + size, len(plan)), world))
            for start in range(done * size, len(plan), size)
        ]
        crops = Crops(Path(self.config.data), self.samples, plan, self.detector, self.config, epoch)
        return DataLoader(crops, batch_sampler=batches, num_workers=self.config.workers)

    def _step(self, batch: Tensor, labels: Tensor) -> float:
        torch.manual_seed(hash((self.config.seed, self.state.step, self.fabric.global_rank)) % 2**63)
        device = self.fabric.device
        order = torch.channels_last if self.config.channels_last else torch.contiguous_format
        loss: Tensor = self.network.loss(batch.to(device, memory_format=order), labels.to(device))
        self.optimiser.zero_grad()
        self.fabric.backward(loss)
        self.optimiser.step()
        return float(loss.detach())

    def _stop(self, deadline: float) -> bool:
        """Whether the first process has reached the deadline, if there is one; the others follow it."""
        return deadline < float("inf") and bool(self.fabric.broadcast(time.monotonic() >= deadline))

    def _validate(self) -> None:
        """Figures on the validation crops; keeps the weights if their AUC is the best so far."""
        self.fabric.barrier()
        if self.fabric.is_global_zero:
            figures = validate(self.detector, *self.validation, self.config, self.fabric.device)
            self.state.history.append({"step": self.state.step, **figures})
            for name, value in figures.items():
                if self.board:
                    self.board.add_scalar(f"validation/{name}", value, self.state.step)
            if figures["auc"] > self.state.best:
                self.state.best = figures["auc"]
                weights.save_tensors(self.run_folder / BEST, self.detector.state_dict(), self._facts())
        self.fabric.barrier()

    def _facts(self) -> dict[str, Any]:
        return {
            "config": dataclasses.asdict(self.config),
            "state": dataclasses.asdict(self.state),
            "pixelkin": pixelkin.__version__,
            "torch": torch.__version__,
        }

    def save(self) -> None:
        """Write ``last.safetensors``, atomically."""
        if self.fabric.is_global_zero:
            moments = {
                f"{OPTIMISER}{place}/{name}": value
                for place, entry in self.optimiser.state_dict()["state"].items()
                for name, value in entry.items()
            }
            tensors = self.detector.state_dict() | moments
            weights.save_tensors(self.run_folder / LAST, tensors, self._facts())
        self.fabric.barrier()

    def restore(self) -> None:
        """Go on from ``last.safetensors``.

        Raises:
            RunError: it was trained by another recipe.
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
        moments = {name: tensors.pop(name) for name in list(tensors) if name.startswith(OPTIMISER)}
        weights.load_strictly(self.detector, tensors, path)
        parameters = list(self.detector.parameters())
        kept: dict[int, dict[str, Tensor]] = {}
        for name, tensor in moments.items():
            place, what = name.removeprefix(OPTIMISER).split("/")
            if tensor.ndim:  # in its parameter's memory order, which the fused Adam takes for granted
                tensor = torch.empty_like(parameters[int(place)]).copy_(tensor)
            kept.setdefault(int(place), {})[what] = tensor
        groups = self.optimiser.state_dict()["param_groups"]
        self.optimiser.load_state_dict({"state": kept, "param_groups": groups})
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


def load_run(run: Path, which: str = BEST) -> tuple[Detector, TrainConfig, dict[str, Any]]:
    """The detector of a run in eval mode, its recipe, and its checkpoint's facts.

    Raises:
        RunError: the run has no such checkpoint yet.
        WeightsError: the checkpoint is damaged.
    """
    path = run / which
    if not path.exists():
        raise RunError(f"{run} holds no {which}: is it the folder of a run, and has an epoch ended?")
    tensors, facts = weights.load_tensors(path)
    config = settings.build(TrainConfig, facts["config"])
    detector = detector_class(config.detector)(**config.options)
    weights.load_strictly(detector, {k: v for k, v in tensors.items() if not k.startswith(OPTIMISER)}, path)
    return detector.eval(), config, facts


def keep_freed_memory() -> None:
    """Ask glibc to keep large freed blocks for reuse; elsewhere nothing happens.

    By default each activation over 32 MB is mapped and page-faulted anew at every step, which
    cost 8 % of a training step and more where it was measured (docs/benchmarks.md).
    """
    trim_threshold, mmap_threshold = -1, -3  # M_TRIM_THRESHOLD, M_MMAP_THRESHOLD of malloc.h
    if hasattr(os, "confstr") and "glibc" in (_libc_version() or ""):
        libc = ctypes.CDLL(None)
        libc.mallopt(trim_threshold, 2**31 - 1)
        libc.mallopt(mmap_threshold, 2**30)


def _libc_version() -> str | None:
    try:
        return os.confstr("CS_GNU_LIBC_VERSION")
    except (ValueError, OSError):
        return None


def _fabric(config: TrainConfig) -> Fabric:
    keep_freed_memory()
    if config.threads:
        torch.set_num_threads(config.threads)
    launched = int(os.environ.get("LOCAL_WORLD_SIZE", "0"))  # set by torchrun
    devices = launched or config.devices
    many = int(os.environ.get("WORLD_SIZE", devices)) > 1
    fabric = Fabric(
        accelerator=config.accelerator,
        devices=devices,
        num_nodes=int(os.environ.get("WORLD_SIZE", devices)) // devices,
        strategy="ddp" if many else "auto",
        precision=config.precision,  # type: ignore[arg-type]
    )
    fabric.launch()
    return fabric


def _data(
    run: Path, config: TrainConfig, fabric: Fabric
) -> tuple[DataFacts, list[Sample], tuple[Path, list[Sample]]]:
    """What the check found, and the samples to train and to validate on, unreadable ones left out."""
    samples = of_sources(find_samples(Path(config.data)), config.sources)
    facts = _checked(run, samples, config, fabric)
    readable = [sample for sample in samples if sample.path not in facts.unreadable]
    training, root, held = part(readable, config)
    return facts, training, (root, held)


def _checked(run: Path, samples: list[Sample], config: TrainConfig, fabric: Fabric) -> DataFacts:
    """The check of the data, made once in a run's life, by its first process."""
    root, path = Path(config.data), run / DATA
    if fabric.is_global_zero and not path.exists():
        run.mkdir(parents=True, exist_ok=True)
        facts = check(root, samples, workers=config.workers)
        weights.write_atomically(path, json.dumps(dataclasses.asdict(facts), indent=1).encode())
    fabric.barrier()
    facts = settings.build(DataFacts, json.loads(path.read_text("utf-8")))
    if facts.sha256 != digest(samples):
        raise RunError(f"{root} holds other images than when {run} began")
    return facts
