"""pyarrow, which `pixelkin[scan]` installs: for what reads and writes Parquet files."""

from __future__ import annotations

from typing import Any

from pixelkin.errors import MissingExtraError


def modules(what: str) -> tuple[Any, Any]:
    """The modules ``pyarrow`` and ``pyarrow.parquet``, imported now.

    Args:
        what: needs them, for the message.

    Raises:
        MissingExtraError: pyarrow is not installed.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ModuleNotFoundError as error:
        raise MissingExtraError(what, "scan", error.name) from error
    return pyarrow, pyarrow.parquet
