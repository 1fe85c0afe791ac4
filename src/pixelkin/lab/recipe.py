"""`TrainConfig`: every setting of a training run, with the paper's recipe as its defaults."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pixelkin.config import over, read_toml
from pixelkin.errors import ConfigError

COUNTS = (
    *("seed", "workers", "checkpoint_steps", "threads"),
    *("images_per_epoch", "fit_images", "patience", "harden_epochs", "validation_seed"),
)
AT_LEAST_ONE = (
    *("bank_side", "bank_most", "crop", "resize", "batch", "accumulate", "epochs"),
    *("lr_decay_epochs", "devices"),
)
NOT_NEGATIVE = (*COUNTS, "tile", "most_tiles", "momentum", "weight_decay", "rho")
POLICIES = ("paper", "short side", "native")
OPTIMISERS = ("adam", "adamw", "sgd")
SCHEDULES = ("steps", "plateau", "linear", "cosine")
KEEPS = ("auc", "accuracy", "loss", "last")
ACCELERATORS = ("auto", "cpu", "cuda")
PRECISIONS = ("32-true", "bf16-mixed", "16-mixed")


def read_recipe(path: Path, *, reduced: bool = False) -> dict[str, Any]:
    """The settings of a recipe file.

    The key ``like`` names a recipe beside it whose settings come first. Its table ``reduced`` holds
    what is changed to train the system on two cores; a ``like`` in it, what several systems share there.

    Args:
        path: a TOML file.
        reduced: put the settings of that table over the others.

    Raises:
        ConfigError: it cannot be read, or has no such table.
    """
    values = read_toml(path)
    found = values.pop("reduced", None)
    values = _after_its_like(values, path)
    if not reduced:
        return values
    if not isinstance(found, dict):
        raise ConfigError(f"{path} has no table [reduced]")
    return over(values, _after_its_like(found, path))


def _after_its_like(values: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """Settings over those of the recipe that they name."""
    own = dict(values)
    like = own.pop("like", "")
    return over(read_recipe(path.parent / like), own) if like else own


@dataclass(frozen=True, slots=True, kw_only=True)
class Degradations:
    """How often a training picture is degraded, and how far; the same for real and generated.

    The order is that of life: resized, blurred, noisy, then saved as JPEG, WebP or AVIF, and at times all
    of it again. Each probability is in [0, 1]; each range is drawn from uniformly (``scale`` so that its
    logarithm is uniform).

    Attributes:
        clean: probability that nothing happens, whatever the others say.
        again: probability of a second pass, off the grid of the first.
        resize: probability of a change of size by a factor out of ``scale``, by one of four filters.
        scale: least and greatest factor.
        blur: probability of a Gaussian blur of ``sigma`` pixels.
        sigma: least and greatest standard deviation, pixels.
        noise: probability of independent Gaussian noise of standard deviation ``grain``.
        grain: least and greatest, grey levels of 0..255.
        jpeg: probability of JPEG compression at a ``jpeg_quality``, 4:4:4 or 4:2:0.
        jpeg_quality: least and greatest quality, 1..100.
        webp: probability of lossy WebP compression at a ``webp_quality``.
        webp_quality: least and greatest quality, 0..100.
        avif: probability of lossy AVIF compression at an ``avif_quality``.
        avif_quality: least and greatest quality, 0..100.
    """

    clean: float = 0.0
    again: float = 0.0
    resize: float = 0.0
    scale: tuple[float, ...] = (0.5, 1.25)
    blur: float = 0.0
    sigma: tuple[float, ...] = (0.1, 1.0)
    noise: float = 0.0
    grain: tuple[float, ...] = (0.5, 4.0)
    jpeg: float = 0.0
    jpeg_quality: tuple[float, ...] = (50.0, 98.0)
    webp: float = 0.0
    webp_quality: tuple[float, ...] = (50.0, 95.0)
    avif: float = 0.0
    avif_quality: tuple[float, ...] = (40.0, 95.0)

    def __post_init__(self) -> None:
        for name in ("clean", "again", "resize", "blur", "noise", "jpeg", "webp", "avif"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"degradations.{name} is a probability, 0 to 1, not {getattr(self, name)}")
        for name in ("scale", "sigma", "grain", "jpeg_quality", "webp_quality", "avif_quality"):
            values = getattr(self, name)
            if len(values) != 2 or not 0 <= values[0] <= values[1]:
                raise ConfigError(f"degradations.{name} is [least, greatest], not {list(values)}")
        for name, least in (("jpeg_quality", 1), ("webp_quality", 0), ("avif_quality", 0)):
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
        start: folder of a finished run whose best weights are the first values; empty for the system's own.
        policy: ``paper`` resizes to ``resize`` x ``resize``, then crops; ``short side`` resizes the shorter
            side to ``resize``, aspect kept, then crops; ``native`` crops at native scale.
        resize: side after resizing, pixels; not of policy ``native``.
        crop: side of the training crop, pixels.
        same_crops: show in every epoch the crops of the first, in another order: what a frozen network
            makes of them is then computed once, where a cache keeps it.
        tile: side of the tiles a run is measured on, pixels; policy ``native`` only. 0 for the shipped
            models' own.
        most_tiles: tiles a run is measured on per picture; 0 likewise.
        flip: probability of a horizontal flip.
        degradations: see there.
        harden_epochs: epochs over which degradations come up to their probabilities, from none at all: a
            curriculum that shows clean traces first. 0 for all from the start.
        bank: folder for squares of ``bank_side`` pixels cut from the training pictures and kept decoded, so
            that an epoch decodes nothing; empty to read the files. Policy ``native`` only.
        bank_side: pixels.
        bank_most: squares kept of one picture.
        teacher: an asset of `pixelkin.lab.external.ASSETS`, a published checkpoint of the system
            ``teacher_system``: the network learns also what this one says of the picture before its
            history. Needs a bank. Empty for none.
        teacher_system: registered name.
        teacher_weight: share of the loss that the teacher's word has, in [0, 1].
        balance: labels are drawn equally often; within one, a source with n images weighs n ** balance.
        validation_share: share of ``data`` held out where ``validation`` is empty.
        validation_group: regular expression cut out of a path to name its group; a group, such as the
            tiles of one sheet, is held out or trained on as a whole.
        validation_images: at the most.
        validation_seed: of which images are held out; 0 for ``seed``. Runs that differ in their seeds alone
            can so share one bank, and be averaged.
        batch: images per step, over all processes.
        accumulate: micro-batches that each process cuts its share of a batch into, one after the other,
            for networks that are too large for the whole; the step is that of the whole batch, but for
            batch norms, which see a micro-batch alone.
        epochs: passes; a system that is only fitted needs one.
        images_per_epoch: 0 for as many as there are.
        fit_images: training images that `Detector.fit` is shown, before the first step; 0 for an epoch's.
        optimiser: adam, adamw or sgd.
        lr: its step size.
        betas: Adam's.
        momentum: of sgd.
        weight_decay: of the optimiser.
        rho: radius of sharpness-aware minimisation around the optimiser (Foret et al. 2021); 0 for none.
        schedule: of the step size. ``steps`` multiplies it by ``lr_decay`` now and then; ``plateau`` is
            Wang et al. 2020's: a tenth after ``patience`` epochs without a better accuracy, and an end
            below 1e-6; ``linear`` keeps it for ``lr_decay_epochs``, then goes to zero; ``cosine`` falls to
            zero along half a wave (Loshchilov and Hutter 2017).
        lr_decay: factor at each drop of the step size, never below 1e-6.
        lr_decay_epochs: epochs between drops; the first epoch is one longer, as in the official program.
        patience: epochs without a better ``keep`` after which ``plateau`` drops and the others end; 0
            for no end.
        keep: which epoch's weights are the best: by validation ``auc``, ``accuracy`` or ``loss``, or the
            ``last`` ones.
        seed: of everything random.
        checkpoint_steps: steps between checkpoints inside an epoch; 0 for at its end only.
        workers: processes that load images; 0 for the training process itself.
        devices: of this machine, as Fabric counts them; under torchrun its processes.
        accelerator: cpu, cuda, or auto.
        precision: ``32-true``; or of the arithmetic inside a step, weights staying in 32 bits:
            ``bf16-mixed``, or on GPUs alone ``16-mixed``.
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
    start: str = ""
    policy: str = "paper"
    resize: int = 256
    crop: int = 224
    same_crops: bool = False
    tile: int = 0
    most_tiles: int = 0
    flip: float = 0.5
    degradations: Degradations = field(default_factory=Degradations)
    harden_epochs: int = 0
    bank: str = ""
    bank_side: int = 288
    bank_most: int = 3
    teacher: str = ""
    teacher_system: str = "ferretnet"
    teacher_weight: float = 0.5
    balance: float = 1.0
    validation_share: float = 0.1
    validation_group: str = ""
    validation_images: int = 2000
    validation_seed: int = 0
    batch: int = 32
    accumulate: int = 1
    epochs: int = 50
    images_per_epoch: int = 0
    fit_images: int = 0
    optimiser: str = "adam"
    lr: float = 2e-4
    betas: tuple[float, ...] = (0.9, 0.999)
    momentum: float = 0.0
    weight_decay: float = 0.0
    rho: float = 0.0
    schedule: str = "steps"
    lr_decay: float = 0.9
    lr_decay_epochs: int = 10
    patience: int = 0
    keep: str = "auc"
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
        named = (
            *(("policy", POLICIES), ("optimiser", OPTIMISERS), ("schedule", SCHEDULES), ("keep", KEEPS)),
            *(("accelerator", ACCELERATORS), ("precision", PRECISIONS)),
        )
        for name, known in named:
            if getattr(self, name) not in known:
                raise ConfigError(f"{name} is one of {', '.join(known)}, not {getattr(self, name)!r}")
        self._check_ranges()
        if self.policy != "native" and self.crop > self.resize:
            raise ConfigError(f"a crop of {self.crop} does not fit in an image resized to {self.resize}")
        if not 0 < self.validation_share < 1:
            raise ConfigError(f"validation_share lies between 0 and 1, not at {self.validation_share}")
        if len(self.betas) != 2:
            raise ConfigError(f"betas are two numbers, not {list(self.betas)}")
        if self.schedule == "plateau" and not self.patience:
            raise ConfigError("the schedule 'plateau' needs a patience of 1 epoch or more")

        self._check_bank()

    def _check_bank(self) -> None:
        if self.bank and self.policy != "native":
            raise ConfigError(f"a bank of squares serves the policy 'native', not {self.policy!r}")
        if self.same_crops and self.harden_epochs:
            raise ConfigError("same_crops keeps the first epoch's crops, which harden_epochs leaves clean")
        if self.teacher and not self.bank:
            raise ConfigError("a teacher needs a bank, where its word on each square is kept")

    def _check_ranges(self) -> None:
        for name in ("flip", "teacher_weight"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"{name} lies in 0 to 1, not at {getattr(self, name)}")
        for name in AT_LEAST_ONE:
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is 1 or more, not {getattr(self, name)}")
        for name in NOT_NEGATIVE:
            if getattr(self, name) < 0:
                raise ConfigError(f"{name} is 0 or more, not {getattr(self, name)}")
        if self.lr <= 0:
            raise ConfigError(f"lr is above 0, not {self.lr}")
