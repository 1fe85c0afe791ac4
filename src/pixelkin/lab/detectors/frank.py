"""Frank: frequency analysis by the discrete cosine transform.

Frank et al., "Leveraging Frequency Analysis for Deep Fake Image Recognition", ICML 2020, arXiv
2003.08685.

Up-sampling inside a generator leaves a grid of peaks in the cosine spectrum. Each coefficient's
log-magnitude, standardised by what training images have there, goes into a small classifier: by
default a ridge regression of 49,153 parameters.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import torch
from torch import Tensor, nn

from pixelkin.errors import ConfigError, DataError, NotFittedError, WeightsError
from pixelkin.lab.backbones import ResNet50
from pixelkin.lab.detectors.base import Detector, Paper, squared, to_tensor
from pixelkin.lab.representations.spectra import dct2, log_dct, luma
from pixelkin.lab.weights import Tensors, load_official, load_plain, load_strictly
from pixelkin.types import Picture

SCALINGS = ("log", "abs")


class Frank(Detector):
    """A classifier on standardised log-magnitudes of the cosine transform.

    Args:
        size: side of the square pictures it takes, pixels; 4 or more.
        classifier: ``ridge``, ``mlp`` (128 hidden units), ``cnn`` (six layers) or
            ``resnet50`` (of the PyTorch port whose weights are published, made for ``size`` 224).
        penalty: factor of the sum of squared weights in the loss of ``ridge``; other classifiers have none.
        scaling: ``log`` or ``abs``, magnitudes as they are.
        grey: look at the luma alone.

    Raises:
        ConfigError: an option has a value that it cannot take.
    """

    card = Paper(
        name="frank",
        title="Leveraging Frequency Analysis for Deep Fake Image Recognition",
        reference="2003.08685",
        year=2020,
        label="Frank",
        looks_at="log-magnitudes of the whole picture's cosine transform",
        idea=(
            "Up-sampling layers leave peaks at fixed places of the discrete cosine spectrum. The logarithm "
            "of each coefficient's magnitude is standardised by the mean and deviation that training images "
            "have at that place. The score comes from a linear classifier, with an L2 penalty, on all of "
            "these values."
        ),
        parameters=49_153,
        choices=(
            "The paper has several classifiers and the comparison does not say which it used: here ridge is "
            "the default. Statistics tie it to one picture size: others are resized by their shorter side "
            "(Pillow, bilinear) and cropped in the middle. A coefficient that never varied in training is "
            "not divided. The transform is computed in float64, its statistics kept in float32. Scaling abs "
            "leaves out the logarithm and nothing else. Early stopping sees the "
            "loss without the penalty. L1 and elastic penalties and the 10-block ResNet "
            "are left out."
        ),
    )
    fits = True
    over_picture = False
    mean: Tensor
    deviation: Tensor
    seen: Tensor

    def __init__(
        self,
        size: int = 128,
        classifier: str = "ridge",
        penalty: float = 0.01,
        scaling: str = "log",
        grey: bool = False,
    ) -> None:
        if classifier not in CLASSIFIERS:
            raise ConfigError(f"classifier is one of {', '.join(CLASSIFIERS)}, not {classifier!r}")
        if scaling not in SCALINGS:
            raise ConfigError(f"scaling is one of {', '.join(SCALINGS)}, not {scaling!r}")
        if size < 4:
            raise ConfigError(f"size is 4 pixels or more, not {size}")
        if penalty < 0:
            raise ConfigError(f"penalty is 0 or more, not {penalty}")
        super().__init__()
        self.side: int = size
        self.kind, self.penalty, self.scaling, self.grey = classifier, penalty, scaling, grey
        channels = 1 if grey else 3
        self.register_buffer("mean", torch.zeros(channels, size, size))
        self.register_buffer("deviation", torch.ones(channels, size, size))
        # Images that the statistics come from: 0 for none, -1 for a number that was not published.
        self.register_buffer("seen", torch.tensor(0))
        self.classifier = CLASSIFIERS[classifier](channels, size)

    def prepare(self, picture: Picture) -> Tensor:
        return self._spectrum(to_tensor(squared(picture, self.side)))

    def forward(self, batch: Tensor) -> Tensor:
        return self.classifier((batch - self.mean) / self.deviation).squeeze(-1)

    def from_pixels(self, tiles: Tensor) -> Tensor:
        return self(self._spectrum(tiles))

    def loss(self, batch: Tensor, labels: Tensor) -> Tensor:
        """Cross-entropy, for the ridge with its penalty (as Keras adds it: not halved, bias left out).

        Raises:
            NotFittedError: in training, before `fit`.
        """
        if self.training and not self.seen:
            raise NotFittedError(
                "frank standardises by its training images: call fit with them before training"
            )
        loss = super().loss(batch, labels)
        if self.kind == "ridge":
            loss = loss + self.penalty * sum(
                p.square().sum() for p in self.classifier.parameters() if p.dim() > 1
            )
        return loss

    @torch.no_grad()
    def fit(self, batches: Iterable[tuple[Tensor, Tensor]]) -> None:
        """Set mean and deviation of each coefficient, in one pass.

        Batches are joined in float64 by their means and sums of squared deviations (Chan, Golub and
        LeVeque 1983), which loses nothing where the mean is far from zero.

        Raises:
            DataError: there is no image.
        """
        count, mean, squares = 0, torch.zeros_like(self.mean).double(), torch.zeros_like(self.mean).double()
        for batch, _ in batches:
            values = batch.to(mean)
            own = values.mean(0)
            gap, total = own - mean, count + len(values)
            squares += (values - own).square().sum(0) + gap.square() * (count * len(values) / total)
            mean += gap * (len(values) / total)
            count = total
        if not count:
            raise DataError("frank has no training image to take its statistics from")
        self.mean.copy_(mean)
        self.deviation.copy_(_divisor(squares / count))
        self.seen.fill_(count)

    def from_official(self, tensors: Tensors) -> Tensors:
        return {f"classifier.{name}": tensor for name, tensor in tensors.items()}

    def load_checkpoint(self, path: Path) -> None:
        """Load the published ResNet-50, with ``dct_mean`` and ``dct_var`` from the same folder.

        Raises:
            WeightsError: one of the files is missing or another thing, or this detector has another
                classifier or size; nothing is then changed.
        """
        if self.kind != "resnet50":
            raise WeightsError(
                f"{path}: published weights are those of a ResNet-50, and this detector's classifier is "
                f"{self.kind}: construct it with classifier = 'resnet50', size = 224"
            )
        tensors = self.from_official(load_official(path))
        statistics = {
            "mean": self._published(path.with_name("dct_mean")).float(),
            "deviation": _divisor(self._published(path.with_name("dct_var"))).float(),
            "seen": torch.tensor(-1),
        }
        load_strictly(self, tensors | statistics, path)

    def _spectrum(self, pixels: Tensor) -> Tensor:
        """uint8 (..., 3, H, W) to what is standardised; float32, shape (..., C, H, W)."""
        values = luma(pixels) if self.grey else pixels.double()
        return (log_dct(values) if self.scaling == "log" else dct2(values).abs()).float()

    def _published(self, path: Path) -> Tensor:
        """A statistic for each coefficient, out of a file that holds one tensor."""
        if not path.exists():
            raise WeightsError(
                f"{path} is missing: published weights of frank need dct_mean and dct_var beside them"
            )
        found = load_plain(path)
        if not isinstance(found, Tensor) or found.dim() != 3:
            raise WeightsError(f"{path}: not a tensor of shape (channels, height, width)")
        if found.shape != self.mean.shape:
            has, wanted = (" x ".join(map(str, shape)) for shape in (found.shape, self.mean.shape))
            raise WeightsError(
                f"{path}: statistics of {has} coefficients, and this detector is made for {wanted}: "
                f"construct it with size = {found.shape[-1]}"
            )
        return found


def _divisor(variance: Tensor) -> Tensor:
    """Standard deviations, and 1 where nothing varied; the shape of ``variance``."""
    return torch.where(variance > 0, variance, 1).sqrt()


def _ridge(channels: int, size: int) -> nn.Module:
    return _as_keras_starts(nn.Sequential(nn.Flatten(), nn.Linear(channels * size**2, 1)))


def _mlp(channels: int, size: int) -> nn.Module:
    layers = nn.Linear(channels * size**2, 128), nn.ReLU(), nn.Linear(128, 1)
    return _as_keras_starts(nn.Sequential(nn.Flatten(), *layers))


def _cnn(channels: int, size: int) -> nn.Module:
    layers: list[nn.Module] = []
    for width, out, pooled in ((channels, 3, False), (3, 8, True), (8, 16, True), (16, 32, False)):
        layers += [nn.Conv2d(width, out, 3, padding=1), nn.ReLU()]
        layers += [nn.AvgPool2d(2)] if pooled else []
    return _as_keras_starts(nn.Sequential(*layers, nn.Flatten(), nn.Linear(32 * (size // 4) ** 2, 1)))


def _resnet50(channels: int, size: int) -> nn.Module:
    del size
    return ResNet50(channels)


def _as_keras_starts(module: nn.Module) -> nn.Module:
    """``module`` with Keras's first values: Glorot uniform weights, zero biases."""
    for parameter in module.parameters():
        if parameter.dim() > 1:
            nn.init.xavier_uniform_(parameter)
        else:
            nn.init.zeros_(parameter)
    return module


CLASSIFIERS: dict[str, Callable[[int, int], nn.Module]] = {
    "ridge": _ridge,
    "mlp": _mlp,
    "cnn": _cnn,
    "resnet50": _resnet50,
}
