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
    "kin-1": Shipped("kin-1.onnx", "b9de82ffb12d16d6ef0f86e4725955523241a700da69019d3ada3d3284af7c0c"),
    "npr-first": Shipped(
        "npr-first.onnx", "fcc44a575660084d3ccadf00e387fa67f2e28a2c033abcc6afb47f4d330db15b"
    ),
}
DEFAULT = "kin-1"


def folder() -> Path:
    """Where the files are."""
    return Path(__file__).parent
