"""ResNet-50 and its stages.

He et al., "Deep Residual Learning for Image Recognition", CVPR 2016, arXiv 1512.03385; the stride
of a bottleneck is in its 3 x 3 convolution, as in torchvision, whose state keys these are.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

EXPANSION = 4  # a bottleneck's output channels over its width (He et al. 2016, Table 1)


class Bottleneck(nn.Module):
    """1x1, 3x3, 1x1 convolutions around a shortcut (He et al. 2016, Fig. 5 right)."""

    def __init__(self, channels_in: int, width: int, stride: int) -> None:
        super().__init__()
        channels_out = width * EXPANSION
        self.conv1 = nn.Conv2d(channels_in, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, channels_out, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(channels_out)
        self.relu = nn.ReLU(inplace=True)
        self.downsample: nn.Module = nn.Identity()
        if stride != 1 or channels_in != channels_out:
            self.downsample = nn.Sequential(
                nn.Conv2d(channels_in, channels_out, 1, stride, bias=False), nn.BatchNorm2d(channels_out)
            )

    def forward(self, x: Tensor) -> Tensor:
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.relu(self.bn2(self.conv2(y)))
        return self.relu(self.bn3(self.conv3(y)).add_(self.downsample(x)))


def bottleneck_stage(channels_in: int, width: int, depth: int, stride: int) -> nn.Sequential:
    """``depth`` bottlenecks of one width; the first has the stride and takes ``channels_in``."""
    first = Bottleneck(channels_in, width, stride)
    return nn.Sequential(first, *(Bottleneck(width * EXPANSION, width, 1) for _ in range(depth - 1)))


def initialise_residual(module: nn.Module) -> None:
    """Kaiming normal over the fan-out for convolutions, one and zero for batch norms (He et al. 2015)."""
    for part in module.modules():
        if isinstance(part, nn.Conv2d):
            nn.init.kaiming_normal_(part.weight, mode="fan_out", nonlinearity="relu")
        elif isinstance(part, nn.BatchNorm2d):
            nn.init.ones_(part.weight)
            nn.init.zeros_(part.bias)


class ResNet50(nn.Module):
    """The whole network: 23,510,081 parameters with three channels in and one output.

    Convolutions start Kaiming normal, the head at N(0, 0.02) with bias 0 as in Wang et al. 2020
    (CNNDetection, official program).

    Args:
        channels_in: channels of an input.
        outputs: logits per input.
    """

    def __init__(self, channels_in: int = 3, outputs: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, 64, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.layer1 = bottleneck_stage(64, 64, depth=3, stride=1)
        self.layer2 = bottleneck_stage(256, 128, depth=4, stride=2)
        self.layer3 = bottleneck_stage(512, 256, depth=6, stride=2)
        self.layer4 = bottleneck_stage(1024, 512, depth=3, stride=2)
        self.fc = nn.Linear(2048, outputs)
        initialise_residual(self)
        nn.init.normal_(self.fc.weight, std=0.02)
        nn.init.zeros_(self.fc.bias)

    def features(self, x: Tensor) -> Tensor:
        """Spatial means of the last stage, shape (B, 2048), of inputs (B, C, H, W)."""
        x = F.relu(self.bn1(self.conv1(x)), inplace=True)
        x = F.max_pool2d(x, 3, stride=2, padding=1)
        return self.layer4(self.layer3(self.layer2(self.layer1(x)))).mean((-2, -1))

    def forward(self, x: Tensor) -> Tensor:
        """Logits, shape (B, outputs), of inputs (B, C, H, W)."""
        return self.fc(self.features(x))
