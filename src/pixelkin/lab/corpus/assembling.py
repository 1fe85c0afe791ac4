"""The command ``assemble``: tables of candidates in, a manifest and tables of what was dropped out."""

from __future__ import annotations

import argparse
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

from pixelkin.files import write_atomically
from pixelkin.lab.corpus.assembly import MOST, Assembled, Plan, assemble, count_by_reason
from pixelkin.lab.corpus.candidates import Dropped
from pixelkin.lab.corpus.described import describe, read_described, read_stated, table
from pixelkin.lab.corpus.dropped import count_by_eye, dropped_table
from pixelkin.lab.corpus.duplicates import DISTANCE
from pixelkin.lab.corpus.manifest import MANIFEST, SOURCES, Entry, read_manifest, write_manifest
from pixelkin.lab.corpus.splits import check_splits
from pixelkin.provenance.claims import clean

EVERY = 10  # repositories between two lines of progress
DROPPED = ("reason", "label", "source", "repository", "path", "git_blob", "detail")


def add_command(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``assemble`` to the commands of a parser."""
    parser = commands.add_parser("assemble", help="check rows of candidates and write the manifest with them")
    parser.add_argument("rows", nargs="+", type=Path, metavar="ROWS.tsv", help="candidates, first ones first")
    parser.add_argument(
        "--clones", type=Path, required=True, help="folder of clones, OWNER+NAME or OWNER/NAME each"
    )
    parser.add_argument("--reserved", type=Path, required=True, help="digests of what is kept for judging")
    parser.add_argument("--splits", type=Path, required=True, help="TOML: what each evaluation split holds")
    parser.add_argument("--into", type=Path, required=True, metavar="MANIFEST", help="the manifest to write")
    parser.add_argument(
        "--dropped", type=Path, required=True, help="table to write: what was dropped, and why"
    )
    parser.add_argument(
        "--base", type=Path, default=MANIFEST, help="manifest whose rows stay; the shipped one"
    )
    parser.add_argument(
        "--beside",
        type=Path,
        action="append",
        default=[],
        help="manifest to compare with only; may be repeated",
    )
    parser.add_argument(
        "--sources", type=Path, nargs="+", default=[], help="tables that state author, licence and notes"
    )
    parser.add_argument(
        "--by-eye",
        type=Path,
        nargs="+",
        default=[],
        help="tables of what people dropped: reason, repository, count",
    )
    parser.add_argument("--counts", type=Path, help="table of what was dropped by reason to write")
    parser.add_argument("--described", type=Path, help="table of sources to write, with the new ones")
    parser.add_argument(
        "--cache", type=Path, help="file for facts and hashes that were read; MANIFEST.readings.tsv"
    )
    parser.add_argument("--most", type=int, default=MOST, help=f"images of a source; {MOST}")
    parser.add_argument(
        "--distance",
        type=int,
        default=DISTANCE,
        help=f"bits of 256 in which duplicates may differ; {DISTANCE}",
    )
    parser.set_defaults(run=_run)


def _run(asked: argparse.Namespace) -> int:
    plan = Plan(
        rows=tuple(asked.rows),
        sources=tuple(asked.sources),
        clones=asked.clones,
        reserved=asked.reserved,
        splits=asked.splits,
        cache=asked.cache or asked.into.with_name(f"{asked.into.name}.readings.tsv"),
        most=asked.most,
        distance=asked.distance,
    )
    older = read_manifest(asked.base)
    names = {(entry.split, entry.git_blob) for entry in older}
    beside = [
        entry
        for file in asked.beside
        for entry in read_manifest(file)
        if (entry.split, entry.git_blob) not in names
    ]
    found = assemble(plan, older, beside, _progress)
    new = found.entries[len(older) :]
    check_splits(new)
    write_manifest(asked.into, found.entries)
    write_atomically(asked.dropped, _table(found.dropped).encode())
    if asked.described:
        rows = read_described(SOURCES) | describe(new, read_stated(asked.sources))
        write_atomically(asked.described, table(rows).encode())
    if asked.counts:
        counts = dropped_table(count_by_eye(asked.by_eye), count_by_reason(found.dropped))
        write_atomically(asked.counts, counts.encode())
    sys.stderr.write(_summary(new, found))
    return 0


def _progress(repository: str, left: int) -> None:
    if left % EVERY == 0:
        sys.stderr.write(f"{left} repositories left to read; now {repository}\n")


def _table(dropped: Iterable[Dropped]) -> str:
    lines = ["\t".join(DROPPED)]
    for each in dropped:
        entry = each.entry
        values = (each.reason, entry.label, entry.source, entry.repository, entry.path, entry.git_blob)
        lines.append("\t".join(clean(value) for value in (*values, each.detail)))
    return "\n".join(lines) + "\n"


def _summary(new: Sequence[Entry], found: Assembled) -> str:
    """Counts of new and of dropped images, for people."""
    images = Counter((entry.split, entry.label) for entry in new)
    sources = defaultdict(set)
    for entry in new:
        sources[entry.split, entry.label].add(entry.source)
    lines = [f"{len(new)} new images of {len({entry.repository.lower() for entry in new})} repositories"]
    lines += [
        f"{n:6d}  {split}/{label}, {len(sources[split, label])} sources"
        for (split, label), n in sorted(images.items())
    ]
    lines += [f"dropped {n:6d}  {reason}" for reason, n in count_by_reason(found.dropped).most_common()]
    lines += [f"{found.not_compared} older images were not at hand: only their blobs were compared"]
    return "\n".join(lines) + "\n"
