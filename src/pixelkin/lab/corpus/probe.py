"""Probes: how far labels are told apart by what is no trace of generation.

- *file facts*: format, size, JPEG tables, metadata; no pixel is seen (`pixelkin.audit`);
- *standardised*: a few statistics of pixels after one fixed re-encoding of both labels, which takes
  format, size and compression away. What this probe still tells is subject, palette and softness.

Each is a random forest scored on sources that it was not fitted on.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from pixelkin import metrics
from pixelkin.audit import Features, blocking, out_of_fold, zero_pixel_features
from pixelkin.errors import ImageError
from pixelkin.images import decode, encode, inspect
from pixelkin.lab.corpus.clones import blobs, git_directory
from pixelkin.lab.corpus.manifest import Entry
from pixelkin.types import Pixels

EACH = 12  # images of a source
SIDE, QUALITY = 128, 90
FEWEST = 5  # images of a source, and sources of a label, below which no figure is given
SUSPICIOUS = 0.65  # AUC of the standardised probe above which a source needs a reason
PROBES = ("file facts", "standardised")


@dataclass(frozen=True, slots=True)
class Figures:
    """Results of both probes on one split.

    Attributes:
        images: that were looked at.
        auc: by the name of the probe, over all images of the split.
        sources: of each source, by the name of the probe: the AUC of its images against all of the other
            label; over one half where the probe is right.
    """

    images: int
    auc: dict[str, float]
    sources: dict[str, dict[str, float]]


def probe(
    entries: Sequence[Entry],
    clones: Path,
    *,
    each: int = EACH,
    seed: int = 0,
    on_repository: Callable[[str], None] = lambda *_: None,
) -> dict[str, Any]:
    """Figures of each split, as they are kept in a file.

    Args:
        entries: of a manifest; edited images and contact sheets are left out.
        clones: the folder of clones.
        each: images of a source at most.
        seed: of the forests and folds.
        on_repository: called before each repository is read, with its name.
    """
    chosen = _chosen(entries, each)
    features = _features(chosen, clones, on_repository)
    splits: dict[str, Any] = {}
    for split in dict.fromkeys(entry.split for entry in chosen):
        seen = [entry for entry in chosen if entry.split == split and entry.git_blob in features]
        if found := _figures(seen, features, seed):
            splits[split] = asdict(found)
    return {"each": each, "seed": seed, "side": SIDE, "quality": QUALITY, "splits": splits}


def standardised(pixels: Pixels) -> Pixels:
    """The middle square of a picture at one size, after one JPEG compression.

    Args:
        pixels: uint8, shape (H, W, 3).

    Returns:
        uint8, shape (128, 128, 3).
    """
    height, width = pixels.shape[:2]
    scale = SIDE / min(height, width)
    size = (max(SIDE, round(width * scale)), max(SIDE, round(height * scale)))
    image = Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC, reducing_gap=None)
    left, top = (size[0] - SIDE) // 2, (size[1] - SIDE) // 2
    square = np.asarray(image.crop((left, top, left + SIDE, top + SIDE)))
    return decode(encode(square, "JPEG", quality=QUALITY), "the square").pixels


def pixel_features(pixels: Pixels) -> Features:
    """Statistics of a standardised picture, uint8 (128, 128, 3), as numbers by name."""
    values = pixels.astype(np.float32)
    grey = values.mean(2)
    power = np.abs(np.fft.fftshift(np.fft.fft2(grey - grey.mean()))) ** 2
    down, across = np.indices(power.shape) - SIDE // 2
    radius = np.hypot(down, across)
    bands = [power[(radius >= low) & (radius < 2 * low)].mean() for low in (4, 8, 16, 32)]
    strongest, own = blocking(pixels)
    found = {
        f"mean of {name}": values[..., index].mean() for index, name in enumerate(("red", "green", "blue"))
    }
    found |= {
        f"spread of {name}": values[..., index].std() for index, name in enumerate(("red", "green", "blue"))
    }
    found |= {f"band {index}": np.log1p(band) for index, band in enumerate(bands)}
    found |= {
        "steps across": np.abs(np.diff(grey, axis=1)).mean(),
        "steps down": np.abs(np.diff(grey, axis=0)).mean(),
    }
    found |= {
        "saturation": (values.max(2) - values.min(2)).mean(),
        "blocking": strongest,
        "own blocking": own,
    }
    found |= {"clipped": ((grey < 2) | (grey > 253)).mean()}
    return {name: float(value) for name, value in found.items()}


def _chosen(entries: Iterable[Entry], each: int) -> list[Entry]:
    """At most ``each`` images of each source, by a hash of their blobs' names."""
    by_source: dict[str, list[Entry]] = defaultdict(list)
    for entry in entries:
        if entry.label != "2_edited" and not entry.grid:
            by_source[entry.source].append(entry)
    chosen = []
    for members in by_source.values():
        members.sort(key=lambda entry: hashlib.sha256(entry.git_blob.encode()).digest())
        chosen += members[:each]
    return chosen


def _features(
    entries: Sequence[Entry], clones: Path, on_repository: Callable[[str], None]
) -> dict[str, tuple[Features, Features]]:
    """Features for both probes of each blob that is there and can be read."""
    by_repository: dict[str, list[str]] = defaultdict(list)
    for entry in entries:
        by_repository[entry.repository].append(entry.git_blob)
    found = {}
    for repository, names in sorted(by_repository.items()):
        on_repository(repository)
        directory = git_directory(clones, repository)
        for name, data in zip(names, blobs(directory, names), strict=True) if directory else ():
            try:
                if data is not None:
                    facts, picture = inspect(data), decode(data)
                    found[name] = zero_pixel_features(facts), pixel_features(standardised(picture.pixels))
            except ImageError:
                continue
    return found


def _figures(
    entries: Sequence[Entry], features: dict[str, tuple[Features, Features]], seed: int
) -> Figures | None:
    """Figures of one split; None where a label has too few sources for the folds."""
    labels = np.array([entry.label == "1_fake" for entry in entries], dtype=np.int64)
    groups = [entry.repository.lower() for entry in entries]
    for label in (0, 1):
        if len({group for group, its in zip(groups, labels, strict=True) if its == label}) < FEWEST:
            return None
    auc: dict[str, float] = {}
    sources: dict[str, dict[str, float]] = defaultdict(dict)
    named = np.array([entry.source for entry in entries])
    for index, name in enumerate(PROBES):
        table = np.array([list(features[entry.git_blob][index].values()) for entry in entries])
        scores = out_of_fold(table, labels, groups, seed)
        auc[name] = round(float(metrics.auc(scores, labels)), 3)
        for source in dict.fromkeys(named):
            own = named == source
            if own.sum() >= FEWEST:
                others = labels != labels[own][0]
                value = metrics.auc(scores[own | others], labels[own | others])
                sources[str(source)][name] = round(float(value), 3)
    return Figures(len(entries), auc, dict(sources))
