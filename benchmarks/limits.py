"""What it takes to be judged wrongly: docs/limits.json, and the tables of docs/limits.md, in one command.

    python benchmarks/limits.py --images corpus/wild-dev [--model MODEL] [--per-source 20] [--workers N]

``--images`` is a labelled folder of sources that the model never saw. Without it the tables are made anew of
what was measured before. A picture of 1.4 megapixels takes 3.3 seconds of one core.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from evasions import EVASIONS, INFORMED, Target, psnr
from gradient import network_of, uphill
from limits_page import page
from machine import described
from numpy.typing import NDArray

from pixelkin import degrade
from pixelkin.data import at_most, find_samples, picture_of
from pixelkin.images import from_pixels
from pixelkin.lab.detectors.base import Detector
from pixelkin.metrics import auc
from pixelkin.model import Model, load
from pixelkin.models import DEFAULT, SHIPPED, folder
from pixelkin.processes import mapped
from pixelkin.types import Card, Sample, Verdict

RECORD, PAGE = "limits.json", "limits.md"
GOOD = 30.0  # dB: an edit that loses less is one that nobody minds
MET_PER_SOURCE = 64  # pictures, that tell what a verdict is worth
MET = {  # pictures as people meet them
    "as they were published": "",
    "saved again as JPEG 75": "jpeg:75",
    "shared on the web twice": "resize:0.75,jpeg:80,jpeg:70",
}
BEST = "the best of these edits", f"of at least {GOOD:g} dB"


Made = TypeVar("Made")


@dataclass(frozen=True, slots=True)
class Seen:
    """What a model says of one picture after one evasion; ``psnr`` is None where pixels have moved."""

    verdict: Verdict
    logit: float
    psnr: float | None


def main() -> None:
    """Measure, if there are images, and make the page."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=Path, help="labelled folder")
    parser.add_argument("--model", default=DEFAULT, help="name of a shipped model, or an .onnx file")
    parser.add_argument("--per-source", type=int, default=20, help="pictures of each source at the most")
    parser.add_argument("--workers", type=int, default=0, help="processes; 0 for this one")
    parser.add_argument("--docs", type=Path, default=Path(__file__).parents[1] / "docs")
    asked = parser.parse_args()
    if asked.images:
        record = measured(asked.images, asked.model, asked.per_source, asked.workers)
        (asked.docs / RECORD).write_text(json.dumps(record, indent=1) + "\n", "utf-8")
    record = json.loads((asked.docs / RECORD).read_text("utf-8"))
    file = asked.docs / PAGE
    file.write_text(page(file.read_text("utf-8"), record), "utf-8")


def measured(root: Path, model: str, per_source: int, workers: int = 0) -> dict[str, Any]:
    """What `limits_page.page` tells: the model, how often it is right, and a row for each evasion.

    Args:
        root: labelled folder.
        model: name of a shipped model, or an .onnx file.
        per_source: pictures of each source at the most, that go through all evasions.
        workers: processes; 0 for this one.
    """
    loaded, _ = _loaded(model)
    facts = {"machine": described(), "model": _facts(loaded.card) | {"sha256": loaded.sha256}}
    samples = find_samples(root)
    met = _met(root, model, at_most(samples, MET_PER_SOURCE), workers)
    return facts | {"met": met, "evaded": _evaded(root, model, at_most(samples, per_source), workers)}


def _met(root: Path, model: str, samples: Sequence[Sample], workers: int) -> dict[str, Any]:
    """Verdicts on pictures as people meet them."""
    generated = _generated(samples)
    by_way = zip(*_told_of(partial(as_met, root, model), samples, workers), strict=True)
    rows = [
        {
            "pictures": words,
            "generated": _verdicts(said[generated]),
            "photographs": _verdicts(said[~generated]),
        }
        for words, said in zip(MET, map(np.array, by_way), strict=True)
    ]
    return {"images": _images(root, samples), "rows": rows}


def as_met(root: Path, model: str, sample: Sample) -> list[Verdict]:
    """The verdicts on one picture, in the order of `MET`."""
    loaded, _ = _loaded(model)
    pixels = picture_of(root, sample).pixels
    shown = [degrade.apply(degrade.parse(chain), pixels, sample.path) for chain in MET.values()]
    return [loaded.detect(from_pixels(each)).verdict for each in shown]


