"""Small trunks for native-scale tiles: what two cores can train in an hour."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pixelkin.errors import ConfigError
from pixelkin.lab.backbones.efficientnet import EfficientNet
from pixelkin.lab.weights import Tensors, load_strictly


class Residual(nn.Module):
    """Two 3 x 3 convolutions and a shortcut (He et al. 2016), the first with the stride."""

    def __init__(self, channels_in: int, channels_out: int, stride: int) -> None:
        super().__init__()
        self.first = convolved(channels_in, channels_out, 3, stride)
        self.second = nn.Sequential(
            nn.Conv2d(channels_out, channels_out, 3, padding=1, bias=False), nn.BatchNorm2d(channels_out)
        )
        self.shortcut = nn.Sequential(
            nn.Conv2d(channels_in, channels_out, 1, stride, bias=False), nn.BatchNorm2d(channels_out)
        )

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.second(self.first(x)) + self.shortcut(x), inplace=True)


class Separable(nn.Module):
    """Depthwise 3 x 3 and pointwise convolutions twice, and a shortcut."""

    def __init__(self, channels_in: int, channels_out: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Sequential(
            convolved(channels_in, channels_in, 3, stride, groups=channels_in),
            convolved(channels_in, channels_out, 1, 1),
        )
        self.second = nn.Sequential(
            convolved(channels_out, channels_out, 3, 1, groups=channels_out),
            nn.Conv2d(channels_out, channels_out, 1, bias=False),
            nn.BatchNorm2d(channels_out),
        )
        self.shortcut = nn.Sequential(
            nn.Conv2d(channels_in, channels_out, 1, stride, bias=False), nn.BatchNorm2d(channels_out)
        )

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.second(self.first(x)) + self.shortcut(x), inplace=True)


def convolved(
    channels_in: int, channels_out: int, kernel: int, stride: int, groups: int = 1
) -> nn.Sequential:
    """Convolution without bias, batch norm, ReLU; an odd kernel keeps the side, 4 with stride 2 halves it."""
    padding = (kernel - 1) // 2
    return nn.Sequential(
        nn.Conv2d(channels_in, channels_out, kernel, stride, padding, groups=groups, bias=False),
        nn.BatchNorm2d(channels_out),
        nn.ReLU(inplace=True),
    )


class ImageNetTrunk(nn.Module):
    """The stem and ten blocks of EfficientNet-Lite0, its batch norms folded away: five halvings less one.

    Args:
        channels_in: of the views; weights of the first three are ImageNet's, those of more begin at zero.
    """

    BLOCKS, CHANNELS = 10, 112

    def __init__(self, channels_in: int) -> None:
        super().__init__()
        self.layers, _ = EfficientNet("lite0", channels_in, outputs=None).cut(self.BLOCKS)

    def forward(self, x: Tensor) -> Tensor:
        # Pixels come centred and over 0.25; the weights were trained on pixels over half of the range.
        return self.layers(x / 2)

    @torch.no_grad()
    def begin_from(self, tensors: Tensors, source: object) -> None:
        """Take the weights of a whole EfficientNet-Lite0."""
        whole = EfficientNet("lite0", outputs=1000)
        load_strictly(whole, tensors, source)
        learnt = dict(whole.cut(self.BLOCKS)[0].state_dict())
        stem = torch.zeros_like(self.state_dict()["layers.0.weight"])
        stem[:, :3] = learnt["0.weight"]
        self.layers.load_state_dict({**learnt, "0.weight": stem})


def small_trunk(kind: str, channels_in: int) -> tuple[nn.Module, int]:
    """A trunk from maps (B, ``channels_in``, H, W) to features, and how many channels these have.

    ``lite0`` is what ImageNet taught EfficientNet-Lite0, up to its tenth block (`ImageNetTrunk`). The others
    begin from nothing: ``dense`` halves the side four times by plain convolutions, which this class of
    processor runs near its peak; ``depthwise`` has half the multiplications but waits for memory; ``patch``
    halves it once, and each of its features sees 12 x 12 pixels, after LaDeDa.

    Raises:
        ConfigError: there is no such kind.
    """
    match kind:
        case "lite0":
            return ImageNetTrunk(channels_in), ImageNetTrunk.CHANNELS
        case "dense":
            dense = (Residual(24, 40, 2), Residual(40, 80, 2), Residual(80, 144, 2))
            return nn.Sequential(convolved(channels_in, 24, 4, 2), *dense), 144
        case "depthwise":
            separable = (Separable(32, 64, 2), Separable(64, 128, 2), Separable(128, 256, 2))
            return nn.Sequential(convolved(channels_in, 32, 4, 2), *separable), 256
        case "patch":
            layers = (convolved(32, 48, 3, 1), convolved(48, 64, 1, 1), convolved(64, 128, 1, 1))
            return nn.Sequential(convolved(channels_in, 32, 4, 2), convolved(32, 32, 3, 1), *layers), 128
    raise ConfigError(f"no small trunk is named {kind!r}; the names are: lite0, dense, depthwise, patch")
