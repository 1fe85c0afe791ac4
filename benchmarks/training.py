"""Images per second of a training step: plain eager PyTorch against the steps Pixelkin takes to be faster.

The ways take turns, several rounds each, so that a drift of the machine's speed meets them alike. Each
turn is a process of its own, since the memory allocator is a process's setting.

    python benchmarks/training.py [--crop 128] [--batch 32] [--rounds 3] [--steps 4]
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time

import torch

from pixelkin.lab.detectors import detector_class
from pixelkin.processes import keep_freed_memory

WAYS = ("plain", "channels last", "channels last, freed memory kept, fused Adam")


def images_per_second(way: str, crop: int, batch: int, steps: int) -> float:
    """The rate of one way over ``steps`` steps after two that do not count."""
    ours = way != "plain"
    if way == WAYS[2]:
        keep_freed_memory()
    torch.manual_seed(0)
    order = torch.channels_last if ours else torch.contiguous_format
    network = detector_class("npr")()
    network.to(memory_format=order)  # type: ignore[call-overload]
    adam = torch.optim.Adam(network.parameters(), 2e-4, fused=way == WAYS[2])
    images = torch.randn(batch, 3, crop, crop).to(memory_format=order)
    labels = torch.randint(0, 2, (batch,))
    began = 0.0
    for step in range(steps + 2):
        if step == 2:
            began = time.perf_counter()
        loss = network.loss(images, labels)
        adam.zero_grad()
        torch.autograd.backward(loss)
        adam.step()
    return steps * batch / (time.perf_counter() - began)


def measured(crop: int, batch: int, rounds: int, steps: int) -> dict[str, list[float]]:
    """Images a second of each way in each round."""
    sizes = (f"--crop={crop}", f"--batch={batch}", f"--steps={steps}")
    rates: dict[str, list[float]] = {way: [] for way in WAYS}
    for _ in range(rounds):
        for way in WAYS:
            command = [sys.executable, __file__, "--way", way, *sizes]
            rates[way].append(float(subprocess.run(command, capture_output=True, check=True).stdout))  # noqa: S603
    return rates


def main() -> None:
    """Print the median rate of each way and its ratio to plain."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name, default in (("crop", 128), ("batch", 32), ("rounds", 3), ("steps", 4)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--way", choices=WAYS)
    asked = parser.parse_args()
    if asked.way:
        print(images_per_second(asked.way, asked.crop, asked.batch, asked.steps))
        return
    rates = measured(asked.crop, asked.batch, asked.rounds, asked.steps)
    for way, seen in rates.items():
        ratio = statistics.median(r / p for r, p in zip(seen, rates["plain"], strict=True))
        spread = f"{min(seen):.1f} to {max(seen):.1f}"
        print(f"{way:45} {statistics.median(seen):5.1f} images/s ({spread}), {ratio:.2f}x")


if __name__ == "__main__":
    main()
