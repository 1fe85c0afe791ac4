"""GANDetection: five networks, each the judge of many patches.

Mandelli, Bonettini, Bestagini and Tubaro, "Detecting GAN-generated Images by Orthogonal Training of
Multiple CNNs", ICIP 2022, arXiv 2203.02246.

Five EfficientNet-B4 are trained on data that differ, and look at a picture's 128 x 128 patches: the
first at 200 random ones, the others at a grid aligned with JPEG's blocks. They are asked
asymmetrically: one patch that looks generated makes the picture so (`picture_scores`).
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pixelkin import degrade
from pixelkin.errors import ConfigError, MissingWeightsError
from pixelkin.images import from_pixels
from pixelkin.lab.backbones import EfficientNet
from pixelkin.lab.detectors.base import IMAGENET, Detector, Paper, to_tensor
from pixelkin.lab.external import ASSETS, Store, located
from pixelkin.lab.weights import Tensors, load_official, load_strictly
from pixelkin.types import Picture, Pixels

LETTERS = "ABCDE"
CROPS = 200
BLOCK = 8  # side of a JPEG block, pixels
TOGETHER = 32  # patches that pass a network at a time when nothing is learnt: bounds the memory


class GANDetection(Detector):
    """Five EfficientNets over patches.

    Args:
        variant: of the networks; the paper's is ``"b4"``.
        patch: side of a patch, pixels, 64 or more.
        patches: of each network and picture at the most, evenly out of the grid; 0 for all.
    """

    card = Paper(
        name="gandetection",
        title="Detecting GAN-generated Images by Orthogonal Training of Multiple CNNs",
        reference="2203.02246",
        year=2022,
        label="GANDetection",
        looks_at="128 x 128 patches at native scale",
        idea=(
            "Five EfficientNet-B4, each trained differently, look at many patches of a picture. One patch "
            "that looks generated is enough for a network to call the picture so, with the greatest "
            "generated logit as its score; otherwise its score is the greatest real logit, negative. The "
            "picture's logit is the mean of the five scores."
        ),
        parameters=87_761_010,
        checkpoints=tuple(f"gandetection-{letter.lower()}" for letter in LETTERS),
        choices=(
            "The official program only tests. Here each network trains on its own fifth of every batch, by "
            "position (not disjoint over epochs, as the authors' data were), with its own degradation of "
            "its patches, at even odds: none, JPEG, a change of size, blur, or any of these; the loss is "
            "the mean patch-wise cross-entropy of the five, which start from random values. The first "
            "network's crops are drawn by the picture's content, so that scores depend neither on order nor "
            "on a seed. The grid's strides are 8 at the least, where the official program stops below 148 x "
            "138 pixels; a side under a patch is filled by repetition; a picture of just one patch is one "
            "patch for all five."
        ),
        no_export=(
            "its patches lie where a picture's size and content put them, so no graph of single tiles "
            "answers as it does"
        ),
    )
    whole = True

    def __init__(self, variant: str = "b4", patch: int = 128, patches: int = 0) -> None:
        if patch < 64:
            raise ConfigError(f"patch is a side of 64 pixels or more, not {patch}")
        if patches < 0:
            raise ConfigError(f"patches is 0, for all, or a number above it, not {patches}")
        super().__init__()
        self.variant, self.patch, self.patches = variant, patch, patches
        self.crops = min(CROPS, patches or CROPS)
        # B4's paddings are those that efficientnet-pytorch plans for its own 380 pixels, at any size.
        side = 380 if variant == "b4" else None
        self.networks = nn.ModuleList(EfficientNet(variant, padded_for=side) for _ in LETTERS)

    def prepare(self, picture: Picture) -> Tensor:
        """The crops of the first network, then the patches of the others, (n, 3, patch, patch)."""
        missing = [(0, max(self.patch - side, 0)) for side in picture.pixels.shape[:2]]
        pixels = np.pad(picture.pixels, [*missing, (0, 0)], "wrap")
        height, width = pixels.shape[:2]
        grid = evenly(grid_corners(height, width, self.patch), self.patches)
        alone = height == width == self.patch
        crops = grid if alone else random_corners(pixels, self.patch, self.crops)
        shown = self.normalise(to_tensor(from_pixels(pixels)))
        return torch.stack([shown[:, y : y + self.patch, x : x + self.patch] for y, x in crops + grid])

    def forward(self, batch: Tensor) -> Tensor:
        return self.network_scores(batch).mean(-1)

    def network_scores(self, batch: Tensor) -> Tensor:
        """The score of each network, (B, 5), for prepared pictures (B, n, 3, patch, patch)."""
        sets = self._sets(batch)
        logits = [self._logits(*each) for each in zip(self.networks, sets, strict=True)]
        return torch.stack([picture_scores(each) for each in logits], -1)

    def loss(self, batch: Tensor, labels: Tensor) -> Tensor:
        losses = []
        for place, (network, patches) in enumerate(zip(self.networks, self._sets(batch), strict=True)):
            # A batch too small to be shared out is shown to all.
            own = slice(place, None, len(LETTERS)) if len(batch) >= len(LETTERS) else slice(None)
            shown = _degraded(patches[own], place) if self.training else patches[own]
            logits = network(shown.flatten(0, 1))
            losses.append(F.cross_entropy(logits, labels[own].long().repeat_interleave(patches.shape[1])))
        return torch.stack(losses).mean()

    def equip(self, store: Store, *, fresh: bool) -> None:
        if fresh and self.variant == "lite0":
            for network in self.networks:
                store.begin("efficientnet-lite0-imagenet", network, head=("_fc.",))

    def load_checkpoint(self, path: Path) -> None:
        """Load the five published files, strictly.

        Args:
            path: the folder that holds them, or one of them.

        Raises:
            MissingWeightsError: one is not there.
            WeightsError: one is no checkpoint of this system; nothing is then changed.
        """
        folder = path if path.is_dir() else path.parent
        found: Tensors = {}
        for place, name in enumerate(self.card.checkpoints):
            file = located(ASSETS[name], folder)
            if file is None:
                raise MissingWeightsError(
                    f"{name} is not in {folder}: the published system is five files, among them "
                    f"{ASSETS[name].file}, from {ASSETS[name].published}"
                )
            tensors = self.from_official(load_official(file))
            found |= {f"networks.{place}.{key}": value for key, value in tensors.items()}
        load_strictly(self, found, path)

    def from_official(self, tensors: Tensors) -> Tensors:
        """The tensors of one of the five files, by the names of one network."""
        return {
            name.removeprefix("efficientnet.").replace("classifier.", "_fc."): value
            for name, value in tensors.items()
        }

    def _sets(self, batch: Tensor) -> list[Tensor]:
        """The patches of each network, (B, n, 3, patch, patch), of what `prepare` put into one tensor."""
        # A picture of one patch has one crop and one place in the grid: two in all.
        crops = min(self.crops, batch.shape[1] - 1)
        return [batch[:, :crops]] + [batch[:, crops:]] * (len(LETTERS) - 1)

    def _logits(self, network: nn.Module, patches: Tensor) -> Tensor:
        """Logits (B, n, 2) of patches (B, n, 3, patch, patch)."""
        parts = [network(part) for part in torch.split(patches.flatten(0, 1), TOGETHER)]
        return torch.cat(parts).view(*patches.shape[:2], -1)


def picture_scores(logits: Tensor) -> Tensor:
    """One network's score of each picture, (B,), from its patches' logits; Sec. 3 of the paper.

    With any patch's generated logit above its real one, the greatest generated logit; otherwise the
    greatest real logit, negative.

    Args:
        logits: shape (B, n, 2): real, generated.
    """
    real, generated = logits.unbind(-1)
    return torch.where((generated > real).any(-1), generated.amax(-1), -real.amax(-1))


def grid_corners(height: int, width: int, patch: int) -> list[tuple[int, int]]:
    """Top left corners of the regular grid, on JPEG's blocks, about 200 (official program).

    Args:
        height: of the picture, pixels, ``patch`` or more.
        width: of the picture, pixels, ``patch`` or more.
        patch: side of a patch, pixels.
    """
    down, right = (
        max(-(-((side - patch) // steps) // BLOCK) * BLOCK, BLOCK)
        for side, steps in ((height, 20), (width, 10))
    )
    return [(y, x) for y in range(0, height - patch + 1, down) for x in range(0, width - patch + 1, right)]


def random_corners(pixels: Pixels, patch: int, count: int) -> list[tuple[int, int]]:
    """Corners of ``count`` patches, drawn by the content of a picture, uint8 (H, W, 3), alone."""
    digest = hashlib.sha256(f"{pixels.shape}".encode() + pixels.tobytes()).digest()
    rng = np.random.default_rng(np.frombuffer(digest, np.uint32))
    room = np.array(pixels.shape[:2]) - patch + 1
    return [(int(y), int(x)) for y, x in rng.integers(room, size=(count, 2))]


def evenly(corners: list[tuple[int, int]], most: int) -> list[tuple[int, int]]:
    """``most`` of the corners, from the first to the last at even steps; all for 0."""
    if most == 0 or most >= len(corners):
        return corners
    return [corners[place] for place in np.linspace(0, len(corners) - 1, most).round().astype(int)]


def _degraded(patches: Tensor, network: int) -> Tensor:
    """Normalised patches (B, n, 3, h, w), each through `degrade_one`."""
    mean, deviation = (torch.tensor(v, device=patches.device).view(3, 1, 1) for v in IMAGENET)
    levels = ((patches.flatten(0, 1) * deviation + mean) * 255).round().clamp(0, 255)
    rng = np.random.default_rng(int(torch.randint(2**31, ())))
    pixels = [degrade_one(each, network, rng) for each in levels.byte().permute(0, 2, 3, 1).cpu().numpy()]
    shown = torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2).to(patches.device)
    return ((shown.float() / 255 - mean) / deviation).view_as(patches)


def degrade_one(pixels: Pixels, network: int, rng: np.random.Generator) -> Pixels:
    """A patch, uint8 (h, w, 3), or at even odds what a network's own degradation makes of it.

    Args:
        pixels: the patch.
        network: 0 leaves it, 1 compresses, 2 resizes there and back, 3 blurs, 4 does any of these.
        rng: where chance comes from.
    """
    kind = int(rng.integers(4)) if network == 4 else network
    if kind == 0 or rng.random() < 0.5:
        return pixels
    if kind == 1:
        return degrade.jpeg(pixels, rng.uniform(40, 100))
    if kind == 2:
        smaller = degrade.resize(pixels, rng.uniform(0.5, 1))
        return degrade.resize_to(smaller, *pixels.shape[:2])
    return degrade.blur(pixels, rng.uniform(0, 2))
