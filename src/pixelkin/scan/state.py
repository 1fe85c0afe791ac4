"""The folder of a scan: what it judges and by what, kept so that it goes on as it was begun."""

from __future__ import annotations

import fcntl
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pixelkin import __version__
from pixelkin.data import SUFFIXES
from pixelkin.errors import ConfigError, DataError
from pixelkin.files import tidy, write_atomically
from pixelkin.model import Model
from pixelkin.scan import catalog, places, sources
from pixelkin.scan.catalog import Catalog

STATE, CATALOG, AGAIN, LOCK = "_scan.json", "_catalog.parquet", "_catalog.again", ".lock"


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """No other process scans into ``folder`` meanwhile; it is made where it is missing.

    Raises:
        DataError: one does.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / LOCK).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise DataError(
                f"another process scans into {folder}: let it finish, or give another --out"
            ) from error
        for pattern in ("part-*", "_*"):
            tidy(folder, pattern)
        yield


def begin(folder: Path, source: str, model: Model, part: int) -> tuple[Catalog, str | None]:
    """What is to be judged: listed and kept, or as it was kept when the scan was begun.

    Args:
        folder: of the scan.
        source: as `pixelkin.scan.sources.entries` takes it.
        model: that judges.
        part: images of a part, of a scan that is begun now.

    Returns:
        The list; and the folder that the source is, where it is one on this machine.

    Raises:
        DataError: another scan was begun there, or the source was changed since, or holds no images.
        ConfigError: ``part`` is not 1 or more.
    """
    if part < 1:
        raise ConfigError(f"a part is 1 image or more, not {part}")
    wanted = {
        "source": source if source == sources.STDIN else places.absolute(source, str(Path.cwd())),
        "model": model.card.name,
        "model_sha256": model.sha256,
    }
    state = _read(folder)
    if state is None:
        state = _list(folder, source, wanted, part)
    else:
        _check(folder, wanted, state)
    return Catalog(folder / CATALOG), state["root"]


def _list(folder: Path, source: str, wanted: dict[str, str], part: int) -> dict[str, Any]:
    if any(folder.glob("part-*.parquet")):
        raise DataError(f"{folder} holds rows, but no {STATE} that says of what: give another --out")
    files: dict[str, list[Any]] = {}
    entries = sources.entries(source, lambda file: files.update({file: places.state_of(file)}))
    digest = catalog.write(folder / CATALOG, entries, part)
    if not Catalog(folder / CATALOG).entries:
        raise DataError(f"{source}: there are no images in it ({' '.join(sorted(SUFFIXES))})")
    root = wanted["source"] if places.is_folder(source) and not places.is_url(source) else None
    state = wanted | {"root": root, "list_sha256": digest, "files": files, "pixelkin": __version__}
    write_atomically(folder / STATE, json.dumps(state, indent=1).encode())
    return state


def _check(folder: Path, wanted: dict[str, str], state: dict[str, Any]) -> None:
    for key, value in wanted.items():
        if state.get(key) != value:
            raise DataError(
                f"{folder} holds a scan whose {key} is {state.get(key)}, not {value}: give another --out"
            )
    changed = [file for file, was in state["files"].items() if places.state_of(file) != was]
    if wanted["source"] == sources.STDIN:
        again = folder / AGAIN
        digest = catalog.write(again, sources.entries(sources.STDIN), 1000)
        again.unlink()
        changed += [] if digest == state["list_sha256"] else ["standard input"]
    if changed:
        raise DataError(
            f"{changed[0]} is not what it was when the scan into {folder} was begun: give another --out"
        )


def _read(folder: Path) -> dict[str, Any] | None:
    file = folder / STATE
    try:
        return json.loads(file.read_bytes())
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise DataError(
            f"{file} is no state that `pixelkin scan` kept ({error}): give another --out"
        ) from error
