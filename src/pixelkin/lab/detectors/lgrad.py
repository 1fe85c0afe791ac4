"""LGrad: learning on gradients.

Tan et al., "Learning on Gradients: Generalized Artifacts Representation for GAN-Generated Images
Detection", CVPR 2023. A fixed network turns a picture into the gradient of its output on the
pixels, which leaves most content behind; a ResNet-50 classifies that gradient as a picture.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from pixelkin.errors import ConfigError
from pixelkin.lab.backbones import LITE0_MEAN, LITE0_STD, EfficientNet, ResNet50
from pixelkin.lab.detectors.base import (
    IMAGENET,
    SIGNED,
    Detector,
    Paper,
    Statistics,
    squared,
    standardised,
    to_tensor,
)
from pixelkin.lab.external import Frozen, Store
from pixelkin.lab.frozen import stylegan
from pixelkin.types import Picture

FIRST = "resnet50-imagenet"
STYLEGAN = "stylegan-bedroom-discriminator"
SMALLEST = 32


class LGrad(Detector, ResNet50):
    """A ResNet-50 on gradients; its tensors have torchvision's names, as in the official files.

    Args:
        size: side that pictures are brought to, pixels; 0 for tiles as they come.
        transform: asset of the network whose gradient is looked at.
    """

    card = Paper(
        name="lgrad",
        title=(
            "Learning on Gradients: Generalized Artifacts Representation for GAN-Generated Images Detection"
        ),
        reference="10.1109/CVPR52729.2023.01165",
        year=2023,
        label="LGrad",
        looks_at="the gradient of a GAN discriminator's output on the pixels",
        idea=(
            "A discriminator trained on bedrooms is shown the picture, and its output is differentiated "
            "with respect to the pixels. The gradient, stretched to 0..255 and rounded to eight bits, keeps "
            "little of what the picture shows and much of how it was made. A ResNet-50 classifies it as if "
            "it were a picture; its one output is the logit."
        ),
        parameters=23_510_081,
        needs=(STYLEGAN, FIRST),
        choices=(
            "Gradients are taken picture by picture, since the discriminator couples a batch. The shorter "
            "side is resized to 256 px and the middle cut out, where the official program squeezes to a "
            "square; for square pictures and tiles it is the same. The whole gradient is classified, in "
            "training too, where the official recipe crops 224 px. A flat gradient is black."
        ),
        no_export="it looks at a gradient, and an ONNX graph cannot differentiate",
    )

    squeezed = True

    def __init__(self, size: int = stylegan.SIDE, transform: str = STYLEGAN) -> None:
        check(size, transform)
        super().__init__()
        self.side, self.transform = size or None, transform

    def prepare(self, picture: Picture) -> Tensor:
        if self.side:
            picture = squared(picture, self.side)
        return standardised(to_tensor(picture).float() / 255, SIGNED)

    def forward(self, batch: Tensor) -> Tensor:
        return self.fc(self.features(self.normalise(self.maps(batch)))).squeeze(-1)

    def maps(self, batch: Tensor) -> Tensor:
        """What is classified: gradients in eight bits, uint8 (B, 3, H, W), of pictures in -1..1.

        Raises:
            MissingWeightsError: no network to differentiate was taken by `equip`.
        """
        frozen = self.through(self.transform)
        return frozen.kept(batch, lambda items: eight_bits(gradient(frozen, items)))

    def equip(self, store: Store, *, fresh: bool) -> None:
        network = TRANSFORMS[self.transform]()
        store.begin(self.transform, network, head=())
        # Random values differ from run to run: what was made with them is not kept.
        cache = store.cache if self.transform in store.used else None
        identity = f"gradient of {self.transform} {store.used.get(self.transform)}"
        if statistics := STATISTICS.get(self.transform):
            network = _OnSigned(network, statistics)
        self.frozen = Frozen(network, identity, cache)
        if fresh:
            store.begin(FIRST, self)


TRANSFORMS: dict[str, Callable[[], nn.Module]] = {
    STYLEGAN: stylegan.Discriminator,
    "resnet50-imagenet": lambda: ResNet50(outputs=1000),
    "efficientnet-lite0-imagenet": lambda: EfficientNet("lite0", outputs=1000),
}


STATISTICS = {  # mean and deviation of what a transform was trained on; the discriminator takes -1..1
    "resnet50-imagenet": IMAGENET,
    "efficientnet-lite0-imagenet": (LITE0_MEAN, LITE0_STD),
}


def check(size: int, transform: str) -> None:
    """Refuse a size or a network that cannot be.

    Raises:
        ConfigError: there is no such transform, or it does not take pictures of that size.
    """
    if transform not in TRANSFORMS:
        raise ConfigError(f"no transform is named {transform!r}; the names are: {', '.join(TRANSFORMS)}")
    if transform == STYLEGAN and size != stylegan.SIDE:
        raise ConfigError(f"{STYLEGAN} takes pictures of {stylegan.SIDE} px only: size is not {size!r}")
    if size != 0 and size < SMALLEST:
        raise ConfigError(
            f"size is a side of at least {SMALLEST} px, or 0 for tiles as they come, not {size!r}"
        )


def gradient(network: Callable[[Tensor], Tensor], pictures: Tensor) -> Tensor:
    """The gradient of the sum of a network's outputs on the pixels, one picture at a time (section 3.1).

    Args:
        network: differentiable; from (1, 3, H, W) to anything.
        pictures: shape (B, 3, H, W).

    Returns:
        Shape (B, 3, H, W). It is no part of an outer graph, and works in inference mode.
    """
    slopes = []
    with torch.inference_mode(mode=False), torch.enable_grad():
        for picture in pictures:
            pixels = picture[None].detach().clone().requires_grad_()
            slopes += torch.autograd.grad(network(pixels).sum(), pixels)
    return torch.cat(slopes)


def eight_bits(maps: Tensor) -> Tensor:
    """Each map stretched to 0..255 over all its channels together, and rounded (official program).

    Args:
        maps: shape (B, C, H, W), unbounded.

    Returns:
        uint8, of the same shape; zero where a map is flat.
    """
    all_but_first = (1, 2, 3)
    lifted = maps - maps.amin(all_but_first, keepdim=True)
    peak = lifted.amax(all_but_first, keepdim=True)
    return (lifted / torch.where(peak > 0, peak, 1) * 255).round().to(torch.uint8)


class _OnSigned(nn.Module):
    """A network with statistics of its own, on pictures in -1..1."""

    def __init__(self, network: nn.Module, statistics: Statistics) -> None:
        super().__init__()
        self.network, self.statistics = network, statistics

    def forward(self, pictures: Tensor) -> Tensor:
        return self.network(standardised((pictures + 1) / 2, self.statistics))
