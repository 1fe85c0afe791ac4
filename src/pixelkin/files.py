"""Files that are there whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


def write_atomically(path: Path, data: bytes) -> None:
    """Put ``data`` at ``path`` such that a reader, at any moment, finds the old file or the new one."""
    with replacing(path) as file:
        file.write(data)


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A file to write, that takes the place of ``path`` once it is whole and on the disk.

    If the block raises, or the disk is full, ``path`` stays as it was and nothing is left beside it.

    Raises:
        OSError: it cannot be written; its ``filename`` is then ``path``, or what the block had failed at.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with beside.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except OSError as error:
        if error.strerror and error.filename in (None, str(beside)):  # a full disk names no file
            error.filename = str(path)
        raise
    finally:
        beside.unlink(missing_ok=True)
    if os.name == "posix":
        _sync(path.parent)


def tidy(folder: Path, pattern: str) -> None:
    """Remove what killed processes had begun to write in the place of files whose names match ``pattern``."""
    for begun in folder.glob(f".{pattern}.*"):
        begun.unlink(missing_ok=True)


def _sync(folder: Path) -> None:
    """A new name outlives a power cut once its folder is on the disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
