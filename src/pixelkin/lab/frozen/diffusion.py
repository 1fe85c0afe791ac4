"""Deterministic DDIM, from a picture to noise and back, and the denoisers that it goes through.

Song et al., "Denoising Diffusion Implicit Models", ICLR 2021, arXiv 2010.02502, Eq. 12 with sigma 0:
a noisy picture x at level a (its share of the picture's variance) and the noise predicted in it give

    x_0 = clip((x - sqrt(1 - a) noise) / sqrt(a)),    x' = sqrt(a') x_0 + sqrt(1 - a') noise

where the noise is derived anew from the clipped x_0. Timesteps and levels are those of ADM
(Dhariwal and Nichol 2021, arXiv 2105.05233) respaced to ``ddimN``: 0, 1000/N, ..., 1000 - 1000/N.

Everything that needs diffusers is here, and imported on use: that takes seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from pixelkin.errors import ConfigError
from pixelkin.lab.weights import Tensors, load_strictly

TRAINED = 1000  # timesteps of the schedule
DEPTH = 2  # ADM's residual blocks per level
HEAD = 64  # channels of one of ADM's attention heads

Denoiser = Callable[[Tensor, int], Tensor]  # a noisy picture in [-1, 1] and its timestep to the noise in it


def levels() -> Tensor:
    """The level a_t of each timestep, float64, shape (1000,): products of 1 - beta, betas linear."""
    return torch.cumprod(1 - torch.linspace(1e-4, 0.02, TRAINED, dtype=torch.float64), 0)


def timesteps(steps: int) -> list[int]:
    """The ``steps`` timesteps of ADM's respacing ``ddimN``, from 0 up.

    Raises:
        ConfigError: ``steps`` does not divide 1000.
    """
    if steps < 1 or TRAINED % steps:
        fitting = ", ".join(str(n) for n in range(1, TRAINED + 1) if TRAINED % n == 0)
        raise ConfigError(f"DDIM steps divide {TRAINED}: one of {fitting}, not {steps}")
    return list(range(0, TRAINED, TRAINED // steps))


@torch.no_grad()
def invert(denoiser: Denoiser, x: Tensor, steps: int = 20) -> Tensor:
    """The noise that deterministic DDIM would draw a picture from.

    Step i asks the denoiser at timestep t_i about a picture taken to be at a_{t_i}, the clean one at
    a_0, and moves it to a_{t_{i+1}}; the last step moves it to level 0, which is noise alone
    (``ddim_reverse_sample``, official program). `diffusers.DDIMInverseScheduler` cannot stand in: it
    takes the picture to be one step below the timestep asked about, starts from level 1, never
    reaches level 0, and keeps the predicted noise where clipping has changed x_0.

    Args:
        denoiser: the noise in a noisy picture at a timestep.
        x: pictures in [-1, 1], shape (B, 3, H, W).
        steps: a divisor of 1000.

    Returns:
        The noise, same shape.
    """
    places = timesteps(steps)
    passed = [*levels()[places].tolist(), 0.0]
    for place, (t, level) in enumerate(zip(places, passed, strict=False)):
        picture = ((x - (1 - level) ** 0.5 * denoiser(x, t)) / level**0.5).clamp(-1, 1)
        noise = (x - level**0.5 * picture) / (1 - level) ** 0.5
        following = passed[place + 1]
        x = following**0.5 * picture + (1 - following) ** 0.5 * noise
    return x


@torch.no_grad()
def reconstruct(denoiser: Denoiser, noise: Tensor, steps: int = 20) -> Tensor:
    """The pictures in [-1, 1] that deterministic DDIM draws from ``noise``; shapes (B, 3, H, W)."""
    timesteps(steps)
    scheduler = _diffusers().DDIMScheduler(
        TRAINED, clip_sample=True, set_alpha_to_one=True, timestep_spacing="leading"
    )
    scheduler.alphas_cumprod = levels()  # its own are float32, and 1 - a_0 then off by 1 in 10,000
    scheduler.set_timesteps(steps)
    x = noise
    for t in scheduler.timesteps.tolist():
        x = scheduler.step(denoiser(x, t), t, x, use_clipped_model_output=True, return_dict=False)[0]
    return x


def unet(**config: Any) -> Any:
    """A `diffusers.UNet2DModel`, randomly initialised; ``config`` as there."""
    return _diffusers().UNet2DModel(**config)


def adm_unet(
    channels: int = 256,
    multipliers: Sequence[int] = (1, 1, 2, 2, 4, 4),
    attention: Sequence[int] = (3, 4, 5),
    head: int = HEAD,
) -> Any:
    """ADM's U-Net as diffusers' UNet2DModel; by default the unconditional 256 px one, 552,814,086 parameters.

    Args:
        channels: of the first level, a multiple of 32.
        multipliers: channels of each level over ``channels``.
        attention: levels with attention.
        head: channels of an attention head.
    """

    def kinds(attending: str, other: str) -> tuple[str, ...]:
        return tuple(attending if level in attention else other for level in range(len(multipliers)))

    return unet(
        out_channels=6,
        block_out_channels=tuple(channels * m for m in multipliers),
        down_block_types=kinds("AttnDownBlock2D", "ResnetDownsampleBlock2D"),
        up_block_types=kinds("AttnUpBlock2D", "ResnetUpsampleBlock2D")[::-1],
        layers_per_block=DEPTH,
        downsample_type="resnet",
        upsample_type="resnet",
        attention_head_dim=head,
        attn_norm_num_groups=32,  # the middle block has no norm before its attention otherwise
        resnet_time_scale_shift="scale_shift",
    )


class AdmDenoiser(nn.Module):
    """The noise that ADM's U-Net predicts; it also predicts a variance, which DDIM has no use for."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor, t: int) -> Tensor:
        """The noise in pictures (B, 3, H, W) at timestep ``t``; sides are multiples of 32."""
        return self.network(x, t, return_dict=False)[0][:, :3]


