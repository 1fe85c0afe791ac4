"""A training set and a recipe so small that a whole run takes a few seconds."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
from onnx import TensorProto, helper
from PIL import Image

from pixelkin.model import CARD_KEY
from pixelkin.modelfile import sealed
from pixelkin.types import Card

EXAMPLES = Path(__file__).parents[1] / "examples"
SIDE = 48
CARD = Card(
    name="a test's",
    version="0",
    system="-",
    paper="-",
    weights_sha256="-",
    trained_on="nothing",
    licence="-",
    tile=64,
)
RECIPE = {
    "policy": "native",
    "crop": 32,
    "batch": 8,
    "epochs": 2,
    "images_per_epoch": 40,
    "validation_share": 0.25,
    "workers": 0,
    "accelerator": "cpu",
    "threads": 1,
}


def squares(count):
    """The ``count`` most detailed squares of the example photographs, uint8 (SIDE, SIDE, 3)."""
    photographs = [np.array(Image.open(file).convert("RGB")) for file in sorted(EXAMPLES.glob("photo-*"))]
    candidates = [
        picture[top : top + SIDE, left : left + SIDE]
        for picture in photographs
        for top in range(0, picture.shape[0] - SIDE, SIDE)
        for left in range(0, picture.shape[1] - SIDE, SIDE)
    ]
    return sorted(candidates, key=lambda square: -np.abs(np.diff(square.astype(int), axis=1)).mean())[:count]


def plant(root, count=24):
    """Photographs against the same photographs after nearest-neighbour up-sampling; returns ``root``."""
    for place, square in enumerate(squares(count)):
        doubled = square[::2, ::2].repeat(2, 0).repeat(2, 1)
        for folder, pixels in (("0_real", square), ("1_fake", doubled)):
            file = root / "squares" / folder / f"{place:02}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(file)
    return root


def settings(**values):
    """``--set`` arguments of `RECIPE` with ``values`` over it."""
    words = {True: "true", False: "false"}
    pairs = (RECIPE | values).items()
    return [
        f"--set={k}={words.get(v, v) if isinstance(v, bool) else repr(v) if isinstance(v, str) else v}"
        for k, v in pairs
    ]


def write_model(path, tile=16, scale=1 / 16, **card):
    """A model whose logit of a tile is ``scale`` times its mean brightness, less 6; returns ``path``."""
    tiles = helper.make_tensor_value_info("tiles", TensorProto.UINT8, ["n", 3, tile, tile])
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n"])
    nodes = [
        helper.make_node("Cast", ["tiles"], ["x"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["x", "axes"], ["mean"], keepdims=0),
        helper.make_node("Mul", ["mean", "scale"], ["scaled"]),
        helper.make_node("Sub", ["scaled", "six"], ["logits"]),
    ]
    values = [
        helper.make_tensor("axes", TensorProto.INT64, [3], [1, 2, 3]),
        helper.make_tensor("scale", TensorProto.FLOAT, [], [scale]),
        helper.make_tensor("six", TensorProto.FLOAT, [], [6.0]),
    ]
    graph = helper.make_graph(nodes, "tiny", [tiles], [logits], values)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    facts = asdict(replace(CARD, tile=tile, **card))
    helper.set_model_props(model, {CARD_KEY: json.dumps(facts)})
    path.write_bytes(sealed(model.SerializeToString()))
    return path
