"""The machine that trains: its threads, devices and processes."""

from __future__ import annotations

import os

import torch
from lightning_fabric import Fabric

from pixelkin.lab.recipe import TrainConfig
from pixelkin.processes import keep_freed_memory


def started(config: TrainConfig) -> Fabric:
    """The processes, devices and precision that a recipe, or torchrun around it, asks for."""
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


def finished(fabric: Fabric) -> None:
    """Leave the group of processes together, where there is one: its threads must not outlive Python."""
    fabric.barrier()
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
