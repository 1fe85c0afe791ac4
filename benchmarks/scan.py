"""What `pixelkin scan` does: images a second by workers and image size, processor time, memory.

    python benchmarks/scan.py [--workers 1 2] [--sides 512 1024 3000] [--images 200] [--many 200000]

The pictures are made of the example photographs, JPEG at quality 90. Each row is the difference of two
scans, of a fifth of the images and of all, so that starting is not in it; medians over repeats. Wall
clock says something on a free machine alone, processor time (of every process of the scan) on a busy one
too. `one core` is one image after another in one process with one thread, measured beside; `of one core`
is the scan's rate over workers x that rate, by the wall clock; `same, CPU` the same by processor time;
`busy` the share of the workers' cores that the scan had. `--many` tells the memory of as many listed
images, of which one in a hundred can be read.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from pixelkin import images
from pixelkin.model import load
from pixelkin.models import DEFAULT

PHOTOGRAPHS = sorted((Path(__file__).parents[1] / "examples").glob("photo-*.*"))
QUALITY = 90
HEAD = (
    "| side px | workers | images/s | busy | of one core | same, CPU | CPU ms/image | one core ms/image |",
    "|--:|--:|--:|--:|--:|--:|--:|--:|",
)
HEAD_OF_MANY = ("\n| listed images | images/s | MiB | MiB a worker |", "|--:|--:|--:|--:|")


@dataclass(frozen=True, slots=True)
class Took:
    """What a scan took: seconds by the clock and of processors; peaks of resident memory in MiB."""

    wall: float
    cpu: float
    peak: float
    peak_of_worker: float


def main() -> None:
    """Print the tables; called with ``child`` by itself, be the scan that is measured."""
    if sys.argv[1:2] == ["child"]:
        _child(*sys.argv[2:])
        return
    options = _options()
    processor = platform.processor() or platform.machine()
    print(f"{os.cpu_count()} cores, {processor}; {options.model}; load before {os.getloadavg()[0]:.1f}\n")
    with tempfile.TemporaryDirectory() as place:
        if options.sides:
            print(*HEAD, sep="\n")
        for side in options.sides:
            _throughput(Path(place), side, options)
        if options.many:
            _memory(Path(place), options)


def _throughput(place: Path, side: int, options: argparse.Namespace) -> None:
    for file in range(options.images):
        data = _jpeg(side, file)
        for folder in ("all", "few") if file < options.images // 5 else ("all",):
            (place / f"{side}-{folder}").mkdir(exist_ok=True)
            (place / f"{side}-{folder}" / f"{file:05}.jpg").write_bytes(data)
    count = options.images - options.images // 5
    for workers in options.workers:
        rows = []
        for repeat in range(options.repeats):
            alone = _one_core(place / f"{side}-few", options.model)
            few, whole = (
                _scan(
                    place / f"{side}-{name}",
                    place / f"{side}-{name}-{workers}-{repeat}",
                    workers,
                    options.model,
                )
                for name in ("few", "all")
            )
            wall, cpu = (whole.wall - few.wall) / count, (whole.cpu - few.cpu) / count
            rows.append(
                (
                    1 / wall,
                    cpu / wall / workers,
                    alone / wall / workers,
                    alone / cpu,
                    1000 * cpu,
                    1000 * alone,
                )
            )
        rate, busy, against, against_cpu, cpu, alone = map(statistics.median, zip(*rows, strict=True))
        cells = f"{rate:.1f} | {busy:.0%} | {against:.2f} | {against_cpu:.2f} | {cpu:.1f} | {alone:.1f}"
        print(f"| {side} | {workers} | {cells} |", flush=True)


def _memory(place: Path, options: argparse.Namespace) -> None:
    print(*HEAD_OF_MANY, sep="\n")
    (place / "bad.png").write_bytes(b"unreadable")
    (place / "good.jpg").write_bytes(_jpeg(64, 0))
    for count in (options.many // 100, options.many // 10, options.many):
        listed = place / f"{count}.txt"
        with listed.open("w") as file:
            file.writelines("bad.png\n" if number % 100 else "good.jpg\n" for number in range(count))
        took = _scan(listed, place / f"many-{count}", max(options.workers), options.model)
        cells = f"{count / took.wall:.0f} | {took.peak:.0f} | {took.peak_of_worker:.0f}"
        print(f"| {count:,} | {cells} |", flush=True)


def _jpeg(side: int, number: int) -> bytes:
    """A picture of about ``side`` x ``side`` pixels, another for each number."""
    with Image.open(PHOTOGRAPHS[number % len(PHOTOGRAPHS)]) as photograph:
        picture = photograph.convert("RGB").rotate(number % 7).resize((side, side - number % 5))
    grain = np.random.default_rng(number).integers(-4, 5, (picture.height, picture.width, 1))
    pixels = np.clip(np.asarray(picture, np.int16) + grain, 0, 255).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=QUALITY)
    return buffer.getvalue()


def _one_core(folder: Path, model: str) -> float:
    """Processor seconds an image of judging one after another."""
    loaded = load(model, 1)
    files = sorted(folder.iterdir())
    loaded.detect(files[0])
    began = time.process_time()
    for file in files:
        loaded.detect(images.read(file))
    return (time.process_time() - began) / len(files)


def _scan(source: Path, out: Path, workers: int, model: str) -> Took:
    command = [sys.executable, __file__, "child", str(source), str(out), str(workers), model]
    done = subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603
    return Took(**json.loads(done.stdout))


def _child(source: str, out: str, workers: str, model: str) -> None:
    from pixelkin.scan.run import How, scan

    began = time.perf_counter()
    scan(source, Path(out), model=model, how=How(workers=int(workers)))
    wall = time.perf_counter() - began
    own, below = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    cpu = sum(use.ru_utime + use.ru_stime for use in (own, below))
    peaks = {"peak": own.ru_maxrss / 1024, "peak_of_worker": below.ru_maxrss / 1024}
    print(json.dumps({"wall": wall, "cpu": cpu} | peaks))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--sides", type=int, nargs="*", default=[512, 1024, 3000])
    parser.add_argument("--images", type=int, default=200, help="of each size")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument(
        "--many", type=int, default=200_000, help="listed images of the memory table; 0 for none"
    )
    parser.add_argument("--model", default=DEFAULT)
    return parser.parse_args()


if __name__ == "__main__":
    main()
