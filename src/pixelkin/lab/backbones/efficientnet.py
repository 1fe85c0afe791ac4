"""EfficientNet B0 to B4 and Lite0.

Tan and Le, "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks", ICML 2019,
arXiv 1905.11946. State keys are those of the PyPI package efficientnet-pytorch 0.7.1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pixelkin.errors import ConfigError
from pixelkin.lab.backbones.initial import initialise_grouped

# The authors' (v - 127) / 128 on 0..255. The README of efficientnet-lite-pytorch has ImageNet's mean and
# deviation instead, but only inputs scaled as here give maps the variances that the batch norms hold.
LITE0_MEAN = (127 / 255,) * 3
LITE0_STD = (128 / 255,) * 3

_DROP_CONNECT = 0.2
_SQUEEZE = 0.25  # width of the squeezed vector over the block's channels in
_STEM, _HEAD = 32, 1280  # channels before scaling


@dataclass(frozen=True)
class Variant:
    """How a variant differs from B0: Eq. 3's multipliers, its dropout, and Lite's omissions."""

    width: float
    depth: float
    dropout: float
    lite: bool = False


# Lite0 alone of the Lite series is here; the others also leave stem, head and first and last stage unscaled.
VARIANTS = {
    "b0": Variant(1.0, 1.0, 0.2),
    "b1": Variant(1.0, 1.1, 0.2),
    "b2": Variant(1.1, 1.2, 0.3),
    "b3": Variant(1.2, 1.4, 0.3),
    "b4": Variant(1.4, 1.8, 0.4),
    "lite0": Variant(1.0, 1.0, 0.2, lite=True),
}

# Table 1 of the paper: repeats, kernel, stride, expansion, channels out.
_STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)


@dataclass(frozen=True)
class BlockPlan:
    """One inverted bottleneck: its shape, its drop-connect rate, and the side its padding is for."""

    channels_in: int
    channels_out: int
    kernel: int
    stride: int
    expansion: int
    drop: float
    side: int | None


def scaled(channels: int, width: float) -> int:
    """The multiple of 8 nearest to ``channels * width``, but never under nine tenths of it."""
    wanted = channels * width
    nearest = max(8, int(wanted + 4) // 8 * 8)
    return nearest + 8 if nearest < 0.9 * wanted else nearest


def plan_blocks(variant: Variant, side: int | None) -> list[BlockPlan]:
    """The blocks of a variant in order.

    Args:
        variant: the scaling.
        side: side of the stem's map in pixels, where padding is planned for one size; or None.
    """
    repeats = [math.ceil(stage[0] * variant.depth) for stage in _STAGES]
    plans: list[BlockPlan] = []
    channels = scaled(_STEM, variant.width)
    for count, (_, kernel, first_stride, expansion, width) in zip(repeats, _STAGES, strict=True):
        channels_out = scaled(width, variant.width)
        for stride in (first_stride, *[1] * (count - 1)):
            drop = _DROP_CONNECT * len(plans) / sum(repeats)
            plans.append(BlockPlan(channels, channels_out, kernel, stride, expansion, drop, side))
            channels, side = channels_out, _reduced(side, stride)
    return plans


def _reduced(side: int | None, stride: int) -> int | None:
    return None if side is None else math.ceil(side / stride)


class SameConv2d(nn.Conv2d):
    """A convolution with an odd kernel and TensorFlow's "same" padding, without bias.

    TensorFlow pads a side of n pixels by max((ceil(n / s) - 1) s + k - n, 0) in all, the odd pixel
    at the end. With stride 1 that is (k - 1) / 2 at both ends. With stride 2 it is the same for odd
    n, and one pixel less at the start for even n: so the input is padded by (k - 1) / 2 all round and
    its first row or column dropped where the side is even, which a tracer can follow at every size.

    Args:
        side: take parity, hence padding, from this side instead of each input's own.
    """

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        kernel: int,
        stride: int,
        groups: int = 1,
        side: int | None = None,
    ) -> None:
        padding = kernel // 2 if stride == 1 else 0
        super().__init__(channels_in, channels_out, kernel, stride, padding, groups=groups, bias=False)
        self.side = side

    def forward(self, input: Tensor) -> Tensor:
        if self.stride == (1, 1):
            return super().forward(input)
        if self.side is None and torch.onnx.is_in_onnx_export():
            bias = self.weight.new_zeros(self.out_channels) if self.bias is None else self.bias
            return _SameInOnnx.apply(input, self.weight, bias, self)  # type: ignore[no-untyped-call]
        return self.halved(input)

    def halved(self, input: Tensor) -> Tensor:
        """What `forward` gives with stride 2."""
        height, width = input.shape[-2:] if self.side is None else (self.side, self.side)
        padded = F.pad(input, [self.kernel_size[0] // 2] * 4)
        return super().forward(padded[..., 1 - height % 2 :, 1 - width % 2 :])


class _SameInOnnx(torch.autograd.Function):
    """A `SameConv2d` of stride 2 as one node: ONNX knows this padding; traced it would be a dozen nodes."""

    @staticmethod
    def forward(ctx: Any, input: Tensor, weight: Tensor, bias: Tensor, owner: SameConv2d) -> Tensor:  # noqa: ARG004
        return owner.halved(input)

    @staticmethod
    def symbolic(g: Any, input: Any, weight: Any, bias: Any, owner: SameConv2d) -> Any:
        shape = {"kernel_shape_i": owner.kernel_size, "strides_i": owner.stride, "group_i": owner.groups}
        return g.op("Conv", input, weight, bias, auto_pad_s="SAME_UPPER", **shape)


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=1e-3, momentum=0.01)


def drop_connect(x: Tensor, rate: float) -> Tensor:
    """``x`` (B, C, H, W) with each member zeroed at probability ``rate``, the rest over 1 - ``rate``."""
    kept = torch.empty(x.shape[0], 1, 1, 1, dtype=x.dtype, device=x.device).bernoulli_(1 - rate)
    return x * kept / (1 - rate)


class MBConv(nn.Module):
    """Expansion, depthwise convolution, squeeze and excitation, projection; a shortcut where shapes agree."""

    def __init__(self, plan: BlockPlan, lite: bool) -> None:
        super().__init__()
        width = plan.channels_in * plan.expansion
        self.drop = plan.drop
        self.activation: nn.Module = nn.ReLU6() if lite else nn.SiLU()
        self.expands, self.excites = plan.expansion != 1, not lite
        self.has_shortcut = plan.stride == 1 and plan.channels_in == plan.channels_out
        if self.expands:
            self._expand_conv = nn.Conv2d(plan.channels_in, width, 1, bias=False)
            self._bn0 = _norm(width)
        self._depthwise_conv = SameConv2d(width, width, plan.kernel, plan.stride, width, plan.side)
        self._bn1 = _norm(width)
        if self.excites:
            squeezed = max(1, int(plan.channels_in * _SQUEEZE))
            self._se_reduce = nn.Conv2d(width, squeezed, 1)
            self._se_expand = nn.Conv2d(squeezed, width, 1)
        self._project_conv = nn.Conv2d(width, plan.channels_out, 1, bias=False)
        self._bn2 = _norm(plan.channels_out)

    def forward(self, x: Tensor) -> Tensor:
        y = self.activation(self._bn0(self._expand_conv(x))) if self.expands else x
        y = self.activation(self._bn1(self._depthwise_conv(y)))
        if self.excites:
            squeezed = self.activation(self._se_reduce(y.mean((-2, -1), keepdim=True)))
            y = y * torch.sigmoid(self._se_expand(squeezed))
        y = self._bn2(self._project_conv(y))
        if not self.has_shortcut:
            return y
        return x + (drop_connect(y, self.drop) if self.training and self.drop else y)


class EfficientNet(nn.Module):
    """The whole network; B4 with three channels in and two outputs has 17,552,202 parameters.

    Convolutions start normal with variance 2 / fan-out (`initialise_grouped`), as in the authors'
    program; the head as ``nn.Linear`` does, since the authors' rule suits a thousand outputs only.

    Args:
        variant: a key of ``VARIANTS``.
        channels_in: channels of an input.
        outputs: logits per input; None leaves the head out.
        padded_for: side of a square input, in pixels, for which every padding is planned. Weights
            trained with efficientnet-pytorch expect its variant's own (B4: 380) at every size,
            which matters where halving that side gives another parity. None pads each input by
            its own size, as TensorFlow does.

    Raises:
        ConfigError: there is no such variant.
    """

    def __init__(
        self,
        variant: str = "b4",
        channels_in: int = 3,
        outputs: int | None = 2,
        *,
        padded_for: int | None = None,
    ) -> None:
        if variant not in VARIANTS:
            raise ConfigError(f"no EfficientNet is named {variant!r}; the names are: {', '.join(VARIANTS)}")
        super().__init__()
        scaling = VARIANTS[variant]
        plans = plan_blocks(scaling, _reduced(padded_for, 2))
        width = scaled(_HEAD, scaling.width)
        self.dropout = scaling.dropout
        self.activation: nn.Module = nn.ReLU6() if scaling.lite else nn.SiLU()
        self._conv_stem = SameConv2d(channels_in, plans[0].channels_in, 3, stride=2, side=padded_for)
        self._bn0 = _norm(plans[0].channels_in)
        self._blocks = nn.ModuleList(MBConv(plan, scaling.lite) for plan in plans)
        self._conv_head = nn.Conv2d(plans[-1].channels_out, width, 1, bias=False)
        self._bn1 = _norm(width)
        self._fc = None if outputs is None else nn.Linear(width, outputs)
        initialise_grouped(self)

    def features(self, x: Tensor) -> Tensor:
        """Spatial means of the last map, shape (B, 1280; for B4 1792), of inputs (B, C, H, W)."""
        x = self.activation(self._bn0(self._conv_stem(x)))
        for block in self._blocks:
            x = block(x)
        return self.activation(self._bn1(self._conv_head(x))).mean((-2, -1))

    def cut(self, blocks: int) -> tuple[nn.Sequential, int]:
        """The stem and the first blocks as a trunk without batch norms, and its channels out.

        Each norm is folded into the convolution before it with the statistics that it holds: for
        training on from weights that are good already, on small batches and in half the time. Nothing is
        dropped at random.

        Args:
            blocks: how many, at least one.
        """
        _fold(self, "_conv_stem", "_bn0")
        layers: list[nn.Module] = [self._conv_stem, self.activation]
        for block in cast(list[MBConv], list(self._blocks)[:blocks]):
            block.drop = 0.0
            if block.expands:
                _fold(block, "_expand_conv", "_bn0")
            _fold(block, "_depthwise_conv", "_bn1")
            _fold(block, "_project_conv", "_bn2")
            layers.append(block)
        return nn.Sequential(*layers), block._project_conv.out_channels

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, outputs), or without a head the features (B, C), of inputs (B, C, H, W)."""
        x = self.features(x)
        return x if self._fc is None else self._fc(F.dropout(x, self.dropout, self.training))


def _fold(owner: nn.Module, convolution: str, norm: str) -> None:
    """Give a convolution without bias the affine map of the norm behind it, which becomes an identity."""
    conv, of = getattr(owner, convolution), getattr(owner, norm)
    scale = of.weight / torch.sqrt(of.running_var + of.eps)
    conv.weight = nn.Parameter((conv.weight * scale[:, None, None, None]).detach())
    conv.bias = nn.Parameter((of.bias - of.running_mean * scale).detach())
    setattr(owner, norm, nn.Identity())
