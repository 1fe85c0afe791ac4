"""All of docs/performance.md in one command, under ten minutes: what is measured goes into a JSON beside it.

    python benchmarks/performance.py [--corpus DIR] [--docs docs] [--rounds 5] [--only PART...]

``DIR`` holds labelled folders ``train`` and ``wild-dev``, for what 8 bits cost; without it the figures that
are there are kept. ``--only`` without a part makes the page anew of what was measured before. The table of
`pixelkin scan` is of ``performance.scan.json``, where `scan.py` has written one.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import eight_bits
import engines
import latency
import machine
import training
from performance_page import page

RECORD, SCAN, PAGE = "performance.json", "performance.scan.json", "performance.md"
NETWORKS = ("npr", "kin")
BATCHES = (1, 8, 32)
PER_SOURCE = 15  # images that 8 bits are measured on
THREADS = sorted({1, os.cpu_count() or 1})


def main() -> None:
    """Measure, keep what is measured as it comes, and make the page."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--corpus", type=Path, help="folder with train and wild-dev")
    parser.add_argument("--docs", type=Path, default=Path(__file__).parents[1] / "docs")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", nargs="*", choices=PARTS, default=list(PARTS), help="none: just the page")
    asked = parser.parse_args()
    file = asked.docs / RECORD
    record = read(file) or {}
    for name in asked.only:
        if name == "eight_bits" and not asked.corpus:
            continue
        print(f"{name} ...", file=sys.stderr, flush=True)
        record[name] = PARTS[name](asked)
        file.write_text(json.dumps(record, indent=1) + "\n", "utf-8")
    (asked.docs / PAGE).write_text(page(record, read(asked.docs / SCAN)), "utf-8")


def read(file: Path) -> dict[str, Any] | None:
    """A JSON file, where it is."""
    return json.loads(file.read_text("utf-8")) if file.exists() else None


def of_programs(asked: argparse.Namespace) -> dict[str, Any]:
    """Runs of the program, by what was asked of it."""
    with tempfile.TemporaryDirectory() as folder:
        runs = latency.programs(Path(folder), 2 * asked.rounds)
    return {name: [asdict(run) for run in each] for name, each in runs.items()}


def of_engines(asked: argparse.Namespace) -> dict[str, Any]:
    """Ceilings by number of threads; by network, operations of a tile and rows of what each engine does."""
    networks = {
        name: {
            "operations": engines.operations(name),
            "rows": [
                asdict(row)
                for batch in BATCHES
                for threads in THREADS
                for row in engines.rows(name, batch, threads, asked.rounds)
            ],
        }
        for name in NETWORKS
    }
    return {"ceiling": {str(threads): machine.ceiling(threads) for threads in THREADS}, "networks": networks}


def of_training(asked: argparse.Namespace) -> dict[str, Any]:
    """What was trained, and images a second of each way."""
    of = {"crop": 128, "batch": 32, "rounds": -(-asked.rounds // 2), "steps": 2}
    return {"of": of, "rates": training.measured(**of)}


PARTS: dict[str, Callable[[argparse.Namespace], Any]] = {
    "machine": lambda _: machine.described(),
    "programs": of_programs,
    "inside": lambda asked: latency.inside(5 * asked.rounds),
    "engines": of_engines,
    "eight_bits": lambda asked: eight_bits.costs(asked.corpus, PER_SOURCE),
    "training": of_training,
}


if __name__ == "__main__":
    main()
