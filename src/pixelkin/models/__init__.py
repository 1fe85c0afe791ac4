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
    "npr-first": Shipped("npr-first.onnx", "0" * 64),
}
DEFAULT = "npr-first"


def folder() -> Path:
    """Where the files are."""
    return Path(__file__).parent
