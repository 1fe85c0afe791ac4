"""A trained run to one ``.onnx`` file with its card, through the parity gate."""

from __future__ import annotations

import dataclasses
import io
import json
import logging
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch

from pixelkin.data import at_most, find_samples, of_sources, picture_of
from pixelkin.errors import DataError, ExportError, ImageError, ParityError
from pixelkin.files import write_atomically
from pixelkin.images import from_pixels
from pixelkin.lab import weights
from pixelkin.lab.batches import part, spread
from pixelkin.lab.calibrate import Calibration, calibrate, picture_logits
from pixelkin.lab.detectors.base import Detector
from pixelkin.lab.external import Store
from pixelkin.lab.quantise import cost, quantised
from pixelkin.lab.recipe import TrainConfig
from pixelkin.lab.runs import BEST, load_run
from pixelkin.lab.scorer import not_comparable, stood_in, tile_logits
from pixelkin.model import CARD_KEY, Model
from pixelkin.modelfile import sealed
from pixelkin.tiles import MOST_TILES, TILE, repeat_to
from pixelkin.types import Card, Pixels, Sample

logger = logging.getLogger(__name__)

TOLERANCE = 1e-3
PARITY_PICTURES = 8
QUANTISED_ON = 64  # training pictures that scales of 8-bit numbers are found on
# Height and width cut out of each picture, as far as it reaches: tiles, odd sides, far from square.
PARITY_SIZES = ((256, 256), (96, 96), (129, 255), (64, 301), (512, 512))


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportConfig:
    """What a card says that a run does not know.

    Attributes:
        name: of the model; empty for the run's folder's.
        version: of the model.
        trained_on: the training data, in words.
        licence: of the model file.
        limits: what it must not be used for, in words.
        tile: side of a tile at run time, pixels, even; 0 for the only one the detector takes, or else the
            shipped models' own.
        most_tiles: per picture.
        choice: a name of `pixelkin.tiles.CHOICES`.
        join: a name of `pixelkin.tiles.JOINS`.
        calibrate_on: labelled folder whose pictures temperature and thresholds are fitted on, for sources
            that the run has not seen; empty for the run's own validation pictures.
        calibrate_most: pictures of each source that are taken there.
        eight_bits: weights and activations of 8 bits instead of 32; the card says at what cost.
        mistakes: share of each label the thresholds may get wrong on validation pictures.
        measured: results by condition; see `pixelkin export --report`.
    """

    name: str = ""
    version: str = "1"
    trained_on: str = "not stated"
    licence: str = "not stated"
    limits: str = ""
    tile: int = 0
    most_tiles: int = MOST_TILES
    choice: str = "spread"
    join: str = "mean"
    calibrate_on: str = ""
    calibrate_most: int = 60
    eight_bits: bool = False
    mistakes: float = 0.05
    measured: Mapping[str, Any] = field(default_factory=dict)


def export(
    run: Path,
    out: Path,
    settings: ExportConfig,
    data: Path | None = None,
    store: Store | None = None,
) -> Card:
    """Calibrate the best weights of ``run`` and write them as ``out``; returns the card.

    Args:
        run: folder of a training run.
        out: the ``.onnx`` file to write.
        settings: what the card says beside.
        data: where the run's data lie now, if not where they were.
        store: weights of others that the detector looks through.

    Raises:
        ExportError: the system cannot be an ONNX file.
        ParityError: the graph's logits differ from the network's by more than 1e-3; nothing is written.
        RunError: the run has no weights yet.
        DataError: its validation images are gone.
    """
    store = store or Store()
    detector, config, facts = load_run(run, store=store)
    if random := stood_in(facts, store):
        settings = dataclasses.replace(
            settings, limits=f"{not_comparable(random)}. {settings.limits}".strip()
        )
    config = dataclasses.replace(config, data=str(data)) if data else config
    training, root, samples = part(of_sources(find_samples(Path(config.data)), config.sources), config)
    raw = _card(run, detector, config, settings, Calibration())
    graph = to_onnx(detector, raw)
    sizes = ((detector.side, detector.side),) if detector.side else PARITY_SIZES
    check_parity(graph, detector, _crops(_readable(root, samples), sizes))
    # The graph answers as the network does, several times faster: it is what gets calibrated.
    if settings.calibrate_on:
        root = Path(settings.calibrate_on)
        samples = at_most(find_samples(root), settings.calibrate_most)
    shown = (root, samples, config.degradations, config.seed)
    logits, labels = picture_logits(Model(graph), *shown)
    if set(labels) != {0, 1}:
        raise DataError(f"{root}: too few images are left to calibrate on")
    if settings.eight_bits:
        some = spread(training, QUANTISED_ON, config.seed)
        graph = quantised(graph, _tiles(Model(graph), Path(config.data), some))
        plain, (logits, _) = logits, picture_logits(Model(graph), *shown)
        raw = dataclasses.replace(raw, limits=f"{cost(plain, logits, labels)} {raw.limits}".strip())
    card = dataclasses.replace(raw, **dataclasses.asdict(calibrate(logits, labels, settings.mistakes)))
    write_atomically(out, with_card(graph, card))
    return card


