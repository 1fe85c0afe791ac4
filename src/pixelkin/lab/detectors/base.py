"""The one interface that every system fits."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pixelkin.tiles import sigmoid
from pixelkin.types import Picture

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


@dataclass(frozen=True, slots=True, kw_only=True)
class Paper:
    """Where a system comes from.

    Attributes:
        name: registered name; lower case, the file's name.
        title: of the paper.
        reference: arXiv identifier, or DOI.
        year: of first publication.
    """

    name: str
    title: str
    reference: str
    year: int


class Detector(nn.Module, ABC):
    """One method of telling generated images from real ones.

    A system writes two functions: `prepare`, for one picture, on a CPU worker; and `forward`, for a
    batch, on the device. Logits above zero mean "generated". All fitted numbers, a classical
    method's too, are parameters or buffers, so every detector saves as one safetensors file.
    """

    card: ClassVar[Paper]
    statistics: ClassVar[tuple[tuple[float, ...], tuple[float, ...]]] = IMAGENET

    @abstractmethod
    def prepare(self, picture: Picture) -> Tensor:
        """Crop, resize and normalise one picture; returns (C, H, W) float32."""

    @abstractmethod
    def forward(self, batch: Tensor) -> Tensor:
        """Logits, shape (B,), of a batch of prepared pictures, shape (B, C, H, W)."""

    def normalise(self, pixels: Tensor) -> Tensor:
        """uint8 pixels (..., 3, H, W), 0..255, to float32 by the mean and deviation of `statistics`.

        The exported graph starts here: a system whose `prepare` does more cannot pass the parity gate.
        """
        mean, deviation = (torch.tensor(v, device=pixels.device).view(3, 1, 1) for v in self.statistics)
        return (pixels.float() / 255 - mean) / deviation

    def loss(self, batch: Tensor, labels: Tensor) -> Tensor:
        """Training loss, a scalar; ``labels`` has shape (B,), 1 for generated."""
        return F.binary_cross_entropy_with_logits(self(batch), labels.float())

    def patch_logits(self, batch: Tensor) -> Tensor | None:
        """Logits per patch, shape (B, h, w), where the system has them; feeds the heatmap."""
        del batch
        return None

    @torch.inference_mode()
    def logit(self, picture: Picture) -> float:
        """The logit of one picture of any size, unbounded."""
        device = next(iter(self.state_dict().values())).device
        return float(self(self.prepare(picture)[None].to(device)))

    def log_odds(self, pictures: Sequence[Picture]) -> list[float]:
        """The logit of each picture of any size, in order."""
        return [self.logit(picture) for picture in pictures]

    def score(self, pictures: Sequence[Picture]) -> list[float]:
        """One score in [0, 1] for each picture of any size, in order."""
        return [float(sigmoid(logit)) for logit in self.log_odds(pictures)]


def to_tensor(picture: Picture) -> Tensor:
    """The pixels as a uint8 tensor, shape (3, H, W)."""
    return torch.from_numpy(picture.pixels).permute(2, 0, 1).contiguous()
