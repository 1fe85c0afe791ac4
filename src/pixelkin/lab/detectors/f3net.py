"""F3-Net: clues in frequency bands and in local frequency statistics.

Qian et al., "Thinking in Frequency: Face Forgery Detection by Mining Frequency-aware Clues",
ECCV 2020, arXiv 2007.09355.

One Xception looks at the picture taken apart into bands of its cosine transform (FAD), another at
the energies of bands in small windows (LFS); both pooled feature vectors go to one linear layer.
The authors published no program. Numbers are those of the public re-implementation.
"""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pixelkin.errors import ConfigError, WeightsError
from pixelkin.lab.backbones import XCEPTION_CHANNELS, Xception
from pixelkin.lab.detectors.base import SIGNED, Detector, Paper, squared, to_tensor
from pixelkin.lab.external import Store
from pixelkin.lab.representations.bands import BandDecomposition, LocalStatistics, Log, MixBlock
from pixelkin.lab.representations.spectra import dct_matrix
from pixelkin.lab.weights import Tensors, load_but
from pixelkin.types import Picture

Mode = Literal["fad", "lfs", "both", "mix"]
View = BandDecomposition | LocalStatistics

FEATURES = 2048  # of each branch
MIXED_AFTER = (7, 12)  # blocks
LEAST_SIZE = 32
UNMIXED = (7, 8, 9)  # rests of sizes by 16 at which one branch has a row more left to halve
FIXED_TOLERANCE = 1e-5
TRUNK = "xception-imagenet"


class Branch(nn.Module):
    """A view of the picture and the Xception that looks at it.

    Args:
        view: images to maps of ``channels``.
        channels: that the view gives.
        stem_stride: stride of the first convolution.
    """

    def __init__(self, view: View, channels: int, stem_stride: int) -> None:
        super().__init__()
        self.view, self.channels = view, channels
        self.trunk = Xception(channels, None, stem_stride=stem_stride)


class F3Net(Detector):
    """One or two Xceptions on frequency bands and local frequency statistics.

    Args:
        mode: "fad" or "lfs" for one branch alone, "both", or "mix" for both with MixBlocks.
        size: side of the square pictures it sees, pixels, 32 or more.
        lfs_log: "before" or "after" the sum over a band; see `band_statistics`.
    """

    card = Paper(
        name="f3net",
        title="Thinking in Frequency: Face Forgery Detection by Mining Frequency-aware Clues",
        reference="2007.09355",
        year=2020,
        label="F3Net",
        looks_at="bands of the cosine transform, of the picture and of small windows",
        idea=(
            "A picture is taken apart into low, middle, high and all frequencies of its cosine transform, by "
            "filters that training adjusts, and one Xception sees these side by side. A second one sees, for "
            "every second pixel, the log energies of six frequency bands in a window of 10 x 10 pixels. The "
            "pooled features of both give one logit through a linear layer."
        ),
        parameters=41_979_661,
        needs=(TRUNK,),
        choices=(
            "The authors published no program; what the paper leaves open is as in a public "
            "re-implementation: four bands and their bounds, the logarithm before the sum over a band "
            "(lfs_log='after' is the paper's), grey values scaled by 122.5. The default mode, both, "
            "leaves out the paper's MixBlocks, which that program never connects; mode='mix' has them "
            "after blocks 7 and 12, the attention multiplied as a matrix, the gate outside the batch "
            "norm. The public count is 41,983,759: it holds a head of 2,049 numbers in each Xception that "
            "nothing uses, left out here. Windows are transformed in float64, and coefficients under 1e-9 "
            "are zero. The paper's recipe stretches pictures to the "
            "network's size, as that program does; one that is not square after all is resized by its "
            "shorter side and cropped. Batches are drawn at random, not half and half."
        ),
    )
    statistics = SIGNED

    def __init__(self, mode: Mode = "both", size: int = 299, lfs_log: Log = "before") -> None:
        _check(mode, size, lfs_log)
        super().__init__()
        self.mode, self.size = mode, size
        self.side = size
        self.branches = nn.ModuleDict()
        if mode != "lfs":
            self.branches["fad"] = Branch(BandDecomposition(size), channels=12, stem_stride=2)
        if mode != "fad":
            # Statistics are half as fine as pixels, so that the first convolution keeps their size.
            self.branches["lfs"] = Branch(LocalStatistics(lfs_log), channels=6, stem_stride=1)
        self.mixers = nn.ModuleList(
            MixBlock(XCEPTION_CHANNELS[block]) for block in MIXED_AFTER if mode == "mix"
        )
        self.dropout = nn.Dropout(0.2)
        self.fc = nn.Linear(FEATURES * len(self.branches), 1)

    def prepare(self, picture: Picture) -> Tensor:
        return self.normalise(to_tensor(squared(picture, self.size)))

    def forward(self, batch: Tensor) -> Tensor:
        branches = list(self._branches().values())
        maps = [branch.trunk.stem(branch.view(batch)) for branch in branches]
        first = 1
        for place, last in enumerate(MIXED_AFTER):
            maps = [branch.trunk.blocks(first, last, x) for branch, x in zip(branches, maps, strict=True)]
            if self.mixers:
                maps = self.mixers[place](*maps)
            first = last + 1
        tails = [branch.trunk.tail(x) for branch, x in zip(branches, maps, strict=True)]
        pooled = torch.cat([F.relu(x).mean((-2, -1)) for x in tails], 1)
        return self.fc(self.dropout(pooled)).squeeze(-1)

    def equip(self, store: Store, *, fresh: bool) -> None:
        tensors = store.tensors(TRUNK) if fresh else None
        if tensors is not None:
            for branch in self._branches().values():
                load_but(branch.trunk, widened(tensors, branch.channels), ("fc.",), TRUNK)

    def from_official(self, tensors: Tensors) -> Tensors:
        """Tensors of the public re-implementation, whose fixed matrices must be those made here.

        Raises:
            WeightsError: it was trained at another size, or by another transform or other base filters.
        """
        rest = dict(tensors)
        ours: Tensors = {}
        for name, branch in self._branches().items():
            ours |= _taken(rest, name, branch)
        return rest | ours

    def _branches(self) -> dict[str, Branch]:
        return {name: part for name, part in self.branches.items() if isinstance(part, Branch)}


