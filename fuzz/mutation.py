"""Changes to image files that keep the rest of the file readable."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from random import Random

from containers import Part, joined, split

Change = Callable[[bytes, int], bytes]  # of bytes, to at most so many

NUMBERS = (
    0,
    1,
    2,
    7,
    8,
    127,
    128,
    255,
    256,
    16383,
    32767,
    32768,
    65535,
    65536,
    2**24,
    2**31 - 1,
    2**31,
    2**32 - 1,
)
DEFLATED = {b"IDAT": 0, b"zTXt": 1, b"iCCP": 1}  # chunks of a PNG; strings before what is deflated in them
MOST_INFLATED = 1 << 16
MOST_REPEATS = 40
WHOLE_FILE, FIRST = 0.15, 0.1  # of the changes are to any byte of the file, to any part


def mutate(data: bytes, most: int, seed: int, change: Change) -> bytes:
    """A file with one or a few of its parts changed.

    Args:
        data: the file.
        most: bytes that it may have.
        seed: of all choices that are made here.
        change: changes bytes of no known structure, and makes its own choices.
    """
    random = Random(seed)
    if random.random() < WHOLE_FILE:
        return change(data, most)
    parts = split(data)
    for _ in range(random.choice((1, 1, 1, 2, 4))):
        if parts:
            random.choice(_ACTS)(parts, random, change)
    return joined(parts)[:most]


def by_chance(random: Random) -> Change:
    """A change of bytes where there is no fuzzer's: one to four bytes set, put in or taken out."""

    def change(data: bytes, most: int) -> bytes:
        changed = bytearray(data)
        for _ in range(random.randint(1, 4)):
            at = random.randrange(len(changed) + 1)
            changed[at : at + random.randint(0, 2)] = random.randbytes(random.randint(0, 2))
        return bytes(changed[:most])

    return change


def _place(parts: list[Part], random: Random) -> int:
    """A part; seldom the first, which says of what kind the file is."""
    return (
        random.randrange(len(parts))
        if random.random() < FIRST
        else random.randrange(len(parts) > 1, len(parts))
    )


def _change(parts: list[Part], random: Random, change: Change) -> None:
    at = _place(parts, random)
    kind, body = parts[at]
    parts[at] = Part(kind, change(body, len(body) + 64))


def _set_number(parts: list[Part], random: Random, _: Change) -> None:
    """A number of 1, 2 or 4 bytes that programs stumble over, in either byte order."""
    at = _place(parts, random)
    kind, body = parts[at]
    size = random.choice((1, 2, 4))
    place = random.randrange(len(body) + 1)
    number = random.choice(NUMBERS) % 256**size
    put = number.to_bytes(size, random.choice(("big", "little")))
    parts[at] = Part(kind, (body[:place] + put + body[place + size :]))


def _drop(parts: list[Part], random: Random, _: Change) -> None:
    del parts[_place(parts, random)]


def _repeat(parts: list[Part], random: Random, _: Change) -> None:
    at = _place(parts, random)
    parts[at:at] = [parts[at]] * random.randint(1, MOST_REPEATS)


def _move(parts: list[Part], random: Random, _: Change) -> None:
    part = parts.pop(_place(parts, random))
    parts.insert(random.randrange(len(parts) + 1), part)


def _cut(parts: list[Part], random: Random, _: Change) -> None:
    at = _place(parts, random)
    kind, body = parts[at]
    parts[at] = Part(kind, body[: random.randrange(len(body) + 1)])


def _change_inside(parts: list[Part], random: Random, change: Change) -> None:
    """What a chunk of a PNG holds deflated is changed inflated."""
    places = [at for at, part in enumerate(parts) if part.kind in DEFLATED]
    if not places:
        return _change(parts, random, change)
    at = random.choice(places)
    kind, body = parts[at]
    start = body.find(b"\0") + 2 if DEFLATED[kind] else 0
    try:
        inside = zlib.decompressobj().decompress(body[start:], MOST_INFLATED)
    except zlib.error:
        inside = body[start:]
    parts[at] = Part(kind, body[:start] + zlib.compress(change(inside, MOST_INFLATED)))
    return None


_ACTS = (_change, _change, _set_number, _set_number, _drop, _repeat, _move, _cut, _change_inside)
