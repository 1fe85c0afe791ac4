"""From an upload's bytes to the tiles that a model sees: what worker processes do. Needs no runtime."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from pixelkin import provenance
from pixelkin.errors import ImageSizeError
from pixelkin.images import decode
from pixelkin.judgement import look
from pixelkin.service.views import relation_view
from pixelkin.types import Card, Picture, Pixels


@dataclass(frozen=True, slots=True)
class Upload:
    """One file as it was uploaded."""

    name: str
    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What an answer is to have beside the verdict."""

    heatmap: bool = False
    relation: bool = False
    evidence: bool = False


VERDICT_ALONE = Wanted()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Seen:
    """What is left of a picture once a worker has looked at it: its pixels stay there.

    Attributes:
        width: of the picture, pixels, upright.
        height: of the picture, pixels, upright.
        format: of the file.
        frames: in the file.
        boxes: where the model looks, int (n, 4), as `pixelkin.types.Prediction.boxes`.
        tiles: that it sees there, uint8 (n, 3, side, side).
        extras: of an answer, what was wanted and can be told without the model.
    """

    width: int
    height: int
    format: str
    frames: int
    boxes: NDArray[np.int64]
    tiles: Pixels
    extras: dict[str, str | list[dict[str, str]] | None]


@dataclass(frozen=True, slots=True)
class Looker:
    """Everything that is done with the bytes of an upload: decoding, cutting, reading what they say.

    Attributes:
        card: of the model.
        most_pixels: of a picture; more are not decoded.
        decode: as `pixelkin.images.decode`.
    """

    card: Card
    most_pixels: int
    decode: Callable[..., Picture] = decode

    def __call__(self, item: tuple[Upload, Wanted]) -> Seen:
        """What is seen of one upload.

        Raises:
            ImageError: it cannot be read.
        """
        upload, wanted = item
        try:
            return self._seen(upload, wanted)
        except MemoryError as error:
            raise ImageSizeError(f"{upload.name}: takes more memory than decoding may") from error

    def _seen(self, upload: Upload, wanted: Wanted) -> Seen:
        picture = self.decode(upload.data, upload.name, most_pixels=self.most_pixels)
        boxes, tiles = look(self.card, picture.pixels)
        extras: dict[str, str | list[dict[str, str]] | None] = {}
        if wanted.relation:
            extras["relation"] = relation_view(picture.pixels)
        if wanted.evidence:
            claims = provenance.evidence(upload.data).lines()
            extras["evidence"] = [{"about": about, "says": says} for about, says in claims]
        return Seen(
            width=picture.width,
            height=picture.height,
            format=picture.format,
            frames=picture.frames,
            boxes=boxes,
            tiles=tiles,
            extras=extras,
        )
