"""Network trunks shared by more than one system; state keys are those of the public checkpoints."""

from pixelkin.lab.backbones.efficientnet import (
    LITE0_MEAN,
    LITE0_STD,
    EfficientNet,
)
from pixelkin.lab.backbones.resnet import Bottleneck, ResNet50, bottleneck_stage, initialise_residual
from pixelkin.lab.backbones.xception import XCEPTION_CHANNELS, Xception

__all__ = [
    "LITE0_MEAN",
    "LITE0_STD",
    "XCEPTION_CHANNELS",
    "Bottleneck",
    "EfficientNet",
    "ResNet50",
    "Xception",
    "bottleneck_stage",
    "initialise_residual",
]