def _evaded(root: Path, model: str, samples: Sequence[Sample], workers: int) -> dict[str, Any]:
    """What became of pictures by each evasion."""
    by_evasion = list(zip(*_told_of(partial(judged, root, model), samples, workers), strict=True))
    names = [*((each.family, each.name) for each in EVASIONS), BEST]
    rows = [
        {"family": family, "name": name} | _told(rows, by_evasion[0], _generated(samples))
        for (family, name), rows in zip(names, by_evasion, strict=True)
    ]
    return {"images": _images(root, samples), "rows": rows}


def _told_of(of_one: Callable[[Sample], Made], samples: Sequence[Sample], workers: int) -> Iterator[Made]:
    """What is said of each sample, with words on how far it is."""
    for place, made in enumerate(mapped(of_one, samples, workers), 1):
        print(f"{place} of {len(samples)}", end="\r", file=sys.stderr, flush=True)
        yield made


def judged(root: Path, model: str, sample: Sample) -> list[Seen]:
    """What a model says of one picture after each of `EVASIONS`, in order, and after the best of them."""
    loaded, network = _loaded(model)
    picture = picture_of(root, sample)
    signs = uphill(network, loaded, picture)
    target = Target(picture.pixels, sample.path, -signs if sample.label else signs)
    rows = []
    for evasion in EVASIONS:
        pixels = evasion.change(target)
        said = loaded.detect(from_pixels(pixels))
        rows.append(Seen(said.verdict, said.logit, psnr(target.pixels, pixels) if evasion.aligned else None))
    return [*rows, _best(rows, -1 if sample.label else 1)]


@cache
def _loaded(name: str) -> tuple[Model, Detector]:
    """A model on one thread, and its network; once a process."""
    torch.set_num_threads(1)
    path = folder() / SHIPPED[name].file if name in SHIPPED else Path(name)
    model = load(path, threads=1)
    return model, network_of(path.read_bytes(), model)


def _best(rows: Sequence[Seen], way: int) -> Seen:
    """What somebody gets who tries every edit on the model; the truth is left by logits going ``way``."""
    tried = [
        row
        for evasion, row in zip(EVASIONS, rows, strict=True)
        if evasion.family != INFORMED and (row.psnr is None or row.psnr >= GOOD)
    ]
    return max(tried, key=lambda row: way * row.logit)


def _told(rows: Sequence[Seen], clean: Sequence[Seen], generated: NDArray[np.bool_]) -> dict[str, Any]:
    """What became of all pictures by one evasion: counts of verdicts by the truth, and means."""
    verdicts = np.array([row.verdict for row in rows])
    caught = generated & np.array([row.verdict is Verdict.GENERATED for row in clean])
    logits, before = (np.array([row.logit for row in each]) for each in (rows, clean))
    quality = [row.psnr for row in rows if row.psnr is not None and math.isfinite(row.psnr)]
    labels = {"generated": generated, "photographs": ~generated}
    return {
        "psnr": round(float(np.mean(quality)), 1) if quality else None,
        "auc": round(float(auc(logits, generated.astype(int))), 4),
        "generated": _verdicts(verdicts[generated]),
        "caught": _verdicts(verdicts[caught]),
        "photographs": _verdicts(verdicts[~generated]),
        "moved": {name: round(float((logits - before)[of].mean()), 2) for name, of in labels.items()},
    }


def _verdicts(given: Iterable[str]) -> dict[str, int]:
    counts = Counter(given)
    return {str(verdict): counts[verdict] for verdict in Verdict}


def _generated(samples: Sequence[Sample]) -> NDArray[np.bool_]:
    return np.array([sample.label == 1 for sample in samples])


def _images(root: Path, samples: Sequence[Sample]) -> dict[str, Any]:
    """Name, sources, and how many of each label."""
    generated = int(_generated(samples).sum())
    counts = {"photographs": len(samples) - generated, "generated": generated}
    return {"name": root.resolve().name, "sources": sorted({each.source for each in samples})} | counts


def _facts(card: Card) -> dict[str, Any]:
    names = ("name", "version", "choice", "tile", "most_tiles", "real_below", "generated_above")
    return {name: getattr(card, name) for name in names}


if __name__ == "__main__":
    main()
