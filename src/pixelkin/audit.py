"""The bias audit: how far a set is solved without looking at what its pictures show.

Three scorers stand beside a detector, each measured on the same images in the same way:

- *zero-pixel*, a classifier of what the files say of themselves: format, size in pixels and bytes,
  JPEG tables, metadata (`pixelkin.images.FileFacts`);
- *compression-only*, a classifier of compression history alone: tables, bits per pixel, and the
  8 x 8 blocking that a JPEG leaves in pixels however they are saved afterwards;
- *aligned*, the detector itself after both labels went through one size and one codec.

A headline that the first two reach is no evidence of more than they know. Alignment scales pictures
down, which takes true traces away as well as false ones: the third is a lower bound of what the
detector knows, the headline an upper one.
The classifiers are random forests (Breiman 2001), scored on images they were not fitted on.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pixelkin import metrics
from pixelkin.data import bytes_of
from pixelkin.errors import ImageError, MissingExtraError
from pixelkin.evaluate import About, Report, evaluate
from pixelkin.images import FORMATS, FileFacts, decode, inspect
from pixelkin.processes import mapped
from pixelkin.types import Pixels, Sample, Scored

BLOCK = 8  # side of a JPEG block, pixels
SUSPICIOUS = 0.65  # AUC that the files alone must not reach, at the lower end of its interval
ENOUGH = 20  # different files of each label, below which a forest is not fitted
FOLDS, TREES = 5, 100
ALIGNED_SIDE, ALIGNED_QUALITY = 256, 90
SMALLEST_PERCENT = 5  # of the pictures may be smaller than the aligned size
Features = dict[str, float]


@dataclass(frozen=True, slots=True)
class Suspicion:
    """Sources whose labels can be told apart without their pictures.

    Attributes:
        sources: the rows, of one classifier.
        by: ``zero-pixel`` or ``compression-only``.
        auc: of that classifier, the mean over the rows.
        low: the least of the lower ends of their intervals.
        clue: the single feature that tells most, in words.
        clue_auc: how far it tells the labels apart alone, 0.5 to 1.
    """

    sources: tuple[str, ...]
    by: str
    auc: float
    low: float
    clue: str
    clue_auc: float


@dataclass(frozen=True, slots=True)
class Audit:
    """What the files give away, and what the detector reaches once they do not.

    Attributes:
        zero_pixel: report of the classifier of file facts.
        compression: report of the classifier of compression history.
        aligned: report of the detector after alignment.
        chain: the alignment, as `pixelkin.degrade.parse` reads it.
        suspicions: sources that are flagged; empty where nothing was found.
        unfit: sources with too few images of a label to fit a classifier.
    """

    zero_pixel: Report
    compression: Report
    aligned: Report
    chain: str
    suspicions: tuple[Suspicion, ...]
    unfit: tuple[str, ...]

    def classifiers(self) -> dict[str, Report]:
        """The reports of what sees no picture, by the names that `Suspicion.by` uses."""
        return {"zero-pixel": self.zero_pixel, "compression-only": self.compression}

    def reports(self) -> dict[str, Report]:
        """All that stands beside a headline, by name, in the order to tell it."""
        return self.classifiers() | {"aligned": self.aligned}


@dataclass(frozen=True, slots=True)
class Clues:
    """What one file gives away: features of each kind by name; None where it cannot be read."""

    zero_pixel: Features
    compression: Features
    short_side: int
    sha256: str


def audit(
    about: About,
    samples: Sequence[Sample],
    clues: Sequence[Clues | None],
    aligned: tuple[str, Report],
    *,
    seed: int = 0,
    resamples: int = 200,
) -> Audit:
    """Fit and measure both classifiers, source by source, beside the aligned report of the detector.

    Args:
        about: what the detector's scores are of.
        samples: the images.
        clues: of each image, as `look` gives them.
        aligned: the alignment's chain, and the detector's report under it.
        seed: of the forests, the folds and the bootstrap.
        resamples: of the bootstrap.
    """
    groups, unfit = _groups(about, samples, clues)
    reports: dict[str, Report] = {}
    suspicions: list[Suspicion] = []
    for kind in ("zero-pixel", "compression-only"):
        scored: list[Scored] = []
        name = f"{kind} classifier"
        clues_of: dict[tuple[str, ...], tuple[str, float]] = {}
        for places in groups:
            members = [samples[place] for place in places]
            seen = [each for place in places if (each := clues[place]) is not None]
            named = [each.zero_pixel if kind == "zero-pixel" else each.compression for each in seen]
            labels = np.array([sample.label for sample in members])
            scores = out_of_fold(_matrix(named), labels, [each.sha256 for each in seen], seed)
            scored += [Scored(s, float(p)) for s, p in zip(members, scores, strict=True)]
            clues_of[tuple(dict.fromkeys(s.source for s in members))] = _best_clue(named, labels)
        scored += [Scored(sample, None, "not fitted") for sample in samples if sample.source in unfit]
        who = replace(about, model=name, model_sha256="", thresholds=(), protocol={"input": name})
        reports[kind] = evaluate(scored, who, seed=seed, resamples=resamples, may_be_empty=True)
        suspicions += _suspicions(kind, reports[kind], clues_of)
    return Audit(
        zero_pixel=reports["zero-pixel"],
        compression=reports["compression-only"],
        aligned=aligned[1],
        chain=aligned[0],
        suspicions=tuple(suspicions),
        unfit=tuple(sorted(unfit)),
    )


def require() -> None:
    """Check that the audit's library is there, before hours of scoring and not after.

    Raises:
        MissingExtraError: scikit-learn is not installed.
    """
    try:
        import sklearn.ensemble  # noqa: F401
    except ModuleNotFoundError as error:
        raise MissingExtraError("the bias audit", "lab", error.name) from error


def look(
    root: Path,
    samples: Sequence[Sample],
    *,
    official: bool = False,
    workers: int = 0,
    on_image: Callable[[], None] = lambda: None,
) -> list[Clues | None]:
    """What each file gives away, in order; None for one that cannot be read. See `images.decode`."""
    once = list({sample.path: sample for sample in samples}.values())
    found: dict[str, Clues | None] = {}
    for sample, clues in zip(once, mapped(partial(_look, root, official), once, workers), strict=True):
        found[sample.path] = clues
        on_image()
    return [found[sample.path] for sample in samples]


def alignment(clues: Sequence[Clues | None]) -> str:
    """The chain that gives all pictures one size and one codec; all but the smallest few are scaled down."""
    sides = [each.short_side for each in clues if each]
    side = min(np.percentile(sides, SMALLEST_PERCENT), ALIGNED_SIDE) if sides else ALIGNED_SIDE
    return f"square:{max(int(side) // 2 * 2, 2 * BLOCK)},jpeg:{ALIGNED_QUALITY}"


def blocking(pixels: Pixels) -> tuple[float, float]:
    """How much larger the steps between neighbouring pixels are at the borders of 8 x 8 blocks.

    Args:
        pixels: uint8, shape (H, W, 3).

    Returns:
        The ratio of the mean step at that of eight phases where it is largest to the mean at the other
        seven, and the same at the phase of the picture's own corner; 1 where there are no blocks, as
        in pictures under two blocks wide.
    """
    grey = pixels.astype(np.float32).mean(2)
    ratios = []
    for image in (grey, grey.T):
        steps = np.abs(np.diff(image, axis=1)).mean(0)
        whole = len(steps) // BLOCK * BLOCK
        if whole < BLOCK:
            return 1.0, 1.0
        by_phase = steps[:whole].reshape(-1, BLOCK).mean(0) + 1e-6
        ratios.append(by_phase / ((by_phase.sum() - by_phase) / (BLOCK - 1)))
    ratio = np.mean(ratios, axis=0)
    return float(ratio.max()), float(ratio[BLOCK - 1])


def zero_pixel_features(facts: FileFacts) -> Features:
    """What the file says of itself, as numbers by name."""
    short, long = sorted((facts.width, facts.height))
    numbers = asdict(facts)
    kinds = {f"is {kind}": float(facts.format == kind) for kind in FORMATS}
    modes = {f"mode {mode}": float(facts.mode == mode) for mode in ("RGB", "RGBA", "L", "P", "CMYK")}
    plain = {
        name.replace("_", " "): float(numbers[name]) for name in numbers if name not in ("format", "mode")
    }
    shape = {"short side": short, "long side": long, "aspect": long / short, "square": float(short == long)}
    size = {"file size": plain.pop("size"), "bits per pixel": 8 * facts.size / (facts.width * facts.height)}
    # Where several tell equally much, the first is named: the plainest come first.
    return {"quality": plain["quality"], **kinds, **shape, **plain, **modes, **size}


def compression_features(facts: FileFacts, pixels: Pixels) -> Features:
    """What tells how a picture was compressed, as numbers by name."""
    strongest, own = blocking(pixels)
    return {
        "luma table": float(facts.luma_table),
        "chroma table": float(facts.chroma_table),
        "quality": float(facts.quality),
        "subsampling": float(facts.subsampling),
        "bits per pixel": 8 * facts.size / (facts.width * facts.height),
        "blocking": strongest,
        "blocking at its corner": own,
    }


def _look(root: Path, official: bool, sample: Sample) -> Clues | None:
    try:
        data = bytes_of(root, sample)
        facts, picture = inspect(data, sample.path), decode(data, sample.path, official=official)
    except ImageError:
        return None
    return Clues(
        zero_pixel_features(facts),
        compression_features(facts, picture.pixels),
        min(picture.height, picture.width),
        picture.sha256,
    )


def _groups(
    about: About, samples: Sequence[Sample], clues: Sequence[Clues | None]
) -> tuple[list[list[int]], set[str]]:
    """The places of images that one classifier is fitted on, and the sources with too few for that.

    A source with both labels is a group; those with one label are one group together, as their
    rows are measured against each other.
    """
    by_source: dict[str, list[int]] = defaultdict(list)
    for place, (sample, seen) in enumerate(zip(samples, clues, strict=True)):
        if seen is not None and sample.label is not None:
            by_source[sample.source].append(place)
    pooled: list[int] = []
    groups: list[list[int]] = []
    for places in by_source.values():
        both = len({samples[place].label for place in places}) == 2
        if both or about.alone:
            groups.append(places)
        else:
            pooled += places
    fitting = [group for group in [*groups, pooled] if _fits(samples, clues, group)]
    fitted = {samples[place].source for group in fitting for place in group}
    return fitting, {sample.source for sample in samples} - fitted


def _fits(samples: Sequence[Sample], clues: Sequence[Clues | None], places: Sequence[int]) -> bool:
    files: tuple[set[str], set[str]] = set(), set()
    for place in places:
        if (seen := clues[place]) is not None:
            files[samples[place].label or 0].add(seen.sha256)
    return min(map(len, files)) >= ENOUGH


def _matrix(named: Sequence[Features]) -> NDArray[np.float64]:
    return np.array([list(each.values()) for each in named])


def out_of_fold(
    features: NDArray[np.float64], labels: NDArray[np.int64], files: Sequence[str], seed: int
) -> NDArray[np.float64]:
    """The share of trees that call each image generated, of a forest fitted on none of its copies."""
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict

    leaf = max(2, len(labels) // 100)
    forest = RandomForestClassifier(TREES, min_samples_leaf=leaf, class_weight="balanced", random_state=seed)
    folds = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=seed)
    found = cross_val_predict(forest, features, labels, groups=files, cv=folds, method="predict_proba")
    return np.asarray(found)[:, 1]


def _best_clue(named: Sequence[Features], labels: NDArray[np.int64]) -> tuple[str, float]:
    """The feature that parts the labels best by itself, either way round, and its AUC."""
    columns = _matrix(named)
    aucs = [metrics.auc(column, labels) for column in columns.T]
    telling = [max(value, 1 - value) for value in aucs]
    best = int(np.argmax(telling))
    return list(named[0])[best], telling[best]


def _suspicions(
    kind: str, report: Report, clues_of: dict[tuple[str, ...], tuple[str, float]]
) -> Iterator[Suspicion]:
    figures = {row.source: row.figures["auc"] for row in report.rows}
    for group, clue in clues_of.items():
        flagged = {
            source: (figure.value, figure.low)
            for source in group
            if (figure := figures[source]).value is not None
            and figure.low is not None
            and figure.low > SUSPICIOUS
        }
        if flagged:
            aucs, lows = zip(*flagged.values(), strict=True)
            yield Suspicion(tuple(flagged), kind, float(np.mean(aucs)), min(lows), *clue)
