"""CNNDetection: a plain ResNet-50 on RGB.

Wang et al., "CNN-generated images are surprisingly easy to spot... for now", CVPR 2020, arXiv
1912.11035. The method is in the training data: one generator, and pictures blurred and compressed
at random.
"""

from __future__ import annotations

from torch import Tensor

from pixelkin.lab.backbones import ResNet50
from pixelkin.lab.detectors.base import Detector, Paper, to_tensor
from pixelkin.lab.external import Store
from pixelkin.types import Picture

FIRST = "resnet50-imagenet"


class CNNDetection(Detector, ResNet50):
    """A ResNet-50 with one logit; its tensors have torchvision's names, as in the official files."""

    card = Paper(
        name="cnndetection",
        title="CNN-generated images are surprisingly easy to spot... for now",
        reference="1912.11035",
        year=2020,
        label="CNNDetection",
        looks_at="RGB pixels",
        idea=(
            "A ResNet-50 trained on ImageNet is fine-tuned to tell the pictures of one generator from "
            "photographs. Random blur and JPEG compression in training make it rely on what survives them, "
            "and with that it recognises other convolutional generators, too. Its one output is the logit."
        ),
        parameters=23_510_081,
        needs=(FIRST,),
        choices=(
            "After training, a picture is shown as in training but whole (the paper's recipe: shorter side "
            "256 px), where the official program resizes nothing; a published checkpoint is shown it whole "
            "at native size, as there. Validation pictures are blurred and compressed at random as in "
            "training, not by sigma 1.5 and quality 65; blur and JPEG are Pillow's. The anti-aliased variant "
            "of the official program is left out."
        ),
    )

    def __init__(self) -> None:
        super().__init__()

    def prepare(self, picture: Picture) -> Tensor:
        return self.normalise(to_tensor(picture))

    def forward(self, batch: Tensor) -> Tensor:
        return self.fc(self.features(batch)).squeeze(-1)

    def equip(self, store: Store, *, fresh: bool) -> None:
        if fresh:
            store.begin(FIRST, self)
