"""The table of sources: what made the images of each, how they are stored, licence, evidence, notes."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import median

from pixelkin.lab.corpus.candidates import read_table
from pixelkin.lab.corpus.manifest import Entry
from pixelkin.provenance.claims import clean

COLUMNS = tuple(
    "source label generator repository images stored short_side licence evidence notes".split()  # noqa: SIM905
)
STATED = ("source", "repository", "generator_or_kind", "licence", "evidence", "author", "notes")
NAMED = 5  # generators or kinds of a source that are named
LONGEST = 300  # characters of a value
Rows = dict[str, dict[str, str]]


def read_described(file: Path) -> Rows:
    """The rows of a table of sources by the names of the sources.

    Raises:
        DataError: it cannot be read or lacks a column.
    """
    return {row["source"]: row for row in read_table(file, COLUMNS)}


def read_stated(files: Iterable[Path]) -> dict[tuple[str, str], dict[str, str]]:
    """Statements of those who looked at the images, by repository in lower case and source.

    Raises:
        DataError: a file cannot be read or lacks a column.
    """
    return {
        (row["repository"].lower(), _plain(row["source"])): row
        for file in files
        for row in read_table(file, STATED)
    }


def describe(entries: Iterable[Entry], stated: Mapping[tuple[str, str], Mapping[str, str]]) -> Rows:
    """A row for each source of ``entries``: what was stated of it, and what its images show."""
    members: dict[str, list[Entry]] = defaultdict(list)
    for entry in entries:
        members[entry.source].append(entry)
    return {source: _row(source, of_it, stated) for source, of_it in members.items()}


def table(rows: Rows) -> str:
    """Rows as text, in the order of their sources."""
    lines = ["\t".join(COLUMNS)]
    lines += ["\t".join(rows[source][name] for name in COLUMNS) for source in sorted(rows)]
    return "\n".join(lines) + "\n"


def _row(
    source: str, entries: Sequence[Entry], stated: Mapping[tuple[str, str], Mapping[str, str]]
) -> dict[str, str]:
    first = entries[0]
    told = _told(first, stated)
    made = _most(entry.generator or entry.kind for entry in entries)
    evidence = told.get("evidence") or _most(entry.evidence for entry in entries)
    values = {
        "source": source,
        "label": first.label,
        "generator": made or told.get("generator_or_kind", ""),
        "repository": first.repository,
        "images": str(sum(entry.images for entry in entries)),
        "stored": _stored(entries),
        "short_side": _short_sides(entries),
        "licence": told.get("licence") or "none stated",
        "evidence": evidence or "not stated",
        "notes": told.get("notes", ""),
    }
    return {name: clean(value, LONGEST) for name, value in values.items()}


def _told(entry: Entry, stated: Mapping[tuple[str, str], Mapping[str, str]]) -> Mapping[str, str]:
    """The statement about an entry's source, whose name may have been made longer since."""
    owner = re.sub(r"[^a-z0-9]+", "", entry.repository.partition("/")[0].lower())
    shorter = re.sub(rf"_{owner}(_\d+)?$", "", entry.source)
    repository = entry.repository.lower()
    return stated.get((repository, entry.source)) or stated.get((repository, shorter)) or {}


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9._-]+", "_", name.strip().lower()).strip("_")


def _most(values: Iterable[str]) -> str:
    """The most frequent of some values, and how many more there are."""
    counts = Counter(filter(None, values))
    words = [value for value, _ in sorted(counts.items(), key=lambda item: (-item[1], item[0]))]
    more = [f"{len(words) - NAMED} more"] if len(words) > NAMED else []
    return "; ".join(words[:NAMED] + more)


def _stored(entries: Sequence[Entry]) -> str:
    """Formats with their numbers of images, and the range of JPEG qualities."""
    formats = Counter(entry.format or "unknown" for entry in entries)
    qualities = [int(entry.jpeg_quality) for entry in entries if entry.jpeg_quality]
    words = [f"{name} {n}" for name, n in formats.most_common()]
    return ", ".join(words) + (f"; q{min(qualities)}-{max(qualities)}" if qualities else "")


def _short_sides(entries: Sequence[Entry]) -> str:
    sides = [min(int(entry.width), int(entry.height)) for entry in entries if entry.width and entry.height]
    return f"{median(sides):.0f} ({min(sides)}-{max(sides)})" if sides else "unknown"
