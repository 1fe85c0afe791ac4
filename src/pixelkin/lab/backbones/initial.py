"""Initial weights of networks with grouped convolutions."""

from __future__ import annotations

import math

from torch import nn


def initialise_grouped(module: nn.Module) -> None:
    """Normal with variance 2 / fan-out for convolutions, one and zero for batch norms; linear layers stay.

    The fan-out of a depthwise kernel is its area: one input channel reaches one output channel.
    ``torch.nn.init`` counts every output channel there, which would start such layers near zero.
    """
    for part in module.modules():
        if isinstance(part, nn.Conv2d):
            fan_out = math.prod(part.kernel_size) * part.out_channels // part.groups
            nn.init.normal_(part.weight, std=math.sqrt(2 / fan_out))
            if part.bias is not None:
                nn.init.zeros_(part.bias)
        elif isinstance(part, nn.BatchNorm2d):
            nn.init.ones_(part.weight)
            nn.init.zeros_(part.bias)
