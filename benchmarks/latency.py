"""One image: from start to exit, inside a running process, and the memory it takes."""

from __future__ import annotations

import io
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from pixelkin.images import decode, encode, read
from pixelkin.model import load
from pixelkin.models import DEFAULT
from pixelkin.types import Pixels

EXAMPLES = sorted((Path(__file__).parents[1] / "examples").glob("photo-*"))
SIDE, LARGE = 1024, (4000, 6000)  # pixels; the large photograph has 24 megapixels
QUALITY = 90
TIMED = Path(__file__).with_name("timed.py")


@dataclass(frozen=True, slots=True)
class Program:
    """What one run of the program took.

    Attributes:
        seconds: from start to exit.
        cpu: seconds of all cores.
        peak: megabytes of memory at the most.
    """

    seconds: float
    cpu: float
    peak: float


def photograph(height: int, width: int) -> bytes:
    """A JPEG file of that size, laid out of the example photographs at their native scale."""
    return encode(laid([read(file).pixels for file in EXAMPLES], height, width), "JPEG", quality=QUALITY)


def laid(photographs: Sequence[Pixels], height: int, width: int) -> Pixels:
    """Rows of whole photographs, cut to a size."""
    across = np.concatenate([p[: min(len(p) for p in photographs)] for p in photographs], axis=1)
    times = -(-height // across.shape[0]), -(-width // across.shape[1]), 1
    return np.tile(across, times)[:height, :width]


def ran(*words: str) -> Program:
    """Run ``pixelkin`` once, as a person types it."""
    command = [sys.executable, str(TIMED), sys.executable, "-m", "pixelkin", *words]
    return Program(**json.loads(subprocess.run(command, capture_output=True, check=True).stdout))  # noqa: S603


def programs(folder: Path, rounds: int) -> dict[str, list[Program]]:
    """Help, an image of 1024 x 1024 and one of 24 megapixels, in turns."""
    one, large = folder / "one.jpg", folder / "large.jpg"
    one.write_bytes(photograph(SIDE, SIDE))
    large.write_bytes(photograph(*LARGE))
    asked = {"--help": ("--help",), "one": ("detect", str(one)), "large": ("detect", str(large))}
    seen: dict[str, list[Program]] = {name: [] for name in asked}
    for _ in range(rounds):
        for name, words in asked.items():
            seen[name].append(ran(*words))
    return seen


def inside(
    rounds: int,
    threads: int = 0,
    clock: Callable[[], float] = time.perf_counter,
    model: str = DEFAULT,
) -> dict[str, Any]:
    """Milliseconds of Pillow's decoding, of ours and of a verdict by ``model``, in turns, inside one process.

    Returns:
        ``pillow``, ``decode`` and ``verdict``, each a list over rounds; ``ratio``, the median of verdict
        over Pillow.
    """
    data, judging = photograph(SIDE, SIDE), load(model, threads=threads)
    calls: dict[str, Callable[[], Any]] = {
        "pillow": lambda: Image.open(io.BytesIO(data)).load(),
        "decode": lambda: decode(data),
        "verdict": lambda: judging.detect(data),
    }
    seen: dict[str, list[float]] = {name: [] for name in calls}
    for place in range(rounds + 2):
        for name, call in calls.items():
            began = clock()
            call()
            if place >= 2:  # the first two warm up
                seen[name].append(1000 * (clock() - began))
    ratio = statistics.median(v / p for v, p in zip(seen["verdict"], seen["pillow"], strict=True))
    return {**seen, "ratio": ratio}
