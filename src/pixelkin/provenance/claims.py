"""`Evidence`: the claims a file makes, in words that are safe to show."""

from __future__ import annotations

import unicodedata
from dataclasses import asdict, dataclass
from typing import Any

LONGEST = 300  # characters of a value
MOST = 40  # claims of a file


@dataclass(frozen=True, slots=True)
class Claim:
    """One thing that a file says.

    Attributes:
        what: in a word or two, e.g. ``"Camera"``.
        value: what it says; at most `LONGEST` characters, none of them a control character.
        where: the field it was found in, e.g. ``"EXIF"``.
        generator: whether it says that the picture, or part of it, was generated.
    """

    what: str
    value: str
    where: str
    generator: bool = False


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a file says of its own origin.

    Attributes:
        claims: in order of weight: signed ones, those of generators, those of cameras, the rest.
        hints: what could not be looked at, and why, a sentence each.
    """

    claims: tuple[Claim, ...] = ()
    hints: tuple[str, ...] = ()

    @property
    def says_generated(self) -> bool:
        """Whether any claim says so; false says nothing, for most generated files carry no claim."""
        return any(claim.generator for claim in self.claims)

    def lines(self) -> list[tuple[str, str]]:
        """What and value of each claim, then the hints, for display; empty where there is nothing."""
        told = [(claim.what, f"{claim.value} ({claim.where})") for claim in self.claims]
        return told + [("Note", hint) for hint in self.hints]

    def as_dict(self) -> dict[str, Any]:
        """The same for JSON."""
        return {**asdict(self), "says_generated": self.says_generated}


def clean(value: object, longest: int = LONGEST) -> str:
    """A value as one line of text: no control or invisible characters, cut at ``longest`` characters."""
    text = value[: 4 * longest].decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
    # A category that begins with C is a control, format, surrogate, private or unassigned character.
    seen = (" " if unicodedata.category(c)[0] in "CZ" else c for c in text[: 4 * longest])
    line = " ".join("".join(seen).split())
    return line if len(line) <= longest and len(text) <= 4 * longest else line[: longest - 1] + "…"
