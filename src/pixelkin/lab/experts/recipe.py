"""`ExpertsConfig`: the settings of heads on frozen features, as a recipe file gives them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pixelkin.errors import ConfigError
from pixelkin.lab.recipe import Degradations

SYSTEM = "experts"
TOKENS = ("class", "mean")


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadConfig:
    """One head, and how it is trained.

    Attributes:
        blocks: the first and the last block of the encoder whose tokens it reads, from 1.
        tokens: which of `TOKENS`.
        width: numbers that each token is projected to.
        dropout: probability, of inputs and of the last layer.
        epochs: passes over as many pictures as there are.
        lr: peak step size of AdamW, one cycle.
        weight_decay: of matrices.
        consistency: weight of the symmetric divergence between two views of one picture (DCPT, 2604.10102).
        smooth: by which labels are drawn towards one half.
        power: a source has a vote of its number of pictures to this power: 0 one a source, 1 one a picture.
        seeds: networks that are trained and averaged.
    """

    blocks: tuple[int, ...] = (5, 12)
    tokens: tuple[str, ...] = TOKENS
    width: int = 64
    dropout: float = 0.3
    epochs: int = 12
    lr: float = 1e-3
    weight_decay: float = 0.05
    consistency: float = 0.5
    smooth: float = 0.02
    power: float = 0.5
    seeds: int = 3

    def __post_init__(self) -> None:
        if len(self.blocks) != 2 or not 1 <= self.blocks[0] <= self.blocks[1]:
            raise ConfigError(f"blocks are the first and the last, from 1, not {list(self.blocks)}")
        if not self.tokens or set(self.tokens) - set(TOKENS):
            raise ConfigError(f"tokens are some of {', '.join(TOKENS)}, not {list(self.tokens)}")
        for name in ("width", "epochs", "seeds"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is 1 or more, not {getattr(self, name)}")
        for name in ("dropout", "smooth", "power"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"{name} lies in 0 to 1, not {getattr(self, name)}")
        if min(self.lr, self.weight_decay, self.consistency) < 0 or self.lr == 0:
            raise ConfigError("lr is above zero, weight_decay and consistency are not below it")


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpertsConfig:
    """Settings of one run. Nothing here is learnt from the pictures that thresholds are fitted on.

    Attributes:
        system: always `SYSTEM`; what tells such a recipe from a network's.
        data: folder of labelled training images, or of shards of them.
        out: folder of the run.
        cache: folder of features; of any number of recipes and data sets.
        encoder: a name of `pixelkin.models.ENCODERS`.
        most: pictures of each source at the most, as `pixelkin.data.at_most` chooses them.
        views: degraded views of each picture beside the one as stored.
        seed: of all that is drawn.
        workers: processes that decode and encode.
        folds: groups of sources, each left out once to weigh the heads against each other.
        overview: the head that reads the overview's tokens.
        native: the head that reads a native tile's tokens.
        traces: the width of the head that reads the trace networks' features of native tiles; 0 for none.
        circulation: probability of each step of `pixelkin.lab.circulation.STEPS` that is not its own.
        degradations: resizing and codecs that follow.
    """

    system: str = SYSTEM
    data: str
    out: str
    cache: str = "runs/features"
    encoder: str = "clip-vit-b16"
    most: int = 40
    views: int = 1
    seed: int = 0
    workers: int = 2
    folds: int = 5
    overview: HeadConfig = field(default_factory=HeadConfig)
    native: HeadConfig = field(default_factory=HeadConfig)
    traces: int = 64
    circulation: Mapping[str, float] = field(default_factory=dict)
    degradations: Degradations = field(default_factory=Degradations)

    def __post_init__(self) -> None:
        if self.system != SYSTEM:
            raise ConfigError(f"system is {SYSTEM!r} in a recipe of heads, not {self.system!r}")
        if self.views < 1 or self.most < 1 or self.folds < 2:
            raise ConfigError("views and most are 1 or more, folds 2 or more")
        if self.workers < 0 or self.traces < 0:
            raise ConfigError("workers and traces are not below zero")
