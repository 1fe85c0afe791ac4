"""Xception, whole or cut after a block.

Chollet, "Xception: Deep Learning with Depthwise Separable Convolutions", CVPR 2017, arXiv
1610.02357, Fig. 5. State keys are those of the public PyTorch checkpoints.
"""

from __future__ import annotations

import itertools

from torch import Tensor, nn
from torch.nn import functional as F

from pixelkin.errors import ConfigError
from pixelkin.lab.backbones.initial import initialise_grouped

# Channels that each block gives, by its number.
XCEPTION_CHANNELS = {1: 128, 2: 256, **dict.fromkeys(range(3, 12), 728), 12: 1024}

_STEM_CHANNELS = 64
_FEATURES = 2048


class SeparableConv2d(nn.Module):
    """A 3 x 3 convolution of each channel alone, then a 1 x 1 convolution across channels."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels_in, 3, padding=1, groups=channels_in, bias=False)
        self.pointwise = nn.Conv2d(channels_in, channels_out, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.pointwise(self.conv1(x))


class Block(nn.Module):
    """Separable convolutions around a shortcut, which is a strided 1 x 1 convolution or the identity.

    Args:
        widths: channels in, then those that each separable convolution gives.
        stride: 2 ends in a max pooling; 1 keeps the size.
        starts_with_relu: false in the first block only, whose input is already rectified.
    """

    def __init__(self, widths: tuple[int, ...], stride: int, starts_with_relu: bool = True) -> None:
        super().__init__()
        self.skip: nn.Module = nn.Identity()
        self.skipbn: nn.Module = nn.Identity()
        if stride != 1 or widths[0] != widths[-1]:
            self.skip = nn.Conv2d(widths[0], widths[-1], 1, stride, bias=False)
            self.skipbn = nn.BatchNorm2d(widths[-1])
        parts: list[nn.Module] = []
        for channels_in, channels_out in itertools.pairwise(widths):
            # Only a first rectifier shares its input with the shortcut, so it must not work in place.
            parts.append(nn.ReLU(inplace=bool(parts)))
            parts += [SeparableConv2d(channels_in, channels_out), nn.BatchNorm2d(channels_out)]
        if stride != 1:
            parts.append(nn.MaxPool2d(3, stride, padding=1))
        self.rep = nn.Sequential(*parts[0 if starts_with_relu else 1 :])

    def forward(self, x: Tensor) -> Tensor:
        return self.rep(x) + self.skipbn(self.skip(x))


def _block(number: int) -> Block:
    channels_in = XCEPTION_CHANNELS.get(number - 1, _STEM_CHANNELS)
    channels_out = XCEPTION_CHANNELS[number]
    if number <= 3:
        return Block((channels_in, channels_out, channels_out), stride=2, starts_with_relu=number > 1)
    if number <= 11:
        return Block((channels_in,) * 4, stride=1)
    return Block((channels_in, channels_in, channels_out), stride=2)


class Xception(nn.Module):
    """Stem, twelve blocks, tail and head: 20,811,050 parameters with three channels in and two outputs.

    Convolutions start normal with variance 2 / fan-out (`initialise_grouped`), the head as
    ``nn.Linear`` does.

    Args:
        channels_in: channels of an input.
        outputs: logits per input; None leaves the head out.
        stem_stride: stride of the first convolution.
        last_block: the block to cut after, 1..12, leaving out tail and head; None keeps all.

    Raises:
        ConfigError: ``last_block`` is not 1..12.
    """

    def __init__(
        self,
        channels_in: int = 3,
        outputs: int | None = 2,
        *,
        stem_stride: int = 2,
        last_block: int | None = None,
    ) -> None:
        if last_block is not None and last_block not in XCEPTION_CHANNELS:
            raise ConfigError(
                f"Xception has blocks 1 to {len(XCEPTION_CHANNELS)}; it has no block {last_block}"
            )
        super().__init__()
        self.whole = last_block is None
        self.last_block = last_block or len(XCEPTION_CHANNELS)
        self.conv1 = nn.Conv2d(channels_in, 32, 3, stem_stride, bias=False)
        self.bn1 = nn.BatchNorm2d(32)
        self.conv2 = nn.Conv2d(32, _STEM_CHANNELS, 3, bias=False)
        self.bn2 = nn.BatchNorm2d(_STEM_CHANNELS)
        for number in range(1, self.last_block + 1):
            self.add_module(f"block{number}", _block(number))
        if self.whole:
            self.conv3 = SeparableConv2d(XCEPTION_CHANNELS[12], 1536)
            self.bn3 = nn.BatchNorm2d(1536)
            self.conv4 = SeparableConv2d(1536, _FEATURES)
            self.bn4 = nn.BatchNorm2d(_FEATURES)
        self.fc = nn.Linear(_FEATURES, outputs) if self.whole and outputs is not None else None
        initialise_grouped(self)

    def stem(self, x: Tensor) -> Tensor:
        """The map that block 1 takes, shape (B, 64, h, w), of inputs (B, C, H, W)."""
        x = F.relu(self.bn1(self.conv1(x)), inplace=True)
        return F.relu(self.bn2(self.conv2(x)), inplace=True)

    def blocks(self, first: int, last: int, x: Tensor) -> Tensor:
        """The map after blocks ``first`` to ``last``, both counted from 1 and both run.

        Args:
            first: number of the block that takes ``x``.
            last: number of the block to stop after.
            x: the map of the stem or of block ``first - 1``, shape (B, c, h, w); it is left as it is.

        Returns:
            The map, shape (B, ``XCEPTION_CHANNELS[last]``, h', w').
        """
        for number in range(first, last + 1):
            x = self.get_submodule(f"block{number}")(x)
        return x

    def tail(self, x: Tensor) -> Tensor:
        """The last map before its rectifier, shape (B, 2048, h, w), of block 12's (B, 1024, h, w)."""
        x = F.relu(self.bn3(self.conv3(x)), inplace=True)
        return self.bn4(self.conv4(x))

    def features(self, x: Tensor) -> Tensor:
        """The map of the last block kept; of the whole network, that of the tail.

        Args:
            x: inputs, shape (B, C, H, W).
        """
        x = self.blocks(1, self.last_block, self.stem(x))
        return self.tail(x) if self.whole else x

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, outputs); without a head the pooled features (B, 2048); of a cut network the map.

        Args:
            x: inputs, shape (B, C, H, W).
        """
        x = self.features(x)
        if not self.whole:
            return x
        x = F.relu(x).mean((-2, -1))
        return x if self.fc is None else self.fc(x)
