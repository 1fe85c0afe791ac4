"""The commands ``evidence`` and ``sheets``: what clones hold, as tables and as sheets to look at."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from pixelkin.errors import DataError
from pixelkin.files import write_atomically
from pixelkin.lab.corpus.candidates import read_table
from pixelkin.lab.corpus.clones import objects_of, repository_of
from pixelkin.lab.corpus.evidence import COLUMNS, Finding, find_evidence
from pixelkin.lab.corpus.manifest import read_manifest
from pixelkin.lab.corpus.sheets import MOST, SIDE, Item, write_sheets


def add_evidence(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``evidence`` to the commands of a parser."""
    parser = commands.add_parser(
        "evidence", help="list the images of clones with what their files say of them"
    )
    parser.add_argument(
        "clones", nargs="+", type=Path, metavar="CLONES", help="a clone, or a folder of clones"
    )
    parser.add_argument("--out", type=Path, required=True, help="table to write or to go on with")
    parser.add_argument(
        "--limit", type=int, default=0, help="images of a repository, spread over folders; all"
    )
    parser.add_argument("--all", action="store_true", help="images without evidence too")
    parser.add_argument("--history", action="store_true", help="images of earlier commits too")
    parser.set_defaults(run=_evidence)


def add_sheets(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``sheets`` to the commands of a parser."""
    parser = commands.add_parser(
        "sheets", help="one contact sheet a source, with numbers and a list of paths"
    )
    parser.add_argument("rows", type=Path, metavar="ROWS", help="table of rows or findings, or a manifest")
    parser.add_argument(
        "--clones", type=Path, required=True, help="folder of clones, OWNER+NAME or OWNER/NAME each"
    )
    parser.add_argument(
        "--out", type=Path, required=True, help="folder to write SOURCE.jpg and SOURCE.txt to"
    )
    parser.add_argument("--source", action="append", default=[], help="only this source; may be repeated")
    parser.add_argument("--most", type=int, default=MOST, help=f"images of a sheet; {MOST}")
    parser.add_argument("--side", type=int, default=SIDE, help=f"pixels, longer side of an image; {SIDE}")
    parser.set_defaults(run=_sheets)


def _evidence(asked: argparse.Namespace) -> int:
    done_list = asked.out.with_name(f"{asked.out.name}.done")
    done = _resume(asked.out, done_list)
    for clone in _clones(asked.clones):
        repository = repository_of(clone)
        if repository in done:
            continue
        rows = _findings(repository, clone, asked)
        _append(asked.out, [row.line() for row in rows])
        _append(done_list, [repository])
        done.add(repository)
        counts = Counter("unread" if row.reason else row.evidence or "no evidence" for row in rows)
        words = ", ".join(f"{name} {n}" for name, n in counts.most_common())
        sys.stderr.write(f"{repository}: {words or 'no images'}\n")
    return 0


def _findings(repository: str, clone: Path, asked: argparse.Namespace) -> list[Finding]:
    directory = objects_of(clone)
    try:
        if directory is None:
            raise DataError("no clone lies there")
        wanted = {"limit": asked.limit, "everything": asked.all, "past": asked.history}
        return list(find_evidence(repository, directory, **wanted))
    except DataError as error:
        return [Finding(repository, "", "", reason=str(error))]


def _clones(places: Iterable[Path]) -> Iterator[Path]:
    """The clones at or below each place.

    Raises:
        DataError: there is none.
    """
    for place in places:
        if objects_of(place):
            yield place
            continue
        below = [each for each in sorted(place.iterdir()) if each.is_dir()] if place.is_dir() else []
        inner = [
            deeper for each in below for deeper in ([each] if objects_of(each) else sorted(each.iterdir()))
        ]
        found = [each for each in inner if each.is_dir() and objects_of(each)]
        if not found:
            raise DataError(f"{place}: no clone, and no folder of clones")
        yield from found


def _resume(out: Path, done_list: Path) -> set[str]:
    """Repositories that are done; rows of others are removed, of which a stopped run may have left some."""
    done = set(done_list.read_text("utf-8").split("\n")[:-1]) if done_list.exists() else set()
    kept = []
    if out.exists():
        lines = out.read_text("utf-8").split("\n")[:-1]
        if lines and tuple(lines[0].split("\t")) != COLUMNS:
            raise DataError(f"{out}: has other columns; give another name")
        kept = [line for line in lines[1:] if line.partition("\t")[0] in done]
    write_atomically(out, "".join(line + "\n" for line in ["\t".join(COLUMNS), *kept]).encode())
    return done


def _append(file: Path, lines: Iterable[str]) -> None:
    with file.open("a", encoding="utf-8") as opened:
        opened.writelines(line + "\n" for line in lines)


def _sheets(asked: argparse.Namespace) -> int:
    items = [item for item in _items(asked.rows) if not asked.source or item.source in asked.source]
    for sheet, images in write_sheets(items, asked.clones, asked.out, most=asked.most, side=asked.side):
        sys.stdout.write(f"{sheet}\t{images}\n")
    return 0


def _items(rows: Path) -> Iterator[Item]:
    if rows.suffix == ".gz":
        for entry in read_manifest(rows):
            yield Item(entry.source, entry.repository, entry.path, entry.git_blob)
        return
    with rows.open(encoding="utf-8-sig") as file:
        named = "source" in file.readline().rstrip("\r\n").split("\t")
    columns = ["repository", "path", "git_blob", *(["source"] if named else [])]
    for row in read_table(rows, columns):
        if row["git_blob"]:
            source = row.get("source") or row["repository"].replace("/", "+")
            yield Item(source, row["repository"], row["path"], row["git_blob"])
