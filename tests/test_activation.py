"""Class activation maps of the laboratory's networks."""

import numpy as np
import pytest
import torch
from pairs_model import planted
from tiny import EXAMPLES
from torch import nn

from pixelkin.errors import ExplanationError
from pixelkin.images import from_pixels, read
from pixelkin.lab.activation import class_activation
from pixelkin.lab.detectors import detector_class
from pixelkin.lab.detectors.base import Detector, Paper, to_tensor

TABLE = read(EXAMPLES / "photo-coffee.png")
CARD = Paper(
    name="small", title="-", reference="-", year=2026, label="-", looks_at="-", idea="-", parameters=0
)


def piece(height, width):
    return from_pixels(np.ascontiguousarray(TABLE.pixels[:height, :width]))


def built(name, **options):
    torch.manual_seed(0)
    return detector_class(name)(**options).eval()


class Small(Detector):
    """Two convolutions, then whatever a test puts at the end."""

    card = CARD

    def __init__(self):
        torch.manual_seed(1)
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3, stride=2, padding=1)
        self.second = nn.Conv2d(4, 6, 3, stride=2, padding=1)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(6, 1)

    def prepare(self, picture):
        return self.normalise(to_tensor(picture))

    def forward(self, batch):
        maps = self.second(self.first(batch).relu())
        return self.head(self.pool(maps).flatten(1)).squeeze(-1)


@pytest.mark.parametrize("target", ["generated", "real"])
def test_the_map_is_grad_cams_equations(target):
    detector, picture = Small().eval(), piece(32, 48)
    found = class_activation(detector, picture, target)
    with torch.no_grad():
        maps = detector.second(detector.first(detector.prepare(picture)[None]).relu())[0]
    assert found.size == maps.shape[1:] == (8, 12)
    assert found.layer == "second"
    # The gradient of a logit on a map, by differences: the head is linear, so that any step is exact.
    expected = torch.zeros(8, 12)
    for k in range(6):
        slopes = []
        for y, x in np.ndindex(8, 12):
            moved = maps.clone()
            moved[k, y, x] += 1.0
            ends = [detector.head(each.mean((1, 2))).item() for each in (maps, moved)]
            slopes.append(ends[1] - ends[0])
        expected += (1 if target == "generated" else -1) * sum(slopes) / len(slopes) * maps[k]
    expected = expected.clamp(min=0)
    up = nn.functional.interpolate(expected[None, None], (32, 48), mode="bilinear", align_corners=False)
    np.testing.assert_allclose(found.values, up[0, 0].numpy(), atol=1e-4 * float(up.max()) + 1e-7)
    assert found.values.shape == picture.pixels.shape[:2]
    assert found.score == pytest.approx(detector.score([picture])[0], abs=1e-6)


def test_the_map_lies_where_the_evidence_is():
    detector = Small().eval()
    with torch.no_grad():
        for layer in (detector.first, detector.second):
            layer.weight.zero_()
            layer.bias.zero_()
        detector.first.weight[0, 0, 1, 1] = 1.0  # how red it is
        detector.second.weight[0, 0, 1, 1] = 1.0
        detector.head.weight.fill_(1.0)
    pixels = np.zeros((64, 96, 3), np.uint8)
    pixels[16:32, 64:80, 0] = 255
    values = class_activation(detector, from_pixels(pixels)).values
    inside = values[16:32, 64:80].sum()
    assert inside > 0.7 * values.sum()
    assert values[20:28, 68:76].min() == pytest.approx(values.max())


def test_no_gradient_is_left_behind():
    detector = Small().eval()
    class_activation(detector, piece(32, 32))
    assert all(parameter.grad is None for parameter in detector.parameters())
    assert not detector.first._forward_hooks


@pytest.mark.parametrize(
    ("name", "options", "layer"),
    [
        ("npr", {}, "layer2"),
        ("cnndetection", {}, "layer4"),
        ("kin", {}, "trunk"),
        ("ferretnet", {}, "trunk.feature"),
        ("patchfor", {}, "convout"),
        ("f3net", {"mode": "fad", "size": 64}, None),
    ],
)
def test_networks_have_a_map_of_the_pictures_size(name, options, layer):
    detector = built(name, **options)
    picture = from_pixels(planted(TABLE.pixels, 0, 0, 64)[:70, :98].copy())
    found = class_activation(detector, picture)
    side = detector.side
    assert found.values.shape == found.picture.pixels.shape[:2] == ((side, side) if side else (70, 98))
    assert np.isfinite(found.values).all()
    assert (found.values >= 0).all()
    assert 0 <= found.shares.min() <= found.shares.max() <= 1
    assert layer is None or found.layer == layer


@pytest.mark.parametrize(
    ("name", "options", "told"),
    [
        ("durall", {}, "not a picture's plane"),
        ("rich", {}, "not a picture's plane"),
        ("frank", {"classifier": "cnn", "size": 64}, "lie over frequencies"),
        ("bihpf", {}, "lie over frequencies"),
        ("gandetection", {"variant": "b0", "patches": 2, "patch": 64}, "not a picture's plane"),
    ],
)
def test_systems_without_one_say_so_in_a_sentence(name, options, told):
    with pytest.raises(ExplanationError, match=f"{name} has no class activation map: .*{told}"):
        class_activation(built(name, **options), piece(96, 128))


def test_a_network_without_convolutions_says_so():
    class Flat(Small):
        def forward(self, batch):
            return self.head(batch.mean((-2, -1)).repeat(1, 2)).squeeze(-1)

    with pytest.raises(ExplanationError, match="no convolution leads to its logit"):
        class_activation(Flat().eval(), piece(32, 32))


def test_a_picture_too_small_for_a_map_is_refused():
    with pytest.raises(ExplanationError, match="32 x 32"):
        class_activation(Small().eval(), piece(31, 64))
