"""A small denoiser that DIRE can look through in ADM's stead, and its training.

    python -m pixelkin.lab.frozen.denoiser --data PHOTOGRAPHS --out FILE --minutes 6

Ho et al. 2020 (arXiv 2006.11239, Algorithm 1): a crop of a photograph is mixed with noise at a random
timestep, and the network is to tell the two apart; its error is measured on the velocity.
"""

from __future__ import annotations

import argparse
import logging
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pixelkin.data import find_images
from pixelkin.errors import ConfigError, DataError, ImageError, PixelkinError, WeightsError
from pixelkin.images import read
from pixelkin.lab.frozen.diffusion import TRAINED, levels, unet
from pixelkin.lab.weights import load_strictly, load_tensors, save_tensors
from pixelkin.types import Pixels

logger = logging.getLogger(__name__)

CROPS = 8  # cut out of each photograph that is read: decoding costs more than cutting
ATTEMPTS = 100  # photographs in a row of which none is used before training gives up
LAST = 200  # steps that the reported loss is the mean of


class SmallDenoiser(nn.Module):
    """A denoiser that two CPU cores can ask 40 times per picture.

    Cells of ``fold`` x ``fold`` pixels become channels before a small U-Net and pixels again after
    it. The U-Net predicts the velocity v (Salimans and Ho 2022, arXiv 2202.00512, Appendix D); the
    noise is sqrt(1 - a) x + sqrt(a) v, so that a network that says nothing is right for white noise.

    Args:
        widths: channels of the U-Net's levels, multiples of 8.
        fold: side of a cell, pixels. Sides of pictures are multiples of it, times 2 for each further level.
    """

    def __init__(self, widths: Sequence[int] = (48, 64), fold: int = 4) -> None:
        super().__init__()
        self.shape = {"widths": list(widths), "fold": fold}
        self.fold, depth = fold, len(widths)
        self.unet = unet(
            in_channels=3 * fold**2,
            out_channels=3 * fold**2,
            block_out_channels=tuple(widths),
            down_block_types=("DownBlock2D",) * depth,
            up_block_types=("UpBlock2D",) * depth,
            mid_block_type=None,
            layers_per_block=1,
            norm_num_groups=8,
        ).to(memory_format=torch.channels_last)
        self.register_buffer("level", levels(), persistent=False)

    def velocity(self, x: Tensor, t: Tensor) -> Tensor:
        """The network's own answer on noisy pictures (B, 3, H, W) at timesteps (B,)."""
        said = self.unet(F.pixel_unshuffle(x, self.fold), t, return_dict=False)[0]
        return F.pixel_shuffle(said, self.fold)

    def forward(self, x: Tensor, t: int) -> Tensor:
        """The noise in pictures (B, 3, H, W) at timestep ``t``."""
        level = float(self.level[t])  # type: ignore[index]
        velocity = self.velocity(x, torch.full((len(x),), t, device=x.device))
        return (1 - level) ** 0.5 * x + level**0.5 * velocity


def load_small(path: Path) -> SmallDenoiser:
    """The denoiser in a file that `train_denoiser` wrote.

    Raises:
        WeightsError: it is none.
    """
    tensors, facts = load_tensors(path)
    if "denoiser" not in facts:
        raise WeightsError(
            f"{path}: holds no denoiser: one is made by python -m pixelkin.lab.frozen.denoiser"
        )
    denoiser = SmallDenoiser(**facts["denoiser"])
    load_strictly(denoiser, tensors, path)
    return denoiser


