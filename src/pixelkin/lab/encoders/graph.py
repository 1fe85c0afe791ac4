"""Build ONNX graphs node by node; matrix products in 8 bits depend on neither batch nor processor."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from pixelkin.types import Floats

OPSET = 18
STEPS = 127  # an activation's largest absolute value, in units of its row's scale
ZERO = 128  # of the unsigned activations
MOST = 63  # of a weight: 255 * 63 * 2 < 2**15, so that no processor's 16-bit partial sums saturate
SHRINKS = np.linspace(0.7, 1.0, 16)  # scales that are tried for each column of weights, of the widest


class GraphBuilder:
    """Collects the nodes and constants of a graph."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self._constants: dict[str, onnx.TensorProto] = {}

    def constant(self, name: str, value: Any) -> str:
        """Add a constant under ``name``, once; returns the name."""
        self._constants.setdefault(name, numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def add(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """Add a node of one output; returns the output's name."""
        return self.add_many(operator, 1, *inputs, **attributes)[0]

    def add_many(self, operator: str, outputs: int, *inputs: str, **attributes: Any) -> list[str]:
        """Add a node; returns the names of its outputs."""
        name = f"{operator}_{len(self.nodes)}"
        names = [f"{name}_{place}" for place in range(outputs)]
        self.nodes.append(helper.make_node(operator, list(inputs), names, name=name, **attributes))
        return names

    def rename(self, name: str, wanted: str) -> None:
        """Give a value the name that a graph's output has."""
        self.nodes.append(helper.make_node("Identity", [name], [wanted], name=wanted))

    def model(
        self, name: str, inputs: list[onnx.ValueInfoProto], outputs: list[onnx.ValueInfoProto]
    ) -> onnx.ModelProto:
        """The graph as a checked model, without the constants that nothing reads."""
        used = {given for node in self.nodes for given in node.input}
        constants = [tensor for key, tensor in self._constants.items() if key in used]
        graph = helper.make_graph(self.nodes, name, inputs, outputs, constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8)
        model.producer_name = "pixelkin"
        onnx.checker.check_model(model)
        return model

    def linear(self, name: str, values: str, weights: Floats, bias: Floats) -> str:
        """``values @ weights + bias`` with both factors in 8 bits, the sums exact integers.

        Each row of ``values`` (one token of one picture) has a scale of its own, its largest absolute value
        over `STEPS`. So a row's result depends on nothing beside it, unlike ONNX's dynamic quantisation with
        one scale a batch. Weights keep 7 bits, `MOST`, so that the sums are the same integers on every
        processor.

        Args:
            name: of the constants.
            values: a value of shape (..., K).
            weights: float32, shape (K, N).
            bias: float32, shape (N,).

        Returns:
            The name of the result, shape (..., N).
        """
        integers, scales = quantised_columns(weights)
        largest = self.add(
            "ReduceMax", self.add("Abs", values), self.constant("last_axis", np.array([-1])), keepdims=1
        )
        least = self.constant("least_scale", np.float32(1e-12))
        scale = self.add(
            "Max", self.add("Mul", largest, self.constant("one_step", np.float32(1 / STEPS))), least
        )
        steps = self.add("Round", self.add("Div", values, scale))
        shifted = self.add("Add", steps, self.constant("zero_as_float", np.float32(ZERO)))
        codes = self.add("Cast", shifted, to=TensorProto.UINT8)
        zero = self.constant("zero", np.uint8(ZERO))
        sums = self.add("MatMulInteger", codes, self.constant(f"{name}.weight", integers), zero)
        floats = self.add("Mul", self.add("Cast", sums, to=TensorProto.FLOAT), scale)
        scaled = self.add("Mul", floats, self.constant(f"{name}.scale", scales))
        return self.add("Add", scaled, self.constant(f"{name}.bias", np.asarray(bias, np.float32)))


def quantised_columns(weights: Floats) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Weights as integers of -64..`MOST`, with the least squared error that a scale of `SHRINKS` gives.

    Args:
        weights: shape (K, N).

    Returns:
        int8 (K, N) and float32 (N,): ``integers * scales`` is near ``weights``.
    """
    widest = np.maximum(np.abs(weights).max(0) / MOST, 1e-12)
    best = np.full(weights.shape[1], np.inf)
    scales = widest.copy()
    for shrink in SHRINKS:
        tried = widest * shrink
        error = ((_rounded(weights, tried) * tried - weights) ** 2).sum(0)
        scales = np.where(error < best, tried, scales)
        best = np.minimum(error, best)
    scales = scales.astype(np.float32)
    return _rounded(weights, scales).astype(np.int8), scales


def _rounded(weights: Floats, scales: Floats) -> Floats:
    return np.clip(np.round(weights / scales), -MOST - 1, MOST)
