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
    "kin-1": Shipped("kin-1.onnx", "576349f97eea816b17308ca9ad40f9f774daf81ef76f2e1c171e42dea1c19f05"),
    "npr-first": Shipped(
        "npr-first.onnx", "b437a7ffa158043a6b9c7d03ec3272bd0e8753be5c4aced8f19a351f4d54d653"
    ),
}
DEFAULT = "kin-1"


def folder() -> Path:
    """Where the files are."""
    return Path(__file__).parent
