"""From candidates to a manifest: what is refused, what is a duplicate, which split, in which order."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pixelkin.lab.corpus import readings
from pixelkin.lab.corpus.candidates import Dropped, read_candidates
from pixelkin.lab.corpus.duplicates import DISTANCE, LEAST_CONTRAST, find_duplicates
from pixelkin.lab.corpus.evidence import CROPPED, PROGRAMS, RESAVED, RESIZED, UNTOUCHED
from pixelkin.lab.corpus.families import DERIVED
from pixelkin.lab.corpus.manifest import Entry
from pixelkin.lab.corpus.readings import Reading
from pixelkin.lab.corpus.reserved import Reserved
from pixelkin.lab.corpus.splits import ORDER, assign, read_authors, read_rules
from pixelkin.provenance.settings import EDIT, NOT_MADE, WORKFLOW

MOST = 150  # images of a source
SHORTEST = 64  # pixels, of the shorter side
CHANGED = frozenset({RESAVED, RESIZED, CROPPED})
GENERATED = PROGRAMS | {"midjourney", "grok", "c2pa-ai", "composite-ai", "iptc-ai", "aigc-label"}


@dataclass(frozen=True, slots=True)
class Plan:
    """Settings of an assembly: its parts and bounds.

    Attributes:
        rows: tables of candidates, in order of precedence.
        sources: tables that state the author of each repository; others are their owners' alone.
        clones: the folder of clones.
        reserved: the list of what is kept for judging.
        splits: the TOML file of rules.
        cache: where readings of blobs are kept.
        most: images of one source.
        distance: differing bits up to which two images are duplicates.
    """

    rows: tuple[Path, ...]
    sources: tuple[Path, ...]
    clones: Path
    reserved: Path
    splits: Path
    cache: Path
    most: int = MOST
    distance: int = DISTANCE


@dataclass(frozen=True, slots=True)
class Assembled:
    """A corpus of older entries and new ones, and what was dropped on the way.

    Attributes:
        entries: the older ones as they were, then the new ones in order of split, label, source and path.
        dropped: the candidates that are not among them.
        not_compared: older entries whose images are not at hand, so that only their blobs were compared.
    """

    entries: tuple[Entry, ...]
    dropped: tuple[Dropped, ...]
    not_compared: int


def assemble(
    plan: Plan,
    older: Sequence[Entry],
    beside: Sequence[Entry] = (),
    on_repository: Callable[[str, int], None] = lambda *_: None,
) -> Assembled:
    """Add candidates to a corpus.

    Args:
        plan: the candidates and the bounds.
        older: entries that stay as they are.
        beside: entries of other manifests, which are compared with and not written.
        on_repository: called before a repository is read, with its name and the number of those left.

    Raises:
        DataError: a table cannot be read.
        ConfigError: the rules of the splits are wrong.
    """
    fixed = [*older, *beside]
    reserved, rules = Reserved.read(plan.reserved), read_rules(plan.splits)
    candidates = read_candidates(plan.rows, {entry.source for entry in fixed})
    dropped = list(candidates.dropped)
    kept = _sift(candidates.entries, lambda entry: _kept_for_judging(entry, reserved), dropped)
    kept = _without_copies(kept, {entry.git_blob for entry in fixed}, dropped)
    read = readings.read_all([*kept, *fixed], plan.clones, plan.cache, on_repository)
    kept = _sift(kept, lambda entry: _unusable(read[entry.git_blob]), dropped)
    kept = _sift(kept, lambda entry: _contradicted(entry, read[entry.git_blob]), dropped)
    kept = [_described(entry, read[entry.git_blob]) for entry in kept]
    splits, homeless = assign(kept, rules, read_authors(plan.sources), fixed)
    dropped += homeless
    kept = [replace(entry, split=splits[index]) for index, entry in enumerate(kept) if index in splits]
    kept.sort(key=lambda entry: ORDER.index(entry.split))  # evaluation first; sorting is stable
    compared = [entry for entry in fixed if read[entry.git_blob].hash]
    kept = _without_near_duplicates(kept, compared, read, plan.distance, dropped)
    kept = _capped(kept, plan.most, dropped)
    kept.sort(
        key=lambda entry: (ORDER.index(entry.split), entry.label, entry.source, entry.path, entry.git_blob)
    )
    return Assembled((*older, *kept), tuple(dropped), len(fixed) - len(compared))


def count_by_reason(dropped: Iterable[Dropped]) -> Counter[str]:
    """How many candidates were dropped for each reason."""
    return Counter(each.reason for each in dropped)


def _sift(
    entries: Iterable[Entry], fault: Callable[[Entry], tuple[str, str] | None], dropped: list[Dropped]
) -> list[Entry]:
    """The entries without a fault; the others are added to ``dropped``."""
    kept = []
    for entry in entries:
        if found := fault(entry):
            dropped.append(Dropped(found[0], entry, found[1]))
        else:
            kept.append(entry)
    return kept


def _kept_for_judging(entry: Entry, reserved: Reserved) -> tuple[str, str] | None:
    if reserved.holds_repository(entry.repository):
        return "reserved", "the repository"
    return ("reserved", "the blob") if reserved.holds_blob(entry.git_blob) else None


def _without_copies(entries: Sequence[Entry], taken: set[str], dropped: list[Dropped]) -> list[Entry]:
    """Entries whose blobs no earlier one has and none of ``taken``."""
    seen = set(taken)
    kept = []
    for entry in entries:
        if entry.git_blob in seen:
            dropped.append(Dropped("exact_duplicate", entry))
        else:
            seen.add(entry.git_blob)
            kept.append(entry)
    return kept


def _unusable(reading: Reading) -> tuple[str, str] | None:
    """Why an image is not used, or None."""
    if reading.error in (readings.NO_CLONE, readings.ABSENT):
        return reading.error, ""
    if reading.error:
        return "unreadable", reading.error
    if min(int(reading.width), int(reading.height)) < SHORTEST:
        return "too_small", f"{reading.width} x {reading.height}"
    return ("blank", "") if int(reading.contrast) < LEAST_CONTRAST else None


def _contradicted(entry: Entry, reading: Reading) -> tuple[str, str] | None:
    """Why a label is not believed that the file itself contradicts, or None."""
    marks = set(reading.evidence.split("+"))
    if entry.label == "0_real" and marks & GENERATED and not marks & {NOT_MADE, WORKFLOW}:
        return "says_generated", reading.evidence
    if entry.label == "1_fake" and NOT_MADE in marks and entry.evidence.startswith("comfy"):
        return "not_generated", reading.evidence
    if entry.label == "1_fake" and marks & {EDIT, "composite-ai"} and entry.family not in DERIVED:
        return "edit_unclear", reading.evidence
    return None


def _described(entry: Entry, reading: Reading) -> Entry:
    """An entry with the facts of its file; what somebody stated of it stays."""
    real = entry.label == "0_real"
    return replace(
        entry,
        width=reading.width,
        height=reading.height,
        format=reading.format,
        jpeg_quality=reading.jpeg_quality,
        camera=(entry.camera or reading.camera) if real else "",
        year=entry.year or (reading.year if real else ""),
        flags=_joined_flags(entry.flags, reading.flags),
    )


def _joined_flags(stated: str, found: str) -> str:
    """Flags that somebody stated and that the file shows; ``untouched`` where neither says otherwise."""
    flags = set(stated.split()) | set(found.split())
    return " ".join(sorted(flags - {UNTOUCHED} if flags & CHANGED else flags))


def _without_near_duplicates(
    entries: Sequence[Entry],
    fixed: Sequence[Entry],
    read: Mapping[str, Reading],
    distance: int,
    dropped: list[Dropped],
) -> list[Entry]:
    """Entries that no earlier one and none of ``fixed`` looks like."""
    everything = [*fixed, *entries]

    def allowed(kept: int, other: int) -> bool:
        return other < len(fixed) or _original_and_output(everything[kept], everything[other])

    hashes = [read[entry.git_blob].hash for entry in everything]
    found = find_duplicates(hashes, distance=distance, allowed=allowed)
    for other, kept in sorted(found.items()):
        like = everything[kept]
        dropped.append(
            Dropped("near_duplicate", everything[other], f"{like.split} {like.repository} {like.path}")
        )
    return [entry for index, entry in enumerate(entries, len(fixed)) if index not in found]


def _original_and_output(first: Entry, second: Entry) -> bool:
    """Whether one may have been made from the other: of one repository and split, with other labels."""
    if first.label == second.label or first.split != second.split:
        return False
    made = "2_edited" in (first.label, second.label) or DERIVED & {first.family, second.family}
    return bool(made) and first.repository.lower() == second.repository.lower()


def _capped(entries: Sequence[Entry], most: int, dropped: list[Dropped]) -> list[Entry]:
    """At most ``most`` images of each source, spread evenly over its paths."""
    by_source: dict[str, list[Entry]] = defaultdict(list)
    for entry in entries:
        by_source[entry.source].append(entry)
    kept: list[Entry] = []
    for members in by_source.values():
        members.sort(key=lambda entry: (entry.path, entry.git_blob))
        tiles = max(entry.images for entry in members)
        count = min(max(1, most // tiles), len(members))
        chosen = {index * len(members) // count for index in range(count)}
        kept += [entry for index, entry in enumerate(members) if index in chosen]
        dropped += [Dropped("over_cap", e) for index, e in enumerate(members) if index not in chosen]
    return kept
