"""The corpus as files: laid out from clones in folders, or packed in tar shards, byte for byte."""

from __future__ import annotations

import io
import tarfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import count
from pathlib import Path
from typing import BinaryIO

import numpy as np

from pixelkin.errors import ImageError
from pixelkin.files import replacing, write_atomically
from pixelkin.images import decode, encode
from pixelkin.lab.corpus.clones import blobs, git_directory
from pixelkin.lab.corpus.manifest import Entry

SHARD_BYTES = 512 << 20  # a shard is closed once it holds so many


def lay_out(chosen: Iterable[Entry], clones: Path, out: Path) -> tuple[Counter[str], Counter[str]]:
    """Write the files that are not there yet, as ``SPLIT/LABEL/SOURCE/FILE``.

    Args:
        chosen: entries to lay out.
        clones: the folder of clones.
        out: the folder to write to.

    Returns:
        Counts of the files that lie there now by folder, and of entries that are missing by reason.
    """
    there: Counter[str] = Counter()
    missing: Counter[str] = Counter()
    for entry, data in _contents(chosen, clones, missing):
        folder = out / entry.folder
        folder.mkdir(parents=True, exist_ok=True)
        files = 0
        for name, content in _files(entry, data, folder):
            if content is not None:
                write_atomically(folder / name, content)
            files += 1
        if files:
            there[entry.folder] += files
        else:
            missing[f"{entry.repository} (unreadable)"] += 1
    return there, missing


def write_shards(
    chosen: Sequence[Entry], clones: Path, out: Path, *, most: int = SHARD_BYTES
) -> tuple[Counter[str], Counter[str]]:
    """Pack the files in ``OUT/SPLIT/part-NNNNNN.tar``, which `pixelkin.data.find_samples` reads as folders.

    The same entries give the same bytes: members carry neither times nor owners.

    Args:
        chosen: entries to pack.
        clones: the folder of clones.
        out: the folder to write to; a split's older shards are removed.
        most: bytes after which a shard is closed.

    Returns:
        As `lay_out`.
    """
    there: Counter[str] = Counter()
    missing: Counter[str] = Counter()
    for split in dict.fromkeys(entry.split for entry in chosen):
        folder = out / split
        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.glob("part-*.tar"):
            old.unlink()
        members = _members([entry for entry in chosen if entry.split == split], clones, there, missing)
        held = next(members, None)
        for number in count():
            if held is None:
                break
            with replacing(folder / f"part-{number:06}.tar") as file:
                held = _pack(file, held, members, most)
    return there, missing


def sample(entries: Sequence[Entry], number: int) -> list[Entry]:
    """About ``number`` of the entries, every k-th of them; all where there are no more."""
    return list(entries[:: max(1, len(entries) // max(1, number))][:number])


def _pack(
    file: BinaryIO, held: tuple[str, bytes] | None, members: Iterator[tuple[str, bytes]], most: int
) -> tuple[str, bytes] | None:
    """Write members to one shard, at least one; returns the first that it has no room for."""
    with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as tar:
        while held is not None and (tar.offset == 0 or tar.offset + len(held[1]) <= most):
            info = tarfile.TarInfo(held[0])
            info.size = len(held[1])
            tar.addfile(info, io.BytesIO(held[1]))
            held = next(members, None)
    return held


def _members(
    chosen: Iterable[Entry], clones: Path, there: Counter[str], missing: Counter[str]
) -> Iterator[tuple[str, bytes]]:
    """Name and bytes of the files of one split, repository by repository."""
    for entry, data in _contents(chosen, clones, missing):
        files = 0
        for name, content in _files(entry, data, None):
            if content is not None:
                yield f"{entry.label}/{entry.source}/{name}", content
                files += 1
        if files:
            there[entry.folder] += files
        else:
            missing[f"{entry.repository} (unreadable)"] += 1


def _contents(chosen: Iterable[Entry], clones: Path, missing: Counter[str]) -> Iterator[tuple[Entry, bytes]]:
    """Entries with their bytes, repository by repository; the others are counted as missing."""
    by_repository: dict[str, list[Entry]] = {}
    for entry in chosen:
        by_repository.setdefault(entry.repository, []).append(entry)
    for repository, wanted in sorted(by_repository.items()):
        directory = git_directory(clones, repository)
        if directory is None:
            missing[f"{repository} (no clone)"] += len(wanted)
            continue
        for entry, data in zip(wanted, blobs(directory, [e.git_blob for e in wanted]), strict=True):
            if data is None:
                missing[f"{repository} (objects)"] += 1
            else:
                yield entry, data


def _files(entry: Entry, data: bytes, folder: Path | None) -> Iterator[tuple[str, bytes | None]]:
    """Name and bytes of an entry's file, or of its sheet's tiles; no bytes for what lies in ``folder``."""

    def lies_there(name: str) -> bool:
        return folder is not None and (folder / name).exists()

    if not entry.grid:
        yield entry.file_name, None if lies_there(entry.file_name) else data
        return
    columns, rows = (int(number) for number in entry.grid.split("x"))
    try:
        sheet = decode(data, entry.path).pixels
    except ImageError:
        return
    height, width = sheet.shape[0] // rows, sheet.shape[1] // columns
    for row in range(rows):
        for column in range(columns):
            name = f"{Path(entry.file_name).stem}_{row}{column}.png"
            tile = sheet[row * height : (row + 1) * height, column * width : (column + 1) * width]
            there = lies_there(name)
            yield name, None if there else encode(np.ascontiguousarray(tile), "PNG", compress_level=1)
