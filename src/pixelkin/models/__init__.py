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
    "kin-3": Shipped("kin-3.onnx", "b83b9e9775307b0a183e3db4fd2a8409f6aa0f5ca6901e67b2172ab89368c91f"),
    "kin-2": Shipped("kin-2.onnx", "5732a47bbb4032f69a10ae380ca439847e9aab5104068c6ce488654a1b3296f6"),
    "npr-first": Shipped(
        "npr-first.onnx", "fcc44a575660084d3ccadf00e387fa67f2e28a2c033abcc6afb47f4d330db15b"
    ),
}
DEFAULT = "kin-3"
# Frozen encoders that models read the tokens of, each with its licence beside it (LICENCES.md).
ENCODERS = {
    "clip-vit-b16": Shipped(
        "clip-vit-b16.onnx", "01c11e043dcb28075eaee691cd84f9c53d9926bc309c638fe4af6e641f40d98b"
    ),
}


def folder() -> Path:
    """Where the files are."""
    return Path(__file__).parent
