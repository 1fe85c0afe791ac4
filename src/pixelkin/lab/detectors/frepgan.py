"""FrePGAN: perturbations of the spectrum by a generative adversarial network.

Jeong et al., "FrePGAN: Robust Deepfake Detection Using Frequency-level Perturbations", AAAI 2022,
arXiv 2202.03347. No program was published: this is a reconstruction from what is told of it.

A generator H adds a perturbation G(x) = F^-1(H(F(x))) to every picture, such that a discriminator
cannot tell the result A(x) = x + G(x) from a photograph; a ResNet-50 classifies A(x). Traces of one
generator in the spectrum are hidden as they are learned, and the classifier has to find others.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from pixelkin.errors import ConfigError
from pixelkin.lab.backbones import ResNet50
from pixelkin.lab.detectors.base import SIGNED, Detector, Paper, to_tensor
from pixelkin.lab.external import Store
from pixelkin.types import Picture

FIRST = "resnet50-imagenet"
LEVELS = 4  # halvings in H and in the discriminator
GROUPS = 8
ORIGINALS = ("photographs", "all")


class FrePGAN(Detector):
    """ResNet-50 on pictures whose spectrum an adversary has perturbed.

    Args:
        width: channels of the first layer of generator and discriminator; a multiple of 8.
        strength: bound of the perturbation, on a scale of -1..1.
        penalty: weight in the generator's loss of the mean square of the perturbation over ``strength``.
        originals: what the discriminator tells perturbed pictures from: photographs, or all pictures.
    """

    card = Paper(
        name="frepgan",
        title="FrePGAN: Robust Deepfake Detection Using Frequency-level Perturbations",
        reference="2202.03347",
        year=2022,
        label="FrePGAN (reconstruction)",
        looks_at="the picture, with its frequencies perturbed by an adversarial network",
        idea=(
            "Detectors overfit to the spectral traces of the generator they were trained on. A second "
            "generator, trained against a discriminator, perturbs the spectrum of every picture so that "
            "these traces look like a photograph's. A ResNet-50 trained along with it classifies the "
            "perturbed picture, and its logit is the score."
        ),
        parameters=37_170_824,
        needs=(FIRST,),
        choices=(
            "Known are the parts and who is trained against whom, not the exact losses, networks or "
            "settings. Chosen: orthonormal FFT with frequency zero in the middle; H a U-Net of four levels "
            "with group norms, which sees asinh of the spectrum's parts (they span orders of magnitude), "
            "padded with zeros to multiples of 16; the real part of the inverse, bounded by strength * "
            "tanh; a discriminator of four convolutions and a linear layer on their spatial means; as its "
            "originals the photographs, since against all pictures to do nothing would be best; "
            "non-saturating loss and an L2 penalty; ResNet-50 from ImageNet, on pixels in [-1, 1]. The "
            "paper updates generator, discriminator and classifier in turns; here all three step at once, "
            "each by the gradient of its own term alone."
        ),
        no_export="its Fourier transform is torch's own, which the exporter does not know",
    )
    statistics = SIGNED

    def __init__(
        self,
        width: int = 64,
        strength: float = 0.1,
        penalty: float = 0.1,
        originals: str = "photographs",
    ) -> None:
        if width < GROUPS or width % GROUPS:
            raise ConfigError(f"width is a multiple of {GROUPS}, not {width}")
        if not 0 < strength <= 1:
            raise ConfigError(f"strength is above 0 and at most 1, not {strength}")
        if penalty < 0:
            raise ConfigError(f"penalty is 0 or more, not {penalty}")
        if originals not in ORIGINALS:
            raise ConfigError(f"originals are one of {', '.join(ORIGINALS)}, not {originals!r}")
        super().__init__()
        self.strength, self.penalty, self.originals = strength, penalty, originals
        self.classifier = ResNet50()
        self.generator = SpectrumNetwork(width)
        self.discriminator = Discriminator(width)

    def prepare(self, picture: Picture) -> Tensor:
        return self.normalise(to_tensor(picture))

    def perturbation(self, x: Tensor) -> Tensor:
        """G(x), within +-``strength``, of pictures in [-1, 1]; both (B, 3, H, W)."""
        spectrum = torch.fft.fftshift(torch.fft.fft2(x, norm="ortho"), (-2, -1))
        real, imaginary = self.generator(torch.cat([spectrum.real, spectrum.imag], 1)).float().chunk(2, 1)
        changed = torch.fft.ifftshift(torch.complex(real, imaginary), (-2, -1))
        return self.strength * torch.tanh(torch.fft.ifft2(changed, norm="ortho").real)

    def forward(self, batch: Tensor) -> Tensor:
        return self.classifier(batch + self.perturbation(batch)).squeeze(-1)

    def loss(self, batch: Tensor, labels: Tensor) -> Tensor:
        """The sum of three losses, each of which reaches the parameters of one network alone."""
        added = self.perturbation(batch)
        perturbed = batch + added
        return (
            self.classifier_loss(perturbed.detach(), labels)
            + self.discriminator_loss(
                batch if self.originals == "all" else batch[labels == 0], perturbed.detach()
            )
            + self.generator_loss(perturbed, added)
        )

    def classifier_loss(self, perturbed: Tensor, labels: Tensor) -> Tensor:
        """Binary cross-entropy on A(x), shape (B, 3, H, W); labels (B,), 1 for generated."""
        return F.binary_cross_entropy_with_logits(self.classifier(perturbed).squeeze(-1), labels.float())

    def discriminator_loss(self, original: Tensor, perturbed: Tensor) -> Tensor:
        """Binary cross-entropy, D(original) against 0 and D(A(x)) against 1, each the mean of its pictures.

        Args:
            original: shape (N, 3, H, W), N 0 or more.
            perturbed: A(x), shape (B, 3, H, W).
        """
        logits = self.discriminator(torch.cat([original, perturbed]))
        left, right = logits.split([len(original), len(perturbed)])
        return F.softplus(left).sum() / max(len(original), 1) + F.softplus(-right).mean()

    def generator_loss(self, perturbed: Tensor, added: Tensor) -> Tensor:
        """Non-saturating: -log(1 - D(A(x))) with D held fixed, and the penalty on G(x); both (B, 3, H, W)."""
        fixed = {name: value.detach() for name, value in self.discriminator.named_parameters()}
        logits = functional_call(self.discriminator, fixed, (perturbed,))
        return F.softplus(logits).mean() + self.penalty * (added / self.strength).square().mean()

    def equip(self, store: Store, *, fresh: bool) -> None:
        if fresh:
            store.begin(FIRST, self.classifier)

    def groups(self) -> list[dict[str, Any]]:
        adversaries = [*self.generator.parameters(), *self.discriminator.parameters()]
        return [
            {"params": list(self.classifier.parameters())},
            {"params": adversaries, "betas": (0.5, 0.999)},
        ]


class SpectrumNetwork(nn.Module):
    """H: a U-Net from the spectrum's parts to those of the perturbation; 10.9 M parameters at width 64."""

    def __init__(self, width: int) -> None:
        super().__init__()
        channels = [6, *(width * 2**level for level in range(LEVELS))]
        self.down = nn.ModuleList(
            nn.Sequential(nn.Conv2d(a, b, 4, stride=2, padding=1), nn.GroupNorm(GROUPS, b), nn.LeakyReLU(0.2))
            for a, b in pairwise(channels)
        )
        deep = channels[-1]
        self.middle = nn.Sequential(
            nn.Conv2d(deep, deep, 3, padding=1),
            nn.GroupNorm(GROUPS, deep),
            nn.ReLU(),
            nn.Conv2d(deep, deep, 3, padding=1),
        )
        rising = [
            (deep, channels[-2]),
            *((2 * channels[n], channels[n - 1]) for n in range(LEVELS - 1, 1, -1)),
        ]
        self.up = nn.ModuleList(
            nn.Sequential(
                nn.ConvTranspose2d(a, b, 4, stride=2, padding=1), nn.GroupNorm(GROUPS, b), nn.ReLU()
            )
            for a, b in rising
        )
        self.last = nn.ConvTranspose2d(2 * width, 6, 4, stride=2, padding=1)

    def forward(self, spectrum: Tensor) -> Tensor:
        """Real and then imaginary parts, shape (B, 6, H, W) as given; any size."""
        height, width = spectrum.shape[-2:]
        x = F.pad(torch.asinh(spectrum), (0, -width % 2**LEVELS, 0, -height % 2**LEVELS))
        passed = []
        for layer in self.down:
            x = layer(x)
            passed.append(x)
        x = passed.pop() + self.middle(x)
        for layer in self.up:
            x = torch.cat([layer(x), passed.pop()], 1)
        return self.last(x)[..., :height, :width]


class Discriminator(nn.Module):
    """Strided convolutions and a linear layer: 2.8 M parameters at width 64; above zero means perturbed."""

    def __init__(self, width: int) -> None:
        super().__init__()
        channels = [3, *(width * 2**level for level in range(LEVELS))]
        self.layers = nn.Sequential(
            *(
                nn.Sequential(nn.Conv2d(a, b, 4, stride=2, padding=1), nn.LeakyReLU(0.2))
                for a, b in pairwise(channels)
            )
        )
        self.head = nn.Linear(channels[-1], 1)

    def forward(self, x: Tensor) -> Tensor:
        """Logits, shape (B,), of pictures (B, 3, H, W), sides 16 or more."""
        return self.head(self.layers(x).mean((-2, -1))).squeeze(-1)
