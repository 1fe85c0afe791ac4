"""Verdicts of the examples by every shipped model, pinned: ``python tests/golden_verdicts.py`` pins new ones.

A pinned verdict is not changed. A model that answers otherwise, by its weights or by its card, has another
name or version, and a line in the changelog that tells its name and the first eight digits of its SHA-256.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tiny import EXAMPLES

from pixelkin.errors import ModelError
from pixelkin.model import Model, load
from pixelkin.models import SHIPPED

FILE = Path(__file__).with_suffix(".json")
FILES = sorted(EXAMPLES.glob("*-*.*"))
DIGITS = 6  # of a probability, as `pixelkin detect --json` has


def key(model: Model) -> str:
    """What a model's verdicts are pinned under."""
    return f"{model.card.name} {model.card.version}"


def entry(model: Model) -> dict[str, Any]:
    """A model's digest, and what it says of each example."""
    said = {file.name: model.detect(file) for file in FILES}
    verdicts = {
        name: {"verdict": str(each.verdict), "probability": round(each.probability, DIGITS)}
        for name, each in said.items()
    }
    return {"sha256": model.sha256, "verdicts": verdicts}


def pinned_too(pinned: Mapping[str, Any], model: Model) -> dict[str, Any]:
    """What is pinned, with a model's verdicts.

    Raises:
        ModelError: another file is pinned under its name and version.
    """
    name = key(model)
    if name in pinned:
        if pinned[name]["sha256"] != model.sha256:
            raise ModelError(f"{name} is pinned with another file: give its card a new name or version")
        return dict(pinned)
    return {**pinned, name: entry(model)}


def main() -> None:
    """Pin what is not pinned yet."""
    pinned = json.loads(FILE.read_text()) if FILE.exists() else {}
    for name in SHIPPED:
        pinned = pinned_too(pinned, load(name, threads=1))
    FILE.write_text(json.dumps(pinned, indent=1) + "\n")


if __name__ == "__main__":
    try:
        main()
    except ModelError as error:
        sys.exit(str(error))
