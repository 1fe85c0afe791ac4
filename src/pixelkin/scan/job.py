"""What an engine is given to do, and what is the same on every machine that does a share of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from pixelkin.errors import ModelError
from pixelkin.isolation import Isolated, Limits
from pixelkin.model import CPU, CUDA, load
from pixelkin.scan.catalog import Catalog
from pixelkin.scan.local import judged
from pixelkin.scan.looking import Looker
from pixelkin.scan.parts import UNREADABLE, encode
from pixelkin.scan.state import CATALOG

OnCounts = Callable[[Counter[str]], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """What one process needs to judge parts.

    Attributes:
        folder: of the scan, where its list is.
        model: name of a shipped model, or the absolute path of an .onnx file.
        model_sha256: that it must have.
        looker: makes tiles of images.
        limits: for each image.
        workers: processes that decode, and calls of the runtime at once.
        gpu: whether the runtime is to use one.
    """

    folder: Path
    model: str
    model_sha256: str
    looker: Looker
    limits: Limits
    workers: int
    gpu: bool = False


class Judge:
    """Judges parts of a scan's list by a model that it holds.

    Raises:
        ModelError: the model is another here than where the scan was begun.
    """

    def __init__(self, share: Share) -> None:
        self._model = load(share.model, 1, (CUDA, CPU) if share.gpu else (CPU,))
        if self._model.sha256 != share.model_sha256:
            raise ModelError(f"{share.model} is another model here: its SHA-256 is not {share.model_sha256}")
        self._catalog = Catalog(share.folder / CATALOG)
        self._workers = share.workers
        self._looker = Isolated(share.looker, share.workers, share.limits)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._looker.close()

    def parts(
        self, numbers: Sequence[int], on_counts: OnCounts = lambda _: None
    ) -> Iterator[tuple[int, bytes]]:
        """Each part's rows as a Parquet file, in order.

        Args:
            numbers: of the parts.
            on_counts: told of each row.

        Raises:
            SourceError: images cannot be reached.
            IsolationError: no worker process can be started.
        """
        given = ((number, self._catalog.part(number)) for number in numbers)
        for number, rows in judged(given, self._model, self._looker, self._workers):
            kept = []
            for row in rows:
                kept.append(row)
                on_counts(Counter([row.verdict or UNREADABLE]))
            yield number, encode(kept)
