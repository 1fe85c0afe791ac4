"""The machine that trains: its threads, devices and processes."""

from __future__ import annotations

import os
import time
from datetime import timedelta
from typing import Any

import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins.precision.amp import MixedPrecision
from lightning_fabric.strategies.ddp import DDPStrategy

from pixelkin.errors import ConfigError
from pixelkin.lab.recipe import TrainConfig
from pixelkin.processes import keep_freed_memory

SETTLES = 1.0  # seconds in which threads end their work, which takes them microseconds
WAIT = timedelta(hours=12)  # for the first process, which checks, fills banks and validates for all


class _Autocast(MixedPrecision):
    """Fewer bits inside a step, but not of the pictures: neighbours differ by less than bfloat16 tells."""

    def convert_input(self, data: Any) -> Any:
        return data


def started(config: TrainConfig) -> Fabric:
    """The processes, devices and precision that a recipe, or torchrun around it, asks for.

    Raises:
        ConfigError: they are not of this machine.
    """
    keep_freed_memory()
    if config.threads:
        torch.set_num_threads(config.threads)
    launched = int(os.environ.get("LOCAL_WORLD_SIZE", "0"))  # set by torchrun
    devices = launched or config.devices
    _check_devices(config, devices, torch.cuda.device_count())
    kind = "cpu" if config.accelerator == "cpu" or not torch.cuda.is_available() else "cuda"
    many = int(os.environ.get("WORLD_SIZE", devices)) > 1
    fabric = Fabric(
        accelerator=config.accelerator,
        devices=devices,
        num_nodes=int(os.environ.get("WORLD_SIZE", devices)) // devices,
        strategy=DDPStrategy(timeout=WAIT) if many else "auto",
        plugins=[] if config.precision == "32-true" else [_Autocast(config.precision, kind)],  # type: ignore[arg-type]
    )
    fabric.launch()
    return fabric


def _check_devices(config: TrainConfig, devices: int, gpus: int) -> None:
    """Refuse what Fabric would fail at or, worse, quietly replace."""
    if config.accelerator == "cuda" and devices > gpus:
        raise ConfigError(
            f"accelerator 'cuda' with {devices} processes needs as many GPUs, and torch sees {gpus} here"
        )
    if config.precision == "16-mixed" and (config.accelerator == "cpu" or not gpus):
        raise ConfigError("precision '16-mixed' is for GPUs: on a CPU it is 'bf16-mixed' or '32-true'")


def finished(fabric: Fabric) -> None:
    """Leave the group of processes together, where there is one: its threads must not outlive Python."""
    fabric.barrier()
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        # A thread of Gloo that lets go of its last work needs Python's lock, and whoever frees the group
        # holds that lock and waits for the thread: asleep it is nobody's.
        time.sleep(SETTLES)
        torch.distributed.destroy_process_group()
