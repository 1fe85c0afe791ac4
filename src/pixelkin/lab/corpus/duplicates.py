"""Near duplicates by a difference hash of 256 bits, and which of them stays."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pixelkin.images import thumbnail
from pixelkin.types import Pixels

SIDE = 16  # of the hash: 16 x 16 bits
BITS = SIDE * SIDE
DISTANCE = 10  # differing bits up to which two pictures count as one
LOOKED_AT = 256  # pixels, longer side of the copy that is hashed
LEAST_CONTRAST = 8  # of 255: between the darkest and the brightest cell; below, there is nothing to see
_BLOCK = 1024  # hashes compared at once


def difference_hash(pixels: Pixels) -> tuple[str, int]:
    """The difference hash of a picture, and its contrast.

    A bit is set where a cell of the picture, shrunk to 17 x 16 grey cells, is brighter than the cell to
    its left. It stays nearly the same when a picture is scaled or compressed.

    Args:
        pixels: uint8, shape (H, W, 3).

    Returns:
        64 hexadecimal digits; and the brightest less the darkest cell, 0..255.
    """
    small = Image.fromarray(pixels).convert("L").resize((SIDE + 1, SIDE), Image.Resampling.BOX)
    grey = np.asarray(small).astype(np.int16)
    bits = grey[:, 1:] > grey[:, :-1]
    return np.packbits(bits).tobytes().hex(), int(grey.max() - grey.min())


def hash_file(data: bytes) -> tuple[str, int]:
    """`difference_hash` of an image file.

    Raises:
        ImageError: it cannot be decoded.
    """
    return difference_hash(thumbnail(data, LOOKED_AT, "it"))


def find_duplicates(
    hashes: Sequence[str],
    *,
    distance: int = DISTANCE,
    allowed: Callable[[int, int], bool] = lambda *_: False,
) -> dict[int, int]:
    """The pictures that are near duplicates of an earlier one that stays.

    Args:
        hashes: 64 hexadecimal digits each, those that are to stay first.
        distance: differing bits up to which two pictures are duplicates.
        allowed: whether a pair of indices may both stay all the same, e.g. an original and its edit.

    Returns:
        Index of the one that stays, by the index of each that does not.
    """
    if not hashes:
        return {}
    signs = _signs(hashes)
    dropped: dict[int, int] = {}
    for start in range(0, len(signs), _BLOCK):
        block = signs[start : start + _BLOCK]
        # Of vectors of +1 and -1 the product is the number of equal bits less that of differing ones.
        near = block @ signs[: start + len(block)].T >= BITS - 2 * distance
        for row, earlier in zip(*np.nonzero(near), strict=True):
            later = start + int(row)
            kept = int(earlier)
            if kept < later and later not in dropped and kept not in dropped and not allowed(kept, later):
                dropped[later] = kept
    return dropped


def _signs(hashes: Sequence[str]) -> NDArray[np.float32]:
    """Each hash as a vector of +1 and -1, shape (n, 256)."""
    packed = np.frombuffer(bytes.fromhex("".join(hashes)), np.uint8).reshape(len(hashes), BITS // 8)
    return np.unpackbits(packed, axis=1).astype(np.float32) * 2 - 1
