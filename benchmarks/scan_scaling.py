"""How a scan would scale to many workers: SIMULATED, from times measured on this machine.

    python benchmarks/scan_scaling.py [--workers 1 2 8 64 512 4096] [--images 10000000] [--part 1000]

Measured: processor seconds of each of some pictures, one after another, and seconds that one process
needs to write a part. Simulated: workers that each take the next part when they are free, a time for
each image drawn from those measured, and one process that writes the parts one after another. Not in it:
the storage that images come from, the network, machines that fail or differ.
"""

from __future__ import annotations

import argparse
import heapq
import tempfile
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pixelkin import images
from pixelkin.model import load
from pixelkin.models import DEFAULT
from pixelkin.scan import parts
from pixelkin.scan.parts import Row

EXAMPLES = sorted((Path(__file__).parents[1] / "examples").glob("*-*.*"))
ROUNDS = 10
START = 3.0  # seconds from a worker's start to its first image: what Ray needs here, rounded up


def main() -> None:
    """Print the table."""
    options = _options()
    each, writing = _image_seconds(options.model), _write_seconds(options.part)
    print(
        f"measured: {1000 * each.mean():.1f} ms an image, {1000 * writing:.1f} ms to write a part; simulated:"
    )
    print("\n| workers | hours | images/s | efficiency |\n|--:|--:|--:|--:|")
    for workers in options.workers:
        took = makespan(workers, options.images, options.part, each, writing)
        efficiency = options.images * each.mean() / (workers * took)
        print(f"| {workers} | {took / 3600:.2f} | {options.images / took:,.0f} | {efficiency:.2f} |")


def makespan(workers: int, count: int, part: int, each: NDArray[np.float64], writing: float) -> float:
    """Seconds until ``count`` images are judged and written, in parts of ``part``.

    Args:
        workers: that judge.
        count: of images.
        part: images of a part.
        each: seconds that images took, shape (n,), to draw from.
        writing: seconds that a part takes to be written.
    """
    rng = np.random.default_rng(0)
    # The sum of a part's draws, by the central limit.
    number = -(-count // part)
    services = part * each.mean() + np.sqrt(part) * each.std() * rng.standard_normal(number)
    free, writer = [START] * workers, 0.0
    for service in services:
        done = heapq.heappop(free) + service
        heapq.heappush(free, done)
        writer = max(writer, done) + writing
    return writer


def _image_seconds(model: str) -> NDArray[np.float64]:
    loaded = load(model, 1)
    seconds = []
    for file in EXAMPLES * ROUNDS:
        began = time.process_time()
        loaded.detect(images.read(file))
        seconds.append(time.process_time() - began)
    return np.array(seconds[len(EXAMPLES) :])


def _write_seconds(part: int) -> float:
    digests = [np.random.default_rng(place).bytes(32).hex() for place in range(part)]
    rows = [
        Row(path=f"folder/{place:09}.jpg", sha256=digest, width=place, height=place, format="JPEG",
            jpeg_quality=90, verdict="real", probability=1 / (place + 1), logit=1 / (place + 2),
            model_sha256=digests[0], seconds=0.1)
        for place, digest in enumerate(digests)
    ]  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        for number in range(ROUNDS):
            file = parts.encode(rows)
            parts.write(Path(folder), number, file)
        return (time.perf_counter() - began) / ROUNDS


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 8, 64, 512, 4096])
    parser.add_argument("--images", type=int, default=10_000_000)
    parser.add_argument("--part", type=int, default=1000)
    parser.add_argument("--model", default=DEFAULT)
    return parser.parse_args()


if __name__ == "__main__":
    main()