def widened(tensors: Tensors, channels: int) -> Tensors:
    """An ImageNet Xception's tensors for a first convolution of ``channels``, a multiple of three.

    Its kernels are repeated and shared out, so that a picture shown ``channels`` / 3 times gives what
    it gave; pointwise kernels that lack their two axes of one pixel get them.
    """
    ours = {
        name: tensor[..., None, None] if "pointwise" in name and tensor.ndim == 2 else tensor
        for name, tensor in tensors.items()
    }
    times = channels // 3
    if "conv1.weight" in ours:
        ours["conv1.weight"] = ours["conv1.weight"].repeat(1, times, 1, 1) / times
    return ours


def _taken(rest: Tensors, name: str, branch: Branch) -> Tensors:
    """One branch's tensors by our names, taken out of ``rest``, those of the public program."""
    head, trunk, ours = f"{name.upper()}_head.", f"{name.upper()}_xcep.", f"branches.{name}."
    for which, own in _fixed(branch.view).items():
        if head + which in rest:
            _check_fixed(head + which, rest.pop(head + which), own)
    names = [f"{head}filters.{place}.learnable" for place in range(len(branch.view.base))]
    learned = [rest.pop(each) for each in names if each in rest]
    # Each Xception there holds the head it was built with, which nothing asks.
    inside = {each: rest.pop(each) for each in list(rest) if each.startswith(trunk)}
    taken = {
        f"{ours}trunk.{each.removeprefix(trunk)}": tensor
        for each, tensor in inside.items()
        if not each.removeprefix(trunk).startswith(("fc.", "last_linear."))
    }
    return taken | ({f"{ours}view.weight": torch.stack(learned)} if learned else {})


def _fixed(view: View) -> Tensors:
    """What the public re-implementation stores beside a view's weights, by its names."""
    whole = isinstance(view, BandDecomposition)
    transform = dct_matrix(view.base.shape[-1])
    matrix = "_DCT_all" if whole else "_DCT_patch"
    fixed = {matrix: transform, f"{matrix}_T": transform.T}
    for place, base in enumerate(view.base):
        fixed[f"filters.{place}.base"] = base
        if not whole:
            fixed[f"filters.{place}.ft_num"] = base.sum()
    return fixed


def _check_fixed(name: str, found: Tensor, own: Tensor) -> None:
    if found.numel() != own.numel():
        sides = [f"{len(tensor)} x {len(tensor)}" for tensor in (found, own)]
        raise WeightsError(f"{name} is for {sides[0]} pixels in the checkpoint, but {sides[1]} here")
    gap = float((found.reshape(own.shape) - own).abs().max())
    if not gap < FIXED_TOLERANCE:
        raise WeightsError(f"{name} of the checkpoint differs from the one made here by up to {gap:.2g}")


def _check(mode: str, size: int, lfs_log: str) -> None:
    for what, value, known in (("mode", mode, get_args(Mode)), ("lfs_log", lfs_log, get_args(Log))):
        if value not in known:
            raise ConfigError(f"f3net has no {what} {value!r}; there are: {', '.join(known)}")
    if size < LEAST_SIZE:
        raise ConfigError(f"f3net sees pictures of a side of {LEAST_SIZE} or more, not of {size}")
    if mode == "mix" and size % 16 in UNMIXED:
        raise ConfigError(
            f"f3net cannot mix at size {size}, where its branches' maps differ in size: "
            f"take {size - size % 16} or {size - size % 16 + 16}"
        )
