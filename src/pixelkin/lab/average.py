"""The mean of the weights of several runs of one recipe, as a run of its own.

Networks trained on from the same weights by the same recipe, with other seeds, lie in one valley of the
loss, and the mean of their weights is as a rule better than each on pictures unlike the training ones
(Wortsman et al. 2022, "Model soups").

    python -m pixelkin.lab.average RUN RUN... --out RUN
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from pixelkin import config as settings
from pixelkin.errors import PixelkinError, RunError
from pixelkin.files import write_atomically
from pixelkin.lab import weights
from pixelkin.lab.recipe import TrainConfig
from pixelkin.lab.runs import BEST, DATA, OPTIMISER
from pixelkin.lab.weights import Tensors


def average(runs: Sequence[Path], out: Path) -> None:
    """Write the mean of the best weights of ``runs`` into a folder that is then a run.

    Its facts are the first run's, with the SHA-256 of all under ``averaged``. Whole numbers, such as a
    batch norm's count of batches, are the first run's.

    Raises:
        RunError: a run has no weights yet, or is of another detector or other options than the first.
    """
    loaded = []
    for run in runs:
        if not (run / BEST).exists():
            raise RunError(f"{run} holds no {BEST}: is it the folder of a run, and has an epoch ended?")
        loaded.append(weights.load_tensors(run / BEST))
    facts = loaded[0][1]
    kinds = [settings.build(TrainConfig, of_run["config"]) for _, of_run in loaded]
    for run, kind in zip(runs, kinds, strict=True):
        if (kind.detector, dict(kind.options)) != (kinds[0].detector, dict(kinds[0].options)):
            raise RunError(
                f"{run} is a run of {kind.detector} with {dict(kind.options)}, {runs[0]} one of "
                f"{kinds[0].detector} with {dict(kinds[0].options)}: their weights have no mean"
            )
    tensors = mean([of_run for of_run, _ in loaded])
    out.mkdir(parents=True, exist_ok=True)
    averaged = [weights.sha256_of(run / BEST) for run in runs]
    weights.save_tensors(out / BEST, tensors, {**facts, "averaged": averaged})
    if (runs[0] / DATA).exists():
        write_atomically(out / DATA, (runs[0] / DATA).read_bytes())


def mean(states: Sequence[Tensors]) -> Tensors:
    """The mean of each floating tensor over the states; optimisers' tensors are left out."""
    return {
        name: torch.stack([state[name].double() for state in states]).mean(0).to(first.dtype)
        if first.is_floating_point()
        else first
        for name, first in states[0].items()
        if not name.startswith(OPTIMISER)
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Average runs as the command line says; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m pixelkin.lab.average", description=__doc__.split("\n")[0]
    )
    parser.add_argument("runs", type=Path, nargs="+", help="folders of runs")
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    given = parser.parse_args(arguments)
    try:
        average(given.runs, given.out)
    except PixelkinError as error:
        parser.exit(2, f"{error}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
