"""The corpus by command line: `python -m pixelkin.lab.corpus COMMAND`."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from pixelkin.errors import PixelkinError
from pixelkin.lab.corpus import assembling, looking, publishing
from pixelkin.lab.corpus.counts import tables
from pixelkin.lab.corpus.layout import lay_out, sample, write_shards
from pixelkin.lab.corpus.manifest import MANIFEST, Entry, read_manifest


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m pixelkin.lab.corpus",
        description="Lay out the corpus that models learn from, or widen it.",
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    _add_list(commands)
    _add_layout(commands)
    _add_shards(commands)
    looking.add_evidence(commands)
    looking.add_sheets(commands)
    assembling.add_command(commands)
    _add_counts(commands)
    publishing.add_probe(commands)
    publishing.add_page(commands)
    asked = parser.parse_args(arguments)
    try:
        return int(asked.run(asked))
    except (PixelkinError, OSError) as error:
        parser.exit(2, f"{error}\n")


def _add_list(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    listing = commands.add_parser("list", help="repositories that are needed, and images of each")
    _add_choice(listing)
    listing.set_defaults(run=_list)


def _add_layout(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    layout = commands.add_parser("layout", help="lay the images out as OUT/SPLIT/LABEL/SOURCE/FILE")
    _add_choice(layout)
    _add_places(layout)
    layout.set_defaults(run=_layout)


def _add_shards(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    shards = commands.add_parser("shards", help="pack the images in tar shards, OUT/SPLIT/part-NNNNNN.tar")
    _add_choice(shards)
    _add_places(shards)
    shards.set_defaults(run=_shards)


def _add_counts(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    counting = commands.add_parser("counts", help="count the images by split, family, kind, camera and more")
    _add_choice(counting)
    counting.set_defaults(run=_counts)


def _add_places(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--clones", type=Path, required=True, help="folder of clones, OWNER+NAME or OWNER/NAME each"
    )
    parser.add_argument("--out", type=Path, required=True, help="folder to write to")


def _add_choice(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--manifest", type=Path, default=MANIFEST, help="a manifest (.tsv.gz); the shipped one"
    )
    parser.add_argument("--split", action="append", default=[], help="only this split; may be repeated")
    parser.add_argument("--source", action="append", default=[], help="only this source; may be repeated")
    parser.add_argument(
        "--sample", type=int, metavar="N", help="only about N images, every k-th of the manifest"
    )


def _chosen(asked: argparse.Namespace) -> list[Entry]:
    entries = [
        entry
        for entry in read_manifest(asked.manifest)
        if (not asked.split or entry.split in asked.split)
        and (not asked.source or entry.source in asked.source)
    ]
    return sample(entries, asked.sample) if asked.sample else entries


def _list(asked: argparse.Namespace) -> int:
    counts = Counter(entry.repository for entry in _chosen(asked))
    sys.stdout.write("".join(f"{repository}\t{n}\n" for repository, n in sorted(counts.items())))
    return 0


def _counts(asked: argparse.Namespace) -> int:
    sys.stdout.write("\n".join(table.plain() for table in tables(_chosen(asked))))
    return 0


def _layout(asked: argparse.Namespace) -> int:
    return _told(*lay_out(_chosen(asked), asked.clones, asked.out))


def _shards(asked: argparse.Namespace) -> int:
    return _told(*write_shards(_chosen(asked), asked.clones, asked.out))


def _told(there: Counter[str], missing: Counter[str]) -> int:
    sys.stdout.write("".join(f"{n:6d}  {key}\n" for key, n in sorted(there.items())))
    sys.stderr.write("".join(f"missing {n:6d}  {key}\n" for key, n in sorted(missing.items())))
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
