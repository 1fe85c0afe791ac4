"""`Model`: one ``.onnx`` file and its card; from a picture to a calibrated `Prediction`."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from PIL import Image

from pixelkin import modelfile
from pixelkin.config import build
from pixelkin.errors import ConfigError, ImageError, ModelError
from pixelkin.images import decode, from_pillow, from_pixels, read
from pixelkin.judgement import conclude, look
from pixelkin.models import DEFAULT, ENCODERS, SHIPPED, Shipped, folder
from pixelkin.processes import cores
from pixelkin.tiles import CHOICES, JOINS, OVERVIEW, of_each_tile, sigmoid
from pixelkin.types import Card, Described, Floats, Picture, Pixels, Prediction

CARD_KEY = "pixelkin.card"
CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"
LARGEST_TILE, MOST_TILES = 2048, 1024  # that a card may ask for
TILES, TOKENS = (
    "tiles",
    ("class_tokens", "mean_tokens", "patch_tokens"),
)  # what graphs take: pixels, and an encoder's tokens
BATCH = 8  # tiles per call of the runtime at the most: enough to keep it busy, small enough for any memory

Source = str | Path | bytes | Picture | Image.Image | NDArray[Any]


class Model:
    """A detector that is ready to judge pictures.

    Args:
        data: the bytes of an ``.onnx`` file that `pixelkin export` wrote.
        name: what to call the file in an error.
        threads: that judge tiles, each other ones; 0 for one a core. (The runtime's own threads share the
            work of every layer, and wait for one another at its end: two take over half as long again.)
        providers: of the runtime, the first that it has is used for what that can do; another than the
            processor is given one call at a time.

    Raises:
        ModelError: the bytes are no such file, or were altered since, their card cannot be used, or a
            provider is missing.
    """

    def __init__(
        self, data: bytes, name: str = "the model", threads: int = 0, providers: Sequence[str] = (CPU,)
    ) -> None:
        lacking = sorted(set(providers) - set(onnxruntime.get_available_providers()))
        if lacking:
            raise ModelError(f"{name}: this build of onnxruntime has no {lacking[0]}")
        self._session, metadata = _opened(data, name, providers)
        inputs = [given.name for given in self._session.get_inputs()]
        if inputs not in ([TILES], [TILES, *TOKENS]):
            raise ModelError(f"{name}: an ONNX model, but not one that takes tiles of pixels")
        self.card = _card(metadata, name)
        if bool(self.card.encoder) != (len(inputs) > 1):
            raise ModelError(f"{name}: its card and its graph disagree about an encoder")
        self._encoder = _encoder(self.card, name, providers) if self.card.encoder else None
        self._threads = (threads or cores()) if tuple(providers) == (CPU,) else 1
        self._pool = ThreadPoolExecutor(self._threads, "pixelkin-tiles")  # no thread before work
        self.sha256 = hashlib.sha256(data).hexdigest()

    def logits(self, tiles: Pixels) -> NDArray[np.float64]:
        """Logits of uint8 tiles of shape (n, 3, H, W): one a tile, shape (n,), or several, shape (n, k).

        Several are of a model with an overview, see `pixelkin.tiles.overview_and_mean`.
        """
        # An encoder gains nothing by batches, and alone a tile's numbers are the same to the last bit.
        turns = -(-len(tiles) // (BATCH * self._threads)) if self._encoder is None else len(tiles)
        parts = np.array_split(tiles, min(len(tiles), turns * self._threads))
        judged = self._pool.map(self._run, parts) if self._threads > 1 else map(self._run, parts)
        return np.concatenate(list(judged)).astype(np.float64)

    def _run(self, tiles: Pixels) -> NDArray[np.float32]:
        given = {TILES: tiles}
        if self._encoder is not None:
            given |= dict(zip(TOKENS, self._encoder.run(list(TOKENS), given), strict=True))
        return self._session.run(["logits"], given)[0]

    def detect(self, source: Source) -> Prediction:
        """Judge one picture.

        Args:
            source: a path, the bytes of an image file, a `Picture`, a Pillow image, or an RGB array,
                uint8 of shape (H, W, 3).

        Raises:
            ImageError: it is no readable image.
        """
        picture = as_picture(source)
        boxes, tiles = self.look(picture)
        return self.conclude(picture, boxes, self.logits(tiles))

    def look(self, picture: Picture) -> tuple[NDArray[np.int64], Pixels]:
        """Where the model looks at a picture, shape (n, 4) as `Prediction.boxes`, and those tiles.

        `detect` in three steps, `look`, `logits` and `conclude`, for whoever gathers the tiles of
        several pictures into one call of the runtime.
        """
        return look(self.card, picture.pixels)

    def conclude(
        self, picture: Described, boxes: NDArray[np.int64], logits: NDArray[np.float64]
    ) -> Prediction:
        """Judge a picture by the logits of the tiles at ``boxes``, as `logits` gives them."""
        said = conclude(self.card, logits)
        return Prediction(
            verdict=said.verdict,
            probability=said.probability,
            score=said.score,
            logit=said.logit,
            width=picture.width,
            height=picture.height,
            format=picture.format,
            frames=picture.frames,
            model=self.card.name,
            model_sha256=self.sha256,
            boxes=boxes,
            tile_probabilities=sigmoid(of_each_tile(self.card.join, logits) / self.card.temperature),
            patch_probabilities=_patches(self.card, logits, said.logit),
        )

    def log_odds(self, pictures: Sequence[Picture]) -> list[float]:
        """The joined logit of each picture over the card's temperature."""
        return [self.detect(picture).logit / self.card.temperature for picture in pictures]

    def score(self, pictures: Sequence[Picture]) -> list[float]:
        """The calibrated probability of each picture."""
        return [self.detect(picture).probability for picture in pictures]


