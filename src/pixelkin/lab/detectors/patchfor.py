"""Patchfor: patch-wise forensics with a truncated Xception.

Chai et al., "What makes fake images detectable? Understanding properties that generalize", ECCV
2020, arXiv 2008.10588. A network cut early sees small patches only, cannot learn what a picture
shows, and so learns what its texture is like; every patch of a picture is judged, and they vote.
"""

from __future__ import annotations

from typing import ClassVar, Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pixelkin.errors import ConfigError
from pixelkin.lab.backbones import XCEPTION_CHANNELS, Xception
from pixelkin.lab.detectors.base import SIGNED, Detector, Paper, to_tensor
from pixelkin.lab.weights import Tensors
from pixelkin.types import Picture

Vote = Literal["after", "before", "fraction"]


class Patchfor(Detector):
    """Xception up to a block, then two classes for each place of its map.

    Args:
        blocks: of Xception that are kept, 1..5.
        vote: how patches become one score: the mean of their softmaxes (``"after"``), the softmax
            of their mean logits (``"before"``), or the share of them that say generated
            (``"fraction"``).

    Attributes:
        receptive_fields: side of the patch that one logit sees, pixels, by ``blocks``.
    """

    card = Paper(
        name="patchfor",
        title="What makes fake images detectable? Understanding properties that generalize",
        reference="2008.10588",
        year=2020,
        label="Patchfor",
        looks_at="patches of 43 x 43 RGB pixels",
        idea=(
            "An Xception cut after its second block gives two class logits for every patch of 43 x 43 "
            "pixels, and cross-entropy is taken on each. So small a view holds texture and no content, "
            "which makes what is learnt general. The score is the mean over all patches of the probability "
            "of being generated."
        ),
        parameters=191_330,
        choices=(
            "Two blocks, the official example's, since the table's rows do not say which. A recipe's "
            "pictures are resized by Pillow's bilinear filter, the official program's by Lanczos, and it "
            "crops the middle. Batches are drawn at random, not half and half, and validation counts "
            "pictures, not patches. A vote by fraction counts at least half a patch for either side, so "
            "that its logit is finite; a patch whose classes tie says real. Class 1 is generated, while it "
            "is class 0 in the official files."
        ),
    )
    statistics = SIGNED
    receptive_fields: ClassVar[dict[int, int]] = {1: 19, 2: 43, 3: 91, 4: 187, 5: 283}

    def __init__(self, blocks: int = 2, vote: Vote = "after") -> None:
        if blocks not in self.receptive_fields:
            raise ConfigError(f"Patchfor keeps 1 to {len(self.receptive_fields)} blocks, not {blocks!r}")
        if vote not in get_args(Vote):
            raise ConfigError(f"patches vote {', '.join(get_args(Vote))}, not {vote!r}")
        super().__init__()
        self.blocks, self.vote = blocks, vote
        self.trunk = Xception(last_block=blocks)
        self.convout = nn.Conv2d(XCEPTION_CHANNELS[blocks], 2, 1)
        initialise(self)

    def prepare(self, picture: Picture) -> Tensor:
        return self.normalise(to_tensor(picture))

    def classes(self, batch: Tensor) -> Tensor:
        """Logits of real and generated for every patch, shape (B, 2, h, w), of prepared pictures."""
        return self.convout(self.trunk(batch))

    def patch_logits(self, batch: Tensor) -> Tensor:
        real, generated = self.classes(batch).unbind(1)
        return generated - real

    def forward(self, batch: Tensor) -> Tensor:
        return joined(self.patch_logits(batch).flatten(1), self.vote)

    def loss(self, batch: Tensor, labels: Tensor) -> Tensor:
        classes = self.classes(batch)
        wanted = labels.long()[:, None, None].expand(-1, *classes.shape[-2:])
        return F.cross_entropy(classes, wanted)

    def from_official(self, tensors: Tensors) -> Tensors:
        # There class 0 is generated.
        head = {name: value.flip(0) for name, value in tensors.items() if name.startswith("convout.")}
        return {f"trunk.{name}": value for name, value in tensors.items() if name not in head} | head


def joined(logits: Tensor, vote: Vote) -> Tensor:
    """The log-odds of a picture from those of its patches (section 3.2 of the paper; official program).

    ``"after"`` is the log-odds of the mean of the patches' probabilities, computed from logarithms,
    so that it is exact where these would round to 0 or 1.

    Args:
        logits: of the patches, shape (B, n); above zero is generated.
        vote: as in `Patchfor`.

    Returns:
        Shape (B,); finite.
    """
    if vote == "before":
        return logits.mean(1)
    if vote == "after":
        return torch.logsumexp(-F.softplus(-logits), 1) - torch.logsumexp(-F.softplus(logits), 1)
    generated = (logits > 0).float()
    return generated.sum(1).clamp(min=0.5).log() - (1 - generated).sum(1).clamp(min=0.5).log()


def initialise(module: nn.Module) -> None:
    """Convolutions Xavier normal of gain 0.02, batch norms N(1, 0.02), biases zero (official program)."""
    for part in module.modules():
        if isinstance(part, nn.Conv2d):
            nn.init.xavier_normal_(part.weight, gain=0.02)
        elif isinstance(part, nn.BatchNorm2d):
            nn.init.normal_(part.weight, 1.0, 0.02)
        else:
            continue
        if part.bias is not None:
            nn.init.zeros_(part.bias)