def train_denoiser(
    data: Path,
    out: Path,
    *,
    steps: int = 100_000,
    minutes: float = 0.0,
    side: int = 64,
    batch: int = 32,
    lr: float = 3e-3,
    seed: int = 0,
) -> float:
    """Train a `SmallDenoiser` and write it to ``out``; returns the mean loss of the last steps.

    Args:
        data: folder of photographs, searched to any depth.
        out: safetensors file; its facts say how to build the network.
        steps: at the most.
        minutes: stop after so many; 0 for no bound. The step size falls linearly to zero towards the end.
        side: of a training crop, pixels; a multiple of 8.
        batch: crops per step; a multiple of 8.
        lr: Adam's first step size.
        seed: of everything random.

    Raises:
        ConfigError: ``side`` or ``batch`` is no multiple of 8.
        DataError: no image below ``data`` can be used.
    """
    if side % 8 or batch % CROPS or min(side, batch) < 8:
        raise ConfigError(f"side and batch are multiples of 8, not {side} and {batch}")
    photographs, rng = find_images(data), np.random.default_rng(seed)
    torch.manual_seed(seed)
    network = SmallDenoiser()
    adam = torch.optim.Adam(network.parameters(), lr)
    losses: list[float] = []
    began, done = time.monotonic(), 0.0
    while done < 1:
        crops = torch.from_numpy(_crops(photographs, batch, side, rng)).permute(0, 3, 1, 2)
        loss = velocity_loss(network, crops / 127.5 - 1)
        adam.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        adam.param_groups[0]["lr"] = lr * (1 - done)
        adam.step()
        losses.append(float(loss.detach()))
        spent = (time.monotonic() - began) / 60
        done = max(len(losses) / steps, spent / minutes if minutes else 0.0)
        if len(losses) % LAST == 0:
            logger.info("step %d, %.1f minutes, loss %.4f", len(losses), spent, np.mean(losses[-LAST:]))
    final = float(np.mean(losses[-LAST:]))
    trained = {"steps": len(losses), "loss": final, "side": side, "batch": batch, "lr": lr, "seed": seed}
    out.parent.mkdir(parents=True, exist_ok=True)
    save_tensors(out, network.state_dict(), {"denoiser": network.shape, "trained": trained})
    return final


def velocity_loss(network: SmallDenoiser, x: Tensor) -> Tensor:
    """Mean squared error of the velocity at random timesteps, of pictures (B, 3, H, W) in [-1, 1].

    The velocity is sqrt(a) noise - sqrt(1 - a) x (Salimans and Ho 2022, Appendix D).
    """
    t, noise = torch.randint(TRAINED, (len(x),)), torch.randn_like(x)
    a = levels()[t].float().view(-1, 1, 1, 1)
    said = network.velocity(a.sqrt() * x + (1 - a).sqrt() * noise, t)
    return F.mse_loss(said, a.sqrt() * noise - (1 - a).sqrt() * x)


def _crops(photographs: list[Path], count: int, side: int, rng: np.random.Generator) -> Pixels:
    """Random crops, uint8 (count, side, side, 3), half of them mirrored; smaller photographs give none."""
    crops: list[Pixels] = []
    for _ in range(ATTEMPTS if photographs else 0):
        try:
            pixels = read(photographs[rng.integers(len(photographs))]).pixels
        except ImageError as error:
            logger.warning("training goes on without an image: %s", error)
            continue
        if min(pixels.shape[:2]) < side:
            continue
        for _ in range(CROPS):
            top, left = (int(rng.integers(length - side + 1)) for length in pixels.shape[:2])
            crops.append(pixels[top : top + side, left : left + side, :][:, :: int(rng.choice([1, -1]))])
        if len(crops) == count:
            return np.stack(crops)
    raise DataError(
        f"{len(photographs)} photographs give no crops: {side} pixels and readable they have to be"
    )


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m pixelkin.lab.frozen.denoiser", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of photographs")
    parser.add_argument("--out", type=Path, required=True, help="safetensors file to write")
    parser.add_argument("--minutes", type=float, default=6.0, help="stop after so many")
    parser.add_argument("--steps", type=int, default=100_000, help="stop after so many")
    parser.add_argument("--side", type=int, default=64, help="side of a crop, pixels")
    parser.add_argument("--batch", type=int, default=32, help="crops per step")
    parser.add_argument("--seed", type=int, default=0)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        train_denoiser(**vars(parser.parse_args()))
    except PixelkinError as error:
        parser.exit(1, f"{error}\n")


if __name__ == "__main__":
    main()
