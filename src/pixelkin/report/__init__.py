"""A picture of the evidence: everything there is to say of one image, as one file."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from pixelkin.errors import ConfigError
from pixelkin.files import write_atomically
from pixelkin.report.content import Explained, explain
from pixelkin.report.figure import figure_png
from pixelkin.report.page import page_html

__all__ = ["WRITERS", "Explained", "check_place", "explain", "figure_png", "page_html", "save"]

WRITERS: dict[str, Callable[[Explained], bytes]] = {
    ".png": figure_png,
    ".html": lambda explained: page_html(explained).encode(),
}


def check_place(out: Path) -> None:
    """Refuse a file that cannot be written, before anything is computed.

    Raises:
        ConfigError: its suffix is unknown, its folder is not there, or it is a folder itself.
    """
    if out.suffix.lower() not in WRITERS:
        kinds = " or ".join(WRITERS)
        raise ConfigError(f"{out}: an explanation is a {kinds} file, and its suffix is {out.suffix!r}")
    if not out.parent.is_dir():
        raise ConfigError(f"{out}: there is no folder {out.parent}")
    if out.is_dir():
        raise ConfigError(f"{out} is a folder")
    if not os.access(out.parent, os.W_OK):
        raise ConfigError(f"{out}: nothing can be written into {out.parent}")


def save(explained: Explained, out: Path) -> None:
    """Write an explanation as the suffix of ``out`` says: the whole file, or none.

    Raises:
        ConfigError: as `check_place`, or it cannot be written after all.
    """
    check_place(out)
    data = WRITERS[out.suffix.lower()](explained)
    try:
        write_atomically(out, data)
    except OSError as error:
        raise ConfigError(f"{out} cannot be written ({error.strerror or error})") from error
