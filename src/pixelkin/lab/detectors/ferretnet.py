"""FerretNet: what a pixel is that its neighbours are not.

Liang et al., "FerretNet: Efficient Synthetic Image Detection via Local Pixel Dependencies",
NeurIPS 2025, arXiv 2509.20890. Facts of the published weights: FerretNet-S, a 3 x 3 median.
"""

from __future__ import annotations

from torch import Tensor, nn

from pixelkin.lab.backbones.ferret import STATISTICS, FerretTrunk, trunk_and_head
from pixelkin.lab.detectors.base import Detector, Paper, to_tensor
from pixelkin.lab.weights import Tensors
from pixelkin.types import Picture


class FerretNet(Detector):
    """A depthwise network on the difference of each pixel from the median of its neighbours."""

    card = Paper(
        name="ferretnet",
        title="FerretNet: Efficient Synthetic Image Detection via Local Pixel Dependencies",
        reference="2509.20890",
        year=2025,
        label="FerretNet-S",
        looks_at="differences of pixels from the median of their 3 x 3 neighbourhood",
        idea=(
            "Generators make neighbouring pixels depend on each other as cameras do not. Each pixel is "
            "replaced by its difference from the median of its neighbours; a small network of grouped "
            "and dilated convolutions classifies that map, and its logit is the score."
        ),
        parameters=126_289,
        checkpoints=("ferretnet-s",),
    )
    statistics = STATISTICS

    def __init__(self) -> None:
        super().__init__()
        self.trunk = FerretTrunk()
        self.head = nn.Sequential(nn.Dropout(0.2), nn.Linear(FerretTrunk.CHANNELS, 1))

    def prepare(self, picture: Picture) -> Tensor:
        return self.normalise(to_tensor(picture))

    def forward(self, batch: Tensor) -> Tensor:
        return self.head(self.trunk(batch)).squeeze(-1)

    def from_official(self, tensors: Tensors) -> Tensors:
        trunk, head = trunk_and_head(tensors)
        placed = {f"trunk.{name}": tensor for name, tensor in trunk.items()}
        return placed | {f"head.{name}": tensor for name, tensor in head.items()}
