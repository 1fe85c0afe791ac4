"""What a run learns from: its samples, checked once in its life and parted, and their bank of squares."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path

from lightning_fabric import Fabric

from pixelkin import config as settings
from pixelkin.data import DataFacts, check, digest, find_samples, of_sources
from pixelkin.errors import ConfigError, RunError
from pixelkin.files import write_atomically
from pixelkin.images import from_pixels
from pixelkin.lab.bank import Bank, make_bank
from pixelkin.lab.batches import part
from pixelkin.lab.detectors import detector_class
from pixelkin.lab.external import Store
from pixelkin.lab.recipe import TrainConfig
from pixelkin.lab.runs import DATA, taught_by
from pixelkin.types import Sample


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """The images of a run; those that cannot be read are left out.

    Attributes:
        facts: what the check of the data found.
        training: samples to train on.
        root: where the paths of ``held`` start.
        held: samples to validate on.
        bank: the squares of ``training``, where the recipe wants a bank.
    """

    facts: DataFacts
    training: list[Sample]
    root: Path
    held: list[Sample]
    bank: Bank | None = None


def gathered(run: Path, config: TrainConfig, store: Store, fabric: Fabric) -> Material:
    """The images of a run; what takes long, the first of its processes does while the others wait.

    Args:
        run: its folder, which all processes see.
        config: its recipe.
        store: where a teacher's weights lie.
        fabric: its processes.

    Raises:
        DataError: the data cannot be used.
        RunError: they are not those that the run began with.
        ConfigError: a teacher is to teach a system that makes its own images.
    """
    samples = of_sources(find_samples(Path(config.data)), config.sources)
    facts = _checked(run, samples, config, fabric)
    readable = [sample for sample in samples if sample.path not in facts.unreadable]
    training, root, held = part(readable, config)
    bank = _bank(config, store, training, fabric) if config.bank else None
    return Material(facts=facts, training=training, root=root, held=held, bank=bank)


def _checked(run: Path, samples: list[Sample], config: TrainConfig, fabric: Fabric) -> DataFacts:
    """The check of the data, made once in a run's life."""
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


def _bank(config: TrainConfig, store: Store, samples: list[Sample], fabric: Fabric) -> Bank:
    """The bank of the training samples, made and taught where it is not yet."""
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
