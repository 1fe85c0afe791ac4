"""Kin: Pixelkin's own small network, the system of the shipped model.

What the paper's relation needs, a picture at its native scale, is kept; what it lacks is added: a
training set of many generators, both labels through the same random histories, and a trunk that sees
so many more crops in an hour of two cores as its arithmetic is cheaper. Which views and which trunk is
settled by experiment (docs/experiments.md), and stays a pair of options.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pixelkin.errors import ConfigError
from pixelkin.lab.backbones.small import ImageNetTrunk, small_trunk
from pixelkin.lab.detectors.base import Detector, Paper, to_tensor
from pixelkin.lab.external import Store
from pixelkin.lab.representations.views import VIEWS, check_views
from pixelkin.types import Picture

VOTINGS = ("features", "patches")
LITE0 = "efficientnet-lite0-imagenet"


class Kin(Detector):
    """A small trunk on views of native-scale pixels.

    Args:
        views: names of `VIEWS`, laid beside one another.
        trunk: a name that `small_trunk` knows.
        voting: ``features`` are averaged and judged once; or ``patches``, each place of the last map, are
            judged each, and the logits averaged.
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
        self, views: tuple[str, ...] = ("pixels",), trunk: str = "lite0", voting: str = "features"
    ) -> None:
        check_views(views)
        if voting not in VOTINGS:
            raise ConfigError(f"no voting is named {voting!r}; the names are: {', '.join(VOTINGS)}")
        super().__init__()
        self.views, self.voting = views, voting
        self.trunk, channels = small_trunk(trunk, sum(VIEWS[name].channels for name in views))
        self.dropout = nn.Dropout(0.2)
        self.head = nn.Linear(channels, 1)

    def equip(self, store: Store, *, fresh: bool) -> None:
        if fresh and isinstance(self.trunk, ImageNetTrunk) and (tensors := store.tensors(LITE0)) is not None:
            self.trunk.begin_from(tensors, LITE0)

    def prepare(self, picture: Picture) -> Tensor:
        return self.normalise(to_tensor(picture))

    def forward(self, batch: Tensor) -> Tensor:
        maps = self._maps(batch)
        if self.voting == "patches":
            return self._votes(maps).mean((-2, -1))
        return self.head(self.dropout(maps.mean((-2, -1)))).squeeze(-1)

    def patch_logits(self, batch: Tensor) -> Tensor:
        """What the head says of each place of the last map, shape (B, h, w); their mean is near the logit."""
        return self._votes(self._maps(batch))

    def _maps(self, batch: Tensor) -> Tensor:
        seen = [VIEWS[name].function(batch) for name in self.views]
        return self.trunk(torch.cat(seen, 1) if len(seen) > 1 else seen[0])

    def _votes(self, maps: Tensor) -> Tensor:
        weight, bias = self.head.weight[:, :, None, None], self.head.bias
        return F.conv2d(maps, weight, bias).squeeze(1)
