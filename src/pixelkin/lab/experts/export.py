"""Trained heads to one ``.onnx`` file: calibrated, and compared with the laboratory's numbers."""

from __future__ import annotations

import dataclasses
import io
import json
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import TensorProto, compose, helper, numpy_helper
from torch import Tensor, nn

from pixelkin import degrade, models
from pixelkin.data import at_most, find_samples, picture_of
from pixelkin.errors import DataError, ParityError
from pixelkin.files import write_atomically
from pixelkin.lab.calibrate import Calibration, fit_temperature
from pixelkin.lab.experts.features import SIDE, STORED, features_of
from pixelkin.lab.experts.fit import BEST, Trained, extractor_of, head_configs, load_run, logits_of
from pixelkin.lab.experts.networks import TRACES, trunk_graph
from pixelkin.lab.experts.recipe import SYSTEM, HeadConfig
from pixelkin.lab.export import ExportConfig, with_card
from pixelkin.lab.weights import sha256_of
from pixelkin.model import TILES, TOKENS, Model
from pixelkin.scoring import score
from pixelkin.tiles import OVERVIEW, sigmoid
from pixelkin.types import Card, Floats, Sample

PAPER = (
    "heads on several layers (RINE, arXiv 2402.19091) of CLIP ViT-B/16 (arXiv 2103.00020), and kin-2's trunk"
)
OPSET = 20
PATCHES = (SIDE // 16) ** 2  # of the encoder's 16 pixels
LARGE = 10_000  # numbers of a constant that is kept in 16 bits
TOLERANCE = 2e-2  # of a logit: features are kept in 16 bits
PARITY_PICTURES = 8
# Thresholds hold over pictures as stored, after JPEG and after the web chain.
CONDITIONS = ("", "jpeg:75", "resize:0.75,jpeg:80,jpeg:70")
MISSED = 0.05  # share of generated pictures that may be called real


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitted:
    """Joined logits of the pictures that a card is calibrated on, under each condition.

    Attributes:
        logits: shape (n,).
        labels: 1 generated, 0 real, shape (n,).
    """

    logits: Floats
    labels: NDArray[np.int64]


def export(run: Path, out: Path, settings: ExportConfig) -> Card:
    """Calibrate a run of heads on pictures of other sources and write it as ``out``; returns the card.

    Args:
        run: folder of the run.
        out: the ``.onnx`` file to write.
        settings: what the card says beside; ``calibrate_on`` names the pictures.

    Raises:
        DataError: there are no pictures to calibrate on.
        ParityError: the file's logits differ from the laboratory's; nothing is written.
        RunError: it is no run of heads.
    """
    trained = load_run(run)
    if not settings.calibrate_on:
        raise DataError(
            "heads are calibrated on sources that they have not seen: give calibrate_on in the card"
        )
    root = Path(settings.calibrate_on)
    samples = [s for s in at_most(find_samples(root), settings.calibrate_most) if s.label is not None]
    graph = graph_of(trained).SerializeToString()
    raw = _card(run, trained, settings, Calibration())
    check_parity(*_both_ways(graph, raw, trained, root, samples[:PARITY_PICTURES]))
    fitted = scored(Model(with_card(graph, raw)), root, samples)
    card = dataclasses.replace(raw, **dataclasses.asdict(calibrated(fitted, settings.mistakes)))
    write_atomically(out, with_card(graph, card))
    return card


def scored(model: Model, root: Path, samples: Sequence[Sample]) -> Fitted:
    """The logits of pictures by the very file that is written, under each of `CONDITIONS`.

    Raises:
        DataError: no picture of one of the labels can be read.
    """
    logits, labels = [], []
    for chain in CONDITIONS:
        for row in score(model, root, samples, chain=degrade.parse(chain), workers=1):
            if row.logit is not None:
                logits.append(row.logit)
                labels.append(row.sample.label)
    if set(labels) != {0, 1}:
        raise DataError(f"{root}: both labels are needed to calibrate")
    return Fitted(logits=np.array(logits), labels=np.array(labels, np.int64))


def _both_ways(
    graph: bytes, card: Card, trained: Trained, root: Path, samples: Sequence[Sample]
) -> tuple[list[float], Floats]:
    """Logits of an overview and one native tile, by the file and by the heads on extracted features."""
    extractor = extractor_of(trained.config, (STORED,))
    features = features_of(root, samples, extractor, Path(trained.config.cache))
    model = Model(with_card(graph, dataclasses.replace(card, most_tiles=2)))
    pictures = [picture_of(root, sample) for sample in features.samples]
    wanted = trained.joined(logits_of(trained, features))[:, 0]
    return [model.detect(picture).logit for picture in pictures], wanted


def check_parity(found: Sequence[float], wanted: Sequence[float] | Floats) -> None:
    """Compare logits of the exported file with those of the laboratory.

    Raises:
        ParityError: they differ by more than `TOLERANCE`, or there are none.
    """
    gap = float(np.abs(np.array(found) - np.array(wanted)).max()) if len(found) else np.inf
    if not gap <= TOLERANCE:
        raise ParityError(
            f"the exported model differs from the heads by {gap:.2g} in its logit, more than {TOLERANCE:g}: "
            "nothing was written"
        )


def calibrated(fitted: Fitted, mistakes: float) -> Calibration:
    """Temperature and thresholds over all conditions at once.

    A share of at most ``mistakes`` of the photographs lies above ``generated_above``, and a share of at most
    `MISSED` of the generated pictures below ``real_below``, as far as that is below the other threshold.
    """
    temperature = fit_temperature(fitted.logits, fitted.labels)
    probabilities = sigmoid(fitted.logits / temperature)
    real, generated = probabilities[fitted.labels == 0], probabilities[fitted.labels == 1]
    above = float(np.quantile(real, 1 - mistakes, method="higher"))
    below = float(np.quantile(generated, MISSED, method="lower"))
    return Calibration(temperature, min(below, above), above)


class Joined(nn.Module):
    """The heads' weighted logits and the logits of patches, as one network on tokens and traces."""

    def __init__(self, trained: Trained) -> None:
        super().__init__()
        self.heads = nn.ModuleDict(dict(trained.heads))
        self.configs, self.weights = head_configs(trained.config), trained.weights

    def forward(
        self, class_tokens: Tensor, mean_tokens: Tensor, patch_tokens: Tensor, traces: Tensor
    ) -> Tensor:
        """Logits of each tile as an overview, as a native tile, and of its patches: (n, 2 + patches)."""
        tokens = {"class": class_tokens, "mean": mean_tokens}
        overview = self.weights["overview"] * self._of("overview", tokens) + self.weights["bias"]
        native = self.weights["native"] * self._of("native", tokens)
        if "traces" in self.heads:
            native = native + self.weights["traces"] * self.heads["traces"](traces[:, None])
        else:
            native = native + 0 * traces.sum(1)
        first, last = self.configs["patches"].blocks
        patches = self.heads["patches"](patch_tokens[:, first - 1 : last].transpose(1, 2))
        return torch.cat([overview[:, None], native[:, None], patches], 1)

    def _of(self, name: str, tokens: dict[str, Tensor]) -> Tensor:
        config: HeadConfig = self.configs[name]
        first, last = config.blocks
        read = torch.cat([tokens[kind][:, first - 1 : last] for kind in config.tokens], 1)
        logits: Tensor = self.heads[name](read)
        return logits


def graph_of(trained: Trained) -> onnx.ModelProto:
    """An ONNX graph: ``tiles`` (n, 3, 224, 224) and an encoder's tokens of them to `Joined`'s ``logits``."""
    buffer = io.BytesIO()
    layers = max(config.blocks[1] for config in head_configs(trained.config).values())
    channels = trained.heads["overview"].channels
    width = trained.heads["traces"].channels if "traces" in trained.heads else 1
    tokens = torch.zeros(2, layers, channels)
    given = (tokens, tokens, torch.zeros(2, layers, PATCHES, channels), torch.zeros(2, width))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's notes on its own future
        torch.onnx.export(
            Joined(trained).eval(),
            given,
            buffer,  # type: ignore[arg-type]
            input_names=[*TOKENS, TRACES],
            output_names=["logits"],
            dynamic_axes={name: {0: "n"} for name in (*TOKENS, TRACES, "logits")},
            opset_version=OPSET,
            dynamo=False,
        )
    heads, trunk = onnx.load_from_string(buffer.getvalue()), trunk_graph()
    heads.ir_version = trunk.ir_version = max(heads.ir_version, trunk.ir_version)
    joined = compose.merge_models(trunk, heads, io_map=[(TRACES, TRACES)], prefix1="trunk/", prefix2="heads/")
    return in_half(_renamed(joined))


def in_half(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with its large constants in 16 bits, which the runtime makes 32 of when it loads them."""
    graph = model.graph
    for tensor in list(graph.initializer):
        values = numpy_helper.to_array(tensor)
        if (
            values.dtype != np.float32
            or values.size < LARGE
            or not np.isfinite(values.astype(np.float16)).all()
        ):
            continue
        name = f"{tensor.name}/half"
        graph.initializer.remove(tensor)
        graph.initializer.append(numpy_helper.from_array(values.astype(np.float16), name))
        cast = helper.make_node("Cast", [name], [tensor.name], name=name, to=TensorProto.FLOAT)
        graph.node.insert(0, cast)
    return model


def _renamed(model: onnx.ModelProto) -> onnx.ModelProto:
    """Inputs and output by the names that the runtime gives them, the tiles first."""
    names = {f"trunk/{TILES}": TILES, "heads/logits": "logits"} | {f"heads/{name}": name for name in TOKENS}
    for node in model.graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]
    for value in (*model.graph.input, *model.graph.output):
        value.name = names.get(value.name, value.name)
    for value in model.graph.input:
        if value.name in TOKENS:
            value.type.tensor_type.shape.dim[1].dim_param = "blocks"
    return model


def _card(run: Path, trained: Trained, settings: ExportConfig, calibration: Calibration) -> Card:
    encoder = trained.config.encoder
    return Card(
        name=settings.name or run.name,
        version=settings.version,
        system=SYSTEM,
        paper=PAPER,
        weights_sha256=sha256_of(run / BEST),
        trained_on=settings.trained_on,
        licence=settings.licence,
        limits=settings.limits,
        measured=settings.measured,
        tile=SIDE,
        most_tiles=settings.most_tiles,
        choice=OVERVIEW,
        join=OVERVIEW,
        encoder=encoder,
        encoder_sha256=models.ENCODERS[encoder].sha256,
        recipe=json.loads(json.dumps(dataclasses.asdict(trained.config))),
        **dataclasses.asdict(calibration),
    )
