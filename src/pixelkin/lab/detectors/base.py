"""The one interface that every system fits."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pixelkin.degrade import shorter_side_to
from pixelkin.errors import MissingWeightsError
from pixelkin.images import from_pixels
from pixelkin.lab.external import Frozen, Store
from pixelkin.lab.weights import Tensors, load_official, load_strictly
from pixelkin.protocol import middle
from pixelkin.tiles import repeat_up_to, sigmoid
from pixelkin.types import Picture, Pixels

Statistics = tuple[tuple[float, ...], tuple[float, ...]]  # mean and deviation of each channel, 0..1
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
LEAST = 32  # pixels: what is smaller leaves nothing of itself behind a trunk's halvings
SIGNED = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))  # to [-1, 1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Paper:
    """A system's card: where it comes from and what it is.

    Attributes:
        name: registered name; lower case, the file's name.
        title: of the paper.
        reference: arXiv identifier, or DOI.
        year: of first publication.
        label: what people call it; a reconstruction says so here.
        looks_at: what of a picture it sees, in a few words.
        idea: how it works and how its score comes about, in a few sentences.
        parameters: numbers that training sets, as constructed by default.
        needs: assets of `pixelkin.lab.external.ASSETS` that it starts from or looks through by default.
        checkpoints: assets that are the finished system, for ``evaluate --checkpoint``.
        choices: what its sources leave open and was chosen here; empty where nothing was.
        no_export: why it cannot be an ONNX file; empty where it can.
    """

    name: str
    title: str
    reference: str
    year: int
    label: str
    looks_at: str
    idea: str
    parameters: int
    needs: tuple[str, ...] = ()
    checkpoints: tuple[str, ...] = ()
    choices: str = ""
    no_export: str = ""

    @property
    def source(self) -> str:
        """Where the paper is to be found, in words."""
        kind = "DOI" if self.reference.startswith("10.") else "arXiv"
        return f"{kind} {self.reference}"


class Detector(nn.Module, ABC):
    """One method of telling generated images from real ones.

    A system writes two functions: `prepare`, for one picture, on a CPU worker; and `forward`, for a
    batch, on the device. Logits above zero mean "generated". All fitted numbers, a classical
    method's too, are parameters or buffers, so every detector saves as one safetensors file. What
    else a system may need has a default here: weights from elsewhere (`equip`), numbers fitted
    before the first step (`fit`), training images of its own making (`example`).

    Attributes:
        card: see `Paper`.
        statistics: mean and deviation of each channel, on a scale of 0..1, for `normalise`.
        whole: it looks at a picture whole and cuts it by itself; others are shown tiles.
        squeezed: its official program is shown pictures brought to 256 x 256 pixels, aspect not kept.
        from_photographs: it trains on photographs alone, half of them remade by `example`.
        fits: it has numbers that `fit` sets.
        side: height and width of the only pictures `forward` takes, pixels; None where any will do.
            `prepare` brings a picture of any size to it.
        frozen: the network of others that it looks through, where there is one.
        over_picture: the places of its feature maps are places of the picture, not frequencies.
    """

    card: ClassVar[Paper]
    whole: ClassVar[bool] = False
    squeezed: ClassVar[bool] = False
    from_photographs: ClassVar[bool] = False
    fits: ClassVar[bool] = False
    statistics: Statistics = IMAGENET
    side: int | None = None
    frozen: Frozen | None = None
    over_picture: bool = True

    @abstractmethod
    def prepare(self, picture: Picture) -> Tensor:
        """Crop, resize and normalise one picture; returns float32, of one shape for pictures of one size."""

    @abstractmethod
    def forward(self, batch: Tensor) -> Tensor:
        """Logits, shape (B,), of a batch of prepared pictures, shape (B, ...)."""

    def normalise(self, pixels: Tensor) -> Tensor:
        """uint8 pixels (..., 3, H, W), 0..255, to float32 by the mean and deviation of `statistics`."""
        return standardised(pixels.float() / 255, self.statistics)

    def from_pixels(self, tiles: Tensor) -> Tensor:
        """Logits, shape (B,), of uint8 tiles (B, 3, H, W).

        A system whose `prepare` does more than `normalise` writes its own, or cannot pass the
        parity gate.
        """
        return self(self.normalise(tiles))

    def graph(self) -> nn.Module:
        """What is exported: `from_pixels`, or a network that answers alike with less work."""
        return FromPixels(self)

    def loss(self, batch: Tensor, labels: Tensor) -> Tensor:
        """Training loss, a scalar; ``labels`` has shape (B,), 1 for generated."""
        return F.binary_cross_entropy_with_logits(self(batch), labels.float())

    def patch_logits(self, batch: Tensor) -> Tensor | None:
        """Logits per patch, shape (B, h, w), where the system has them; feeds the heatmap."""
        del batch
        return None

    def equip(self, store: Store, *, fresh: bool) -> None:
        """Take weights of others out of ``store``: frozen networks, and where ``fresh`` first values.

        Args:
            store: where they lie.
            fresh: training is about to begin; otherwise the trained numbers are loaded after this.

        Raises:
            MissingWeightsError: a file is not there, and random values were not allowed.
        """
        del store, fresh

    def begin_from(self, tensors: Tensors, store: Store, where: object) -> None:
        """Take the trained numbers of another run as first values.

        Args:
            tensors: its best weights by name.
            store: weights of others, for what a system may begin with beside them.
            where: the file's name, for the message.

        Raises:
            WeightsError: they are of another network.
            MissingWeightsError: a file of others is not there.
        """
        del store
        load_strictly(self, tensors, where)

    def through(self, what: str) -> Frozen:
        """The frozen network that the system looks through, called ``what`` where it is missing.

        Raises:
            MissingWeightsError: `equip` has not brought it.
        """
        if self.frozen is None:
            raise MissingWeightsError(f"{self.card.name} looks through {what}: `equip` it from a Store first")
        return self.frozen

    def fit(self, batches: Iterable[tuple[Tensor, Tensor]]) -> None:
        """Set what is fitted rather than descended to, from prepared training batches and labels."""
        raise NotImplementedError(f"{self.card.name} fits nothing")

    def example(self, pixels: Pixels, rng: np.random.Generator) -> Pixels:
        """A generated twin of a photograph, uint8 (H, W, 3), for systems that train on these."""
        del rng
        return pixels

    def groups(self) -> list[dict[str, Any]]:
        """What the optimiser is to step, as its parameter groups; none where `fit` does it all."""
        return [{"params": list(self.parameters())}]

    def from_official(self, tensors: Tensors) -> Tensors:
        """A published checkpoint's tensors, by the names and with the axes that this class has."""
        return tensors

    def load_checkpoint(self, path: Path) -> None:
        """Load a published checkpoint, strictly.

        Raises:
            WeightsError: it is none, or not of this system; nothing is then changed.
        """
        load_strictly(self, self.from_official(load_official(path)), path)

    @torch.inference_mode()
    def logit(self, picture: Picture) -> float:
        """The logit of one picture of any size, unbounded; one under 32 pixels is repeated up to that."""
        if min(picture.height, picture.width) < LEAST:
            picture = from_pixels(repeat_up_to(picture.pixels, LEAST))
        device = next(iter(self.state_dict().values())).device
        return float(self(self.prepare(picture)[None].to(device)))

    def log_odds(self, pictures: Sequence[Picture]) -> list[float]:
        """The logit of each picture of any size, in order."""
        return [self.logit(picture) for picture in pictures]

    def score(self, pictures: Sequence[Picture]) -> list[float]:
        """One score in [0, 1] for each picture of any size, in order."""
        return [float(sigmoid(logit)) for logit in self.log_odds(pictures)]


class FromPixels(nn.Module):
    """`Detector.from_pixels` as a network."""

    def __init__(self, detector: Detector) -> None:
        super().__init__()
        self.detector = detector

    def forward(self, tiles: Tensor) -> Tensor:
        return self.detector.from_pixels(tiles)


def squared(picture: Picture, side: int) -> Picture:
    """The shorter side brought to ``side`` by Pillow's bilinear filter, then the middle square of it.

    A picture of ``side`` x ``side`` passes untouched.
    """
    if (picture.height, picture.width) == (side, side):
        return picture
    return from_pixels(middle(shorter_side_to(picture.pixels, side), side))


def standardised(values: Tensor, statistics: Statistics) -> Tensor:
    """``values`` (..., 3, H, W), 0..1, less each channel's mean and over its deviation."""
    mean, deviation = (torch.tensor(v, device=values.device).view(3, 1, 1) for v in statistics)
    return (values - mean) / deviation


def to_tensor(picture: Picture) -> Tensor:
    """The pixels as a uint8 tensor, shape (3, H, W)."""
    return torch.from_numpy(picture.pixels).permute(2, 0, 1).contiguous()
