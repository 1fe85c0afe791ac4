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
    "npr-first": Shipped(
        "npr-first.onnx", "ffecda84543c240bded2e0da69a57ae4f8d737bf7134bf5e90df0ae0150c7d5c"
    ),
}
DEFAULT = "npr-first"


def folder() -> Path:
    """Where the files are."""
    return Path(__file__).parent
