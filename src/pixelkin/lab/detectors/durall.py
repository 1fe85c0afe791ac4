"""Durall: the azimuthal mean of the Fourier spectrum.

Durall et al., "Watch your Up-Convolution: CNN Based Generative Deep Neural Networks are Failing to
Reproduce Spectral Distributions", CVPR 2020, arXiv 2003.01826.

Up-convolutions cannot make the spectrum that photographs have. The log-spectrum of the grey
picture, averaged over rings of equal frequency, is a profile of some hundred values, which a linear
classifier parts: 180 parameters for the 179 values of 256 x 256 pixels.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from pixelkin.errors import ConfigError, DataError
from pixelkin.lab.detectors.base import Detector, Paper, to_tensor
from pixelkin.lab.representations.spectra import Matrix, azimuthal_mean, log_magnitude, luma, resampled
from pixelkin.types import Picture

CLASSIFIERS = ("logistic", "svm")


class Durall(Detector):
    """A linear classifier on the radial profile of the spectrum.

    Args:
        length: values of a profile: 88 for tiles of 128 x 128, 156 for 224, 179 for 256. Profiles of
            other lengths are interpolated to it.
        classifier: ``logistic`` (regression) or ``svm`` (linear; its fit takes time with the square
            of the number of images).
        cost: weight of misclassified training images against the size of the weights, scikit-learn's C.

    Raises:
        ConfigError: an option has a value that it cannot take.
    """

    card = Paper(
        name="durall",
        title=(
            "Watch your Up-Convolution: CNN Based Generative Deep Neural Networks are Failing to Reproduce "
            "Spectral Distributions"
        ),
        reference="2003.01826",
        year=2020,
        label="Durall",
        looks_at="mean log-magnitude of each ring of the grey picture's Fourier spectrum",
        idea=(
            "Up-convolutions fail to reproduce how a photograph's spectral power falls with frequency. The "
            "log-magnitudes of the Fourier transform of the grey picture are averaged over rings around the "
            "centre, and the profile is divided by its first value. The score is the decision function of a "
            "linear classifier that scikit-learn fits to the profiles."
        ),
        parameters=180,
        choices=(
            "Classifier and profile length of the comparison are unknown: here logistic regression on the "
            "179 values of 256 x 256 pixels. The authors resize no picture; the paper's recipe "
            "here brings them to 256 x 256 as the comparison's other systems do, the reduced one sees "
            "native-scale tiles: either way profiles have one length. The first value is divided by only "
            "if it is 1 or more away from zero. Profiles of under four rings are interpolated linearly, and "
            "pictures of under three rings have one value, their mean. SVMs with RBF or polynomial kernels, "
            "whose size depends on the data, and k-means are left out."
        ),
        no_export="its profile is computed by numpy and scipy, outside of any graph",
    )
    fits = True

    def __init__(self, length: int = 179, classifier: str = "logistic", cost: float = 1.0) -> None:
        if classifier not in CLASSIFIERS:
            raise ConfigError(f"classifier is one of {', '.join(CLASSIFIERS)}, not {classifier!r}")
        if length < 1:
            raise ConfigError(f"length is 1 or more, not {length}")
        if cost <= 0:
            raise ConfigError(f"cost is above 0, not {cost}")
        super().__init__()
        self.length, self.classifier, self.cost = length, classifier, cost
        self.head = nn.Linear(length, 1)

    def prepare(self, picture: Picture) -> Tensor:
        grey = luma(to_tensor(picture))[0].numpy()
        profile = resampled(azimuthal_mean(log_magnitude(grey)), self.length)
        return torch.from_numpy(_over_first(profile).astype(np.float32))

    def forward(self, batch: Tensor) -> Tensor:
        return self.head(batch).squeeze(-1)

    @torch.no_grad()
    def fit(self, batches: Iterable[tuple[Tensor, Tensor]]) -> None:
        """Set the weights to those that scikit-learn finds for all profiles at once.

        Raises:
            DataError: the images are not of both labels.
        """
        profiles: list[list[float]] = []
        known: list[int] = []
        for batch, labels in batches:
            profiles += batch.double().tolist()
            known += labels.tolist()
        if set(known) != {0, 1}:
            raise DataError("durall is fitted to real and generated images, and there are not both")
        linear = self._classifier().fit(np.array(profiles), np.array(known))
        self.head.weight.copy_(torch.tensor(linear.coef_))
        self.head.bias.copy_(torch.tensor(linear.intercept_))

    def groups(self) -> list[dict[str, Any]]:
        return []

    def _classifier(self) -> Any:
        """As the official program has it; scikit-learn is imported here, for it is slow to."""
        from sklearn.linear_model import LogisticRegression
        from sklearn.svm import SVC

        if self.classifier == "svm":
            return SVC(kernel="linear", C=self.cost)
        return LogisticRegression(solver="liblinear", C=self.cost, max_iter=1000)


def _over_first(profile: Matrix) -> Matrix:
    """A profile, shape (n,), over its first value, or over 1 or -1 where that is nearer to zero."""
    first = profile[0]
    return profile / np.copysign(max(abs(first), 1.0), first)
