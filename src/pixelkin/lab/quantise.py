"""An exported model with numbers of 8 bits: faster, at a cost that is to be measured."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnx
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from pixelkin.errors import ExportError
from pixelkin.metrics import auc
from pixelkin.modelfile import sealed
from pixelkin.types import Pixels

KEPT = 5  # of kin-1 all in 8 bits they made four fifths of the error (docs/performance.md)


def quantised(graph: bytes, shown: Sequence[Pixels]) -> bytes:
    """A model whose weights, a scale a channel, and activations, a scale a map, have 8 bits.

    The first `KEPT` convolutions and what stands before them keep 32 bits, as does the head. Scales of
    activations span what the model does on ``shown``, from least to greatest. The card stays.

    Args:
        graph: an exported model.
        shown: tiles to find the scales on, each uint8 (n, 3, H, W).

    Raises:
        ExportError: there are no tiles, or the model has hardly a convolution.
    """
    if not shown:
        raise ExportError("numbers of 8 bits need pictures to find their scales on, and none can be read")
    with TemporaryDirectory() as folder:
        plain, small = Path(folder) / "plain.onnx", Path(folder) / "small.onnx"
        quant_pre_process(onnx.load_from_string(graph), plain, skip_symbolic_shape=True)
        kept = _kept(onnx.load(plain).graph.node)
        # Activations without a sign: what x86 multiplies with signed weights in one instruction.
        kinds = {"activation_type": QuantType.QUInt8, "weight_type": QuantType.QInt8}
        quantize_static(plain, small, _Tiles(shown), per_channel=True, nodes_to_exclude=kept, **kinds)
        return sealed(small.read_bytes())


def cost(plain: NDArray[np.float64], small: NDArray[np.float64], labels: NDArray[np.int64]) -> str:
    """What 8 bits changed, in a sentence.

    Args:
        plain: logits of pictures by the model as it was, shape (n,).
        small: by the quantised one.
        labels: 1 generated, 0 real, shape (n,).
    """
    was, now = (100 * float(auc(logits, labels)) for logits in (plain, small))
    apart = np.abs(small - plain).mean()
    return (
        f"Its numbers have 8 bits: on the {len(labels)} pictures that its thresholds were fitted on, its AUC "
        f"is {now:.1f} % where 32 bits reach {was:.1f} %, and logits differ by {apart:.2f} on average."
    )


def _kept(nodes: Sequence[onnx.NodeProto]) -> list[str]:
    """The names of the nodes that keep 32 bits."""
    convolutions = [place for place, node in enumerate(nodes) if node.op_type == "Conv"]
    if len(convolutions) <= KEPT:
        raise ExportError(
            f"numbers of 8 bits are for models of more than {KEPT} convolutions, not of {len(convolutions)}"
        )
    last = convolutions[KEPT - 1]
    return [node.name for place, node in enumerate(nodes) if place <= last or node.op_type == "Gemm"]


class _Tiles(CalibrationDataReader):  # type: ignore[misc]
    """Tiles as the runtime's calibration asks for them."""

    def __init__(self, shown: Sequence[Pixels]) -> None:
        self._left = iter(shown)

    def get_next(self) -> dict[str, Pixels] | None:
        tiles = next(self._left, None)
        return None if tiles is None else {"tiles": tiles}
