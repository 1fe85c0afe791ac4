"""DIRE: diffusion reconstruction error.

Wang et al., "DIRE for Diffusion-Generated Image Detection", ICCV 2023, arXiv 2303.09295.

A picture is taken to noise and back by the deterministic DDIM of a diffusion model; a ResNet-50
classifies the error of the result, |x - x_rec| (Eq. 5): 23,510,081 parameters.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from pixelkin.degrade import resize_to
from pixelkin.errors import ConfigError
from pixelkin.images import from_pixels
from pixelkin.lab.backbones import ResNet50
from pixelkin.lab.detectors.base import IMAGENET, SIGNED, Detector, Paper, standardised, to_tensor
from pixelkin.lab.external import Frozen, Store
from pixelkin.lab.frozen.denoiser import load_small
from pixelkin.lab.frozen.diffusion import invert, load_adm, reconstruct, timesteps
from pixelkin.lab.weights import Tensors, sha256_of
from pixelkin.types import Picture, Pixels

ADM, FIRST = "adm-unconditional-256", "resnet50-imagenet"


class DIRE(Detector):
    """ResNet-50 on the error of a diffusion model's reconstruction.

    Args:
        size: side that pictures are brought to before the diffusion model, pixels; a multiple of 32.
        crop: side of the part of the error map that is classified: any part in training, the middle after.
        steps: DDIM steps to noise, and as many back; a divisor of 1000.
        denoiser: file of a small denoiser made by `pixelkin.lab.frozen.denoiser`; empty for ADM.
        precomputed: pictures are error maps already, and no diffusion model is needed.
    """

    card = Paper(
        name="dire",
        title="DIRE for Diffusion-Generated Image Detection",
        reference="2303.09295",
        year=2023,
        label="DIRE",
        looks_at="the error that a diffusion model makes in reconstructing the picture",
        idea=(
            "What a diffusion model drew, a diffusion model can draw again; a photograph it only "
            "approximates. The picture is inverted to noise and reconstructed by 20 + 20 deterministic DDIM "
            "steps of ADM, and a ResNet-50 classifies the absolute error as an image; its logit is the score."
        ),
        parameters=23_510_081,
        needs=(ADM, FIRST),
        choices=(
            "Error maps are cut down to 8 bits as in the official program, and kept losslessly. The official "
            "program saves them by the source file's extension: maps of photographs became JPEG and those of "
            "generated images PNG, and its published classifiers learned that. Precomputed maps have to be "
            "lossless (PNG). With denoiser=FILE the diffusion model is a small one of our own, trained on "
            "photographs: the same algorithm, not the paper's system. The paper trains on diffusion images; "
            "any may be given here. Pictures are mirrored before the diffusion model, not after, and one "
            "place is cropped out of a whole batch of maps."
        ),
        no_export="40 passes of a diffusion model come before the classifier",
    )
    statistics = SIGNED

    def __init__(
        self,
        size: int = 256,
        crop: int = 224,
        steps: int = 20,
        denoiser: str = "",
        precomputed: bool = False,
    ) -> None:
        super().__init__()
        if size < 32 or size % 32:
            raise ConfigError(f"size is a multiple of 32, not {size}")
        if not 1 <= crop <= size:
            raise ConfigError(f"crop lies in 1 to size, here {size}, not {crop}")
        timesteps(steps)
        self.side, self.crop, self.steps = size, crop, steps
        self.denoiser, self.precomputed = denoiser, precomputed
        self.network = ResNet50()

    def prepare(self, picture: Picture) -> Tensor:
        assert self.side is not None  # noqa: S101 - for the type checker
        return self.normalise(to_tensor(from_pixels(middle_square(picture.pixels, self.side))))

    def maps(self, batch: Tensor) -> Tensor:
        """Error maps, 0..255 in whole numbers, float32, of prepared pictures; both (B, 3, size, size).

        Raises:
            MissingWeightsError: `equip` has not brought the diffusion model.
        """
        if self.precomputed:
            return ((batch + 1) * 127.5).round()
        frozen = self.through(self.denoiser or ADM)
        return frozen.kept(batch, frozen).float()

    def forward(self, batch: Tensor) -> Tensor:
        maps, room = self.maps(batch), batch.shape[-1] - self.crop
        top, left = torch.randint(room + 1, (2,)).tolist() if self.training else (room // 2, room // 2)
        cut = maps[..., top : top + self.crop, left : left + self.crop] / 255
        return self.network(standardised(cut, IMAGENET)).squeeze(-1)

    def equip(self, store: Store, *, fresh: bool) -> None:
        if fresh:
            store.begin(FIRST, self.network)
        if self.precomputed:
            return
        if self.denoiser:
            file = Path(self.denoiser)
            network: nn.Module = load_small(file)
            digest = store.used[f"denoiser {file.name}"] = sha256_of(file)
            self.attach(network, digest, store.cache)
        else:
            network = load_adm(store.tensors(ADM), ADM)
            random = ADM in store.random  # differs from run to run, so that nothing of it may be kept
            self.attach(network, store.used.get(ADM, "random"), None if random else store.cache)

    def attach(self, denoiser: nn.Module, digest: str, cache: Path | None = None) -> None:
        """Look through a denoiser.

        Args:
            denoiser: noisy pictures (B, 3, H, W) in [-1, 1] and their timestep to the noise in them.
            digest: what it is; maps are kept by it.
            cache: folder to keep them in; None to keep none.
        """
        self.frozen = Frozen(ErrorMap(denoiser, self.steps), f"dire {self.steps} {digest}", cache)

    def from_official(self, tensors: Tensors) -> Tensors:
        return {f"network.{name}": tensor for name, tensor in tensors.items()}


class ErrorMap(nn.Module):
    """|x - x_rec| as an 8-bit image: a difference of 2, black from white, is 255.

    Args:
        denoiser: noisy pictures (B, 3, H, W) in [-1, 1] and their timestep to the noise in them.
        steps: DDIM steps each way.
    """

    def __init__(self, denoiser: nn.Module, steps: int) -> None:
        super().__init__()
        self.denoiser, self.steps = denoiser, steps

    def forward(self, x: Tensor) -> Tensor:
        """Maps, uint8, of pictures in [-1, 1], float32; both (B, 3, H, W)."""
        error = x - reconstruct(self.denoiser, invert(self.denoiser, x, self.steps), self.steps)
        return (error.abs() * 127.5).clamp(0, 255).to(torch.uint8)  # cut down, as in the official program


def middle_square(pixels: Pixels, side: int) -> Pixels:
    """The middle square of a picture, uint8 (H, W, 3), brought to (side, side, 3); ADM's official program.

    Halved by averaging while both sides reach twice ``side``, then resized bicubically until the
    shorter is ``side``, then cropped; a square of that size passes untouched.
    """
    height, width = pixels.shape[:2]
    while min(height, width) >= 2 * side:
        height, width = height // 2, width // 2
        pixels = resize_to(pixels, height, width, "box")
    if min(height, width) != side:
        height, width = (round(length * side / min(height, width)) for length in (height, width))
        pixels = resize_to(pixels, height, width, "bicubic")
    top, left = (height - side) // 2, (width - side) // 2
    return pixels[top : top + side, left : left + side]
