"""Counts of a corpus, as tables of text."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from pixelkin.lab.corpus.families import title_of
from pixelkin.lab.corpus.manifest import LABELS, SPLITS, Entry

Key = TypeVar("Key")
TITLES = {"0_real": "real", "1_fake": "generated", "2_edited": "edited"}
UNKNOWN = "not known"
SIDES = ((0, 127), (128, 255), (256, 511), (512, 512), (513, 767), (768, 1023), (1024, 1024), (1025, 2047))
NAMED = 6  # generators that a row names
MARKS = (
    *("comfy", "a1111", "fooocus", "swarm", "invoke", "novelai", "drawthings", "mflux", "midjourney", "grok"),
    *("c2pa-ai", "composite-ai", "c2pa", "iptc-ai", "aigc-label", "camera-bare", "camera"),
    *("path", "folder", "readme", "page", "file name"),
)
MAKERS = {  # by what their EXIF begins with, where that is not the name itself
    "om": "Olympus", "iphone": "Apple", "fuji": "Fujifilm", "eastman": "Kodak", "hewlett-packard": "HP",
    "hp": "HP", "konica": "Konica Minolta", "minolta": "Konica Minolta", "lg": "LG", "lge": "LG",
    "lg-electronics": "LG", "htc": "HTC", "dji": "DJI", "gopro": "GoPro",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of text below a title and a header; all columns but the first are numbers or lists."""

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def markdown(self) -> str:
        """The table for a page, without its title."""
        rule = [
            "---",
            *(
                "--:" if name in {"images", "sources", "repositories", "untouched"} else "---"
                for name in self.header[1:]
            ),
        ]
        lines = [self.header, rule, *([cell.replace("|", "\\|") for cell in row] for row in self.rows)]
        return "".join("| " + " | ".join(line) + " |\n" for line in lines)

    def plain(self) -> str:
        """The table for a terminal."""
        widths = [
            max(len(line[column]) for line in (self.header, *self.rows)) for column in range(len(self.header))
        ]
        lines = [
            "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
            for line in (self.header, *self.rows)
        ]
        return f"{self.title}\n" + "".join(f"  {line}\n" for line in lines)


def tables(entries: Sequence[Entry]) -> list[Table]:
    """Counts of a corpus by split and label, family, kind, camera maker, evidence, format, size, year."""
    made = [entry for entry in entries if entry.label != "0_real"]
    real = [entry for entry in entries if entry.label == "0_real"]
    return [
        by_split(entries),
        by_family(made),
        _counted("Kinds of real pictures", "kind", real, lambda e: e.kind.replace("_", " ")),
        by_maker(real),
        _counted("Evidence of the label", "evidence", entries, evidence_of),
        _counted("Formats", "format", entries, lambda e: e.format),
        _counted("Short sides, pixels", "short side", entries, side_of, by_name=True),
        _counted(
            "Years, where they are known",
            "year",
            [e for e in entries if e.year],
            lambda e: e.year,
            by_name=True,
        ),
    ]


def by_split(entries: Sequence[Entry]) -> Table:
    """Repositories, sources and images of each split and label, and those that are untouched."""
    members = _grouped(entries, lambda e: (e.split, e.label))
    rows = [
        (split, TITLES[label], *_sizes(found), _number(_untouched(found)))
        for split in SPLITS
        for label in LABELS
        if (found := members.get((split, label)))
    ]
    rows.append(("all", "", *_sizes(entries), _number(_untouched(entries))))
    header = ("split", "label", "repositories", "sources", "images", "untouched")
    return Table("Splits", header, tuple(rows))


def by_family(entries: Sequence[Entry]) -> Table:
    """Families of generators with their checkpoints or services."""
    members = _grouped(entries, lambda e: e.family)
    rows = []
    for family in sorted(members, key=lambda name: (-_images(members[name]), name)):
        found = members[family]
        generators = Counter(e.generator for e in found if e.generator)
        names = [name for name, _ in sorted(generators.items(), key=lambda item: (-item[1], item[0]))]
        named = ", ".join(names[:NAMED]) + (", ..." if len(names) > NAMED else "")
        title = title_of(family) if family else UNKNOWN
        rows.append((title, _number(len(names)), *_sizes(found)[1:], _splits(found), named))
    header = ("family", "checkpoints or services", "sources", "images", "in the splits", "among them")
    return Table("Families of generators", header, tuple(rows))


