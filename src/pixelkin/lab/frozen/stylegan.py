"""The discriminator of StyleGAN at 256 x 256.

Karras et al., "A Style-Based Generator Architecture for Generative Adversarial Networks", CVPR
2019, arXiv 1812.04948, Appendix C: that of "Progressive Growing of GANs" (ICLR 2018, arXiv
1710.10196, Table 2), with a low-pass filter before each halving. State keys are those of
the public PyTorch conversions.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

SIDE = 256
GAIN = math.sqrt(2)  # He et al. 2015, for what a rectifier follows
FUSED_FROM = 128  # halving is one strided convolution from this side on, a pooling below it
GROUP = 4  # pictures over which a deviation is taken


def channels(side: int) -> int:
    """Channels of a map with ``side`` x ``side`` places."""
    return min(16384 // side, 512)


class Equalised(nn.Module):
    """Weights drawn from N(0, 1), at run time times gain / sqrt(fan-in) (ICLR 2018, section 4.1)."""

    def __init__(self, shape: tuple[int, ...], gain: float = GAIN) -> None:
        super().__init__()
        self.scale = gain / math.sqrt(math.prod(shape[1:]))
        self.weight = nn.Parameter(torch.randn(shape))
        self.bias = nn.Parameter(torch.zeros(shape[0]))


class Convolution(Equalised):
    """A convolution that keeps the size, and a leaky rectifier."""

    def __init__(self, channels_in: int, channels_out: int, kernel: int) -> None:
        super().__init__((channels_out, channels_in, kernel, kernel))

    def forward(self, x: Tensor) -> Tensor:
        padding = self.weight.shape[-1] // 2
        return F.leaky_relu(F.conv2d(x, self.weight * self.scale, self.bias, padding=padding), 0.2)


class Blur(nn.Module):
    """The filter [1, 2, 1] / 4 along both axes, each channel alone, zeros around it."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        taps = torch.tensor([1.0, 2.0, 1.0]) / 4
        self.register_buffer("kernel", torch.outer(taps, taps).repeat(channels, 1, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.get_buffer("kernel"), padding=1, groups=x.shape[1])


class Halving(Equalised):
    """A blur, a 3 x 3 convolution, the mean of each 2 x 2 places, and a leaky rectifier.

    Args:
        channels_in: channels of an input.
        channels_out: channels of its map.
        fused: convolve and average in one: by the 4 x 4 kernel that is the mean of the 3 x 3 one at
            its four places, at every second place.
    """

    def __init__(self, channels_in: int, channels_out: int, *, fused: bool) -> None:
        super().__init__((channels_out, channels_in, 3, 3))
        self.blur = Blur(channels_in)
        self.fused = fused

    def forward(self, x: Tensor) -> Tensor:
        x, weight = self.blur(x), self.weight * self.scale
        if self.fused:
            places = [F.pad(weight, (left, 1 - left, top, 1 - top)) for top in (0, 1) for left in (0, 1)]
            x = F.conv2d(x, torch.stack(places).mean(0), self.bias, stride=2, padding=1)
        else:
            x = F.avg_pool2d(F.conv2d(x, weight, self.bias, padding=1), 2)
        return F.leaky_relu(x, 0.2)


class Dense(Equalised):
    """A linear layer on all there is of an item, with a leaky rectifier unless it is the last."""

    def __init__(self, width_in: int, width_out: int, *, last: bool = False) -> None:
        super().__init__((width_out, width_in), 1.0 if last else GAIN)
        self.last = last

    def forward(self, x: Tensor) -> Tensor:
        x = F.linear(x.flatten(1), self.weight * self.scale, self.bias)
        return x if self.last else F.leaky_relu(x, 0.2)


def with_deviation(x: Tensor) -> Tensor:
    """``x`` with one channel more: how much the pictures of a group differ (ICLR 2018, section 3).

    Args:
        x: maps, shape (B, C, h, w). They form groups of min(4, B), strided through the batch, so B
            must be at most 4 or a multiple of it.

    Returns:
        Shape (B, C + 1, h, w); the last channel has one value per group. Pictures are coupled by it,
        in eval mode too.
    """
    grouped = x.reshape(min(GROUP, len(x)), -1, *x.shape[1:])
    deviation = (grouped.var(0, correction=0) + 1e-8).sqrt().mean((1, 2, 3))
    channel = deviation.repeat(len(grouped))[:, None, None, None].expand(-1, 1, *x.shape[-2:])
    return torch.cat([x, channel], 1)


class Discriminator(nn.Module):
    """The whole network: 23,052,353 parameters.

    It was grown side by side, and keeps an entrance for each of them (``input0`` at 256 px to
    ``input6`` at 4 px) and its level of detail (``lod``); finished, it enters through ``input0``.
    """

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("lod", torch.zeros(()))
        sides = [SIDE >> level for level in range(7)]
        for level, side in enumerate(sides):
            wide, wider = channels(side), channels(side // 2)
            self.add_module(f"input{level}", Convolution(3, wide, 1))
            if side > sides[-1]:
                self.add_module(f"layer{2 * level}", Convolution(wide, wide, 3))
                self.add_module(f"layer{2 * level + 1}", Halving(wide, wider, fused=side >= FUSED_FROM))
            else:
                self.add_module(f"layer{2 * level}", Convolution(wide + 1, wide, 3))
                self.add_module(f"layer{2 * level + 1}", Dense(wide * side * side, wider))
                self.add_module(f"layer{2 * level + 2}", Dense(wider, 1, last=True))

    def forward(self, x: Tensor) -> Tensor:
        """How photographic a picture looks, (B, 1), unbounded, of pictures (B, 3, 256, 256) in -1..1."""
        x = self.get_submodule("input0")(x)
        for place in range(15):
            if place == 12:
                x = with_deviation(x)
            x = self.get_submodule(f"layer{place}")(x)
        return x
