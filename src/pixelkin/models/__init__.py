"""The models that come with Pixelkin. Their cards travel inside the files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Shipped:
    """A model file of this folder, and the SHA-256 it must have to be loaded."""

    file: str
    sha256: str


SHIPPED = {
    "kin-2": Shipped("kin-2.onnx", "15bc45d7b9859f287d7904a0c1303a38d3b216ed2da83b000e8e8476634ee93e"),
    "npr-first": Shipped(
        "npr-first.onnx", "b437a7ffa158043a6b9c7d03ec3272bd0e8753be5c4aced8f19a351f4d54d653"
    ),
}
DEFAULT = "kin-2"


def folder() -> Path:
    """Where the files are."""
    return Path(__file__).parent
