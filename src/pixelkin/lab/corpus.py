"""The images the shipped model learnt from, by manifest: laid out from copies of public repositories.

No image is part of Pixelkin. ``corpus.tsv.gz`` beside this file names each by repository, path and git
blob, with its split, label and source; ``corpus-sources.tsv`` says of each source what made its images,
how they are stored, their licence as stated, and what to know. From bare or plain clones, named
OWNER+NAME or OWNER/NAME below one folder, the files are laid out byte for byte as
``SPLIT/{0_real,1_fake}/SOURCE/FILE``.

    python -m pixelkin.lab.corpus --list                       # repositories that are needed
    python -m pixelkin.lab.corpus --repos DIR --out DIR        # lay the files out
"""

from __future__ import annotations

import argparse
import csv
import gzip
import hashlib
import re
import subprocess
import sys
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pixelkin.errors import DataError, ImageError, PixelkinError
from pixelkin.files import write_atomically
from pixelkin.images import decode, encode

MANIFEST = Path(__file__).with_name("corpus.tsv.gz")
LONGEST = 110  # characters of a file's name


@dataclass(frozen=True, slots=True)
class Entry:
    """One file of a public repository.

    Attributes:
        split: ``train``, or ``dev`` for sources that are held out to choose between models.
        label: ``0_real`` or ``1_fake``.
        source: the row of a table that it belongs to.
        repository: OWNER/NAME.
        path: in it.
        git_blob: its object's name.
        grid: ``COLUMNSxROWS`` of equal tiles, where it is a contact sheet; empty otherwise.
    """

    split: str
    label: str
    source: str
    repository: str
    path: str
    git_blob: str
    grid: str

    @property
    def file_name(self) -> str:
        """What the file is called when laid out."""
        name = re.sub(r"[^A-Za-z0-9._-]+", "_", self.path)
        if len(name) <= LONGEST:
            return name
        return hashlib.sha256(self.path.encode()).hexdigest()[:8] + "_" + name[-100:]


def entries(manifest: Path = MANIFEST) -> list[Entry]:
    """All that a manifest names, in its order.

    Raises:
        DataError: it is no such manifest.
    """
    try:
        with gzip.open(manifest, "rt", encoding="utf-8", newline="") as file:
            table = csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
            columns = next(table, [])
            return [Entry(**dict(zip(columns, row, strict=True))) for row in table]
    except (OSError, EOFError, zlib.error, ValueError, TypeError, csv.Error) as error:
        raise DataError(f"{manifest} is no manifest of a corpus ({error})") from error


def lay_out(chosen: Iterable[Entry], repositories: Path, out: Path) -> tuple[Counter[str], Counter[str]]:
    """Write the files that are not there yet; returns counts of what lies there and of what is missing.

    Args:
        chosen: entries to lay out.
        repositories: the folder of clones.
        out: the folder to write to.
    """
    by_repository: dict[str, list[Entry]] = {}
    for entry in chosen:
        by_repository.setdefault(entry.repository, []).append(entry)
    there: Counter[str] = Counter()
    missing: Counter[str] = Counter()
    for repository, wanted in sorted(by_repository.items()):
        directory = git_directory(repositories, repository)
        if directory is None:
            missing[f"{repository} (no clone)"] += len(wanted)
            continue
        for entry, data in zip(wanted, blobs(directory, [e.git_blob for e in wanted]), strict=True):
            key = f"{entry.split}/{entry.label}/{entry.source}"
            if data is None:
                missing[f"{repository} (objects)"] += 1
            elif files := _write(out / key, entry, data):
                there[key] += files
            else:
                missing[f"{repository} (unreadable)"] += 1
    return there, missing


def git_directory(repositories: Path, repository: str) -> Path | None:
    """Where a repository's objects lie below a folder of clones, or None."""
    for base in (repositories / repository.replace("/", "+", 1), repositories / repository):
        for candidate in (base, base / ".git", base / "repo", base / "repo" / ".git"):
            if (candidate / "objects").is_dir() and (candidate / "HEAD").is_file():
                return candidate
    return None


def blobs(directory: Path, names: Sequence[str]) -> Iterator[bytes | None]:
    """The bytes of git objects, in order; None for each that the repository does not hold."""
    command = ["git", "--git-dir", str(directory), "cat-file", "--batch"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as git:  # noqa: S603
        if git.stdin is None or git.stdout is None:
            return
        for name in names:
            git.stdin.write(f"{name}\n".encode())
            git.stdin.flush()
            head = git.stdout.readline().split()
            if len(head) != 3:
                yield None
                continue
            data = git.stdout.read(int(head[2]))
            git.stdout.read(1)
            yield data if head[1] == b"blob" else None
        git.stdin.close()


def _write(folder: Path, entry: Entry, data: bytes) -> int:
    """Write one entry's file, or the tiles of its sheet; returns how many files that are."""
    folder.mkdir(parents=True, exist_ok=True)
    if not entry.grid:
        if not (folder / entry.file_name).exists():
            write_atomically(folder / entry.file_name, data)
        return 1
    columns, rows = (int(number) for number in entry.grid.split("x"))
    try:
        sheet = decode(data, entry.path).pixels
    except ImageError:
        return 0
    height, width = sheet.shape[0] // rows, sheet.shape[1] // columns
    for row in range(rows):
        for column in range(columns):
            path = folder / f"{Path(entry.file_name).stem}_{row}{column}.png"
            tile = sheet[row * height : (row + 1) * height, column * width : (column + 1) * width]
            if not path.exists():
                write_atomically(path, encode(np.ascontiguousarray(tile), "PNG", compress_level=1))
    return rows * columns


def main(arguments: Sequence[str] | None = None) -> int:
    """List or lay out a corpus as the command line says; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m pixelkin.lab.corpus", description=__doc__.split("\n")[0])
    parser.add_argument("--manifest", type=Path, default=MANIFEST, help="a manifest (.tsv.gz)")
    parser.add_argument("--repos", type=Path, help="folder of clones, OWNER+NAME or OWNER/NAME each")
    parser.add_argument("--out", type=Path, help="folder to lay the files out in")
    parser.add_argument("--split", help="only this split")
    parser.add_argument("--source", action="append", default=[], help="only this source; may be repeated")
    parser.add_argument("--list", action="store_true", help="list the repositories needed and write nothing")
    given = parser.parse_args(arguments)
    try:
        chosen = [
            entry
            for entry in entries(given.manifest)
            if given.split in (None, entry.split) and (not given.source or entry.source in given.source)
        ]
    except PixelkinError as error:
        parser.exit(2, f"{error}\n")
    if given.list:
        counts = Counter(entry.repository for entry in chosen)
        sys.stdout.write("".join(f"{repository}\t{n}\n" for repository, n in sorted(counts.items())))
        return 0
    if not (given.repos and given.out):
        parser.error("--repos and --out are needed, or --list")
    there, missing = lay_out(chosen, given.repos, given.out)
    sys.stdout.write("".join(f"{n:6d}  {key}\n" for key, n in sorted(there.items())))
    sys.stderr.write("".join(f"missing {n:6d}  {key}\n" for key, n in sorted(missing.items())))
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
