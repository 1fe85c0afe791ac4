"""FerretNet: what a pixel is that its neighbours are not.

Liang et al., "FerretNet: Efficient Synthetic Image Detection via Local Pixel Dependencies",
NeurIPS 2025, arXiv 2509.20890. Facts of the published weights: FerretNet-S, a 3 x 3 median.
"""

from __future__ import annotations

import re

from torch import Tensor, nn
from torch.nn import functional as F

from pixelkin.lab.backbones.small import convolved
from pixelkin.lab.detectors.base import Detector, Paper, to_tensor
from pixelkin.lab.representations.neighbours import median_residual
from pixelkin.lab.weights import Tensors
from pixelkin.types import Picture


class FerretNet(Detector):
    """A depthwise network on the difference of each pixel from the median of its neighbours."""

    card = Paper(
        name="ferretnet",
        title="FerretNet: Efficient Synthetic Image Detection via Local Pixel Dependencies",
        reference="2509.20890",
        year=2025,
        label="FerretNet-S",
        looks_at="differences of pixels from the median of their 3 x 3 neighbourhood",
        idea=(
            "Generators make neighbouring pixels depend on each other as cameras do not. Each pixel is "
            "replaced by its difference from the median of its neighbours; a small network of grouped "
            "and dilated convolutions classifies that map, and its logit is the score."
        ),
        parameters=126_289,
        checkpoints=("ferretnet-s",),
    )
    statistics = ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))  # CLIP's

    def __init__(self) -> None:
        super().__init__()
        # Names and order are those of the official state dict, but for `from_official`'s.
        self.cbr1 = convolved(3, 16, 3, 1)
        self.cbr2 = convolved(16, 32, 3, 2)
        self.feature = nn.Sequential(_stage(32, 64), _stage(64, 128), nn.Conv2d(128, 128, 1, bias=False))
        self.head = nn.Sequential(nn.Dropout(0.2), nn.Linear(128, 1))

    def prepare(self, picture: Picture) -> Tensor:
        return self.normalise(to_tensor(picture))

    def forward(self, batch: Tensor) -> Tensor:
        maps = self.feature(self.cbr2(self.cbr1(median_residual(batch))))
        return self.head(maps.mean((-2, -1))).squeeze(-1)

    def from_official(self, tensors: Tensors) -> Tensors:
        """The official names of depthwise-separable convolutions and of the last layer to ours."""
        ours = {"depth_wise.": "0.", "point_wise.": "1.", "logit.": "head."}
        return {re.sub("|".join(ours), lambda m: ours[m[0]], name): t for name, t in tensors.items()}


def _stage(channels_in: int, channels_out: int) -> nn.Sequential:
    return nn.Sequential(_Block(channels_in, channels_out, 2), _Block(channels_out, channels_out, 1))


class _Dilated(nn.Module):
    """Two grouped convolutions of unlike reach, summed and mixed."""

    def __init__(self, channels_in: int, channels_out: int, stride: int) -> None:
        super().__init__()
        groups = channels_in
        self.conv1 = nn.Conv2d(channels_in, channels_out, 3, stride, 1, groups=groups, bias=False)
        self.conv2 = nn.Conv2d(channels_in, channels_out, 3, stride, 2, 2, groups=groups, bias=False)
        self.conv3 = nn.Conv2d(channels_out, channels_out, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv3(self.conv1(x) + self.conv2(x))


class _Block(nn.Module):
    def __init__(self, channels_in: int, channels_out: int, stride: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            _Dilated(channels_in, channels_out, stride),
            nn.BatchNorm2d(channels_out),
            nn.ReLU(inplace=True),
            nn.Sequential(
                nn.Conv2d(channels_out, channels_out, 3, 1, 1, groups=channels_out, bias=False),
                nn.Conv2d(channels_out, channels_out, 1, bias=False),
            ),
            nn.BatchNorm2d(channels_out),
        )
        self.shortcut = nn.Sequential()
        if stride != 1 or channels_in != channels_out:
            self.shortcut = nn.Sequential(
                nn.Conv2d(channels_in, channels_out, 1, stride), nn.BatchNorm2d(channels_out)
            )

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.layers(x) + self.shortcut(x))
