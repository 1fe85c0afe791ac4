"""What an explanation holds, before it is a page or a figure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pixelkin.explain import (
    neighbour_relation,
    occlusion_map,
    power_spectrum,
    radial_profile,
    span_of,
    tile_map,
)
from pixelkin.explain.occlusion import Occlusion
from pixelkin.explain.relations import SPAN
from pixelkin.explain.spectra import LEAST, Curve
from pixelkin.model import Model
from pixelkin.provenance import Evidence, evidence
from pixelkin.tiles import sigmoid
from pixelkin.types import Card, Picture, Pixels, Prediction

STRONGEST = 3  # tiles that are shown for either side
WIDEST = 1024  # pixels: side of the middle of a picture whose spectrum and relations are shown


@dataclass(frozen=True, slots=True)
class Tile:
    """One tile of a verdict.

    Attributes:
        box: top, left, bottom, right in pixels.
        probability: calibrated, of that tile alone.
    """

    box: tuple[int, int, int, int]
    probability: float


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Explained:
    """What can be said of one image.

    Attributes:
        name: of the file.
        picture: as decoded.
        prediction: what the model said.
        card: of the model.
        heat: probability by overlapping tiles, shape (H, W); NaN where none looked.
        occlusion: what each square adds to the verdict.
        speaking_for: the tiles that spoke most for "generated", strongest first.
        speaking_against: those that spoke most against it, strongest first; none is in both.
        middle: of the picture, as stored, at most `WIDEST` a side: what relations and spectrum are of.
        relation_span: levels at the ends of the relations' scale.
        spectrum: of ``middle``, in dB; None where it is too small.
        profile: frequencies and mean powers of ``spectrum``.
        evidence: what the file says of itself.
    """

    name: str
    picture: Picture
    prediction: Prediction
    card: Card
    heat: NDArray[np.float32]
    occlusion: Occlusion
    speaking_for: list[Tile]
    speaking_against: list[Tile]
    middle: Pixels
    relation_span: float
    spectrum: NDArray[np.float64] | None
    profile: Curve | None
    evidence: Evidence


def explain(model: Model, picture: Picture, data: bytes = b"", name: str = "the image") -> Explained:
    """Judge a picture and gather all that shows why.

    Args:
        model: what judges.
        picture: what is judged.
        data: its file, which may say something of itself.
        name: of the file, for the reader.
    """
    said = model.detect(picture)
    if said.patch_probabilities is not None:
        heat = said.heatmap
    else:
        with np.errstate(invalid="ignore"):  # NaN, where no tile looked, stays
            heat = sigmoid(tile_map(model, picture)).astype(np.float32)
    speaking_for, speaking_against = _strongest(said)
    middle = _middle(picture.pixels, WIDEST)
    spectrum = power_spectrum(middle) if min(middle.shape[:2]) >= LEAST else None
    return Explained(
        name=name,
        picture=picture,
        prediction=said,
        card=model.card,
        heat=heat,
        occlusion=occlusion_map(model, picture),
        speaking_for=speaking_for,
        speaking_against=speaking_against,
        middle=middle,
        relation_span=span_of(neighbour_relation(middle)) if min(middle.shape[:2]) > 1 else SPAN,
        spectrum=spectrum,
        profile=None if spectrum is None else radial_profile(spectrum),
        evidence=evidence(data),
    )


def _strongest(said: Prediction) -> tuple[list[Tile], list[Tile]]:
    """The native tiles furthest towards either side, at most half of them each."""
    native = slice(0 if said.patch_probabilities is None else 1, None)  # without the overview
    boxes, probabilities = said.boxes[native], said.tile_probabilities[native]
    order = np.argsort(-probabilities, kind="stable")
    tiles = [Tile(_box(boxes[place]), float(probabilities[place])) for place in order]
    share = min(STRONGEST, (len(tiles) + 1) // 2)
    return tiles[:share], tiles[max(share, len(tiles) - STRONGEST) :][::-1]


def _box(box: NDArray[np.int64]) -> tuple[int, int, int, int]:
    top, left, bottom, right = (int(edge) for edge in box)
    return top, left, bottom, right


def _middle(pixels: Pixels, side: int) -> Pixels:
    """The middle of a picture, its corner on an even row and column, so that its cells stay whole."""
    top, left = (max(length - side, 0) // 4 * 2 for length in pixels.shape[:2])
    return pixels[top : top + side, left : left + side]
