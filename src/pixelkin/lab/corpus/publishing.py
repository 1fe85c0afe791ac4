"""The commands ``probe`` and ``page``: figures of the probes, and the page that shows them."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from pixelkin.files import write_atomically
from pixelkin.lab.corpus.dropped import DROPPED
from pixelkin.lab.corpus.manifest import MANIFEST, SOURCES, read_manifest
from pixelkin.lab.corpus.page import PROBED, page
from pixelkin.lab.corpus.probe import EACH, probe


def add_probe(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``probe`` to the commands of a parser."""
    parser = commands.add_parser(
        "probe", help="measure how far file facts and palettes alone tell the labels"
    )
    parser.add_argument(
        "--manifest", type=Path, default=MANIFEST, help="a manifest (.tsv.gz); the shipped one"
    )
    parser.add_argument("--clones", type=Path, required=True, help="folder of clones")
    parser.add_argument("--out", type=Path, default=PROBED, help="file of figures to write; the shipped one")
    parser.add_argument("--each", type=int, default=EACH, help=f"images of a source; {EACH}")
    parser.set_defaults(run=_probe)


def add_page(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``page`` to the commands of a parser."""
    parser = commands.add_parser("page", help="write docs/corpus.md from the manifest and its tables")
    parser.add_argument("out", type=Path, help="the page to write")
    parser.add_argument(
        "--manifest", type=Path, default=MANIFEST, help="a manifest (.tsv.gz); the shipped one"
    )
    parser.add_argument("--sources", type=Path, default=SOURCES, help="its table of sources")
    parser.add_argument("--dropped", type=Path, default=DROPPED, help="counts of what was dropped")
    parser.add_argument("--probed", type=Path, default=PROBED, help="figures of the probes")
    parser.set_defaults(run=_page)


def _probe(asked: argparse.Namespace) -> int:
    figures = probe(
        read_manifest(asked.manifest),
        asked.clones,
        each=asked.each,
        on_repository=_progress,
    )
    write_atomically(asked.out, (json.dumps(figures, indent=1, sort_keys=True) + "\n").encode())
    return 0


def _progress(repository: str) -> None:
    sys.stderr.write(f"{repository}\n")


def _page(asked: argparse.Namespace) -> int:
    text = page(asked.manifest, asked.sources, asked.dropped, asked.probed)
    write_atomically(asked.out, text.encode())
    return 0
