"""Images that did not enter the corpus, by reason: dropped by eye on contact sheets, or by program."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from pixelkin.errors import DataError
from pixelkin.lab.corpus.candidates import read_table
from pixelkin.lab.corpus.manifest import MANIFEST

DROPPED = MANIFEST.with_name("corpus-dropped.tsv")
COLUMNS = ("step", "reason", "images")
BY_EYE, BY_PROGRAM = "by eye", "by program"
Counts = Counter[tuple[str, str]]  # by step and reason


def count_by_eye(files: Iterable[Path]) -> Counter[str]:
    """Images that people dropped, by reason.

    Args:
        files: tables of a reason, a repository and either a number of images or the path of one.

    Raises:
        DataError: a file cannot be read.
    """
    counts: Counter[str] = Counter()
    for file in files:
        try:
            with file.open(encoding="utf-8-sig", errors="replace", newline="") as opened:
                for row in csv.reader(opened, delimiter="\t", quoting=csv.QUOTE_NONE):
                    if len(row) >= 2 and row[0].strip().lower() != "reason":
                        last = row[2].strip() if len(row) > 2 else ""
                        counts[_reason(row[0])] += int(last) if last.isdigit() else 1
        except (OSError, csv.Error) as error:
            raise DataError(f"{file}: cannot be read ({error})") from error
    return counts


def dropped_table(by_eye: Counter[str], by_program: Counter[str]) -> str:
    """Both counts as the text of a table."""
    lines = ["\t".join(COLUMNS)]
    for step, counts in ((BY_EYE, by_eye), (BY_PROGRAM, by_program)):
        ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
        lines += [f"{step}\t{reason}\t{images}" for reason, images in ordered]
    return "\n".join(lines) + "\n"


def read_dropped(file: Path = DROPPED) -> Counts:
    """The counts in such a table; none where there is no such file.

    Raises:
        DataError: it is no such table.
    """
    if not file.exists():
        return Counter()
    try:
        return Counter(
            {(row["step"], row["reason"]): int(row["images"]) for row in read_table(file, COLUMNS)}
        )
    except ValueError as error:
        raise DataError(f"{file}: a number of images is none ({error})") from error


def _reason(text: str) -> str:
    """A reason in one form: words in lower case, joined by spaces, without remarks."""
    return (
        " ".join(re.split(r"[(:;,]", text.lower(), maxsplit=1)[0].replace("_", " ").split()) or "not stated"
    )
