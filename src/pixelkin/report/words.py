"""A verdict, a card and its limits in plain words."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pixelkin.report.content import Explained
from pixelkin.types import Card, Verdict

NOTHING_SAID = (
    "The file says nothing of how it was made. That is usual: most programs and services remove such fields."
)
CONTEXT = (
    "Whoever made or passed on the file wrote these. They can be missing, copied or invented, and the "
    "verdict does not use them."
)
HEAT = (
    "How likely the model thinks each place generated: every pixel has the mean of the overlapping tiles of "
    "{tile} px that show it, and no colour where none does."
)
PATCHES = (
    "How likely the model thinks each place generated: patches of the middle square, their mean the verdict; "
    "no colour beside it."
)
OCCLUSION = (
    "What the verdict owes to each square of {side} px: the change in log-odds when its pixels keep their "
    "local mean and their detail is laid down in another order. Red speaks for generated, blue against; full "
    "colour is {span:.2g}."
)
RELATIONS = (
    "Differences of each pixel from the first of its 2 x 2 cell, channel by channel; grey is none, the ends "
    "of the scale are {span:.0f} of 255 levels. An NPR "
    "detector looks at these, others at the pixels themselves."
)
ERRS = {  # figures of a report, in words
    "caught": "{:.0%} of generated pictures are called generated",
    "false_alarms": "{:.0%} of photographs are, wrongly",
    "uncertain": "{:.0%} of pictures are left uncertain",
    "auc": "AUC {:.2f}",
}
PLANE = "Spectrum of the luma, zero frequency in the middle; black is 0 dB, white 60 dB."
SPECTRUM = "Power by frequency. Up-sampling leaves peaks and rises where photographs fall smoothly."


def title(explained: Explained) -> str:
    """The verdict and its probability."""
    return f"{explained.prediction.verdict.capitalize()}, {explained.prediction.probability:.0%}"


def verdict_in_words(explained: Explained) -> str:
    """What the verdict means, by the card's thresholds."""
    said, card = explained.prediction, explained.card
    bounds = f"below {card.real_below:.0%} it says real, above {card.generated_above:.0%} generated"
    match said.verdict:
        case Verdict.GENERATED:
            meaning = "The model thinks that this picture, or much of it, was made by a generator"
        case Verdict.REAL:
            meaning = "The model finds no trace of a generator; that is not proof that there was none"
        case _:
            meaning = "The model cannot tell: its evidence points neither way strongly enough"
    return f"{meaning}. The probability of generated is {said.probability:.0%}; {bounds}."


def looked_at(explained: Explained) -> str:
    """How much of the picture the verdict is made of."""
    said = explained.prediction
    frames = f" The first of {said.frames} frames was judged." if said.frames > 1 else ""
    card, overview = explained.card, said.patch_probabilities is not None
    native = len(said.boxes) - overview
    tiles = f"{native} {'tile' if native == 1 else 'tiles'} of {card.tile} px at native scale"
    seen = (
        f"the middle square at {card.tile} px and {tiles}" if overview else f"{tiles}, joined by {card.join}"
    )
    return f"{said.width} x {said.height} pixels, {said.format}; {seen}.{frames}"


def heat_in_words(explained: Explained) -> str:
    """What the heat map shows."""
    overview = explained.prediction.patch_probabilities is not None
    return PATCHES if overview else HEAT.format(tile=explained.card.tile)


def card_lines(card: Card, sha256: str) -> Iterator[tuple[str, str]]:
    """What there is to know of a model, name and fact."""
    yield "Model", f"{card.name}, version {card.version} ({card.system}; {card.paper})"
    yield "Trained on", card.trained_on
    yield "Limits", card.limits or "its card states none, which does not mean that there are none"
    yield from (("Measured", line) for line in measured_lines(card))
    yield "Licence", card.licence
    yield "SHA-256", sha256


def measured_lines(card: Card) -> Iterator[str]:
    """How often the model errs, one sentence a condition; none where its card holds no such figures."""
    for condition, result in card.measured.items():
        mean = result.get("mean") if isinstance(result, dict) else None
        figures = {key: _value(mean.get(key)) for key in ERRS} if isinstance(mean, dict) else {}
        told = [ERRS[key].format(value) for key, value in figures.items() if value is not None]
        if told:
            yield f"{condition} ({result.get('dataset', 'its test set')}): {', '.join(told)}"


def _value(figure: Any) -> float | None:
    value = figure.get("value") if isinstance(figure, dict) else figure
    return float(value) if isinstance(value, int | float) else None
