"""Weights in and out of files: safetensors, their digests, and official checkpoints."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import warnings
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from pickle import UnpicklingError  # what torch's reader of plain tensors raises at anything else
from typing import Any, BinaryIO

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from pixelkin.errors import WeightsError
from pixelkin.files import write_atomically

Tensors = dict[str, Tensor]

logger = logging.getLogger(__name__)

MOST_BYTES = (
    8 * 2**30
)  # of a file of weights, unpacked; the largest that a system here looks through has 2.2 GB
MOST_HEADER = 16 * 2**20  # of a safetensors file's table of tensors and facts
SHA256 = "sha256"  # the fact that holds the digest of the others and of the tensors

WRAPPERS = ("model", "state_dict", "net", "netC")
PREFIXES = ("module.", "model.", "net.")


def save_tensors(path: Path, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
    """Write tensors and JSON-able ``facts`` as one safetensors file with their digest, atomically."""
    whole = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    said = {**facts, SHA256: content_sha256(whole, facts)}
    write_atomically(path, save(whole, {"pixelkin": json.dumps(said, sort_keys=True)}))


def load_tensors(path: Path) -> tuple[Tensors, dict[str, Any]]:
    """The tensors and the facts of a file that `save_tensors` wrote.

    Raises:
        WeightsError: it is missing, too large, damaged, altered since, or holds no facts.
    """
    with _opened(path) as (file, facts):
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
    digest = facts.pop(SHA256, None)
    if digest is None:
        logger.warning("%s is of before files carried a digest: that it is unaltered is not known", path)
    elif digest != content_sha256(tensors, facts):
        raise WeightsError(f"{path} was altered: its tensors and facts are not those of its SHA-256")
    return tensors, facts


def load_facts(path: Path) -> dict[str, Any]:
    """The facts alone of a file that `save_tensors` wrote, whatever its size; their digest is not checked.

    Raises:
        WeightsError: as `load_tensors`, but for what was altered.
    """
    with _opened(path) as (_, facts):
        return {name: fact for name, fact in facts.items() if name != SHA256}


def content_sha256(tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> str:
    """Hex digest of facts, and of names, types, shapes and bytes of tensors on the CPU."""
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"\n{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


@contextmanager
def _opened(path: Path) -> Iterator[tuple[Any, dict[str, Any]]]:
    """A file that `save_tensors` wrote, opened, and its facts."""
    try:
        with path.open("rb") as start:
            _check_size(path, start)
            header = int.from_bytes(start.read(8), "little")
        if header > MOST_HEADER:
            raise WeightsError(f"{path}: its header claims {header:,} bytes, over {MOST_HEADER:,}")
        with safe_open(path, "pt") as file:
            yield file, dict(json.loads((file.metadata() or {})["pixelkin"]))
    except (OSError, SafetensorError) as error:
        raise WeightsError(f"{path}: no readable safetensors file ({error})") from error
    except (KeyError, TypeError, ValueError) as error:
        raise WeightsError(f"{path}: a safetensors file, but not one that Pixelkin wrote") from error


def _check_size(path: Path, file: BinaryIO) -> None:
    """Refuse a file whose contents are over `MOST_BYTES`, as they are or unpacked, before it is read."""
    size = os.fstat(file.fileno()).st_size
    if zipfile.is_zipfile(file):  # as torch writes checkpoints; nothing forbids it to be compressed
        with zipfile.ZipFile(file) as parts:
            size = max(size, sum(part.file_size for part in parts.infolist()))
    file.seek(0)
    if size > MOST_BYTES:
        raise WeightsError(f"{path}: {size:,} bytes, over the {MOST_BYTES:,} that are read here")


def load_plain(path: Path) -> Any:
    """What a file that torch wrote holds: tensors, numbers, text, and lists and tables of them.

    Nothing in the file is executed: it is read with ``weights_only``.

    Raises:
        WeightsError: it is missing or too large, or holds anything else.
    """
    try:
        with path.open("rb") as file, warnings.catch_warnings():
            _check_size(path, file)
            warnings.simplefilter("ignore")  # of unusual pickle protocols: the answer says what matters
            return torch.load(file, map_location="cpu", weights_only=True)
    except (FileNotFoundError, IsADirectoryError, PermissionError) as error:
        raise WeightsError(f"{path}: no checkpoint that can be read ({error.strerror})") from error
    except (OSError, RuntimeError, EOFError, UnpicklingError, ValueError, zipfile.BadZipFile) as error:
        raise WeightsError(f"{path}: not a checkpoint of plain tensors") from error


def load_official(path: Path) -> Tensors:
    """The state dict of a published checkpoint, out of whatever its program wrapped it in.

    That is: bare, or under the key ``model``, ``state_dict``, ``net`` or ``netC``; every name with
    the prefix ``module.`` (of data-parallel training), ``model.`` or ``net.``, or none.

    Raises:
        WeightsError: as `load_plain`, or it holds anything but named tensors.
    """
    found = load_plain(path)
    for wrapper in WRAPPERS:
        if isinstance(found, dict) and isinstance(found.get(wrapper), dict):
            found = found[wrapper]
    if not isinstance(found, dict) or not all(isinstance(v, Tensor) for v in found.values()):
        raise WeightsError(f"{path}: holds no state dict, a table of named tensors")
    tensors = {str(name): tensor for name, tensor in found.items()}
    for prefix in PREFIXES:
        if all(name.startswith(prefix) for name in tensors):
            tensors = {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}
    return tensors


def load_strictly(module: nn.Module, tensors: Mapping[str, Tensor], where: object) -> None:
    """Put ``tensors`` into ``module``, every one of them in its place and none left over.

    Args:
        module: what they are for.
        tensors: its parameters and buffers by name.
        where: the file's name, for the message.

    Raises:
        WeightsError: a tensor is missing, unknown, or of another shape; ``module`` is then unchanged.
    """
    wanted = module.state_dict()
    missing = sorted(wanted.keys() - tensors.keys())
    unknown = sorted(tensors.keys() - wanted.keys())
    shapes = [
        f"{name} is {tuple(tensors[name].shape)}, not {tuple(wanted[name].shape)}"
        for name in sorted(wanted.keys() & tensors.keys())
        if tensors[name].shape != wanted[name].shape
    ]
    wrong = [
        f"{len(names)} {what} ({', '.join(names[:3])}{', ...' if len(names) > 3 else ''})"
        for what, names in [("missing", missing), ("unknown", unknown), ("of another shape", shapes)]
        if names
    ]
    if wrong:
        raise WeightsError(f"{where}: not weights of {type(module).__name__}: {'; '.join(wrong)}")
    module.load_state_dict(dict(tensors))


def load_but(module: nn.Module, tensors: Mapping[str, Tensor], head: Sequence[str], where: object) -> None:
    """Put ``tensors`` into ``module`` strictly, but for a ``head`` that is trained anew.

    Args:
        module: keeps its own values where a name begins with one of ``head``.
        tensors: of the same network with another head.
        head: beginnings of names.
        where: the file's name, for the message.

    Raises:
        WeightsError: as `load_strictly`.
    """
    # Files older than torch 0.4.1 do not count the batches a norm has seen.
    kept = (*head, *(name for name in module.state_dict() if name.endswith("num_batches_tracked")))
    own = {name: value for name, value in module.state_dict().items() if name.startswith(kept)}
    rest = {name: value for name, value in tensors.items() if not name.startswith(tuple(head))}
    load_strictly(module, own | rest, where)


def sha256_of(path: Path) -> str:
    """Hex digest of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
