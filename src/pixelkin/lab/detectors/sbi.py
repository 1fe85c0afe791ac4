"""SBI, "SelfBland" in tables: self-blended images.

Shiohara and Yamasaki, "Detecting Deepfakes with Self-Blended Images", CVPR 2022, arXiv 2204.08376.

It learns from photographs alone. Every second one is blended with a slightly changed copy of itself
inside a soft mask (`self_blend`), and an EfficientNet-B4 tells the blends from the untouched ones.
"""

from __future__ import annotations

import numpy as np
from torch import Tensor

from pixelkin.errors import ConfigError
from pixelkin.images import from_pixels
from pixelkin.lab.backbones import EfficientNet
from pixelkin.lab.blending import self_blend
from pixelkin.lab.detectors.base import Detector, Paper, squared, to_tensor
from pixelkin.lab.external import Store
from pixelkin.lab.faces import crop_face, landmarks
from pixelkin.lab.weights import Tensors
from pixelkin.types import Picture, Pixels

FIRST = {"b4": "efficientnet-b4-advprop", "lite0": "efficientnet-lite0-imagenet"}
LEAST = 64  # pixels: five halvings, as padded, leave something of it


class SBI(Detector):
    """EfficientNet on photographs and their self-blends.

    Args:
        variant: of the network; the paper's is ``"b4"``.
        size: 0 looks at a picture as it comes. Otherwise the paper's protocol, with its 380: the
            greatest face is cut out where one is found, and brought to ``size`` x ``size``.
    """

    card = Paper(
        name="sbi",
        title="Detecting Deepfakes with Self-Blended Images",
        reference="2204.08376",
        year=2022,
        label="SBI",
        looks_at="edges and mismatches left by blending",
        idea=(
            "A face swap leaves a blending edge and two sets of image statistics. Both can be made without "
            "any swap: a copy of a photograph, slightly changed in colour, sharpness and place, is blended "
            "back into it inside a soft mask. An EfficientNet-B4 learns to tell these blends from untouched "
            "photographs; its score is the softmax of its second logit."
        ),
        parameters=17_552_202,
        needs=("efficientnet-b4-advprop",),
        choices=(
            "Trains on photographs of anything, not on faces of FF++; without a face, or without the extra "
            "that finds one, the mask starts from the convex hull of 8 to 16 random points. Faces have 68 "
            "landmarks by dlib, not 81, so the forehead stays out. A hue, saturation and value shift of 0.3 "
            "is read as levels of 8 bits, as the official program's library is remembered to, which leaves "
            "little of it. The statistics shift always goes to the source, since the real sample is the "
            "photograph itself. Affine moves repeat the picture's edge instead of filling with black. Of "
            "the augmentation common to both, JPEG and flips are the recipe's and the colour shifts are "
            "left out; crops are the recipe's, too. By default a picture is looked at whole or by tiles at "
            "native scale, not as a 380-pixel face; with size=380 the greatest face, found by dlib, stands "
            "for RetinaFace's greatest score. B4's paddings are those planned for 380 pixels, at every "
            "size, as in efficientnet-pytorch."
        ),
    )
    statistics = ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
    from_photographs = True

    def __init__(self, variant: str = "b4", size: int = 0) -> None:
        if size and size < LEAST:
            raise ConfigError(f"size is 0, for pictures as they come, or {LEAST} or more, not {size}")
        super().__init__()
        self.variant, self.side = variant, size or None
        # B4's paddings are those that efficientnet-pytorch plans for its own 380 pixels, at any size.
        self.net = EfficientNet(variant, padded_for=380 if variant == "b4" else None)

    def prepare(self, picture: Picture) -> Tensor:
        pixels = picture.pixels
        if self.side and pixels.shape[:2] != (self.side, self.side):
            pixels = squared(from_pixels(crop_face(pixels)), self.side).pixels
        missing = [(0, max(LEAST - side, 0)) for side in pixels.shape[:2]]
        return self.normalise(to_tensor(from_pixels(np.pad(pixels, [*missing, (0, 0)], "wrap"))))

    def forward(self, batch: Tensor) -> Tensor:
        # The softmax of two logits is the sigmoid of their difference; so is cross-entropy its loss.
        real, generated = self.net(batch).unbind(-1)
        return generated - real

    def example(self, pixels: Pixels, rng: np.random.Generator) -> Pixels:
        return self_blend(pixels, rng, landmarks(pixels))

    def equip(self, store: Store, *, fresh: bool) -> None:
        if fresh and self.variant in FIRST:
            store.begin(FIRST[self.variant], self.net, head=("_fc.",))

    def from_official(self, tensors: Tensors) -> Tensors:
        return {f"net.{name}": value for name, value in tensors.items()}
