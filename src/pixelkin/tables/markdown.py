"""A page as Markdown. Charts are left out: their numbers stand in the tables."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pixelkin.tables.page import Block, Page, Table, Text


def write(page: Page) -> str:
    """The page as Markdown text."""
    lines = [f"# {page.title}", ""]
    lines += [f"- {name}: {fact}" for name, fact in page.facts.items()]
    for block in page.blocks:
        lines += _block(block)
    return "\n".join(lines) + "\n"


def table(block: Table) -> Iterator[str]:
    """The lines of a table alone."""
    yield _line(block.columns)
    yield _line(["---"] + ["--:"] * (len(block.columns) - 1))
    yield from map(_line, block.rows)


def _block(block: Block) -> Iterator[str]:
    if isinstance(block, Table):
        yield from ("", f"## {block.title}", "")
        yield from table(block)
        if block.note:
            yield from ("", block.note)
    elif isinstance(block, Text):
        if block.title:
            yield from ("", f"## {block.title}")
        for paragraph in block.paragraphs:
            yield from ("", paragraph)
        if block.items:
            yield ""
            yield from (f"- {item}" for item in block.items)


def _line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cell.replace("|", r"\|").replace("\n", " ") for cell in cells) + " |"
