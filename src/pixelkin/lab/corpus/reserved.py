"""Repositories and blobs kept for judging, which no row may name, known by digests only."""

from __future__ import annotations

import hashlib
from pathlib import Path

from pixelkin.errors import DataError

DIGITS = 32  # of a digest


class Reserved:
    """The list of what is reserved."""

    def __init__(self, digests: frozenset[str]) -> None:
        self._digests = digests

    @classmethod
    def read(cls, path: Path) -> Reserved:
        """The list in a file of digests separated by white space.

        Raises:
            DataError: it cannot be read, or holds something else.
        """
        try:
            words = path.read_text("ascii").split()
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(f"{path}: the reserved list cannot be read ({error})") from error
        if wrong := [word for word in words if len(word) != DIGITS]:
            raise DataError(f"{path}: {wrong[0]!r} is no digest of {DIGITS} digits")
        return cls(frozenset(words))

    def holds_repository(self, name: str) -> bool:
        """Whether a repository, OWNER/NAME, is reserved."""
        return digest("repository", name.lower()) in self._digests

    def holds_blob(self, git_blob: str) -> bool:
        """Whether a git object is reserved, in whichever repository it lies."""
        return digest("blob", git_blob) in self._digests


def digest(kind: str, value: str) -> str:
    """The digest by which the list names a ``repository`` or a ``blob``."""
    return hashlib.sha256(f"pixelkin-reserved:{kind}:{value}".encode()).hexdigest()[:DIGITS]
