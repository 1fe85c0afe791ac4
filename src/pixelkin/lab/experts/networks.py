"""The frozen networks that features come from: a shipped encoder, and the trunk of a shipped model."""

from __future__ import annotations

from pathlib import Path

import onnx
from onnx import TensorProto, helper

from pixelkin import models
from pixelkin.errors import ConfigError, ExportError
from pixelkin.files import write_atomically
from pixelkin.lab.experts.features import Networks
from pixelkin.model import read_shipped

TRACES_OF = "kin-2"
TRACES = "traces"  # the output of a trunk: its features, averaged over all places


def networks(encoder: str, cache: Path) -> Networks:
    """An encoder by name, and the trunk of `TRACES_OF`.

    Args:
        encoder: a name of `pixelkin.models.ENCODERS`.
        cache: folder that the trunk is written to.

    Raises:
        ConfigError: there is no such encoder.
        ModelError: a shipped file was altered.
    """
    if encoder not in models.ENCODERS:
        names = ", ".join(models.ENCODERS)
        raise ConfigError(f"no encoder is named {encoder!r}; the names are: {names}")
    read_shipped(models.ENCODERS[encoder])
    cache.mkdir(parents=True, exist_ok=True)
    trunk = cache / f"{TRACES_OF}-trunk.onnx"
    write_atomically(trunk, trunk_graph().SerializeToString())
    return Networks(models.folder() / models.ENCODERS[encoder].file, (trunk,))


def trunk_graph() -> onnx.ModelProto:
    """`TRACES_OF` without its head: uint8 ``tiles`` (n, 3, H, W) to float32 ``traces`` (n, channels)."""
    model = onnx.load_from_string(read_shipped(models.SHIPPED[TRACES_OF]))
    graph = model.graph
    head = next((node for node in graph.node if node.op_type == "Gemm"), None)
    if head is None:
        raise ExportError(f"{TRACES_OF} has no linear head to leave off")
    kept = [node for node in graph.node if node.output[0] not in (head.output[0], "logits")]
    for node in kept:
        node.output[:] = [TRACES if name == head.input[0] else name for name in node.output]
    used = {name for node in kept for name in node.input}
    constants = [tensor for tensor in graph.initializer if tensor.name in used]
    outputs = [helper.make_tensor_value_info(TRACES, TensorProto.FLOAT, ["n", None])]
    made = helper.make_graph(kept, "traces", list(graph.input), outputs, constants)
    return helper.make_model(made, opset_imports=model.opset_import, ir_version=model.ir_version)
