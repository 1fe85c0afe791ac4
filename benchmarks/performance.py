"""All of docs/performance.md in one command, under ten minutes: what is measured goes into a JSON beside it.

    python benchmarks/performance.py [--corpus DIR] [--docs docs] [--rounds 5]

``DIR`` holds labelled folders ``train`` and ``wild-dev``, for what 8 bits cost; without it the figures that
are there are kept. ``--page`` makes the page anew of what was measured before. The table of `pixelkin scan`
is of ``performance.scan.json``, where `scan.py` has written one.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
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
PER_SOURCE = 25  # images that 8 bits are measured on
STEPS = {"crop": 128, "batch": 32, "rounds": 3, "steps": 3}


def main() -> None:
    """Measure, keep, and make the page."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--corpus", type=Path, help="folder with train and wild-dev")
    parser.add_argument("--docs", type=Path, default=Path(__file__).parents[1] / "docs")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--page", action="store_true", help="measure nothing")
    asked = parser.parse_args()
    record = asked.docs / RECORD
    before = read(record) or {}
    if not asked.page:
        made = measured(asked.rounds, asked.corpus)
        made.setdefault("eight_bits", before.get("eight_bits", []))
        record.write_text(json.dumps(made, indent=1) + "\n", "utf-8")
    made_page = page(read(record) or {}, read(asked.docs / SCAN))
    (asked.docs / PAGE).write_text(made_page, "utf-8")
    print(made_page)


def read(file: Path) -> dict[str, Any] | None:
    """A JSON file, where it is."""
    return json.loads(file.read_text("utf-8")) if file.exists() else None


def measured(rounds: int, corpus: Path | None) -> dict[str, Any]:
    """Everything but the scan."""
    counts = sorted({1, os.cpu_count() or 1})
    made: dict[str, Any] = {
        "machine": machine.described(),
        "ceiling": {str(threads): machine.ceiling(threads) for threads in counts},
        "operations": {name: engines.operations(name) for name in NETWORKS},
        "inside": latency.inside(5 * rounds),
    }
    with tempfile.TemporaryDirectory() as folder:
        runs = latency.programs(Path(folder), 2 * rounds)
    made["programs"] = {name: [asdict(run) for run in each] for name, each in runs.items()}
    made["engines"] = [
        asdict(row)
        for name in NETWORKS
        for batch in BATCHES
        for threads in counts
        for row in engines.rows(name, batch, threads, rounds)
    ]
    if corpus:
        made["eight_bits"] = eight_bits.costs(corpus / "train", corpus / "wild-dev", PER_SOURCE)
    made["training"] = {"of": STEPS, "rates": training.measured(**STEPS)}
    return made


if __name__ == "__main__":
    main()
