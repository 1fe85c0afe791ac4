"""Evidence of origin inside image files: marks of generators and cameras, a row for each image of a clone."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass, fields, replace
from pathlib import Path
from typing import Any

from pixelkin.data import SUFFIXES
from pixelkin.errors import ImageError
from pixelkin.lab.corpus.clones import blobs, history, tree
from pixelkin.lab.corpus.facts import Facts, facts_of
from pixelkin.lab.corpus.families import family_of
from pixelkin.provenance import Settings, declared
from pixelkin.provenance.carried import read_carried
from pixelkin.provenance.claims import clean

SOFTWARE, MAKER_NOTE, WIDTH, HEIGHT = 305, 37500, 0xA002, 0xA003  # tags of EXIF
SEARCHED = 300_000  # bytes at the start of a file
ADOBE = (b"Photoshop 3.0", b"Adobe XMP", b"\xff\xeeAdobe", b"\xff\xee\x00\x0eAdobe")
EDITORS = re.compile(
    r"photoshop|lightroom|gimp|picasa|snapseed|adobe|picsart|vsco|paint|acdsee|photo ?editor"
    r"|photos? \d|windows photo|affinity|pixelmator|capture one|darktable|rawtherapee|luminar"
    r"|instagram|facetune|meitu|beauty|b612|canva|polarr|fotor|imagemagick|irfanview|xnview|faststone"
    r"|photoscape|aperture|iphoto|ditto|shotwell|digikam|corel|ulead|nikon transfer|viewnx|zoombrowser"
    r"|digital photo pro|microsoft|google|quicktime|image ?ready|gthumb|camera\+|afterlight"
    r"|photofiltre|dxo|on1|silkypix|capture nx",
    re.IGNORECASE,
)
# Sides of sensors and of the crops that cameras offer: longer by shorter.
SHAPES = (1, 5 / 4, 4 / 3, 3 / 2, 16 / 10, 16 / 9, 2, 18.5 / 9, 19 / 9, 19.5 / 9, 20 / 9)
LIKE = 0.015  # by how much a shape may differ
RESAVED, RESIZED, CROPPED, UNTOUCHED = "resaved", "resized", "cropped", "untouched"
LOSSLESS = frozenset({"PNG", "BMP", "TIFF"})
SIGNED = "c2pa-ai"  # a mark that programs seldom keep when they save a file again
PROGRAMS = frozenset("comfy a1111 fooocus swarm invoke novelai drawthings mflux".split())  # noqa: SIM905


@dataclass(frozen=True, slots=True)
class Finding:
    """One image of a repository, and what its file says of its origin. Every value is text.

    Attributes:
        repository: OWNER/NAME.
        path: in the repository.
        git_blob: its object.
        bytes: size of the file.
        format: container.
        width: pixels, as stored.
        height: pixels, as stored.
        jpeg_quality: 1 to 100, by the luminance table.
        evidence: marks joined by ``+``, e.g. ``comfy+edit`` or ``camera``; empty where there are none.
        model: checkpoints or services, separated by ``;``.
        family: of the first model that is known; empty without a generator's mark.
        camera: make and model.
        year: in which it was taken.
        flags: ``edit``, ``resaved``, ``resized``, ``cropped``, ``untouched``, separated by spaces.
        reason: why nothing could be read; empty where it was.
    """

    repository: str
    path: str
    git_blob: str
    bytes: str = ""
    format: str = ""
    width: str = ""
    height: str = ""
    jpeg_quality: str = ""
    evidence: str = ""
    model: str = ""
    family: str = ""
    camera: str = ""
    year: str = ""
    flags: str = ""
    reason: str = ""

    def line(self) -> str:
        """The row of a table, without its end."""
        return "\t".join(clean(value, 1000) for value in astuple(self))


COLUMNS = tuple(field.name for field in fields(Finding))


def find_evidence(
    repository: str, directory: Path, *, limit: int = 0, everything: bool = False, past: bool = False
) -> Iterator[Finding]:
    """A finding for each image of a clone; bad files and absent blobs are findings with a reason.

    Args:
        repository: OWNER/NAME.
        directory: its git directory.
        limit: images that are read at most, spread over the folders; 0 for all.
        everything: also images that were read and carry no evidence.
        past: also images of earlier commits and other branches.

    Raises:
        DataError: the clone has no readable HEAD.
    """
    files = history(directory) if past else tree(directory)
    images = [each for each in files if Path(each[1]).suffix.lower() in SUFFIXES]
    unique = list({blob: (blob, path) for blob, path in reversed(images)}.values())[::-1]
    chosen = spread(unique, limit) if limit else unique
    for (blob, path), data in zip(chosen, blobs(directory, [blob for blob, _ in chosen]), strict=True):
        bare = Finding(repository, path, blob)
        if data is None:
            yield replace(bare, reason="absent from the clone")
            continue
        found = inspect_file(bare, data)
        if everything or found.evidence or found.reason:
            yield found


def inspect_file(bare: Finding, data: bytes) -> Finding:
    """A finding with what the bytes of its file say."""
    carried = read_carried(data)
    try:
        facts = facts_of(data, carried.exif)
    except ImageError as error:
        reason = clean(str(error).removeprefix("it: "), 120)
        return replace(bare, bytes=str(len(data)), reason=reason)
    written = declared(data, bare.path, carried)
    marks, flags = marks_of(data, facts, written, carried.exif)
    return replace(
        bare,
        bytes=str(len(data)),
        format=facts.format,
        width=str(facts.width),
        height=str(facts.height),
        jpeg_quality=str(facts.jpeg_quality or ""),
        evidence="+".join(marks),
        model=";".join(dict.fromkeys(model for each in written for model in each.models)),
        family=family_of_settings(written, marks),
        camera=facts.camera,
        year=facts.year,
        flags=" ".join(sorted(flags)),
    )


def marks_of(
    data: bytes, facts: Facts, written: Sequence[Settings], exif: Mapping[int, Any]
) -> tuple[list[str], set[str]]:
    """The marks of a file in their order, and the flags of its row."""
    marks: list[str] = []
    flags: set[str] = set()
    for each in written:
        marks += [each.mark, *sorted(each.flags)]
        flags |= {"edit"} & each.flags
    if written:
        kept = facts.format in LOSSLESS and any(each.mark in PROGRAMS for each in written)
        if kept or SIGNED in marks:
            flags.add(UNTOUCHED)
        return list(dict.fromkeys(marks)), flags
    if facts.camera:
        changes = camera_flags(data, facts, exif)
        original = MAKER_NOTE in exif
        return ["camera" if original else "camera-bare", *changes], set(changes or [UNTOUCHED] * original)
    return [], set()


def camera_flags(data: bytes, facts: Facts, exif: Mapping[int, Any]) -> list[str]:
    """Changes to a photograph since its camera wrote it, as far as its file tells."""
    start = data[:SEARCHED]
    flags = []
    if EDITORS.search(clean(exif.get(SOFTWARE, ""), 200)) or any(block in start for block in ADOBE):
        flags.append(RESAVED)
    stated = sorted(side for side in (exif.get(WIDTH), exif.get(HEIGHT)) if isinstance(side, int) and side)
    if len(stated) == 2 and stated != sorted((facts.width, facts.height)):
        flags.append(RESIZED)
    shape = max(facts.width, facts.height) / max(1, min(facts.width, facts.height))
    if not any(abs(shape / known - 1) < LIKE for known in SHAPES):
        flags.append(CROPPED)
    return flags


def family_of_settings(written: Sequence[Settings], marks: Sequence[str]) -> str:
    """The family of what generated a picture; empty where nothing says that it was."""
    if not any(each.generates and each.mark != "c2pa" for each in written):
        return ""
    return family_of(";".join(model for each in written for model in each.models), "+".join(marks))


def spread(images: Sequence[tuple[str, str]], limit: int) -> list[tuple[str, str]]:
    """At most ``limit`` of the images, blob and path each, evenly from every folder."""
    if len(images) <= limit:
        return list(images)
    by_folder: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for blob, path in images:
        by_folder[path.rpartition("/")[0]].append((blob, path))
    share = max(1, limit // len(by_folder))
    chosen = []
    for members in by_folder.values():
        count = min(share, len(members))
        chosen += [members[index * len(members) // count] for index in range(count)]
    return chosen[:limit]
