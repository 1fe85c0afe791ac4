"""Rich: the statistics of classical forensics with a linear head, the cheap baseline to beat."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from pixelkin.errors import ConfigError, DataError
from pixelkin.lab.detectors.base import Detector, Paper, to_tensor
from pixelkin.lab.representations.spectra import luma
from pixelkin.lab.representations.statistics import forensic_statistics
from pixelkin.types import Picture

LENGTH = 532


class Rich(Detector):
    """Logistic regression on co-occurrences of residuals, grid phases and ring powers.

    Args:
        cost: weight of misclassified training images against the size of the weights, scikit-learn's C.

    Raises:
        ConfigError: ``cost`` is not above zero.
    """

    card = Paper(
        name="rich",
        title="Rich Models for Steganalysis of Digital Images",
        reference="10.1109/TIFS.2012.2190402",
        year=2012,
        label="Rich",
        looks_at="co-occurrences of residuals, their size by place in the 8 x 8 grid, ring powers",
        idea=(
            "What a camera, a generator and a file format do to neighbouring pixels shows in how often small "
            "differences follow one another, in where on the grid they are large, and in how power falls "
            "with frequency. These statistics of the luma are standardised and weighed by logistic "
            "regression, whose decision function is the score."
        ),
        parameters=533,
        choices=(
            "No paper's system: a selection of the rich model's and its forerunner's first- and second-order "
            "residuals, quantised by 1 and 2 (second order: 2 and 4) grey levels, beside two plain "
            "statistics."
        ),
        no_export="its counts are made by numpy, outside of any graph",
    )
    fits = True

    def __init__(self, cost: float = 0.01) -> None:
        if cost <= 0:
            raise ConfigError(f"cost is above 0, not {cost}")
        super().__init__()
        self.cost = cost
        self.head = nn.Linear(LENGTH, 1)
        self.register_buffer("mean", torch.zeros(LENGTH))
        self.register_buffer("deviation", torch.ones(LENGTH))
        self.mean: Tensor
        self.deviation: Tensor

    def prepare(self, picture: Picture) -> Tensor:
        grey = luma(to_tensor(picture))[0].numpy()
        # Too small to have a triple of differences, or one of each phase: repeated.
        grey = np.pad(grey, [(0, max(16 - side, 0)) for side in grey.shape], mode="wrap")
        return torch.from_numpy(forensic_statistics(grey.astype(np.float64)).astype(np.float32))

    def forward(self, batch: Tensor) -> Tensor:
        return self.head((batch - self.mean) / self.deviation).squeeze(-1)

    @torch.no_grad()
    def fit(self, batches: Iterable[tuple[Tensor, Tensor]]) -> None:
        """Set mean, deviation and weights to those of all training pictures at once.

        Raises:
            DataError: the images are not of both labels.
        """
        from sklearn.linear_model import LogisticRegression  # imported here, for it is slow to

        seen = list(batches)
        if {label for _, labels in seen for label in labels.tolist()} != {0, 1}:
            raise DataError("rich is fitted to real and generated images, and there are not both")
        values = torch.cat([batch for batch, _ in seen])
        known = torch.cat([labels for _, labels in seen]).numpy()
        self.mean.copy_(values.mean(0))
        self.deviation.copy_(values.std(0).clamp(min=1e-4))
        standardised = ((values - self.mean) / self.deviation).double().numpy()
        linear = LogisticRegression(C=self.cost, max_iter=300).fit(standardised, known)
        self.head.weight.copy_(torch.tensor(linear.coef_))
        self.head.bias.copy_(torch.tensor(linear.intercept_))

    def groups(self) -> list[dict[str, Any]]:
        return []