def load(model: str | Path = DEFAULT, threads: int = 0, providers: Sequence[str] = (CPU,)) -> Model:
    """A shipped model by its name, or any model by its file.

    Args:
        model: a name of `pixelkin.models.SHIPPED`, or the path of an ``.onnx`` file.
        threads: as `Model` takes them.
        providers: likewise.

    Raises:
        ModelError: there is no such model, the file is no model, or a shipped one was altered.
    """
    if shipped := SHIPPED.get(str(model)):
        return Model(read_shipped(shipped), str(model), threads, providers)
    path = Path(model)
    try:
        data = modelfile.read_model(path)
    except OSError as error:
        raise ModelError(
            f"no model is named {str(model)!r} ({', '.join(SHIPPED)}), nor is it a readable file "
            f"({error.strerror})"
        ) from error
    return Model(data, str(path), threads, providers)


def detect(source: Source) -> Prediction:
    """Judge one picture by the shipped model, loaded for this call; see `Model.detect`."""
    return load().detect(source)


def as_picture(source: Source) -> Picture:
    """Whatever somebody has of a picture, as a `Picture`.

    Raises:
        ImageError: it is no readable image, or nothing that could be one.
    """
    match source:
        case Picture():
            return source
        case bytes():
            return decode(source)
        case str() | Path():
            return read(Path(source))
        case Image.Image():
            return from_pillow(source)
        case np.ndarray():
            return from_pixels(source)
    raise ImageError(
        f"a {type(source).__name__} is no picture: it takes a path, bytes, a Pillow image or an array"
    )


def _patches(card: Card, logits: Floats, joined: float) -> Floats | None:
    """Probabilities over the overview's patches, square; None of a model that tells of none.

    What each patch adds to the picture's logit or takes from it, about the joined logit: the map's mean is
    the verdict, its course is where the evidence lies.
    """
    if card.join != OVERVIEW or logits.shape[1] <= 2:
        return None
    found = logits[0, 2:]
    side = math.isqrt(len(found))
    return sigmoid((found - found.mean() + joined) / card.temperature).reshape(side, side)


def _opened(
    data: bytes, name: str, providers: Sequence[str]
) -> tuple[onnxruntime.InferenceSession, dict[str, str]]:
    """A checked file's session of one thread, and its metadata."""
    modelfile.check(data, name)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(data, options, providers=list(providers))
        metadata = session.get_modelmeta().custom_metadata_map  # which may be no text
    except Exception as error:
        raise ModelError(f"{name}: not an ONNX model that this runtime reads") from error
    return session, metadata


def _encoder(card: Card, name: str, providers: Sequence[str]) -> onnxruntime.InferenceSession:
    """The frozen encoder that a card names, which must be the very file that the model was made with."""
    shipped = ENCODERS.get(card.encoder)
    if shipped is None or shipped.sha256 != card.encoder_sha256:
        known = ", ".join(ENCODERS) or "none"
        raise ModelError(
            f"{name}: it needs the encoder {card.encoder!r} of SHA-256 {card.encoder_sha256[:8]}..., "
            f"which this version does not have (it has: {known})"
        )
    session, _ = _opened(read_shipped(shipped), shipped.file, providers)
    return session


def read_shipped(shipped: Shipped) -> bytes:
    """The bytes of a file that comes with Pixelkin.

    Raises:
        ModelError: it is missing, or was altered.
    """
    path = folder() / shipped.file
    try:
        data = modelfile.read_model(path)
    except OSError as error:
        raise ModelError(f"{path}, a part of Pixelkin, cannot be read ({error.strerror})") from error
    if hashlib.sha256(data).hexdigest() != shipped.sha256:
        raise ModelError(f"{path} was altered: its SHA-256 is not {shipped.sha256}")
    return data


def _card(metadata: dict[str, str], name: str) -> Card:
    try:
        card = build(Card, json.loads(metadata[CARD_KEY]))
    except KeyError as error:
        raise ModelError(f"{name}: an ONNX model without the card that `pixelkin export` writes") from error
    except (ConfigError, ValueError, RecursionError) as error:
        raise ModelError(f"{name}: its card cannot be read ({error})") from error
    possible = card.join in JOINS and card.choice in CHOICES and 0 < card.temperature < math.inf
    possible = possible and (card.join == OVERVIEW) == (card.choice == OVERVIEW) <= (card.most_tiles > 1)
    if not possible or not 2 <= card.tile <= LARGEST_TILE or not 1 <= card.most_tiles <= MOST_TILES:
        raise ModelError(f"{name}: its card holds an impossible tile, temperature or joining rule")
    return card
