"""What several commands share: options, and the way into the laboratory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from pixelkin.errors import MissingExtraError

WeightsDir = Annotated[
    Path | None, typer.Option("--weights-dir", help="Folder of weights that others published.")
]
AllowRandom = Annotated[
    bool,
    typer.Option("--allow-random-init", help="Random values where those are missing: not comparable."),
]
Cache = Annotated[
    Path | None, typer.Option("--cache", help="Folder that keeps what frozen networks made of pictures.")
]


@contextmanager
def laboratory(what: str) -> Iterator[None]:
    """Imports of the laboratory; where a package of it is missing, says how to install it."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise MissingExtraError(what, "lab", error.name) from error
