"""From an entry to the tiles that a model sees of it: what worker processes do. Needs no runtime."""

from __future__ import annotations

import errno
import hashlib
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pixelkin import archives
from pixelkin.archives import suffix_of
from pixelkin.errors import ImageError, SourceError
from pixelkin.images import decode, inspect
from pixelkin.judgement import look
from pixelkin.scan import places
from pixelkin.scan.sources import Entry
from pixelkin.types import Card, Picture, Pixels

OF_ONE = (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError)
ERRNO_OF_ONE = {errno.ELOOP, errno.ENAMETOOLONG, errno.ENXIO, errno.EINVAL, errno.ESPIPE}


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What was seen of one entry.

    Attributes:
        facts: columns of its row that are known by now.
        tiles: uint8, shape (n, 3, side, side); none of an image that cannot be read.
        seconds: that it took.
        error: why it cannot be read.
    """

    facts: dict[str, Any] = field(default_factory=dict)
    tiles: Pixels = field(default_factory=lambda: np.empty((0, 3, 1, 1), np.uint8))
    seconds: float = 0.0
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Looker:
    """Reads and decodes entries, and cuts the tiles that a model of ``card`` sees.

    Attributes:
        card: of the model.
        root: the folder that must still be there where a file is not; None where there is none.
        decode: an image file's bytes, named for messages, to a picture.
    """

    card: Card
    root: str | None = None
    decode: Callable[[bytes, str], Picture] = decode

    def __call__(self, entry: Entry) -> Look:
        """What is seen of one entry.

        Raises:
            SourceError: the source it comes from cannot be reached.
        """
        began = time.perf_counter()
        data, facts, error = b"", {}, None
        tiles = np.empty((0, 3, self.card.tile, self.card.tile), np.uint8)
        try:
            data = self._read(entry)
            picture = self.decode(data, entry.path)
            facts = {"width": picture.width, "height": picture.height, "format": picture.format}
            facts |= {"sha256": picture.sha256, "jpeg_quality": inspect(data, entry.path).quality or None}
            _, tiles = look(self.card, picture.pixels)
        except ImageError as failed:
            error = str(failed)
        except MemoryError:
            error = f"{entry.path}: too large for the memory there is"
        if data and not facts:
            facts = {"sha256": hashlib.sha256(data).hexdigest()}
        return Look(facts=facts, tiles=tiles, seconds=time.perf_counter() - began, error=error)

    def _read(self, entry: Entry) -> bytes:
        if entry.member is None and suffix_of(entry.path) in archives.COMPRESSED:
            raise ImageError(f"{entry.path}: {archives.NOT_COMPRESSED}")
        try:
            with places.open_place(entry.file) as file:
                if entry.member is not None:
                    return archives.read_member(file, entry.member, entry.path)
                size = file.seek(0, os.SEEK_END)  # what has no end is no file
                file.seek(0)
                return archives.bounded(file.read(min(size, archives.MOST_BYTES + 1)), entry.path)
        except ValueError as error:  # no name that a file can have, or nothing with a beginning and an end
            raise ImageError(f"{entry.path}: no file ({error})") from error
        except OSError as error:
            self._check_source(entry, error)
            raise ImageError(f"{entry.path}: {error.strerror or error}") from error

    def _check_source(self, entry: Entry, error: OSError) -> None:
        """Whether one image cannot be read, or none of its source."""
        if entry.member is not None or not (isinstance(error, OF_ONE) or error.errno in ERRNO_OF_ONE):
            raise places.unreachable(entry.file, error) from error
        if self.root is not None:
            _check_root(self.root)


def _check_root(root: str) -> None:
    try:
        with os.scandir(root) as found:
            gone = next(found, None) is None  # what is left of a disk that is no longer mounted
    except OSError as error:
        raise places.unreachable(root, error) from error
    if gone:
        raise SourceError(f"{root} is empty now: once its images are back, the same command goes on")
