"""A scorer over many images. Whoever judges, evaluates or scans starts here."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path

from pixelkin import degrade
from pixelkin.data import picture_of
from pixelkin.errors import ConfigError, ImageError
from pixelkin.images import decode, read
from pixelkin.model import Model
from pixelkin.processes import mapped
from pixelkin.protocol import OURS, Protocol
from pixelkin.tiles import sigmoid
from pixelkin.types import Picture, Prediction, Sample, Scored, Scorer

FIELDS = "path verdict probability score width height format model model_sha256 error".split()  # noqa: SIM905

Decoded = tuple[Sample, Picture | str]  # the picture, or why there is none


@dataclass(frozen=True, slots=True)
class Judged:
    """What a model says of one file, or why it says nothing."""

    path: str
    prediction: Prediction | None
    error: str | None = None
    picture: Picture | None = None


def record(judged: Judged, model: Model) -> dict[str, str | float | int | None]:
    """What a machine is told of one file: every key always, None where there is nothing to say."""
    said = judged.prediction
    facts: dict[str, str | float | int | None] = dict.fromkeys(FIELDS)
    facts |= {"path": judged.path, "error": judged.error}
    facts |= {"model": model.card.name, "model_sha256": model.sha256}
    if said is not None:
        facts |= {
            "verdict": str(said.verdict),
            "width": said.width,
            "height": said.height,
            "format": said.format,
        }
        facts |= {"probability": round(said.probability, 6), "score": round(said.score, 6)}
    return facts


def judge(model: Model, files: Iterable[Path | bytes]) -> Iterator[Judged]:
    """Judge files one by one, in order; bytes stand for standard input and are named ``-``."""
    for file in files:
        path = "-" if isinstance(file, bytes) else str(file)
        try:
            picture = decode(file, "standard input") if isinstance(file, bytes) else read(file)
        except ImageError as error:
            yield Judged(path, None, str(error))
        else:
            yield Judged(path, model.detect(picture), None, picture)


def score(
    scorer: Scorer,
    root: Path,
    samples: Sequence[Sample],
    *,
    chain: Sequence[degrade.Step] = (),
    protocol: Protocol = OURS,
    batch: int = 16,
    workers: int = 0,
    on_image: Callable[[], None] = lambda: None,
) -> Iterator[Scored]:
    """Score samples in their order; an unreadable file yields its error instead.

    Args:
        scorer: what scores.
        root: the folder the samples' paths start from.
        samples: what to score.
        chain: degradations each picture goes through first, what is random in them drawn from its path.
        protocol: what it goes through then.
        batch: pictures handed to the scorer at once.
        workers: processes that decode and degrade; 0 for this one.
        on_image: called after each image, for a progress bar.
    """
    if batch < 1:
        raise ConfigError(f"a batch is 1 picture or more, not {batch}")
    decoded = mapped(partial(_load, root, chain, protocol), samples, workers)
    while group := list(islice(decoded, batch)):
        logits = iter(scorer.log_odds([picture for _, picture in group if isinstance(picture, Picture)]))
        for sample, picture in group:
            on_image()
            yield _scored(sample, picture, logits)


def _scored(sample: Sample, picture: Picture | str, logits: Iterator[float]) -> Scored:
    if not isinstance(picture, Picture):
        return Scored(sample, None, picture)
    logit = float(next(logits))
    if not math.isfinite(logit):
        return Scored(
            sample, None, f"{sample.path}: the model gave {logit}, no number", sha256=picture.sha256
        )
    return Scored(sample, float(sigmoid(logit)), logit=logit, sha256=picture.sha256)


def _load(root: Path, chain: Sequence[degrade.Step], protocol: Protocol, sample: Sample) -> Decoded:
    try:
        picture = picture_of(root, sample, official=protocol.official)
        pixels = protocol.shown(degrade.apply(chain, picture.pixels, sample.path))
    except ImageError as error:
        return sample, str(error)
    except MemoryError:
        return sample, f"{sample.path}: too large for this machine's memory"
    return sample, replace(picture, pixels=pixels)
