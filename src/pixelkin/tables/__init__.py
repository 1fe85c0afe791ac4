"""Reports for people: `pages` says what is told, the other modules how it is written down."""

from __future__ import annotations

from pathlib import Path

from pixelkin.files import write_atomically
from pixelkin.measure import Results
from pixelkin.tables import html, latex, markdown
from pixelkin.tables.page import Page
from pixelkin.tables.pages import page_of
from pixelkin.tables.sweeps import paired_page, sweep_page
from pixelkin.tables.tidy import csv_of

__all__ = ["page_of", "paired_page", "save", "save_page", "sweep_page"]


def save(results: Results, out: Path) -> str:
    """Write a report into a folder in every form there is; returns its Markdown.

    ``report.json`` holds everything, ``report.csv`` a figure a line, ``report.md``, ``report.tex``
    and ``report.html`` the same page for people.
    """
    out.mkdir(parents=True, exist_ok=True)
    write_atomically(out / "report.json", results.to_json().encode())
    write_atomically(out / "report.csv", csv_of(results).encode())
    return save_page(page_of(results), out, "report")


def save_page(page: Page, out: Path | None, name: str) -> str:
    """Write a page into a folder, if one is given, as Markdown, LaTeX and HTML; returns its Markdown."""
    text = markdown.write(page)
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        for suffix, content in {"md": text, "tex": latex.write(page), "html": html.write(page)}.items():
            write_atomically(out / f"{name}.{suffix}", content.encode())
    return text