def by_maker(entries: Sequence[Entry]) -> Table:
    """Makers of cameras and phones with the number of their models."""
    with_camera = [entry for entry in entries if entry.camera]
    members = _grouped(with_camera, lambda e: maker_of(e.camera))
    rows = [
        (
            maker,
            _number(len({e.camera.lower() for e in found})),
            _number(len(found)),
            _number(_untouched(found)),
        )
        for maker, found in sorted(members.items(), key=lambda item: (-len(item[1]), item[0]))
    ]
    models = len({entry.camera.lower() for entry in with_camera})
    rows.append(("all", _number(models), _number(len(with_camera)), _number(_untouched(with_camera))))
    return Table(
        "Makers of cameras and phones, by EXIF", ("maker", "models", "images", "untouched"), tuple(rows)
    )


def maker_of(camera: str) -> str:
    """The maker of a camera, by the first word of its make and model."""
    first = camera.split()[0].strip(",").lower()
    return MAKERS.get(first, first.capitalize())


def evidence_of(entry: Entry) -> str:
    """The kind of evidence that a row states: the first mark, or the first of the usual words in it."""
    text = entry.evidence.lower()
    first = re.split(r"[+\s:;,]", text, maxsplit=1)[0]
    if first in MARKS:
        return first
    return next((mark for mark in MARKS if mark in text), "other words" if text else UNKNOWN)


def side_of(entry: Entry) -> str:
    """The range that the shorter side lies in."""
    if not (entry.width and entry.height):
        return UNKNOWN
    side = min(int(entry.width), int(entry.height))
    for low, high in SIDES:
        if low <= side <= high:
            return f"{low:4d}" if low == high else f"{low:4d} to {high}"
    return f"{SIDES[-1][1] + 1} and more"


def _counted(
    title: str, name: str, entries: Iterable[Entry], key: Callable[[Entry], str], *, by_name: bool = False
) -> Table:
    """Images of each label by a value."""
    members = _grouped(entries, lambda e: key(e) or UNKNOWN)
    order = sorted(
        members, key=lambda value: (value == UNKNOWN, value if by_name else "", -len(members[value]), value)
    )
    rows = []
    for value in order:
        by_label = _grouped(members[value], lambda e: e.label)
        numbers = [_images(by_label.get(label, ())) for label in LABELS]
        rows.append((value.strip(), *map(_number, numbers), _number(sum(numbers))))
    return Table(title, (name, *(TITLES[label] for label in LABELS), "images"), tuple(rows))


def _grouped(entries: Iterable[Entry], key: Callable[[Entry], Key]) -> dict[Key, list[Entry]]:
    members: dict[Key, list[Entry]] = defaultdict(list)
    for entry in entries:
        members[key(entry)].append(entry)
    return members


def _sizes(entries: Sequence[Entry]) -> tuple[str, str, str]:
    """Repositories, sources and images."""
    repositories = {entry.repository.lower() for entry in entries}
    sources = {entry.source for entry in entries}
    return _number(len(repositories)), _number(len(sources)), _number(_images(entries))


def _images(entries: Iterable[Entry]) -> int:
    """Number of images; each tile of a contact sheet is one."""
    return sum(entry.images for entry in entries)


def _splits(entries: Iterable[Entry]) -> str:
    counts = {split: _images(members) for split, members in _grouped(entries, lambda e: e.split).items()}
    return ", ".join(f"{split} {_number(counts[split])}" for split in SPLITS if split in counts)


def _untouched(entries: Iterable[Entry]) -> int:
    return sum("untouched" in entry.flags.split() for entry in entries)


def _number(value: int) -> str:
    return f"{value:,}"
