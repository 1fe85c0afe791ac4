"""The tables of a page as LaTeX (package booktabs), to be put into a paper."""

from __future__ import annotations

import re
from collections.abc import Iterator

from pixelkin.tables.page import Page, Table, emphasised

SPECIAL = {"\\": r"\textbackslash{}"} | {each: f"\\{each}" for each in "&%$#_{}"}
SPECIAL |= {"~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}


def write(page: Page) -> str:
    """Every table of the page, one after another."""
    lines = [f"% {name}: {fact}" for name, fact in {"title": page.title, **page.facts}.items()]
    for block in page.blocks:
        if isinstance(block, Table):
            lines += _table(block)
    return "\n".join(re.sub(r"[\x00-\x1f\x7f]", " ", line) for line in lines) + "\n"


def escaped(text: str) -> str:
    """Plain text as LaTeX that prints it; emphasis of Markdown becomes bold."""
    inner = emphasised(text)
    plain = "".join(SPECIAL.get(each, each) for each in inner or text)
    return rf"\textbf{{{plain}}}" if inner else plain


def _table(block: Table) -> Iterator[str]:
    yield ""
    yield r"\begin{table}"
    yield rf"\caption{{{escaped(block.title)}}}"
    yield rf"\begin{{tabular}}{{l{'r' * (len(block.columns) - 1)}}}"
    yield r"\toprule"
    yield _line(block.columns)
    yield r"\midrule"
    yield from map(_line, block.rows)
    yield r"\bottomrule"
    yield r"\end{tabular}"
    yield r"\end{table}"


def _line(cells: tuple[str, ...]) -> str:
    line = " & ".join(map(escaped, cells))
    # After a line's end LaTeX takes these for an argument of it.
    return ("{}" if line.startswith(("[", "*")) else "") + line + r" \\"
