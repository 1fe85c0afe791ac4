"""Splits that hold sources apart: everything of one repository or one author lies in one split."""

from __future__ import annotations

import re
import tomllib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from pixelkin.errors import ConfigError, DataError
from pixelkin.lab.corpus.candidates import Dropped, read_table
from pixelkin.lab.corpus.manifest import SPLITS, Entry

# Authors that are no one in particular do not tie repositories together.
NOBODY = re.compile(r"|unknown|none|none stated|not stated|various|several|many|n/?a|-|\?", re.IGNORECASE)
ORDER = ("unseen", "dev", "wild-dev", "train")  # the first of these keeps an image that several have


@dataclass(frozen=True, slots=True)
class Rule:
    """Entries that belong to a split, each with all else of its repository and its author.

    Attributes:
        sources: names of sources.
        repositories: OWNER/NAME.
        authors: owners of repositories, or authors as the tables of sources state them.
        families: of generators.
        kinds: of real pictures.
    """

    sources: frozenset[str] = frozenset()
    repositories: frozenset[str] = frozenset()
    authors: frozenset[str] = frozenset()
    families: frozenset[str] = frozenset()
    kinds: frozenset[str] = frozenset()

    def holds(self, entry: Entry, authors: Iterable[str]) -> bool:
        """Whether the rule names an entry, whose ``authors`` are in lower case."""
        return (
            entry.source in self.sources
            or entry.repository.lower() in self.repositories
            or not self.authors.isdisjoint(authors)
            or (entry.label != "0_real" and entry.family in self.families)
            or (entry.label == "0_real" and entry.kind in self.kinds)
        )


def read_rules(file: Path) -> dict[str, Rule]:
    """The rules of a TOML file with one table for each split that is not ``train``.

    Raises:
        ConfigError: it cannot be read, or names an unknown split or key.
    """
    try:
        content = tomllib.loads(file.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{file}: the splits cannot be read ({error})") from error
    keys = {field.name for field in fields(Rule)}
    rules = {}
    for split, table in content.items():
        if split not in SPLITS or split == "train":
            raise ConfigError(f"{file}: no split is named {split!r}; the names are: unseen, dev, wild-dev")
        if not isinstance(table, dict) or (unknown := sorted(set(table) - keys)):
            raise ConfigError(f"{file}: [{split}] may have {', '.join(sorted(keys))}, not {unknown}")
        for key, names in table.items():
            if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
                raise ConfigError(f"{file}: {key} of [{split}] must be a list of names, not {names!r}")
        lower = ("repositories", "authors")
        sets = {k: frozenset(n.lower() if k in lower else n for n in names) for k, names in table.items()}
        rules[split] = Rule(**sets)
    return rules


def read_authors(files: Iterable[Path]) -> dict[str, set[str]]:
    """Authors of each repository as tables of sources state them, both in lower case.

    Raises:
        DataError: a file cannot be read or lacks a column.
    """
    stated: dict[str, set[str]] = defaultdict(set)
    for file in files:
        for row in read_table(file, ("repository", "author")):
            author = " ".join(row["author"].lower().split())
            if not NOBODY.fullmatch(author):
                stated[row["repository"].lower()].add(author)
    return stated


def assign(
    candidates: Sequence[Entry],
    rules: Mapping[str, Rule],
    authors: Mapping[str, set[str]],
    fixed: Iterable[Entry],
) -> tuple[dict[int, str], list[Dropped]]:
    """The split of each candidate by its index, and candidates that fit into none.

    A group of candidates that share repositories or authors goes where the first rule that names any of
    them says; otherwise to ``train``. Where the group has ``fixed`` entries, it follows them: nothing is
    added to an evaluation split that is there already, and what a rule holds out of training is dropped
    where the rest of its group is trained on.
    """
    groups = _Groups()
    named = [_authors(entry, authors) for entry in candidates]
    keys = [
        groups.join([f"repository {e.repository.lower()}", *who])
        for e, who in zip(candidates, named, strict=True)
    ]
    bound: dict[str, set[str]] = defaultdict(set)
    for entry in fixed:
        keys_of = [f"repository {entry.repository.lower()}", *_authors(entry, authors)]
        bound[groups.join(keys_of)].add(entry.split)
    taken: dict[str, set[str]] = defaultdict(set)
    for key, found in bound.items():
        taken[groups.root(key)] |= found
    by_rule = [
        next((split for split, rule in rules.items() if rule.holds(entry, who)), "")
        for entry, who in zip(candidates, named, strict=True)
    ]
    wanted: dict[str, set[str]] = defaultdict(set)
    for key, split in zip(keys, by_rule, strict=True):
        wanted[groups.root(key)] |= {split} - {""}
    splits: dict[int, str] = {}
    dropped = []
    for index, (entry, key) in enumerate(zip(candidates, keys, strict=True)):
        there, root = taken[groups.root(key)], groups.root(key)
        if there - {"train"}:
            dropped.append(Dropped("author_of_evaluation", entry, " ".join(sorted(there))))
        elif there and by_rule[index]:
            dropped.append(Dropped("held_out_but_trained", entry, by_rule[index]))
        else:
            chosen = [] if there else [split for split in rules if split in wanted[root]]
            splits[index] = chosen[0] if chosen else "train"
    return splits, dropped


def _authors(entry: Entry, stated: Mapping[str, set[str]]) -> set[str]:
    """Owner of the entry's repository, and the authors stated for it, in lower case."""
    repository = entry.repository.lower()
    return {repository.partition("/")[0]} | stated.get(repository, set())


class _Groups:
    """Sets of keys, joined wherever they share one (union-find)."""

    def __init__(self) -> None:
        self._parents: dict[str, str] = {}

    def root(self, key: str) -> str:
        """The key that stands for the set of ``key``."""
        parent = self._parents.setdefault(key, key)
        while parent != key:
            self._parents[key] = self._parents[parent]
            key, parent = parent, self._parents[parent]
        return key

    def join(self, keys: Sequence[str]) -> str:
        """Make one set of the sets of ``keys``; returns the first key."""
        for other in keys[1:]:
            self._parents[self.root(other)] = self.root(keys[0])
        return keys[0]


def check_splits(entries: Iterable[Entry]) -> None:
    """Check that no repository of an evaluation split is trained on.

    Raises:
        DataError: one is.
    """
    by_repository: dict[str, set[str]] = defaultdict(set)
    for entry in entries:
        by_repository[entry.repository.lower()].add(entry.split)
    for repository, splits in by_repository.items():
        if "train" in splits and len(splits) > 1:
            raise DataError(f"{repository}: lies in the splits {', '.join(sorted(splits))}")
