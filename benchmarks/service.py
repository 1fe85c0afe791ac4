"""What the service does under load: images a second and times to an answer, by clients at once.

    python benchmarks/service.py [--clients 1 8 64] [--seconds 10] [--model NAME_OR_FILE] [--images FILE...]

Starts `pixelkin serve` on this machine's loopback, sends it images, and stops by itself.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import cycle
from pathlib import Path

import httpx2
import numpy as np

from pixelkin.model import load
from pixelkin.models import DEFAULT

EXAMPLES = sorted((Path(__file__).parents[1] / "examples").glob("*-*.*"))
MOST_REQUESTS = 5000  # of one level, whatever the time
PATIENCE = 120.0  # seconds for one answer


def main() -> None:
    """Print one row of a table for each number of clients."""
    options = _options()
    files = [(file.name, file.read_bytes()) for file in options.images]
    print(f"{os.cpu_count()} cores, {platform.processor() or platform.machine()}; {options.model}; ", end="")
    print(f"{len(files)} images; alone in the library: {_alone(options.model, files):.1f} images/s\n")
    print("| clients | answers | images/s | p50 ms | p95 ms | tiles a call |")
    print("|---:|---:|---:|---:|---:|---:|")
    with _service(options.model) as url:
        asyncio.run(_level(url, files, 1, 1.0))  # warms up
        for clients in options.clients:
            before = _batches(url)
            began = time.perf_counter()
            times = 1000 * np.array(asyncio.run(_level(url, files, clients, options.seconds)))
            took = time.perf_counter() - began
            calls, tiles = (after - first for after, first in zip(_batches(url), before, strict=True))
            middle, slow = np.percentile(times, [50, 95])
            figures = f"{len(times) / took:.1f} | {middle:.0f} | {slow:.0f} | {tiles / calls:.1f}"
            print(f"| {clients} | {len(times)} | {figures} |", flush=True)


async def _level(url: str, files: list[tuple[str, bytes]], clients: int, seconds: float) -> list[float]:
    """Seconds to each answer of ``clients`` that each ask one thing after another."""
    until = time.perf_counter() + seconds
    times: list[float] = []

    async def client(place: int) -> None:
        limits = httpx2.Limits(max_connections=1)
        async with httpx2.AsyncClient(base_url=url, timeout=PATIENCE, limits=limits) as http:
            turns = cycle(files[place % len(files) :] + files[: place % len(files)])
            while time.perf_counter() < until and len(times) < MOST_REQUESTS:
                began = time.perf_counter()
                answer = await http.post("/v1/detect", files={"file": next(turns)})
                answer.raise_for_status()
                times.append(time.perf_counter() - began)

    await asyncio.gather(*map(client, range(clients)))
    return times


def _alone(model: str, files: list[tuple[str, bytes]]) -> float:
    """Images a second of the library, one after another."""
    loaded = load(model)
    loaded.detect(files[0][1])
    began = time.perf_counter()
    for _, data in files * 2:
        loaded.detect(data)
    return 2 * len(files) / (time.perf_counter() - began)


def _batches(url: str) -> tuple[float, float]:
    """Calls of the runtime so far, and the tiles they had."""
    lines = dict(
        line.rsplit(" ", 1) for line in httpx2.get(f"{url}/metrics").text.splitlines() if line[0] != "#"
    )
    return float(lines["pixelkin_batch_tiles_count"]), float(lines["pixelkin_batch_tiles_sum"])


@contextmanager
def _service(model: str) -> Iterator[str]:
    command = [sys.executable, "-m", "pixelkin", "serve", "--port", "0", "--model", model]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:  # noqa: S603
        try:
            assert process.stderr  # noqa: S101 - it is a pipe
            for line in process.stderr:
                if line.startswith("Pixelkin is at "):
                    yield line.split()[3]
                    return
            raise SystemExit("the service did not start")
        finally:
            process.terminate()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8, 64])
    parser.add_argument("--seconds", type=float, default=10.0, help="of each level")
    parser.add_argument("--model", default=DEFAULT)
    parser.add_argument("--images", type=Path, nargs="+", default=EXAMPLES)
    return parser.parse_args()


if __name__ == "__main__":
    main()
