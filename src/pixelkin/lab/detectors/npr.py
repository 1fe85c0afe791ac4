"""NPR: neighbouring pixel relationships.

Tan et al., "Rethinking the Up-Sampling Operations in CNN-based Generative Network for
Generalizable Deepfake Detection", CVPR 2024, arXiv 2312.10461.

Generators end in up-sampling layers, which leave each pixel tied to its neighbours. The system
keeps only that tie (`neighbour_relation`) and classifies it with the first two stages of a
ResNet-50 whose stem is a 3 x 3 convolution: 1,437,761 parameters.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from pixelkin.lab.backbones import bottleneck_stage, initialise_residual
from pixelkin.lab.detectors.base import Detector, Paper, to_tensor
from pixelkin.lab.representations import Reference, check_relation, neighbour_relation
from pixelkin.types import Picture


class NPR(Detector):
    """Truncated ResNet-50 on the neighbouring pixel relationships.

    Args:
        period: side of a cell, the paper's l.
        reference: the paper's w_j: 1..l*l, ``"mean"`` or ``"max"`` (Table 7).
    """

    card = Paper(
        name="npr",
        title=(
            "Rethinking the Up-Sampling Operations in CNN-based Generative Network "
            "for Generalizable Deepfake Detection"
        ),
        reference="2312.10461",
        year=2024,
        label="NPR",
        looks_at="differences of neighbouring pixels inside 2 x 2 cells",
        idea=(
            "Up-sampling near a generator's output ties neighbouring pixels together. Each pixel is replaced "
            "by its difference from one pixel of its cell, which removes content and keeps the tie; the "
            "first two stages of a ResNet-50 classify that, and their logit is the score."
        ),
        parameters=1_437_761,
    )

    squeezed = True

    def __init__(self, period: int = 2, reference: Reference = 1) -> None:
        check_relation(period, reference)
        super().__init__()
        self.period, self.reference = period, reference
        # Names and order are those of the official NPR.pth, so that it loads as it is.
        self.conv1 = nn.Conv2d(3, 64, 3, stride=2, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.layer1 = bottleneck_stage(64, 64, depth=3, stride=1)
        self.layer2 = bottleneck_stage(256, 128, depth=4, stride=2)
        self.fc1 = nn.Linear(512, 1)
        initialise_residual(self)

    def prepare(self, picture: Picture) -> Tensor:
        return self.normalise(to_tensor(picture))

    def forward(self, batch: Tensor) -> Tensor:
        # The official program scales by 2/3 here; its released weights expect that.
        relation = neighbour_relation(batch, self.period, self.reference) * (2 / 3)
        x = F.relu(self.bn1(self.conv1(relation)), inplace=True)
        x = F.max_pool2d(x, 3, stride=2, padding=1)
        x = self.layer2(self.layer1(x))
        return self.fc1(x.mean((-2, -1))).squeeze(-1)
