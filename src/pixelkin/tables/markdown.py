"""A page as Markdown. Charts are left out: their numbers stand in the tables."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from pixelkin.tables.page import Block, Page, Table, Text


def write(page: Page) -> str:
    """The page as Markdown text."""
    lines = [f"# {plain(page.title)}", ""]
    lines += [f"- {plain(name)}: {plain(fact)}" for name, fact in page.facts.items()]
    for block in page.blocks:
        lines += _block(block)
    return "\n".join(lines) + "\n"


def table(block: Table) -> Iterator[str]:
    """The lines of a table alone."""
    yield _line(block.columns)
    yield _line(["---"] + ["--:"] * (len(block.columns) - 1))
    yield from map(_line, block.rows)


def plain(text: str) -> str:
    """Text on one line that is no markup of HTML."""
    return re.sub(r"[\x00-\x1f\x7f]", " ", text).replace("<", "&lt;")


def _block(block: Block) -> Iterator[str]:
    if isinstance(block, Table):
        yield from ("", f"## {plain(block.title)}", "")
        yield from table(block)
        if block.note:
            yield from ("", plain(block.note))
    elif isinstance(block, Text):
        if block.title:
            yield from ("", f"## {plain(block.title)}")
        for paragraph in block.paragraphs:
            yield from ("", plain(paragraph))
        if block.items:
            yield ""
            yield from (f"- {plain(item)}" for item in block.items)


def _line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(plain(cell).replace("|", r"\|") for cell in cells) + " |"