def load_adm(tensors: Tensors | None, where: object) -> AdmDenoiser:
    """The 256 px denoiser with a published checkpoint's tensors, or random ones where there are none.

    Raises:
        WeightsError: they are of another network.
    """
    if tensors is None:
        return AdmDenoiser(adm_unet())
    with torch.device("meta"):  # half a billion random numbers would only be overwritten
        network = adm_unet()
    network.to_empty(device="cpu")
    load_strictly(network, from_adm(tensors, network.config), where)
    return AdmDenoiser(network)


RESIDUAL = {
    "in_layers.0": "norm1",
    "in_layers.2": "conv1",
    "emb_layers.1": "time_emb_proj",
    "out_layers.0": "norm2",
    "out_layers.3": "conv2",
    "skip_connection": "conv_shortcut",
    "norm": "group_norm",  # from here on of attention
    "proj_out": "to_out.0",
}


def from_adm(tensors: Mapping[str, Tensor], config: Mapping[str, Any]) -> Tensors:
    """ADM's tensors by the names of diffusers; an unknown name stays as it is.

    The first 1 x 1 convolution of an attention holds queries, keys and values head by head
    (``QKVAttentionLegacy``, official program) and is parted into three; 1 x 1 kernels become matrices.

    Args:
        tensors: by the official names.
        config: of the `adm_unet` they are for.
    """
    places = _adm_places(config)
    renamed: Tensors = {}
    for name, tensor in tensors.items():
        block, inside, kind = _parted(name, places)
        if inside == "qkv":
            channels, rest = tensor.shape[0] // 3, tensor.shape[1:2]
            heads = tensor.reshape(-1, 3, int(config["attention_head_dim"]), *rest).transpose(0, 1)
            for which, part in zip("qkv", heads, strict=True):
                renamed[f"{block}.to_{which}.{kind}"] = part.reshape(channels, *rest)
        elif inside == "proj_out":
            renamed[f"{block}.to_out.0.{kind}"] = tensor.flatten(1) if tensor.ndim > 1 else tensor
        elif inside:
            renamed[f"{block}.{RESIDUAL.get(inside, inside)}.{kind}"] = tensor
        else:
            renamed[f"{block}.{kind}"] = tensor
    return renamed


def _parted(name: str, places: Mapping[str, str]) -> tuple[str, str, str]:
    """The block in diffusers, the name inside the block, and weight or bias, of an official name."""
    stem, _, kind = name.rpartition(".")
    for official, block in places.items():
        if stem == official or stem.startswith(f"{official}."):
            return block, stem.removeprefix(official).removeprefix("."), kind
    return stem, "", kind


def _adm_places(config: Mapping[str, Any]) -> dict[str, str]:
    """Where each of ADM's blocks is in diffusers."""
    places = {
        "time_embed.0": "time_embedding.linear_1",
        "time_embed.2": "time_embedding.linear_2",
        "input_blocks.0.0": "conv_in",
        "middle_block.0": "mid_block.resnets.0",
        "middle_block.1": "mid_block.attentions.0",
        "middle_block.2": "mid_block.resnets.1",
        "out.0": "conv_norm_out",
        "out.2": "conv_out",
    }
    down, up = ([kind.startswith("Attn") for kind in config[f"{way}_block_types"]] for way in ("down", "up"))
    last = len(down) - 1
    for level in range(len(down)):
        for which in range(DEPTH + 1):
            one, other = 1 + level * (DEPTH + 1) + which, level * (DEPTH + 1) + which
            if which < DEPTH:
                places[f"input_blocks.{one}.0"] = f"down_blocks.{level}.resnets.{which}"
                places |= (
                    {f"input_blocks.{one}.1": f"down_blocks.{level}.attentions.{which}"}
                    if down[level]
                    else {}
                )
            places[f"output_blocks.{other}.0"] = f"up_blocks.{level}.resnets.{which}"
            places |= (
                {f"output_blocks.{other}.1": f"up_blocks.{level}.attentions.{which}"} if up[level] else {}
            )
        if level < last:
            places[f"input_blocks.{(level + 1) * (DEPTH + 1)}.0"] = f"down_blocks.{level}.downsamplers.0"
            place = f"output_blocks.{level * (DEPTH + 1) + DEPTH}.{1 + up[level]}"
            places[place] = f"up_blocks.{level}.upsamplers.0"
    return places


def _diffusers() -> Any:
    """The package, untyped; importing it takes seconds."""
    import diffusers

    return diffusers
