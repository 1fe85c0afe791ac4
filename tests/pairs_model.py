"""A model whose logit is known: how often a tile's pixels equal the ones to their right, in pairs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from onnx import TensorProto, helper
from tiny import CARD

from pixelkin.lab.export import with_card
from pixelkin.model import Model

GAIN, HALF = 8.0, 0.5
FEW = 0.2  # equal pairs that a photograph has by chance: fewer say no more


def logit_of(tile):
    """The logit of a tile, uint8 (h, w, 3), by the definition."""
    pairs = [(row[x], row[x + 1]) for row in tile.tolist() for x in range(0, len(row) - 1, 2)]
    share = sum(left == right for left, right in pairs) / len(pairs)
    return GAIN * (max(share, FEW) - HALF)


def graph(**card):
    """The bytes of an ``.onnx`` file that computes `logit_of`; ``card`` is over the tests' card."""
    numbers = {"zero": [0], "one": [1], "two": [2], "axis": [3], "end": [np.iinfo(np.int64).max]}
    scalars = {"gain": GAIN, "half": HALF, "few": FEW}
    nodes = [
        helper.make_node("Slice", ["tiles", "zero", "end", "axis", "two"], ["left"]),
        helper.make_node("Slice", ["tiles", "one", "end", "axis", "two"], ["right"]),
        helper.make_node("Cast", ["left"], ["l"], to=TensorProto.INT32),
        helper.make_node("Cast", ["right"], ["r"], to=TensorProto.INT32),
        helper.make_node("Equal", ["l", "r"], ["same"]),
        helper.make_node("Cast", ["same"], ["ones"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMin", ["ones", "one"], ["pixels"]),
        helper.make_node("ReduceMean", ["pixels", "all"], ["share"], keepdims=0),
        helper.make_node("Max", ["share", "few"], ["most"]),
        helper.make_node("Sub", ["most", "half"], ["over"]),
        helper.make_node("Mul", ["over", "gain"], ["logits"]),
    ]
    numbers["all"] = [1, 2, 3]
    constants = [helper.make_tensor(k, TensorProto.INT64, [len(v)], v) for k, v in numbers.items()]
    constants += [helper.make_tensor(k, TensorProto.FLOAT, [], [v]) for k, v in scalars.items()]
    made = helper.make_graph(
        nodes,
        "pairs",
        [helper.make_tensor_value_info("tiles", TensorProto.UINT8, ["n", 3, "h", "w"])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n"])],
        constants,
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    return with_card(model.SerializeToString(), replace(CARD, **card))


def pairs_model(**card):
    """`graph`, loaded."""
    return Model(graph(**card), threads=1)


def planted(pixels, top, left, side):
    """``pixels`` with a square that was scaled up by its nearest neighbours, as a generator might."""
    made = pixels.copy()
    small = made[top : top + side : 2, left : left + side : 2]
    made[top : top + side, left : left + side] = small.repeat(2, 0).repeat(2, 1)
    return made
