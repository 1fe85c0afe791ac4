"""What `pixelkin scan` does: images a second by workers and image size, processor time, memory.

    python benchmarks/scan.py [--workers 1 2] [--sides 512 1024 3000] [--images 200] [--many 200000]

The pictures are made of the example photographs, JPEG at quality 90. Each row is the difference of two
scans, of a fifth of the images and of all, so that starting is not in it; medians over repeats. Wall
clock says something on a free machine alone, processor time (of every process of the scan) on a busy one
too. `--many` tells the memory of as many listed images, of which one in a hundred can be read. The rows
are kept beside the page of performance, whose table performance.py makes of them.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
from PIL import Image

from pixelkin import images
from pixelkin.model import load
from pixelkin.models import DEFAULT

PHOTOGRAPHS = sorted((Path(__file__).parents[1] / "examples").glob("photo-*.*"))
QUALITY = 90
RECORD = "performance.scan.json"  # what performance.py makes the page of
DOCS = Path(__file__).parents[1] / "docs"

Row = dict[str, str]  # of a table, by column


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
    load_before = os.getloadavg()[0]
    tables: dict[str, list[Row]] = {"rows": [], "memory": []}
    with tempfile.TemporaryDirectory() as place:
        for side, workers in product(options.sides, options.workers):
            tables["rows"].append(_throughput(Path(place), side, workers, options))
            print(tables["rows"][-1], flush=True)
        tables["memory"] = _memory(Path(place), options) if options.many else []
    about = (
        f"`pixelkin scan` by {options.model}, {options.images} JPEGs of each size, the rate without "
        f"starting, by `python benchmarks/scan.py`; {os.cpu_count()} cores, load before {load_before:.1f}. "
        "*busy* is the share of the workers' cores that the scan had, *of one core* its rate over workers "
        "times that of one image after another in one process with one thread, *same, CPU* that by "
        "processor time."
    )
    file = options.docs / RECORD
    file.write_text(json.dumps({"about": about, **tables}, indent=1) + "\n", "utf-8")


def _throughput(place: Path, side: int, workers: int, options: argparse.Namespace) -> Row:
    """A row: medians over repeats of a scan's rate, and of one core's beside it."""
    folders = {name: place / f"{side}-{name}" for name in ("all", "few")}
    count = _planted(folders, side, options.images)
    rows = []
    for repeat in range(options.repeats):
        alone = _one_core(folders["few"], options.model)
        few, whole = (
            _scan(folders[name], place / f"{side}-{name}-{workers}-{repeat}", workers, options.model)
            for name in ("few", "all")
        )
        wall, cpu = (whole.wall - few.wall) / count, (whole.cpu - few.cpu) / count
        rows.append((1 / wall, cpu / wall / workers, alone / wall / workers, alone / cpu, cpu, alone))
    rate, busy, against, against_cpu, cpu, alone = map(statistics.median, zip(*rows, strict=True))
    return {
        "side px": f"{side}",
        "workers": f"{workers}",
        "images/s": f"{rate:.1f}",
        "busy": f"{busy:.0%}",
        "of one core": f"{against:.2f}",
        "same, CPU": f"{against_cpu:.2f}",
        "CPU ms/image": f"{1000 * cpu:.1f}",
        "one core ms/image": f"{1000 * alone:.1f}",
    }


def _planted(folders: dict[str, Path], side: int, images: int) -> int:
    """All pictures in one folder and a fifth of them in another; returns by how many they differ."""
    for name, many in (("all", images), ("few", images // 5)):
        folders[name].mkdir(exist_ok=True)
        for number in range(many):
            file = folders[name] / f"{number:05}.jpg"
            if not file.exists():
                file.write_bytes(_jpeg(side, number))
    return images - images // 5


def _memory(place: Path, options: argparse.Namespace) -> list[Row]:
    """Rows: the peaks of memory by how many images are listed."""
    (place / "bad.png").write_bytes(b"unreadable")
    (place / "good.jpg").write_bytes(_jpeg(64, 0))
    rows = []
    for count in (options.many // 100, options.many // 10, options.many):
        listed = place / f"{count}.txt"
        with listed.open("w") as file:
            file.writelines("bad.png\n" if number % 100 else "good.jpg\n" for number in range(count))
        took = _scan(listed, place / f"many-{count}", max(options.workers), options.model)
        rows.append(
            {
                "listed images": f"{count:,}",
                "images/s": f"{count / took.wall:.0f}",
                "MiB": f"{took.peak:.0f}",
                "MiB of the largest worker": f"{took.peak_of_worker:.0f}",
            }
        )
        print(rows[-1], flush=True)
    return rows


def _jpeg(side: int, number: int) -> bytes:
    """A picture of about ``side`` x ``side`` pixels, another for each number."""
    with Image.open(PHOTOGRAPHS[number % len(PHOTOGRAPHS)]) as photograph:
        picture = photograph.convert("RGB").rotate(number % 7).resize((side, side - number % 5))
    grain = np.random.default_rng(number).integers(-4, 5, (picture.height, picture.width, 1))
    pixels = np.clip(np.asarray(picture, np.int16) + grain, 0, 255).astype(np.uint8)
    return images.encode(pixels, "JPEG", quality=QUALITY)


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
    # Not ru_maxrss, which begins with the peak of the process that this one was forked from.
    peak = int(Path("/proc/self/status").read_text("utf-8").partition("VmHWM:")[2].split()[0])
    peaks = {"peak": peak / 1024, "peak_of_worker": below.ru_maxrss / 1024}
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
    parser.add_argument("--docs", type=Path, default=DOCS, help=f"folder of {RECORD}")
    return parser.parse_args()


if __name__ == "__main__":
    main()
