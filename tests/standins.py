"""Small networks in the place of those that others published, for systems that look through one."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pixelkin.lab.detectors.dire import ErrorMap


class Means(nn.Module):
    """768 numbers out of a picture's channel means, in the place of CLIP's embedding."""

    def forward(self, batch: Tensor) -> Tensor:
        means = batch.mean((-1, -2))
        return torch.cat([means.sin(), means.cos()], 1).repeat(1, 128)


def critic() -> nn.Module:
    """A smooth function of pixels, in the place of a discriminator."""
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.Softplus(), nn.Conv2d(4, 1, 3, stride=2))


class Waves(nn.Module):
    """A function of picture and timestep in whole sixty-fourths, in the place of a denoiser.

    Error maps are cut down to 8 bits: what differed in its last bit would differ in a level.
    """

    def forward(self, x: Tensor, t: int) -> Tensor:
        return (64 * torch.sin(3 * x + t / 500)).round() / 64


FROZEN = {"lgrad": critic, "ojha": Means, "dire": lambda: ErrorMap(Waves(), 20)}
