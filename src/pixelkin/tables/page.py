"""A page before it is written down: a title, facts, and blocks of text, tables and charts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

STRONG = "**"


def strong(text: str) -> str:
    """Text that a cell shows emphasised."""
    return f"{STRONG}{text}{STRONG}"


def emphasised(text: str) -> str:
    """What a cell shows emphasised; empty where it is plain text."""
    marked = text.startswith(STRONG) and text.endswith(STRONG) and len(text) > 2 * len(STRONG)
    return text[len(STRONG) : -len(STRONG)] if marked else ""


@dataclass(frozen=True, slots=True)
class Text:
    """A heading, which may be empty, and paragraphs or list items under it."""

    title: str
    paragraphs: tuple[str, ...] = ()
    items: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Table:
    """Cells of text under headings; the first column names the row.

    Attributes:
        title: above it.
        columns: headings.
        rows: cells, as many as headings.
        note: below it.
        shades: where given, a value in [0, 1] or None for each cell but the first, for a heat table.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""
    shades: tuple[tuple[float | None, ...], ...] = ()


@dataclass(frozen=True, slots=True)
class Point:
    """A value at a labelled place of an axis, with an interval where there is one; percent."""

    label: str
    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class Lines:
    """Curves over one labelled axis each; percent."""

    title: str
    curves: Mapping[str, tuple[Point, ...]]
    axis: str


@dataclass(frozen=True, slots=True)
class Bars:
    """Groups of bars side by side; percent, None where there is no figure."""

    title: str
    groups: tuple[str, ...]
    series: Mapping[str, tuple[float | None, ...]]


@dataclass(frozen=True, slots=True)
class Diagram:
    """A reliability diagram: images, mean probability and share generated of each bin, in [0, 1]."""

    title: str
    bins: tuple[tuple[int, float, float], ...]


Block = Text | Table | Lines | Bars | Diagram


@dataclass(frozen=True, slots=True)
class Page:
    """What is told, in order."""

    title: str
    facts: Mapping[str, str] = field(default_factory=dict)
    blocks: tuple[Block, ...] = ()
