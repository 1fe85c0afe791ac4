"""Families of generators, by the names of checkpoints and services."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

TABLE = Path(__file__).with_name("families.toml")
LONGEST = 300  # characters of a name that are searched
EXTENSION = re.compile(r"\.(safetensors|ckpt|gguf|sft|pth|pt|onnx|bin)\b", re.IGNORECASE)
SEPARATORS = re.compile(r"[\s_.\-/\\]+")
# Families of pictures made from a picture: an output may look like its own input.
DERIVED = frozenset(
    {"super-resolution", "face-restoration", "image-translation", "style-transfer", "face-swap"}
)


@dataclass(frozen=True, slots=True)
class _Family:
    name: str
    title: str
    patterns: tuple[re.Pattern[str], ...]


@cache
def _table() -> tuple[tuple[_Family, ...], Mapping[str, Any]]:
    content = tomllib.loads(TABLE.read_text("utf-8"))
    families = tuple(
        _Family(row["name"], row["title"], tuple(re.compile(p, re.IGNORECASE) for p in row["patterns"]))
        for row in content["families"]
    )
    return families, content["unknown"]


def names() -> list[str]:
    """All families, in the order in which they are tried."""
    return [family.name for family in _table()[0]]


def title_of(name: str) -> str:
    """A family's name in words."""
    return next((family.title for family in _table()[0] if family.name == name), name)


def family_of(generator: str, evidence: str = "") -> str:
    """The family of a generator.

    Args:
        generator: checkpoint or service; of several, separated by ``;``, the first one known counts.
        evidence: marks in the file, joined by ``+``; they tell an unknown service from an unknown checkpoint.

    Returns:
        A name of `names`; ``other-service`` or ``other-open`` where no pattern matches.
    """
    families, unknown = _table()
    for part in generator[:LONGEST].split(";"):
        name = SEPARATORS.sub(" ", EXTENSION.sub("", part)).strip()
        for family in families:
            if name and any(pattern.search(name) for pattern in family.patterns):
                return family.name
    marks = set(evidence.split("+"))
    is_service = any(mark.startswith(service) for mark in marks for service in unknown["services"])
    return unknown["service"] if is_service else unknown["otherwise"]
