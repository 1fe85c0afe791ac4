"""FerretNet's trunk: grouped and dilated convolutions on what a pixel is that its neighbours are not.

Liang et al., "FerretNet: Efficient Synthetic Image Detection via Local Pixel Dependencies",
NeurIPS 2025, arXiv 2509.20890. Facts of the published weights: FerretNet-S, a 3 x 3 median. Names and
order of the layers are those of the official state dict, but for `trunk_and_head`'s.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from pixelkin.lab.backbones.small import convolved
from pixelkin.lab.representations.neighbours import median_residual
from pixelkin.lab.weights import Tensors

# Mean and deviation of each channel that its pixels are brought to: CLIP's.
STATISTICS = ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))


class FerretTrunk(nn.Module):
    """From pixels (B, 3, H, W), normalised by `STATISTICS`, to features (B, 128) averaged over all places."""

    CHANNELS = 128

    def __init__(self) -> None:
        super().__init__()
        self.cbr1 = convolved(3, 16, 3, 1)
        self.cbr2 = convolved(16, 32, 3, 2)
        self.feature = nn.Sequential(
            _stage(32, 64), _stage(64, self.CHANNELS), nn.Conv2d(self.CHANNELS, self.CHANNELS, 1, bias=False)
        )

    def forward(self, x: Tensor) -> Tensor:
        maps: Tensor = self.feature(self.cbr2(self.cbr1(median_residual(x))))
        return maps.mean((-2, -1))


def trunk_and_head(official: Tensors) -> tuple[Tensors, Tensors]:
    """The official state dict as that of a `FerretTrunk` and that of the head, a linear layer named 1."""
    trunk: Tensors = {}
    head: Tensors = {}
    for name, tensor in official.items():
        if name.startswith("logit."):
            head[name.removeprefix("logit.")] = tensor
        else:  # a depthwise-separable convolution is two layers in a row
            trunk[name.replace("depth_wise.", "0.").replace("point_wise.", "1.")] = tensor
    return trunk, head


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
