"""Fuzz what reads files of others, in processes that may die, and tell what came of it.

    python fuzz/run.py [TARGET...] [--runs 1000000] [--work DIR] [--docs docs] [--page]

Inputs that a process dies of, or that take too much time or memory, are kept in ``DIR``; the rest goes on
in a new process, and so does a run that was stopped. What came of it goes into ``reliability.json`` of the
documents, and from there into ``reliability.md``; the target ``bombs`` is the files of `bombs`, measured one
by one. What was done is counted: remove ``DIR`` to begin anew. ``--page`` makes the page, of what was
measured before.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import re
import subprocess
import sys
from collections import Counter
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import bombs
from reliability_page import page
from targets import BATCH, TARGETS

HERE = Path(__file__).parent
RECORD, PAGE, BOMBS = "reliability.json", "reliability.md", "bombs"
PACKAGES = ("pillow", "atheris", "numpy", "pyarrow", "onnxruntime", "starlette")
SLOW = "slow-unit-"  # how libFuzzer calls what it keeps without having minded
MOST_FINDINGS = 20  # after which a target is given up
FEATURES = re.compile(r"cov: (\d+) ft: (\d+) corp: (\d+)")


@dataclass(slots=True)
class Record:
    """What came of fuzzing one target.

    Attributes:
        inputs: that were tried.
        processes: that tried them, one after the other.
        refused: by kind of error, how many were refused.
        seconds: of fuzzing.
        slowest: seconds of processor time that one input took at the most.
        started: megabytes of memory of a process before its first input.
        peak: megabytes of memory of a process at the most.
        coverage: places in the watched Python code that were reached.
        features: what libFuzzer tells inputs apart by.
        corpus: inputs that were kept, for each reached something that none before it did.
        findings: by name of the kept file, what happened.
        date: of the last input.
    """

    inputs: int = 0
    processes: int = 0
    refused: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    slowest: float = 0.0
    started: float = 0.0
    peak: float = 0.0
    coverage: int = 0
    features: int = 0
    corpus: int = 0
    findings: dict[str, str] = field(default_factory=dict)
    date: str = ""


def main() -> None:
    """Fuzz each target that is asked for until its runs are done, and make the page."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = [*TARGETS, BOMBS]
    parser.add_argument(
        "targets", nargs="*", metavar="TARGET", help=f"all where none is named: {', '.join(names)}"
    )
    parser.add_argument("--runs", type=int, default=1_000_000, help="inputs of each target")
    parser.add_argument("--work", type=Path, default=HERE / "work", help="corpora and findings")
    parser.add_argument("--docs", type=Path, default=HERE.parent / "docs")
    parser.add_argument("--page", action="store_true", help="make the page, no more")
    asked = parser.parse_args()
    if unknown := set(asked.targets) - set(names):
        parser.error(f"no target is named {min(unknown)!r}; the names are: {', '.join(names)}")
    file = asked.docs / RECORD
    kept = read(file)
    for name in [] if asked.page else asked.targets or names:
        print(f"{name} ...", file=sys.stderr, flush=True)
        if name == BOMBS:
            kept[BOMBS] = [asdict(bombs.weighed(each)) for each in bombs.BOMBS]
        else:
            kept.setdefault("targets", {})[name] = asdict(fuzzed(name, asked.runs, asked.work / name))
        kept["machine"] = described()
        file.write_text(json.dumps(kept, indent=1) + "\n", "utf-8")
    (asked.docs / PAGE).write_text(page(kept), "utf-8")


def read(file: Path) -> dict[str, Any]:
    """What was measured before; nothing where there is no such file."""
    return json.loads(file.read_text("utf-8")) if file.exists() else {}


def described() -> dict[str, Any]:
    """Where and with what it is measured, and how many processes want a core."""
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 1),
        "versions": {"python": platform.python_version()}
        | {name: importlib.metadata.version(name) for name in PACKAGES},
    }


def fuzzed(name: str, runs: int, folder: Path, batch: int = BATCH) -> Record:
    """What came of so many inputs of a target; what ``folder`` has of them is counted.

    Args:
        name: of the target.
        runs: inputs.
        folder: where its corpus, its findings and the record are.
        batch: inputs of a process.
    """
    for each in ("corpus", "seeds", "findings"):
        (folder / each).mkdir(parents=True, exist_ok=True)
    for seed, data in TARGETS[name].seeds().items():
        (folder / "seeds" / seed).write_bytes(data)
    file = folder / "record.json"
    record = Record(**read(file))
    while record.inputs < runs and len(record.findings) < MOST_FINDINGS:
        told = _process(name, folder, min(batch, runs - record.inputs), record.processes + 1)
        _add(record, folder, told)
        file.write_text(json.dumps(asdict(record), indent=1) + "\n", "utf-8")
    return record


def _process(name: str, folder: Path, runs: int, seed: int) -> str:
    """Run one worker; what it told on its standard error.

    By way of a shell: libFuzzer reads ``ru_maxrss``, into which Linux counts what the process that started
    this one had at the most, and a test's process has more than libFuzzer allows.
    """
    (folder / "progress.json").unlink(missing_ok=True)
    command = [sys.executable, str(HERE / "worker.py"), name, str(folder), str(runs), str(seed)]
    alone = os.environ | {"OMP_NUM_THREADS": "1"}
    small = ("/bin/sh", "-c", '"$@"; exit $?', "sh")
    done = subprocess.run([*small, *command], capture_output=True, check=False, env=alone)  # noqa: S603
    told = (done.stdout + done.stderr).decode("utf-8", "replace")
    (folder / "last.log").write_text(told, "utf-8")
    return told


def _add(record: Record, folder: Path, told: str) -> None:
    """Add to a record what a process did and told."""
    done = read(folder / "progress.json")
    new = {
        each.name: _what(told)
        for each in sorted((folder / "findings").iterdir())
        if each.name not in record.findings and not each.name.startswith(SLOW)
    }
    if not done and "Test unit written to" not in told:
        raise RuntimeError(f"a process did nothing and said:\n{told[-2000:]}")
    record.inputs += done.get("inputs", 1)
    record.processes += 1
    record.refused = dict(Counter(record.refused) + Counter(done.get("refused", {})))
    record.seconds += done.get("seconds", 0.0)
    for key in ("slowest", "started", "peak"):
        setattr(record, key, max(getattr(record, key), done.get(key, 0.0)))
    if found := FEATURES.findall(told):
        record.coverage, record.features, record.corpus = map(int, found[-1])
    record.findings |= new
    record.date = datetime.now(UTC).date().isoformat()


def _what(told: str) -> str:
    """What a process that died said of it, in one line."""
    lines = told.splitlines()
    for at, line in enumerate(lines):
        if "Uncaught Python exception" in line:
            return next((each.strip() for each in lines[at + 1 :] if each.strip()), line)
        if line.startswith("==") and "ERROR: libFuzzer:" in line:
            return line.partition("libFuzzer: ")[2]
    return "its process ended without a word"


if __name__ == "__main__":
    main()
