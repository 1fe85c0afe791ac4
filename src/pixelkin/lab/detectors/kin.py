"""Kin: Pixelkin's own small network, the system of the shipped model.

What the paper's relation needs, a picture at its native scale, is kept; what it lacks is added: a
training set of many generators, both labels through the same random histories, and a trunk that sees
so many more crops in an hour of two cores as its arithmetic is cheaper. Which views and which trunk is
settled by experiment (docs/experiments.md), and stays a pair of options.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pixelkin.lab.backbones.ferret import STATISTICS, FerretTrunk, trunk_and_head
from pixelkin.lab.backbones.small import ImageNetTrunk, small_trunk
from pixelkin.lab.detectors.base import Detector, Paper, standardised, to_tensor
from pixelkin.lab.external import Store
from pixelkin.lab.representations.views import VIEWS, check_views
from pixelkin.lab.weights import Tensors, load_strictly
from pixelkin.types import Picture

LITE0, FERRETNET = "efficientnet-lite0-imagenet", "ferretnet-s"
OUTSIDE = 23, 64  # so much of a side is left off at each end of what the traces are sought in
SAY = 0.2  # of FerretNet's published logit in the first sum


class Kin(Detector):
    """A small trunk on views of native-scale pixels, and beside it, where asked for, one for clean traces.

    Args:
        views: names of `VIEWS`, laid beside one another.
        trunk: a name that `small_trunk` knows.
        traces: a second branch, FerretNet's, on the middle of each tile: its features stand beside the
            trunk's before the head. It begins from FerretNet's published weights, its part of the head from
            `SAY` times theirs.
        hold: the trunk keeps the weights that it begins with, and only the traces and the head learn.
    """

    card = Paper(
        name="kin",
        title="Pixelkin's own detector",
        reference="2312.10461",
        year=2026,
        label="Kin",
        looks_at="native-scale pixels, or what filters leave of them",
        idea=(
            "A small residual network looks at tiles at native scale, never resized, and its logit is the "
            "score. It learns from many generators; every training picture, real or generated, passes "
            "the same random history of resizing, cropping and compression, so that no history gives a "
            "label away."
        ),
        parameters=524_017,
        needs=(LITE0,),
        choices="No paper's system; the reference is to the paper whose idea it carries on.",
    )
    statistics = ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))  # views scale what they show

    def __init__(
        self,
        views: tuple[str, ...] = ("pixels",),
        trunk: str = "lite0",
        traces: bool = False,
        hold: bool = False,
    ) -> None:
        check_views(views)
        super().__init__()
        self.views, self.kind, self.hold = views, trunk, hold
        self.trunk, self.channels = small_trunk(trunk, sum(VIEWS[name].channels for name in views))
        self.traces = FerretTrunk() if traces else None
        self.dropout = nn.Dropout(0.2)
        self.head = nn.Linear(self.channels + (FerretTrunk.CHANNELS if traces else 0), 1)

    def equip(self, store: Store, *, fresh: bool) -> None:
        if fresh and isinstance(self.trunk, ImageNetTrunk) and (tensors := store.tensors(LITE0)) is not None:
            self.trunk.begin_from(tensors, LITE0)
        if fresh:
            self._begin_traces(store)

    def groups(self) -> list[dict[str, Any]]:
        held = set(self.trunk.parameters()) if self.hold else set()
        return [{"params": [p for p in self.parameters() if p not in held]}]

    def begin_from(self, tensors: Tensors, store: Store, where: object) -> None:
        """As `Detector.begin_from`; a network with traces may begin from one without."""
        if self.traces is None or any(name.startswith("traces.") for name in tensors):
            load_strictly(self, tensors, where)
            return
        load_strictly(plain := Kin(self.views, self.kind), tensors, where)
        self._begin_traces(store)
        with torch.no_grad():
            self.head.weight[:, : self.channels] = plain.head.weight
            self.head.bias.add_(plain.head.bias)
        self.trunk.load_state_dict(plain.trunk.state_dict())

    @torch.no_grad()
    def _begin_traces(self, store: Store) -> None:
        """FerretNet's published weights, where there is the branch and they are to be had."""
        if self.traces is not None and (tensors := store.tensors(FERRETNET)) is not None:
            trunk, head = trunk_and_head(tensors)
            load_strictly(self.traces, trunk, FERRETNET)
            self.head.weight[:, self.channels :] = SAY * head["1.weight"]
            self.head.bias.copy_(SAY * head["1.bias"])

    def prepare(self, picture: Picture) -> Tensor:
        return self.normalise(to_tensor(picture))

    def forward(self, batch: Tensor) -> Tensor:
        features = self._maps(batch).mean((-2, -1))
        if self.traces is not None:
            features = torch.cat([features, self._traces(self.traces, batch)], 1)
        return self.head(self.dropout(features)).squeeze(-1)

    def patch_logits(self, batch: Tensor) -> Tensor:
        """What the head says of each place of the last map, shape (B, h, w); their mean is the logit.

        What it says of the traces is said of every place alike.
        """
        weight, bias = self.head.weight[:, : self.channels, None, None], self.head.bias
        votes = F.conv2d(self._maps(batch), weight, bias).squeeze(1)
        if self.traces is None:
            return votes
        of_traces = F.linear(self._traces(self.traces, batch), self.head.weight[:, self.channels :])
        return votes + of_traces[:, :, None]

    def _maps(self, batch: Tensor) -> Tensor:
        seen = [VIEWS[name].function(batch) for name in self.views]
        with torch.set_grad_enabled(torch.is_grad_enabled() and not (self.hold and self.training)):
            return self.trunk(torch.cat(seen, 1) if len(seen) > 1 else seen[0])

    def _traces(self, trunk: FerretTrunk, batch: Tensor) -> Tensor:
        """Features (B, 128) of the middle of each tile: most of what the whole tells, within the cost."""
        top, left = (side * OUTSIDE[0] // OUTSIDE[1] for side in batch.shape[-2:])
        middle = batch[..., top : batch.shape[-2] - top, left : batch.shape[-1] - left]
        return trunk(standardised(middle, STATISTICS))
