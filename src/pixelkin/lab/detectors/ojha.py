"""Ojha: a linear layer on frozen CLIP features.

Ojha et al., "Towards Universal Fake Image Detectors that Generalize Across Generative Models",
CVPR 2023, arXiv 2302.10174, also called UniversalFakeDetect or UnivFD. Features that never were
trained to tell generated from real have no generator to be partial to.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from pixelkin.errors import ConfigError, WeightsError
from pixelkin.images import from_pixels
from pixelkin.lab.backbones import LITE0_MEAN, LITE0_STD, EfficientNet
from pixelkin.lab.detectors.base import Detector, Paper, Statistics, to_tensor
from pixelkin.lab.external import Frozen, Store
from pixelkin.lab.weights import Tensors, load_strictly
from pixelkin.protocol import middle
from pixelkin.types import Picture

CLIP = "clip-vit-l14"
LITE0 = "efficientnet-lite0-imagenet"
VIT_L14: dict[str, Any] = {  # as transformers names its sizes
    "hidden_size": 1024,
    "intermediate_size": 4096,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
    "patch_size": 14,
    "image_size": 224,
    "projection_dim": 768,
}


@dataclass(frozen=True, slots=True)
class Encoder:
    """A frozen network's features: how many; statistics and side (None: any) of what it is shown."""

    features: int
    statistics: Statistics
    side: int | None


ENCODERS = {
    CLIP: Encoder(768, ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)), side=224),
    LITE0: Encoder(1280, (LITE0_MEAN, LITE0_STD), side=None),
}


class Ojha(Detector):
    """One linear layer on a frozen encoder's features of a picture.

    Args:
        encoder: asset of the network that gives the features.
    """

    card = Paper(
        name="ojha",
        title="Towards Universal Fake Image Detectors that Generalize Across Generative Models",
        reference="2302.10174",
        year=2023,
        label="Ojha (UnivFD)",
        looks_at="CLIP's image embedding of the middle 224 x 224 pixels",
        idea=(
            "CLIP's image encoder, trained to match pictures with words and left as it is, turns the middle "
            "of the picture into 768 numbers. A linear layer on them is all that is trained; its output is "
            "the logit. Features that were not made for the task favour no generator's traces over "
            "another's."
        ),
        parameters=769,
        needs=(CLIP,),
        choices=(
            "The linear layer alone; the paper's nearest-neighbour variant is not in its program, nor here. "
            "The middle 224 px are looked at, smaller pictures set on black, as in the official test; by "
            "the paper's recipe the shorter side is 256 px before, in use as in training. Validation "
            "pictures are blurred and compressed at random as in training. With another encoder it is the "
            "same idea, not the paper's system."
        ),
        no_export="CLIP's image encoder, of 304 million parameters, would have to be in the file",
    )

    def __init__(self, encoder: str = CLIP) -> None:
        if encoder not in ENCODERS:
            raise ConfigError(f"no encoder is named {encoder!r}; the names are: {', '.join(ENCODERS)}")
        super().__init__()
        self.encoder = encoder
        self.side, self.statistics = ENCODERS[encoder].side, ENCODERS[encoder].statistics
        if encoder != CLIP:
            self.card = replace(self.card, no_export="")  # type: ignore[misc]  # a small network can be in it
        self.fc = nn.Linear(ENCODERS[encoder].features, 1)
        nn.init.normal_(self.fc.weight, std=0.02)

    def prepare(self, picture: Picture) -> Tensor:
        if self.side:
            picture = from_pixels(middle(picture.pixels, self.side))
        return self.normalise(to_tensor(picture))

    def forward(self, batch: Tensor) -> Tensor:
        encoder = self.through(self.encoder)
        return self.fc(encoder.kept(batch, encoder)).squeeze(-1)

    def from_pixels(self, tiles: Tensor) -> Tensor:
        # Past the cache, which no graph can ask.
        return self.fc(self.through(self.encoder)(self.normalise(tiles))).squeeze(-1)

    def equip(self, store: Store, *, fresh: bool) -> None:
        del fresh  # the linear layer starts from chance
        network = _clip(store.find(CLIP)) if self.encoder == CLIP else _lite0(store.tensors(LITE0))
        # Random values differ from run to run: what was made with them is not kept.
        cache = store.cache if self.encoder in store.used else None
        self.frozen = Frozen(network, f"features of {self.encoder} {store.used.get(self.encoder)}", cache)

    def from_official(self, tensors: Tensors) -> Tensors:
        """The linear layer, out of a file of it alone or of one that holds CLIP beside it (``model.``)."""
        if tensors.keys() == {"weight", "bias"}:
            return {f"fc.{name}": value for name, value in tensors.items()}
        return {name: value for name, value in tensors.items() if not name.startswith("model.")}


class _Embedding(nn.Module):
    """CLIP's projected class token, not brought to unit length, shape (B, 768)."""

    def __init__(self, tower: nn.Module) -> None:
        super().__init__()
        self.tower = tower

    def forward(self, batch: Tensor) -> Tensor:
        return self.tower(pixel_values=batch).image_embeds


class _Features(nn.Module):
    """An EfficientNet's features, past its head."""

    def __init__(self, network: EfficientNet) -> None:
        super().__init__()
        self.network = network

    def forward(self, batch: Tensor) -> Tensor:
        return self.network.features(batch)


def _clip(folder: Path | None) -> nn.Module:
    """The image half of the CLIP model in ``folder``; of random values where that is None."""
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

    if folder is None:
        return _Embedding(CLIPVisionModelWithProjection(CLIPVisionConfig(**VIT_L14)))
    if not (folder / "config.json").is_file():  # transformers would take another model's sizes
        raise WeightsError(f"{folder}: no CLIP model that can be read (there is no config.json)")
    try:
        shape = CLIPVisionConfig.from_pretrained(folder, local_files_only=True)
        tensors = load_file(folder / "model.safetensors")
    except (OSError, SafetensorError) as error:
        raise WeightsError(f"{folder}: no CLIP model that can be read ({error})") from error
    tower = CLIPVisionModelWithProjection(shape)
    # The text half lies beside it, and in older files a table of 0, 1, 2, ... that is not learnt.
    others = ("text_", "logit_scale", "vision_model.embeddings.position_ids")
    load_strictly(tower, {k: v for k, v in tensors.items() if not k.startswith(others)}, folder)
    return _Embedding(tower)


def _lite0(tensors: Tensors | None) -> nn.Module:
    network = EfficientNet("lite0", outputs=1000)
    if tensors is not None:
        load_strictly(network, tensors, LITE0)
    return _Features(network)
