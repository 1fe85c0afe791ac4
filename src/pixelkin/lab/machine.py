"""The machine that trains: its memory, threads, devices and processes."""

from __future__ import annotations

import ctypes
import os

import torch
from lightning_fabric import Fabric

from pixelkin.lab.recipe import TrainConfig


def keep_freed_memory() -> None:
    """Ask glibc to keep large freed blocks for reuse; elsewhere nothing happens.

    By default each activation over 32 MB is mapped and page-faulted anew at every step, which
    cost 8 % of a training step and more where it was measured (docs/performance.md).
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
