"""Simulated up-samplers: small decoders whose output carries the trace of how they up-sample.

Sec. 3.3 of Tan et al. 2024 (arXiv 2312.10461) says that generated images differ from photographs by
the layers that enlarge feature maps near a generator's end. A small auto-encoder ends in the same
layers, so what it makes of a photograph shows the photograph's content and the decoder's trace. Each
is drawn at random (operator, factor, widths, activation) and trained for moments on photographs: how
long, and so how well it paints, is drawn too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pixelkin.data import find_images
from pixelkin.errors import ConfigError, DataError, ImageError
from pixelkin.images import read
from pixelkin.tiles import repeat_to
from pixelkin.types import Pixels

OPERATORS = ("nearest", "bilinear", "transposed", "shuffle")
VARIANTS = 4  # decoders of each operator
CROP, BATCH, PHOTOGRAPHS = 96, 4, 200


@dataclass(frozen=True, slots=True)
class Generator:
    """Something that makes a generated image of a photograph, or out of noise.

    Attributes:
        name: a source's name.
        make: of a square, uint8 (s, s, 3), and a seed, the generated square.
    """

    name: str
    make: Callable[[Pixels, int], Pixels]


@dataclass(frozen=True, slots=True)
class Plan:
    """A simulated up-sampler's shape, drawn at random.

    Attributes:
        operator: a name of `OPERATORS`.
        stages: times it doubles the side, 1 to 3.
        latent: channels of the code.
        width: channels before the last layer.
        kernel: side of the transposed convolutions, or of the convolutions after the others, pixels.
        smooth: SiLU activations instead of ReLU.
        steps: of training.
    """

    operator: str
    stages: int
    latent: int
    width: int
    kernel: int
    smooth: bool
    steps: int


def draw_plan(operator: str, rng: np.random.Generator) -> Plan:
    """A plan with ``operator``, the rest by chance."""
    stages = int(rng.integers(1, 4))
    return Plan(
        operator=operator,
        stages=stages,
        latent=int(rng.choice([8, 12, 16])) * stages,
        width=int(rng.choice([16, 24, 32])),
        kernel=int(rng.choice([2, 4] if operator == "transposed" else [3, 5])),
        smooth=bool(rng.random() < 0.5),
        steps=int(rng.integers(150, 500)),
    )


class UpSampler(nn.Module):
    """An auto-encoder: strided convolutions down to a code, the plan's operator up to pixels."""

    def __init__(self, plan: Plan) -> None:
        super().__init__()
        activation = nn.SiLU if plan.smooth else nn.ReLU
        down: list[nn.Module] = []
        for stage in range(plan.stages):
            down += [nn.Conv2d(plan.width if stage else 3, plan.width, 4, 2, 1), activation()]
        self.encoder = nn.Sequential(*down, nn.Conv2d(plan.width, plan.latent, 3, padding=1))
        up: list[nn.Module] = [nn.Conv2d(plan.latent, plan.width, 3, padding=1), activation()]
        for _ in range(plan.stages):
            up += [doubled(plan), activation()]
        self.decoder = nn.Sequential(*up, nn.Conv2d(plan.width, 3, 3, padding=1))

    def forward(self, batch: Tensor) -> Tensor:
        """What the decoder makes of pictures (B, 3, H, W), 0..1, sides multiples of 8; same shape."""
        return self.decoder(self.encoder(batch - 0.5)) + 0.5


def doubled(plan: Plan) -> nn.Module:
    """Layers that double the side of maps of the plan's width."""
    width, pad = plan.width, plan.kernel // 2
    match plan.operator:
        case "transposed":
            return nn.ConvTranspose2d(width, width, plan.kernel, 2, (plan.kernel - 2) // 2)
        case "shuffle":
            return nn.Sequential(nn.Conv2d(width, 4 * width, plan.kernel, padding=pad), nn.PixelShuffle(2))
        case operator if operator in OPERATORS:
            return nn.Sequential(
                nn.Upsample(scale_factor=2, mode=operator), nn.Conv2d(width, width, plan.kernel, padding=pad)
            )
    raise ConfigError(f"no up-sampling is named {plan.operator!r}; the names are: {', '.join(OPERATORS)}")


def trained(plan: Plan, photographs: Tensor, seed: int) -> UpSampler:
    """An up-sampler trained to rebuild random crops of ``photographs``, uint8 (n, 3, h, w), by L1."""
    torch.manual_seed(seed)
    chance = torch.Generator().manual_seed(seed)
    network = UpSampler(plan)
    optimiser = torch.optim.Adam(network.parameters(), 3e-3)
    side = 64
    for step in range(plan.steps):
        for group in optimiser.param_groups:
            group["lr"] = 3e-3 * (1 - step / plan.steps)
        chosen = torch.randint(len(photographs), (BATCH,), generator=chance)
        top, left = torch.randint(photographs.shape[-1] - side + 1, (2,), generator=chance).tolist()
        batch = photographs[chosen, :, top : top + side, left : left + side].float() / 255
        optimiser.zero_grad()
        torch.autograd.backward(F.l1_loss(network(batch), batch))
        optimiser.step()
    return network.eval()


def simulators(photographs: Path, seed: int, names: Sequence[str] = ()) -> Iterator[Generator]:
    """`VARIANTS` simulated up-samplers of each operator, trained one after the other.

    Args:
        photographs: a folder of them, to train on.
        seed: of everything.
        names: these only, as in ``simulated-nearest-0``; empty for all.

    Raises:
        ConfigError: none has a name.
        DataError: the folder has no readable photograph.
    """
    known = {f"simulated-{operator}-{n}": (operator, n) for n in range(VARIANTS) for operator in OPERATORS}
    if unknown := sorted(set(names) - set(known)):
        raise ConfigError(f"there is no {', '.join(unknown)}; the names are: {', '.join(known)}")
    crops = _crops(photographs, seed)
    for name in names or known:
        operator, place = known[name]
        own = np.random.default_rng([seed, OPERATORS.index(operator), place])
        network = trained(draw_plan(operator, own), crops, int(own.integers(2**31)))

        def make(pixels: Pixels, seed: int, network: UpSampler = network) -> Pixels:
            del seed
            return painted(network, pixels)

        yield Generator(name, make)


@torch.inference_mode()
def painted(network: UpSampler, pixels: Pixels) -> Pixels:
    """What an up-sampler makes of one picture, uint8 (H, W, 3), sides multiples of 8."""
    batch = torch.from_numpy(pixels.transpose(2, 0, 1)[None].copy()).float() / 255
    made = network(batch)[0].clamp(0, 1).mul(255).round().to(torch.uint8)
    return np.ascontiguousarray(made.permute(1, 2, 0).numpy())


def _crops(photographs: Path, seed: int) -> Tensor:
    """Up to `PHOTOGRAPHS` squares, uint8 (n, 3, CROP, CROP)."""
    files = find_images(photographs)
    rng = np.random.default_rng(seed)
    squares: list[Pixels] = []
    for place in rng.permutation(len(files))[:PHOTOGRAPHS]:
        try:
            pixels = read(files[place]).pixels
        except ImageError:
            continue
        top, left = (int(rng.integers(max(length - CROP, 0) + 1)) for length in pixels.shape[:2])
        squares.append(repeat_to(pixels[top : top + CROP, left : left + CROP], CROP))
    if not squares:
        raise DataError(f"{photographs} has no readable photograph")
    return torch.from_numpy(np.stack(squares).transpose(0, 3, 1, 2).copy())
