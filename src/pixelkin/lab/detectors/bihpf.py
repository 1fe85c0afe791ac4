"""BiHPF (reconstruction): bilateral high-pass filters.

Jeong et al., "BiHPF: Bilateral High-Pass Filters for Robust Deepfake Detection", WACV 2022, arXiv
2109.00911. Its authors published no program, and no text at hand states its equations: what is here
follows what is known of it and is not to be taken for its results.

One filter raises the picture's border over its middle, the other raises high frequencies; a
ResNet-50 classifies the spectrum that results: 23,510,081 parameters.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

from pixelkin.errors import ConfigError
from pixelkin.lab.backbones import ResNet50
from pixelkin.lab.detectors.base import Detector, Paper, to_tensor
from pixelkin.lab.external import Store
from pixelkin.lab.representations.spectra import (
    LEAST_MAGNITUDE,
    centred_fourier,
    high_pass,
    inverse_fourier,
    squared_frequency_radius,
    squared_pixel_radius,
    standardised,
)
from pixelkin.types import Picture

OUTPUTS = ("spectrum", "image")
TRUNK = "resnet50-imagenet"


class BiHPF(Detector):
    """ResNet-50 on pictures filtered in space and in frequency.

    Both filters multiply by 1 + gain (1 - exp(-r^2 / (2 width^2))). In the picture r is the distance
    from its centre, 1 at its corners; in the spectrum the distance from frequency zero, 1 where both
    frequencies are half a cycle per pixel.

    Args:
        output: what is classified: the ``spectrum``, ln(abs(F) + 1e-8), or the filtered ``image``.
        pixel_width: of the filter in the picture, above 0.
        frequency_width: of the filter in the spectrum, above 0.
        pixel_gain: of the filter in the picture, 0 or more; 0 leaves it out.
        frequency_gain: of the filter in the spectrum, 0 or more; 0 leaves it out.

    Raises:
        ConfigError: an option has a value that it cannot take.
    """

    card = Paper(
        name="bihpf",
        title="BiHPF: Bilateral High-Pass Filters for Robust Deepfake Detection",
        reference="2109.00911",
        year=2022,
        label="BiHPF (reconstruction)",
        looks_at="spectrum of the picture, its border and its high frequencies raised",
        idea=(
            "What generators leave behind is large at high frequencies and lies around the object rather "
            "than in it. One high-pass filter raises the picture's border over its middle, a second one "
            "raises high frequencies, and the score is the logit of a ResNet-50 on the log-magnitudes of "
            "the result. This is a reconstruction, not the authors' system."
        ),
        parameters=23_510_081,
        needs=(TRUNK,),
        choices=(
            "No program and no equations were found, so nearly all of it is ours: both filters' shape (one "
            "minus a Gaussian of the distance), widths 0.5 and gains 1; that the logarithm of the spectrum "
            "is classified (the filtered image is an option); that each image and channel is standardised "
            "to mean 0 and deviation 1; the ResNet-50 and its first values. In a log-spectrum the frequency "
            "filter is a pattern added to every picture alike. The artifact compression map, a tool of "
            "analysis, is left out."
        ),
    )

    def __init__(
        self,
        output: str = "spectrum",
        pixel_width: float = 0.5,
        frequency_width: float = 0.5,
        pixel_gain: float = 1.0,
        frequency_gain: float = 1.0,
    ) -> None:
        if output not in OUTPUTS:
            raise ConfigError(f"output is one of {', '.join(OUTPUTS)}, not {output!r}")
        for name, width in (("pixel_width", pixel_width), ("frequency_width", frequency_width)):
            if width <= 0:
                raise ConfigError(f"{name} is above 0, not {width}")
        for name, gain in (("pixel_gain", pixel_gain), ("frequency_gain", frequency_gain)):
            if gain < 0:
                raise ConfigError(f"{name} is 0 or more, not {gain}")
        super().__init__()
        self.output = output
        self.over_picture = output == "image"
        self.settings = (pixel_width, pixel_gain, frequency_width, frequency_gain)
        self.network = ResNet50()

    def prepare(self, picture: Picture) -> Tensor:
        image = to_tensor(picture).double() / 255
        in_picture, in_spectrum = _cached_filters(picture.height, picture.width, *self.settings)
        both = (-2, -1)
        spectrum = torch.fft.fftshift(torch.fft.fft2(image * in_picture), dim=both) * in_spectrum
        if self.output == "image":
            filtered = torch.fft.ifft2(torch.fft.ifftshift(spectrum, dim=both)).real
        else:
            filtered = torch.log(spectrum.abs() + LEAST_MAGNITUDE)
        return standardised(filtered).float()

    def forward(self, batch: Tensor) -> Tensor:
        return self.network(batch).squeeze(-1)

    def from_pixels(self, tiles: Tensor) -> Tensor:
        """As `prepare` and `forward`, with the Fourier transforms by matrices, for the exporter."""
        height, width = tiles.shape[-2:]
        image = tiles.double() / 255
        in_picture, in_spectrum = _filters(height, width, *self.settings)
        real, imaginary = (part * in_spectrum for part in centred_fourier(image * in_picture))
        if self.output == "image":
            filtered = inverse_fourier(real, imaginary)
        else:
            filtered = torch.log((real.square() + imaginary.square()).sqrt() + LEAST_MAGNITUDE)
        return self(standardised(filtered).float())

    def equip(self, store: Store, *, fresh: bool) -> None:
        if fresh:
            store.begin(TRUNK, self.network)


def _filters(
    height: int,
    width: int,
    pixel_width: float,
    pixel_gain: float,
    frequency_width: float,
    frequency_gain: float,
) -> tuple[Tensor, Tensor]:
    """What a picture and its centred spectrum are multiplied by; float64, shape (H, W) each."""
    in_picture = 1 + pixel_gain * high_pass(squared_pixel_radius(height, width), pixel_width)
    in_spectrum = 1 + frequency_gain * high_pass(squared_frequency_radius(height, width), frequency_width)
    return in_picture, in_spectrum


_cached_filters = lru_cache(maxsize=4)(_filters)
