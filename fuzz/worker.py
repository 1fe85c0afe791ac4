"""One process of a fuzzer: so many inputs of one target, or until it dies of one.

    python fuzz/worker.py TARGET FOLDER RUNS SEED

In ``FOLDER`` are ``corpus`` (what guides it, kept for the next process), ``seeds`` and ``findings``. What
was done so far is in ``progress.json`` there, written anew every so many inputs.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import atheris
from memory import peak

WATCHED = ["pixelkin", "PIL"]
with atheris.instrument_imports(include=WATCHED):
    from targets import MEGABYTES, PATIENCE, SECONDS, TARGETS, Run, Target

EVERY = 1000  # inputs, between two writings of what was done


@dataclass(slots=True)
class Progress:
    """What a process has done.

    Attributes:
        inputs: that were tried.
        refused: by kind of error, of those that were refused.
        seconds: since the first input.
        slowest: seconds of processor time that one input took at the most.
        started: megabytes of memory before the first input.
        peak: megabytes of memory at the most.
    """

    inputs: int = 0
    refused: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    slowest: float = 0.0
    started: float = field(default_factory=peak)
    peak: float = 0.0


class TooMuchError(Exception):
    """An input that took more time or memory than one may."""


def main() -> None:
    """Fuzz until the inputs are done; libFuzzer ends the process."""
    name, place, runs, seed = sys.argv[1:]
    folder, target = Path(place), TARGETS[name]
    with atheris.instrument_imports(include=WATCHED):
        run = target.make()
    options = {
        "runs": runs,
        "seed": seed,
        "max_len": target.longest,
        "len_control": 0,
        "timeout": PATIENCE,
        "report_slow_units": PATIENCE,
        "entropic": 1,
        "entropic_scale_per_exec_time": 1,  # fast inputs are changed more often
        "rss_limit_mb": MEGABYTES,
        "artifact_prefix": f"{folder / 'findings'}/",
        "mutate_depth": 1,  # a change of ours is several already
        "print_final_stats": 1,
    }
    arguments = [name, *(f"-{key}={value}" for key, value in options.items())]
    places = [str(folder / each) for each in ("corpus", "seeds")]
    atheris.Setup(
        arguments + places,
        _watched(run, folder / "progress.json", int(runs)),
        custom_mutator=_mutator(target),
    )
    atheris.Fuzz()


def _watched(run: Run, file: Path, runs: int) -> Any:
    """``run``, its refusals counted and its costs measured."""
    from pixelkin.errors import PixelkinError

    progress = Progress()
    first = time.monotonic()

    def one(data: bytes) -> None:
        began = time.process_time()
        progress.inputs += 1
        try:
            run(data)
        except PixelkinError as error:
            kind = type(error).__name__
            progress.refused[kind] = progress.refused.get(kind, 0) + 1
        spent = time.process_time() - began
        progress.slowest = max(progress.slowest, spent)
        progress.peak = peak()
        if progress.inputs % EVERY == 0 or progress.inputs == runs:
            progress.seconds = time.monotonic() - first
            file.write_text(json.dumps(asdict(progress)), "utf-8")
        if spent > SECONDS or progress.peak > MEGABYTES:
            raise TooMuchError(f"{spent:.1f} s, {progress.peak:.0f} MB")

    return one


def _mutator(target: Target) -> Any:
    def mutate(data: bytes, most: int, seed: int) -> bytes:
        return target.mutate(data, most, seed, atheris.Mutate)

    return mutate


if __name__ == "__main__":
    main()
