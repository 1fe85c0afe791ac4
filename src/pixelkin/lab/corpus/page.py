"""docs/corpus.md: the guide to the corpus, and tables of what it holds, made from its manifest."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pixelkin.errors import DataError
from pixelkin.lab.corpus.candidates import read_table
from pixelkin.lab.corpus.counts import Table, tables
from pixelkin.lab.corpus.described import read_described
from pixelkin.lab.corpus.dropped import DROPPED, read_dropped
from pixelkin.lab.corpus.manifest import MANIFEST, SOURCES, Entry, read_manifest
from pixelkin.lab.corpus.probe import PROBES, SUSPICIOUS

GUIDE = Path(__file__).with_name("guide.md")
PATTERNS = Path(__file__).with_name("patterns.tsv")
PROBED = MANIFEST.with_name("corpus-probes.json")
PATTERN_COLUMNS = ("path", "repositories", "yields")
MOST_LICENCES = 25
NONE_STATED = "none stated"
LICENCES = {  # the first that is found
    NONE_STATED: r"^\W*(none|not stated|no licen[cs]e|unknown)",
    "AGPL": r"\bAGPL|affero",
    "LGPL": r"\bLGPL|lesser general",
    "GPL": r"\bGPL|general public",
    "CC BY-NC (all versions)": r"\bCC.BY.NC|non-?commercial",
    "CC BY-SA": r"\bCC.BY.SA|share-?alike",
    "CC BY": r"\bCC.BY|creative commons attribution",
    "CC0 or public domain": r"\bCC0|public domain|unlicense",
    "OpenRAIL": r"rail\b|openrail",
    "NVIDIA source code licence": r"nvidia",
    "Apache": r"\bapache",
    "BSD": r"\bBSD",
    "MIT": r"\bMIT\b",
}
MARK = "<!-- tables -->\n"  # where the guide has them
FEW = "The probes have not been run on this manifest."


def page(
    manifest: Path = MANIFEST, sources: Path = SOURCES, dropped: Path = DROPPED, probed: Path = PROBED
) -> str:
    """The whole page.

    Args:
        manifest: the corpus.
        sources: its table of sources.
        dropped: counts of what was dropped; there may be no such file.
        probed: figures of the probes; there may be no such file.

    Raises:
        DataError: a file is not what it should be.
    """
    entries = read_manifest(manifest)
    parts = [_section(table) for table in tables(entries)]
    parts += [_section(_licences(sources, entries)), _section(_dropped(dropped)), _probes(probed)]
    parts.append(_section(_patterns()))
    before, _, after = GUIDE.read_text("utf-8").partition(MARK)
    return before + "\n".join(parts) + after


def read_probes(file: Path = PROBED) -> dict[str, Any]:
    """The figures of the probes by split; none where there is no such file.

    Raises:
        DataError: it is no such file.
    """
    if not file.exists():
        return {}
    try:
        return dict(json.loads(file.read_text("utf-8"))["splits"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{file}: no figures of probes ({error})") from error


def _section(table: Table) -> str:
    return f"### {table.title}\n{table.markdown()}" if table.rows else ""


def _licences(sources: Path, entries: Sequence[Entry]) -> Table:
    """Licences as the repositories state them, with sources and images."""
    images = Counter(entry.source for entry in entries)
    by_licence: dict[str, list[str]] = {}
    for source, row in read_described(sources).items():
        by_licence.setdefault(licence_of(row["licence"]), []).append(source)
    order = sorted(by_licence, key=lambda name: (-len(by_licence[name]), name))
    rows = [_licence_row(name, by_licence[name], images) for name in order[:MOST_LICENCES]]
    if rest := [source for name in order[MOST_LICENCES:] for source in by_licence[name]]:
        rows.append(_licence_row(f"{len(order) - MOST_LICENCES} others", rest, images))
    return Table("Licences as stated", ("licence", "sources", "images"), tuple(rows))


def licence_of(stated: str) -> str:
    """The usual name of a licence in words of any form; the words themselves where it is no usual one."""
    found = (name for name, form in LICENCES.items() if re.search(form, stated, re.IGNORECASE))
    return next(found, stated.strip() or NONE_STATED)


def _licence_row(name: str, sources: Sequence[str], images: Mapping[str, int]) -> tuple[str, str, str]:
    return name, f"{len(sources):,}", f"{sum(images[source] for source in sources):,}"


def _dropped(file: Path) -> Table:
    counts = sorted(read_dropped(file).items(), key=lambda item: (item[0][0], -item[1], item[0]))
    rows = [(reason.replace("_", " "), step, f"{images:,}") for (step, reason), images in counts if images]
    return Table("Dropped", ("reason", "found", "images"), tuple(rows))


def _probes(file: Path) -> str:
    """Results of the probes on each split, and sources that stand out."""
    splits = read_probes(file)
    rows = [
        (split, f"{found['images']:,}", *(f"{found['auc'][name]:.2f}" for name in PROBES))
        for split, found in splits.items()
    ]
    header = ("split", "images", *(f"AUC, {name}" for name in PROBES))
    table = Table("Probes", header, tuple(rows))
    if not rows:
        return f"### {table.title}\n{FEW}\n"
    return _section(table) + "".join(
        _outstanding(split, splits[split]) for split in splits if split != "train"
    )


def _outstanding(split: str, found: Mapping[str, Any]) -> str:
    """The sources of an evaluation split that the standardised probe tells apart."""
    name = PROBES[1]
    over = {s: values[name] for s, values in found["sources"].items() if values[name] > SUSPICIOUS}
    words = ", ".join(
        f"{s} {value:.2f}" for s, value in sorted(over.items(), key=lambda item: (-item[1], item[0]))
    )
    count = f"{len(over)} of {len(found['sources'])} sources"
    return (
        f"\nOver {SUSPICIOUS:.2f} by the {name} probe in `{split}`: {count}{': ' + words if words else ''}.\n"
    )


def _patterns() -> Table:
    rows = [tuple(row[name] for name in PATTERN_COLUMNS) for row in read_table(PATTERNS, PATTERN_COLUMNS)]
    title = "Paths that find repositories"
    return Table(title, ("path", "repositories", "what they hold"), tuple(rows))
