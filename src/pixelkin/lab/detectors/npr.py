"""NPR: neighbouring pixel relationships.

Tan et al., "Rethinking the Up-Sampling Operations in CNN-based Generative Network for
Generalizable Deepfake Detection", CVPR 2024, arXiv 2312.10461.

Generators end in up-sampling layers, which leave each pixel tied to its neighbours. The system
keeps only that tie (`neighbour_relation`) and classifies it with the first two stages of a
ResNet-50 whose stem is a 3 x 3 convolution: 1,437,761 parameters.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pixelkin.lab.backbones import bottleneck_stage, initialise_residual
from pixelkin.lab.detectors.base import Detector, Paper, to_tensor
from pixelkin.lab.representations import Reference, check_relation, neighbour_relation
from pixelkin.types import Picture

SCALE = 2 / 3  # of the relation in the official program; its released weights expect that


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
        return self.after_stem(self.conv1(neighbour_relation(batch, self.period, self.reference) * SCALE))

    def after_stem(self, maps: Tensor) -> Tensor:
        """Logits, shape (B,), of the first convolution's maps (B, 64, h, w)."""
        x = F.max_pool2d(F.relu(self.bn1(maps), inplace=True), 3, stride=2, padding=1)
        x = self.layer2(self.layer1(x))
        return self.fc1(x.mean((-2, -1))).squeeze(-1)

    def graph(self) -> nn.Module:
        foldable = self.period == 2 and self.reference != "max"
        return Folded(self) if foldable else super().graph()


class Folded(nn.Module):
    """`NPR` with standardisation, relation and first convolution as one convolution of the pixels.

    For a cell of 2 x 2 pixels and a linear reference these are one linear map. The first convolution
    steps by a cell and sees a pixel beyond it, so that each of its outputs depends on 4 x 4 pixels,
    two cells each way, and the new kernel is what the two maps make of each pixel alone. A relation
    does not see the mean that is taken off, and is zero on the zeros beyond the edge, before the
    convolution or inside it: edges and odd sides come out alike.

    Args:
        npr: a detector of period 2 whose reference is not the maximum.
    """

    def __init__(self, npr: NPR) -> None:
        super().__init__()
        self.npr = npr
        self.stem = nn.Conv2d(3, npr.conv1.out_channels, 4, stride=2, bias=False)
        alone = torch.eye(16).view(16, 1, 4, 4)
        seen = neighbour_relation(alone, 2, npr.reference)[:, 0, 1:, 1:]  # by the 3 x 3 kernel
        kernel = torch.einsum("ocpq,upq->ocu", npr.conv1.weight.detach(), seen)
        deviation = 255 * torch.tensor(npr.statistics[1]).view(3, 1, 1)
        self.stem.weight.data = SCALE * kernel.view_as(self.stem.weight) / deviation

    def forward(self, tiles: Tensor) -> Tensor:
        return self.npr.after_stem(self.stem(F.pad(tiles.float(), (2, 0, 2, 0))))