def to_onnx(detector: Detector, card: Card) -> bytes:
    """An ONNX file: uint8 ``tiles`` (n, 3, H, W) to ``logits`` (n,), the card in its metadata.

    Raises:
        ExportError: the system cannot be one, or not for tiles of the card's size.
    """
    name, side = detector.card.name, detector.side
    if detector.card.no_export:
        raise ExportError(f"{name} cannot be an ONNX file: {detector.card.no_export}")
    if side and card.tile != side:
        raise ExportError(f"this {name} takes tiles of {side} x {side} pixels only, not of {card.tile}")
    buffer = io.BytesIO()
    tiles = torch.zeros(2, 3, side or 64, side or 96, dtype=torch.uint8)
    sizes = {0: "n"} if side else {0: "n", 2: "height", 3: "width"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's notes on its own future
        torch.onnx.export(
            detector.graph().eval(),
            (tiles,),
            buffer,  # type: ignore[arg-type]
            input_names=["tiles"],
            output_names=["logits"],
            dynamic_axes={"tiles": sizes, "logits": {0: "n"}},
            dynamo=False,
        )
    return with_card(buffer.getvalue(), card)


def with_card(data: bytes, card: Card) -> bytes:
    """The ONNX file ``data`` with its card replaced, sealed."""
    graph = onnx.load_from_string(data)
    onnx.helper.set_model_props(graph, {CARD_KEY: json.dumps(dataclasses.asdict(card), sort_keys=True)})
    return sealed(graph.SerializeToString())


def check_parity(graph: bytes, detector: Detector, pictures: Iterable[Pixels]) -> float:
    """The greatest difference between the logits of a graph and of its network.

    Args:
        graph: an exported model.
        detector: what it was exported from.
        pictures: uint8, each of shape (H, W, 3).

    Raises:
        ParityError: the difference is over 1e-3, or there was nothing to compare.
    """
    model = Model(graph)
    worst = -1.0
    for pixels in pictures:
        tile = np.ascontiguousarray(pixels.transpose(2, 0, 1)[None])
        gap = float(abs(model.logits(tile) - tile_logits(detector, tile)).max())
        if not gap <= TOLERANCE:
            raise ParityError(
                f"on a picture of {pixels.shape[1]} x {pixels.shape[0]} the exported model differs from "
                f"the network by {gap:.2g} in its logit, more than {TOLERANCE:g}: nothing was written"
            )
        worst = max(worst, gap)
    if worst < 0:
        raise ParityError("there was no picture to compare the exported model with the network on")
    logger.info("exported model and network differ by %.2g at the most", worst)
    return worst


def _card(
    run: Path, detector: Detector, config: TrainConfig, settings: ExportConfig, calibration: Calibration
) -> Card:
    facts = {f.name: getattr(settings, f.name) for f in dataclasses.fields(settings)}
    for name in ("mistakes", "calibrate_on", "calibrate_most", "eight_bits"):
        del facts[name]
    tile = settings.tile or detector.side or config.tile or TILE
    return Card(
        **facts | {"name": settings.name or run.name, "tile": tile},
        **dataclasses.asdict(calibration),
        system=detector.card.name,
        paper=f"{detector.card.label}: {detector.card.source}",
        weights_sha256=weights.sha256_of(run / BEST),
        recipe=json.loads(json.dumps(dataclasses.asdict(config))),  # as it will be read back
    )


def _crops(pictures: Iterable[Pixels], sizes: Sequence[tuple[int, int]]) -> Iterator[Pixels]:
    """Real pictures cut to each height and width of ``sizes``; repeated up to it, where there is only one."""
    for pixels in islice(pictures, PARITY_PICTURES):
        for height, width in sizes:
            yield repeat_to(pixels, height) if len(sizes) == 1 else pixels[:height, :width]


def _tiles(model: Model, root: Path, samples: Iterable[Sample]) -> list[Pixels]:
    """What a model would look at of each picture."""
    return [model.look(from_pixels(pixels))[1] for pixels in _readable(root, samples)]


def _readable(root: Path, samples: Iterable[Sample]) -> Iterator[Pixels]:
    for sample in samples:
        try:
            yield picture_of(root, sample).pixels
        except ImageError:
            continue
