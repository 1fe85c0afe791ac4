"""A page as one HTML file with its charts: no script, no font and no picture from elsewhere."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import escape
from pathlib import Path

from pixelkin.tables import charts
from pixelkin.tables.page import Bars, Block, Diagram, Lines, Page, Table, emphasised

STYLE = Path(__file__).with_name("report.css")


def write(page: Page) -> str:
    """The page as an HTML document."""
    facts = "".join(f"<dt>{escape(name)}</dt><dd>{_inline(fact)}</dd>" for name, fact in page.facts.items())
    body = "\n".join(part for block in page.blocks for part in _block(block))
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(page.title)}</title>\n<style>{STYLE.read_text('utf-8')}</style></head>\n"
        f"<body><h1>{escape(page.title)}</h1>\n<dl>{facts}</dl>\n{body}\n</body></html>\n"
    )


def _block(block: Block) -> Iterator[str]:
    if isinstance(block, Table):
        yield f"<h2>{escape(block.title)}</h2>"
        yield _table(block)
        if block.note:
            yield f'<p class="note">{_inline(block.note)}</p>'
    elif isinstance(block, Lines):
        drawn = "".join(
            f"<figure>{charts.curve(points, block.axis)}<figcaption>{escape(name)}</figcaption></figure>"
            for name, points in block.curves.items()
        )
        yield f'<h2>{escape(block.title)}</h2><div class="charts">{drawn}</div>'
    elif isinstance(block, Bars):
        drawn = charts.bars(block.groups, block.series)
        yield f'<h2>{escape(block.title)}</h2><div class="wide">{drawn}</div>'
    elif isinstance(block, Diagram):
        yield f"<h2>{escape(block.title)}</h2>{charts.reliability(block.bins)}"
    else:
        yield f"<h2>{escape(block.title)}</h2>" if block.title else ""
        yield from (f"<p>{_inline(paragraph)}</p>" for paragraph in block.paragraphs)
        if block.items:
            yield "<ul>" + "".join(f"<li>{_inline(item)}</li>" for item in block.items) + "</ul>"


def _table(block: Table) -> str:
    head = "".join(f"<th>{escape(column)}</th>" for column in block.columns)
    shades = block.shades or ((),) * len(block.rows)
    body = "".join(_row(cells, of_row) for cells, of_row in zip(block.rows, shades, strict=True))
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _row(cells: tuple[str, ...], shades: tuple[float | None, ...]) -> str:
    tints = (None, *shades) if shades else (None,) * len(cells)
    drawn = "".join(f"<td{_tint(t)}>{_cell(cell)}</td>" for cell, t in zip(cells, tints, strict=True))
    return f"<tr>{drawn}</tr>"


def _cell(text: str) -> str:
    inner = emphasised(text)
    return f"<strong>{escape(inner)}</strong>" if inner else escape(text)


def _inline(text: str) -> str:
    """Text with what stands between backticks as code."""
    return re.sub("`([^`]*)`", r"<code>\1</code>", escape(text))


def _tint(value: float | None) -> str:
    """A cell's colour: green at one, none half way to chance, red at chance, violet and darker below."""
    if value is None:
        return ""
    good = (max(value, 0.5) - 0.75) * 4  # -1 at chance, 1 at perfect
    worse = max(0.5 - value, 0)
    hue = 140 if good > 0 else 8 - round(160 * worse)
    strength = round(abs(good) * 45 + 60 * worse)
    return f' style="background: hsl({hue} 70% 50% / {strength}%)"'
