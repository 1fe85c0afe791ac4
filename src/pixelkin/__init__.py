"""Pixelkin tells generated images from photographs by how neighbouring pixels are related.

>>> import pixelkin
>>> model = pixelkin.load()
>>> model.detect("examples/generated-chelsea-realesrgan.png").verdict  # doctest: +SKIP
<Verdict.GENERATED: 'generated'>
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pixelkin.model import Model, detect, load
    from pixelkin.types import Prediction, Verdict

__version__ = "0.1.0"
__all__ = ["Model", "Prediction", "Verdict", "__version__", "detect", "load"]

# onnxruntime reports what it runs, and keeps an identity of the machine, from the moment it is imported
# (its wheels of 2026 do on Linux too): nothing of Pixelkin leaves a machine unasked.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

_HOMES = {"Model": "model", "detect": "model", "load": "model", "Prediction": "types", "Verdict": "types"}


def __getattr__(name: str) -> Any:
    """Import a public name on first use, so that `import pixelkin` loads neither numpy nor a runtime."""
    if name not in _HOMES:
        raise AttributeError(f"module 'pixelkin' has no attribute {name!r}")
    return getattr(import_module(f"pixelkin.{_HOMES[name]}"), name)
