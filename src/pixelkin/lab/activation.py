"""Class activation maps: where a network's last map raised its logit (Figure 4 of Tan et al. 2024).

Grad-CAM, Selvaraju et al. 2017, "Grad-CAM: Visual Explanations from Deep Networks via
Gradient-based Localization", arXiv 1610.02391, Eq. 1 and 2. For a network that ends in a spatial
mean and a linear layer it is, up to a factor, the CAM of Zhou et al. 2016 that the paper shows.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from pixelkin.errors import ExplanationError
from pixelkin.lab.detectors.base import LEAST, Detector, squared
from pixelkin.tiles import sigmoid
from pixelkin.types import Picture

Target = Literal["generated", "real"]
Maps = list[tuple[str, Tensor]]


@dataclass(frozen=True, slots=True, eq=False)
class Activation:
    """Where a detector's last convolutional map spoke for a label.

    Attributes:
        values: zero or more, shape (H, W) of ``picture``, aligned with it to the pixel; in logits,
            but for the factor of the map's size.
        picture: what the network was shown: the picture itself, or what was resized to its side.
        layer: name of the module whose output the map is.
        size: rows and columns of that output, which is as fine as ``values`` can be.
        score: of the picture, in [0, 1].
    """

    values: NDArray[np.float32]
    picture: Picture
    layer: str
    size: tuple[int, int]
    score: float

    @property
    def shares(self) -> NDArray[np.float32]:
        """``values`` over the greatest of them, 0..1; zeros where there is none."""
        most = float(self.values.max())
        return self.values / most if most > 0 else self.values


def class_activation(detector: Detector, picture: Picture, target: Target = "generated") -> Activation:
    """The class activation map of one picture.

    The last convolutional map is found by running the network: the last output of any of its parts
    that has channels, rows and columns and that the logit depends on.

    Args:
        detector: in eval mode; its gradients are left as they are.
        picture: 32 pixels a side or more. Where the detector takes pictures of one size only, its
            shorter side is resized to that and the middle taken.
        target: the label whose activation is shown.

    Raises:
        ExplanationError: the system has no such map, or not over a picture; or the picture is too small.
    """
    if min(picture.height, picture.width) < LEAST:
        raise ExplanationError(f"a class activation map takes pictures of {LEAST} x {LEAST} pixels or more")
    name = detector.card.name
    if not detector.over_picture:
        raise ExplanationError(
            f"{name} has no class activation map: its maps lie over frequencies, not places"
        )
    shown = squared(picture, detector.side) if detector.side else picture
    prepared = detector.prepare(shown)
    if prepared.dim() != 3 or prepared.shape[-2:] != shown.pixels.shape[:2]:
        raise ExplanationError(
            f"{name} has no class activation map: what it looks at is of shape {tuple(prepared.shape)}, "
            "not a picture's plane"
        )
    device = next(iter(detector.state_dict().values())).device
    with torch.enable_grad(), _recorded(detector) as maps:
        logit = detector(prepared[None].to(device).requires_grad_()).squeeze()
        layer, features, gradient = _last(maps, logit, name)
    sign = 1 if target == "generated" else -1
    weights = sign * gradient.mean((-2, -1), keepdim=True)
    found = F.relu((weights * features).sum(1, keepdim=True))
    values = F.interpolate(found, shown.pixels.shape[:2], mode="bilinear", align_corners=False)
    rows, columns = features.shape[-2:]
    score = float(sigmoid(logit.detach().cpu().numpy()))
    return Activation(values[0, 0].cpu().numpy(), shown, layer, (rows, columns), score)


def _last(maps: Maps, logit: Tensor, name: str) -> tuple[str, Tensor, Tensor]:
    """Name, values and gradient of the last map that the logit depends on."""
    for layer, features in reversed(maps):
        (gradient,) = torch.autograd.grad(logit, features, retain_graph=True, allow_unused=True)
        if gradient is not None:
            return layer, features.detach(), gradient
    raise ExplanationError(f"{name} has no class activation map: no convolution leads to its logit")


@contextmanager
def _recorded(detector: nn.Module) -> Iterator[Maps]:
    """What the network's parts put out that are maps, in order, from the first convolution on."""
    maps: Maps = []
    convolved = False

    def note(name: str, part: nn.Module, output: object) -> None:
        nonlocal convolved
        convolved = convolved or isinstance(part, nn.Conv2d)
        is_map = isinstance(output, Tensor) and output.dim() == 4 and min(output.shape[-2:]) > 1
        if convolved and is_map and output.requires_grad:  # type: ignore[attr-defined]
            maps.append((name, output))  # type: ignore[arg-type]

    handles = [
        part.register_forward_hook(lambda part, _, output, name=name: note(name, part, output))
        for name, part in detector.named_modules()
        if name
    ]
    try:
        yield maps
    finally:
        for handle in handles:
            handle.remove()
