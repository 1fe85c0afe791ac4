"""`TrainConfig`: every setting of a training run, with the paper's recipe as its defaults."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pixelkin.errors import ConfigError

POLICIES = ("paper", "native")


@dataclass(frozen=True, slots=True, kw_only=True)
class Degradations:
    """How often a training picture is degraded, and how far; the same for real and generated.

    The order is that of life: resized, blurred, then saved as JPEG or WebP. Each probability is in
    [0, 1]; each range is drawn from uniformly (``scale`` so that its logarithm is uniform).

    Attributes:
        resize: probability of a change of size by a factor out of ``scale``, by one of four filters.
        scale: least and greatest factor.
        blur: probability of a Gaussian blur of ``sigma`` pixels.
        sigma: least and greatest standard deviation, pixels.
        jpeg: probability of JPEG compression at a ``jpeg_quality``, 4:4:4 or 4:2:0.
        jpeg_quality: least and greatest quality, 1..100.
        webp: probability of lossy WebP compression at a ``webp_quality``.
        webp_quality: least and greatest quality, 0..100.
    """

    resize: float = 0.0
    scale: tuple[float, ...] = (0.5, 1.25)
    blur: float = 0.0
    sigma: tuple[float, ...] = (0.1, 1.0)
    jpeg: float = 0.0
    jpeg_quality: tuple[float, ...] = (50.0, 98.0)
    webp: float = 0.0
    webp_quality: tuple[float, ...] = (50.0, 95.0)

    def __post_init__(self) -> None:
        for name in ("resize", "blur", "jpeg", "webp"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"degradations.{name} is a probability, 0 to 1, not {getattr(self, name)}")
        for name in ("scale", "sigma", "jpeg_quality", "webp_quality"):
            values = getattr(self, name)
            if len(values) != 2 or not 0 <= values[0] <= values[1]:
                raise ConfigError(f"degradations.{name} is [least, greatest], not {list(values)}")
        for name, least in (("jpeg_quality", 1), ("webp_quality", 0)):
            values = getattr(self, name)
            if values[0] < least or values[1] > 100:
                raise ConfigError(f"degradations.{name} lies in {least} to 100, not {list(values)}")
        if self.scale[0] <= 0:
            raise ConfigError(f"degradations.scale starts above zero, not at {self.scale[0]}")


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainConfig:
    """Settings of one training run. The defaults are the paper's (Sec. 4.1 and its official program).

    Attributes:
        data: folder of training images in a labelled layout.
        sources: train on these sources only, each with all below it; empty for all there are.
        out: folder of the run.
        validation: folder of validation images; empty to hold out a share of ``data``.
        detector: registered name.
        options: keyword arguments of the detector's constructor.
        policy: ``paper`` resizes to ``resize`` x ``resize``, then crops; ``native`` crops at native scale.
        resize: side after resizing, pixels; policy ``paper`` only.
        crop: side of the training crop, pixels.
        flip: probability of a horizontal flip.
        degradations: see there.
        balance: labels are drawn equally often; within one, a source with n images weighs n ** balance.
        validation_share: share of ``data`` held out where ``validation`` is empty.
        validation_group: regular expression cut out of a path to name its group; a group, such as the
            tiles of one sheet, is held out or trained on as a whole.
        validation_images: at the most.
        batch: images per step, over all processes.
        epochs: passes.
        images_per_epoch: 0 for as many as there are.
        lr: Adam's step size.
        betas: Adam's.
        lr_decay: factor at each drop of the step size, never below 1e-6.
        lr_decay_epochs: epochs between drops; the first epoch is one longer, as in the official program.
        seed: of everything random.
        checkpoint_steps: steps between checkpoints inside an epoch; 0 for at its end only.
        workers: processes that load images; 0 for the training process itself.
        devices: of this machine, as Fabric counts them; under torchrun its processes.
        accelerator: cpu, cuda, or auto.
        precision: as Fabric names it.
        channels_last: keep activations in channels-last order, the faster one for convolutions.
        compile: let torch compile the network; costs a minute at the start.
        threads: of torch; 0 for its own choice.
    """

    data: str
    out: str
    sources: tuple[str, ...] = ()
    validation: str = ""
    detector: str = "npr"
    options: Mapping[str, Any] = field(default_factory=dict)
    policy: str = "paper"
    resize: int = 256
    crop: int = 224
    flip: float = 0.5
    degradations: Degradations = field(default_factory=Degradations)
    balance: float = 1.0
    validation_share: float = 0.1
    validation_group: str = ""
    validation_images: int = 2000
    batch: int = 32
    epochs: int = 50
    images_per_epoch: int = 0
    lr: float = 2e-4
    betas: tuple[float, ...] = (0.9, 0.999)
    lr_decay: float = 0.9
    lr_decay_epochs: int = 10
    seed: int = 100
    checkpoint_steps: int = 0
    workers: int = 1
    devices: int = 1
    accelerator: str = "auto"
    precision: str = "32-true"
    channels_last: bool = True
    compile: bool = False
    threads: int = 0

    def __post_init__(self) -> None:
        if self.policy not in POLICIES:
            raise ConfigError(f"policy is one of {', '.join(POLICIES)}, not {self.policy!r}")
        self._check_ranges()
        if self.policy == "paper" and self.crop > self.resize:
            raise ConfigError(f"a crop of {self.crop} does not fit in an image resized to {self.resize}")
        if not 0 <= self.flip <= 1:
            raise ConfigError(f"flip is a probability, 0 to 1, not {self.flip}")
        if not 0 < self.validation_share < 1:
            raise ConfigError(f"validation_share lies between 0 and 1, not at {self.validation_share}")
        if len(self.betas) != 2:
            raise ConfigError(f"betas are two numbers, not {list(self.betas)}")

    def _check_ranges(self) -> None:
        for name in ("crop", "resize", "batch", "epochs", "lr_decay_epochs", "devices"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is 1 or more, not {getattr(self, name)}")
        for name in ("seed", "workers", "checkpoint_steps", "threads", "images_per_epoch"):
            if getattr(self, name) < 0:
                raise ConfigError(f"{name} is 0 or more, not {getattr(self, name)}")
        if self.lr <= 0:
            raise ConfigError(f"lr is above 0, not {self.lr}")

    def lr_at(self, epoch: int) -> float:
        """The step size of ``epoch``, counted from zero."""
        drops = max(0, (epoch - 1) // self.lr_decay_epochs)
        return max(self.lr * self.lr_decay**drops, min(self.lr, 1e-6))
