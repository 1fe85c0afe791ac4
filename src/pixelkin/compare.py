"""Two systems on the same images, and one system over several runs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from pixelkin.errors import DataError
from pixelkin.evaluate import RESAMPLES, About, Figure, Report, Table, as_figures
from pixelkin.types import Scored

OVER_ALL = "**mean**"  # beside sources, one of which may well be called "mean"


@dataclass(frozen=True, slots=True)
class Paired:
    """What two systems differ by on the same images: the second's figures less the first's.

    Attributes:
        first: what scored first.
        second: what scored second.
        images: scored by both.
        left_out: images that one of the two has no score of.
        resamples: of the bootstrap.
        rows: source to metric to difference, its interval from resamples that redraw the same images
            for both.
        mean: of the unweighted mean over the rows.
    """

    first: About
    second: About
    images: int
    left_out: int
    resamples: int
    rows: dict[str, dict[str, Figure]]
    mean: dict[str, Figure]


@dataclass(frozen=True, slots=True)
class Spread:
    """One figure over several runs: mean, sample standard deviation, least and greatest."""

    runs: int
    mean: float
    deviation: float | None
    least: float
    greatest: float


def paired(
    first: tuple[About, Sequence[Scored]],
    second: tuple[About, Sequence[Scored]],
    *,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> Paired:
    """Compare two systems image by image.

    Only the metrics that both have are compared, so a model's own thresholds are left out where one
    of the two has none.

    Raises:
        DataError: they scored no image in common, or its label or its file differs between them.
        ConfigError: ``resamples`` is below one, or ``seed`` negative.
    """
    (about, rows), (other_about, other_rows) = first, second
    both, left_out = _in_common(rows, other_rows)
    if not both:
        raise DataError(f"{about.model} and {other_about.model} have scored no image in common")
    about = replace(about, thresholds=about.thresholds if other_about.thresholds else ())
    other_about = replace(other_about, thresholds=other_about.thresholds if about.thresholds else ())
    tables = (
        Table.of([a for a, _ in both], about),
        Table.of([b for _, b in both], replace(other_about, order=about.order, alone=about.alone)),
    )
    values = tables[1].figures(None) - tables[0].figures(None)
    # The same seed and strata: both redraw the same images.
    drawn = tables[1].resampled(resamples, seed) - tables[0].resampled(resamples, seed)
    names = list(tables[0].chosen)
    return Paired(
        first=about,
        second=other_about,
        images=len(both),
        left_out=left_out,
        resamples=resamples,
        rows={
            source: as_figures(names, values[place], drawn[:, place])
            for place, source in enumerate(tables[0].rows)
        },
        mean=as_figures(names, values[-1], drawn[:, -1]),
    )


def spread(reports: Sequence[Report]) -> dict[str, dict[str, Spread]]:
    """Each figure over several runs, by source, the mean over the sources under `OVER_ALL`.

    A figure that some run does not have is left out.

    Raises:
        DataError: the reports are not of one set of images.
    """
    sets = {report.about.dataset_sha256 for report in reports}
    if len(sets) != 1:
        raise DataError(f"{len(reports)} reports of {len(sets)} sets of images have no common spread")
    tables = [
        {row.source: row.figures for row in report.rows} | {OVER_ALL: report.mean} for report in reports
    ]
    return {
        source: {
            name: _spread([value for value in values if value is not None])
            for name in figures
            for values in [[table[source][name].value for table in tables]]
            if None not in values
        }
        for source, figures in tables[0].items()
    }


def _spread(values: Sequence[float]) -> Spread:
    deviation = float(np.std(values, ddof=1)) if len(values) > 1 else math.nan
    return Spread(
        runs=len(values),
        mean=float(np.mean(values)),
        deviation=None if math.isnan(deviation) else deviation,
        least=min(values),
        greatest=max(values),
    )


def _in_common(
    rows: Sequence[Scored], other_rows: Sequence[Scored]
) -> tuple[list[tuple[Scored, Scored]], int]:
    """Pairs of rows of one image that both could score, and how many images are in no pair."""
    others = {(each.sample.source, each.sample.path): each for each in other_rows}
    mine = {(each.sample.source, each.sample.path): each for each in rows}
    pairs = [(each, others[key]) for key, each in mine.items() if key in others]
    pairs = [(a, b) for a, b in pairs if a.score is not None and b.score is not None]
    for a, b in pairs:
        if a.sample.label != b.sample.label:
            raise DataError(f"{a.sample.path} has another label in the second scores")
        if a.sha256 and b.sha256 and a.sha256 != b.sha256:
            raise DataError(f"{a.sample.path} is another file in the second scores, of the same name")
    return pairs, len(mine.keys() | others.keys()) - len(pairs)
