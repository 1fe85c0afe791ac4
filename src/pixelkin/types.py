"""The few values that travel between the rooms. Imports nothing of Pixelkin but `errors`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
Floats = NDArray[np.floating[Any]]


class Verdict(StrEnum):
    """What a probability says once the two thresholds of a card are applied to it."""

    REAL = "real"
    UNCERTAIN = "uncertain"
    GENERATED = "generated"


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """One decoded image at its native size: never resized, never re-encoded.

    Attributes:
        pixels: RGB, uint8, shape (H, W, 3), upright (EXIF orientation applied).
        format: container as Pillow names it, e.g. ``"JPEG"``; ``"ARRAY"`` for pixels given directly.
        mode: how the file stored its pixels, as Pillow names it, e.g. ``"CMYK"``.
        sha256: hex digest of the file's bytes (of the pixels, where there was no file).
        frames: frames in the file; ``pixels`` is the first of them.
    """

    pixels: Pixels
    format: str
    mode: str
    sha256: str
    frames: int = 1

    @property
    def height(self) -> int:
        """Rows of pixels."""
        return int(self.pixels.shape[0])

    @property
    def width(self) -> int:
        """Columns of pixels."""
        return int(self.pixels.shape[1])


class Described(Protocol):
    """What an answer tells of a picture beside its verdict; a `Picture` has it, and more."""

    @property
    def width(self) -> int:
        """Columns of pixels, upright."""

    @property
    def height(self) -> int:
        """Rows of pixels, upright."""

    @property
    def format(self) -> str:
        """Of the file, as `Picture.format`."""

    @property
    def frames(self) -> int:
        """In the file."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Prediction:
    """What one model says of one picture.

    Attributes:
        verdict: ``probability`` against the card's two thresholds.
        probability: calibrated probability that the picture was generated, in [0, 1].
        score: the same before calibration, in [0, 1]; above 0.5 exactly where the logit is above zero.
        logit: the joined logit of the tiles, unbounded.
        width: of the picture, pixels.
        height: of the picture, pixels.
        format: of the file, e.g. ``"JPEG"``.
        frames: frames in the file, of which the first was judged.
        model: name of the model.
        model_sha256: hex digest of the model file.
        boxes: the tiles judged, int, shape (n, 4): top, left, bottom, right in pixels.
        tile_probabilities: calibrated probability of each tile, shape (n,).
        patch_probabilities: over the first box in equal patches, shape (p, p), their mean log-odds the
            picture's; None of a model without an overview.
    """

    verdict: Verdict
    probability: float
    score: float
    logit: float
    width: int
    height: int
    format: str
    frames: int
    model: str
    model_sha256: str
    boxes: NDArray[np.int64]
    tile_probabilities: NDArray[np.float64]
    patch_probabilities: Floats | None = None

    @property
    def heatmap(self) -> NDArray[np.float32]:
        """Probability over each pixel, shape (H, W); NaN where the model did not look.

        That of the patches where there are some, and otherwise the mean of the tiles that lie there.
        """
        if self.patch_probabilities is not None:
            return self._over_patches(self.patch_probabilities)
        total = np.zeros((self.height, self.width), np.float32)
        count = np.zeros((self.height, self.width), np.uint8)
        for (top, left, bottom, right), value in zip(self.boxes, self.tile_probabilities, strict=True):
            total[top:bottom, left:right] += value
            count[top:bottom, left:right] += 1
        return np.divide(total, count, out=np.full_like(total, np.nan), where=count > 0)

    def _over_patches(self, patches: Floats) -> NDArray[np.float32]:
        """The patches' probabilities drawn bilinearly over the first box, NaN around it."""
        top, left, bottom, right = self.boxes[0]
        found = np.full((self.height, self.width), np.nan, np.float32)
        rows, columns = (
            np.clip((np.arange(length) + 0.5) * len(patches) / length - 0.5, 0, len(patches) - 1)
            for length in (bottom - top, right - left)
        )
        across = np.array([np.interp(columns, np.arange(len(patches)), row) for row in patches])
        down, share = np.floor(rows).astype(int), (rows % 1)[:, None]
        below = np.minimum(down + 1, len(patches) - 1)
        found[top:bottom, left:right] = across[down] * (1 - share) + across[below] * share
        return found


@dataclass(frozen=True, slots=True)
class Member:
    """Where a file lies inside an archive.

    Attributes:
        archive: path or URL of the archive; of a sample's, relative to the data's root.
        offset: of its first byte in the archive.
        size: bytes there.
        packing: of these bytes, as zip numbers it: 0 as they are, 8 deflated.
    """

    archive: str
    offset: int
    size: int
    packing: int = 0


@dataclass(frozen=True, slots=True)
class Sample:
    """One image file with what its folders say of it.

    Attributes:
        path: relative to the data's root, POSIX style; the sample's identity. Of a file in an archive, where
            it would lie if the archive were unpacked in its place.
        source: the folders but the label's, e.g. ``"stylegan2/car"``; ``"."`` where there are none.
        label: 1 generated, 0 real, None unknown.
        member: its place in an archive; None for a file by itself.
    """

    path: str
    source: str
    label: int | None
    member: Member | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Scored:
    """What was found out about one sample, once.

    Attributes:
        sample: which.
        score: probability that it was generated, in [0, 1]; None if it could not be read.
        error: why it could not be read.
        logit: the log-odds that ``score`` is the sigmoid of, which does not saturate.
        sha256: hex digest of the file's bytes.
    """

    sample: Sample
    score: float | None
    error: str | None = None
    logit: float | None = None
    sha256: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """The facts of a set of weights that are needed to use and to judge them.

    Attributes:
        name: of the model, e.g. ``"npr-first"``.
        version: of the model.
        system: registered name of the detector, e.g. ``"npr"``.
        paper: what it implements.
        weights_sha256: hex digest of the safetensors file that was exported.
        trained_on: the training data, in words.
        licence: of the model file.
        tile: side of the square tiles the model sees, pixels.
        most_tiles: tiles looked at per picture at the most.
        choice: where they are, if there are more: a name of `pixelkin.tiles.CHOICES`.
        join: how tile logits become one: a name of `pixelkin.tiles.JOINS`.
        encoder: the frozen encoder whose tokens the graph reads beside the tiles: a name of
            `pixelkin.models.ENCODERS`; empty for none.
        encoder_sha256: hex digest of the encoder's file.
        temperature: what the joined logit is divided by before the sigmoid.
        real_below: probabilities below it are called real.
        generated_above: probabilities above it are called generated.
        recipe: the training configuration.
        measured: results by condition, as `pixelkin evaluate` reported them.
        limits: what it must not be used for, and where it is known to fail, in words.
    """

    name: str
    version: str
    system: str
    paper: str
    weights_sha256: str
    trained_on: str
    licence: str
    tile: int
    most_tiles: int = 16
    choice: str = "spread"
    join: str = "mean"
    encoder: str = ""
    encoder_sha256: str = ""
    temperature: float = 1.0
    real_below: float = 0.5
    generated_above: float = 0.5
    recipe: Mapping[str, Any] = field(default_factory=dict)
    measured: Mapping[str, Any] = field(default_factory=dict)
    limits: str = ""


class Scorer(Protocol):
    """Anything that scores pictures: `pixelkin.model.Model` and every detector of the laboratory."""

    def log_odds(self, pictures: Sequence[Picture]) -> list[float]:
        """For each picture, in order, the log-odds that it was generated; unbounded."""
        ...

    def score(self, pictures: Sequence[Picture]) -> list[float]:
        """For each picture, in order, the sigmoid of its log-odds: a score in [0, 1]."""
        ...
