"""Candidates for the corpus: rows that somebody wrote after looking at images, checked one by one."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from pixelkin.errors import DataError
from pixelkin.lab.corpus import families
from pixelkin.lab.corpus.manifest import Entry
from pixelkin.provenance.claims import clean

COLUMNS = tuple(
    "label source repository path git_blob generator family evidence kind camera year flags".split()  # noqa: SIM905
)
GRID = "grid"  # a column that only tables with contact sheets have
LABELS = {"real": "0_real", "generated": "1_fake", "edited": "2_edited"}
KINDS = frozenset(
    {
        "camera",
        "phone",
        "portrait",
        "event",
        "retouched",
        "hdr",
        "night",
        "product",
        "news",
        "stock",
        "messenger",
        "social",
        "thumbnail",
        "screenshot",
        "chat_screenshot",
        "film_scan",
        "print_scan",
        "black_white",
        "film_still",
        "graphic",
        "painting",
        "rendering",
        "lossless",
        "rephotographed",
    }
)
FLAGS = frozenset(
    {"edit", "ref", "api", "maybe", "notmade", "workflow", "resaved", "resized", "cropped", "untouched"}
)
LONGEST = 200  # characters of a value of free text


@dataclass(frozen=True, slots=True)
class Dropped:
    """A candidate that did not become an entry.

    Attributes:
        reason: one word or several joined by ``_``, which are counted.
        entry: the candidate as far as it was read.
        detail: what exactly was wrong, or of what it is a duplicate.
    """

    reason: str
    entry: Entry
    detail: str = ""


@dataclass(slots=True)
class Candidates:
    """Entries without split and facts, in the order of the files; and the rows that were refused."""

    entries: list[Entry] = field(default_factory=list)
    dropped: list[Dropped] = field(default_factory=list)


def read_candidates(files: Iterable[Path], taken: Iterable[str] = ()) -> Candidates:
    """Read and check rows of candidates.

    Args:
        files: tables with the columns of `COLUMNS`, separated by tabs.
        taken: names of sources that are in use already.

    Raises:
        DataError: a file cannot be read or lacks a column.
    """
    found = Candidates()
    names = _SourceNames(taken)
    for file in files:
        for row in _rows(file):
            entry = _entry(row)
            if wrong := _fault(row, entry):
                found.dropped.append(Dropped(wrong[0], entry, wrong[1]))
            else:
                found.entries.append(replace(entry, source=names.name(entry)))
    return found


def read_table(file: Path, columns: Sequence[str], optional: Sequence[str] = ()) -> Iterator[dict[str, str]]:
    """The rows of a table separated by tabs, as text; values that a row lacks are empty.

    Args:
        file: the table.
        columns: that are needed; others are left out.
        optional: columns that the table may lack.

    Raises:
        DataError: it cannot be read, or lacks one of ``columns``.
    """
    try:
        with file.open(encoding="utf-8-sig", errors="replace", newline="") as opened:
            table = csv.DictReader(opened, delimiter="\t", quoting=csv.QUOTE_NONE)
            if missing := set(columns) - set(table.fieldnames or ()):
                raise DataError(f"{file}: without the columns {', '.join(sorted(missing))}")
            for row in table:
                yield {name: row.get(name) or "" for name in (*columns, *optional)}
    except (OSError, csv.Error) as error:
        raise DataError(f"{file}: cannot be read ({error})") from error


def _rows(file: Path) -> Iterator[dict[str, str]]:
    for row in read_table(file, COLUMNS, [GRID]):
        if row["label"] != "label":  # a header again, where tables were joined
            yield {name: clean(value, LONGEST) if name != "path" else value for name, value in row.items()}


def _entry(row: dict[str, str]) -> Entry:
    label = LABELS.get(row["label"].lower(), "")
    made = label != "0_real"
    return Entry(
        split="",
        label=label,
        source=re.sub(r"[^a-z0-9._-]+", "_", row["source"].lower()).strip("_"),
        repository=row["repository"].strip("/"),
        path=re.sub(r"[\t\r\n]", " ", row["path"]),
        git_blob=row["git_blob"].lower(),
        grid=row[GRID] if re.fullmatch("[1-9]x[1-9]", row[GRID]) else "",
        generator=row["generator"] if made else "",
        family=_family(row) if made else "",
        evidence=row["evidence"],
        kind="" if made else _word(row["kind"], "_"),
        camera=row["camera"],
        year=row["year"] if re.fullmatch(r"(19|20)\d\d", row["year"]) else "",
        flags=" ".join(sorted(FLAGS & set(re.split(r"[\s,;+|/]+", row["flags"].lower())))),
    )


def _family(row: dict[str, str]) -> str:
    """The family as stated where there is such a one, else by the name of the generator."""
    stated = _word(row["family"], "-")
    return stated if stated in families.names() else families.family_of(row["generator"], row["evidence"])


def _word(text: str, joint: str) -> str:
    return re.sub(r"[\s_/-]+", joint, text.strip().lower())


def _fault(row: dict[str, str], entry: Entry) -> tuple[str, str] | None:
    """Why a row is refused: the reason and the value, or None."""
    checks = (
        ("bad_label", bool(entry.label), row["label"]),
        ("bad_row", bool(re.fullmatch(r"[0-9a-f]{40}", entry.git_blob)), row["git_blob"]),
        ("bad_row", bool(re.fullmatch(r"[A-Za-z0-9-]+/[A-Za-z0-9._-]+", entry.repository)), entry.repository),
        ("bad_row", bool(entry.source and entry.path), f"source {entry.source!r}, path {entry.path!r}"),
        ("bad_kind", entry.label != "0_real" or entry.kind in KINDS, row["kind"]),
    )
    return next(((reason, value) for reason, good, value in checks if not good), None)


class _SourceNames:
    """One name for each source: rows of one label and one repository that were given one name."""

    def __init__(self, taken: Iterable[str]) -> None:
        self._taken = set(taken)
        self._names: dict[tuple[str, str, str], str] = {}

    def name(self, entry: Entry) -> str:
        key = (entry.source, entry.label, entry.repository.lower())
        if key not in self._names:
            owner = re.sub(r"[^a-z0-9]+", "", entry.repository.partition("/")[0].lower())
            tries = [entry.source, f"{entry.source}_{owner}"]
            tries += [f"{entry.source}_{owner}_{number}" for number in range(2, 1000)]
            self._names[key] = next(name for name in tries if name not in self._taken)
            self._taken.add(self._names[key])
        return self._names[key]
