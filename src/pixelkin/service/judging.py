"""From an upload to its row: decoding in threads, tiles through the batcher, explanations if wanted."""

from __future__ import annotations

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pixelkin import provenance
from pixelkin.errors import ImageError
from pixelkin.images import decode
from pixelkin.model import Model
from pixelkin.scoring import Judged, record
from pixelkin.service.batching import Batcher
from pixelkin.service.limits import Limits, Refusal, check_bytes
from pixelkin.service.metrics import Metrics
from pixelkin.service.views import heat_view, relation_view
from pixelkin.types import Picture, Pixels

OF_ONE_BATCH = 4  # files of one request that are judged at once: others come in between
NAME_LENGTH = 255

Looked = tuple[Picture, NDArray[np.int64], Pixels]  # the picture, where the model looks, those tiles


@dataclass(frozen=True, slots=True)
class Upload:
    """One file as it was uploaded."""

    name: str
    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What an answer is to have beside the verdict."""

    heatmap: bool = False
    relation: bool = False
    evidence: bool = False


class Judge:
    """Judges uploads, several at once, by one model.

    Args:
        model: that judges.
        limits: of bytes, pixels, time and pictures at once.
        metrics: told what became of each file.
    """

    def __init__(self, model: Model, limits: Limits, metrics: Metrics) -> None:
        self.model = model
        self._limits, self._metrics = limits, metrics
        self._batcher = Batcher(model.logits, on_batch=metrics.batches.observe)
        self._threads = ThreadPoolExecutor(os.cpu_count() or 1, "pixelkin-decoding")
        self._places = asyncio.Semaphore(limits.pictures)

    async def judge(self, upload: Upload, wanted: Wanted = Wanted()) -> dict[str, Any]:
        """The row of one file, with what was wanted beside the verdict.

        Raises:
            ImageError: it cannot be judged.
            Refusal: it took too long.
        """
        try:
            async with asyncio.timeout(self._limits.seconds), self._places:
                row = await self._judged(upload, wanted)
        except ImageError:
            self._metrics.pictures.labels("unreadable").inc()
            raise
        except TimeoutError as error:
            self._metrics.pictures.labels("late").inc()
            raise Refusal(503, f"{upload.name}: not judged within {self._limits.seconds:g} s") from error
        self._metrics.pictures.labels(row["verdict"]).inc()
        return row

    async def rows(self, uploads: list[Upload]) -> list[dict[str, Any]]:
        """The row of every file, in their order; one that cannot be judged has its error instead."""
        places = asyncio.Semaphore(OF_ONE_BATCH)

        async def row(upload: Upload) -> dict[str, Any]:
            async with places:
                try:
                    return await self.judge(upload)
                except ImageError as error:
                    sentence = str(error)
                except Refusal as refusal:
                    sentence = refusal.detail
            return record(Judged(upload.name, None, sentence), self.model)

        return list(await asyncio.gather(*map(row, uploads)))

    def waiting(self) -> int:
        """Tiles that wait for the runtime."""
        return self._batcher.waiting()

    def close(self) -> None:
        """Finish what waits, then stop the threads."""
        self._batcher.close()
        self._threads.shutdown()

    async def _judged(self, upload: Upload, wanted: Wanted) -> dict[str, Any]:
        loop = asyncio.get_running_loop()
        picture, boxes, tiles = await loop.run_in_executor(self._threads, self._look, upload)
        logits = await asyncio.wrap_future(self._batcher.submit(tiles))
        prediction = self.model.conclude(picture, boxes, logits)
        row: dict[str, Any] = record(Judged(upload.name, prediction), self.model)
        if wanted.heatmap:
            row["heatmap"] = await loop.run_in_executor(self._threads, heat_view, prediction)
        if wanted.relation:
            row["relation"] = await loop.run_in_executor(self._threads, relation_view, picture.pixels)
        if wanted.evidence:
            row["evidence"] = await loop.run_in_executor(self._threads, _evidence, upload.data)
        return row

    def _look(self, upload: Upload) -> Looked:
        check_bytes(upload.name, upload.data, self._limits)
        picture = decode(upload.data, upload.name, most_pixels=self._limits.pixels)
        return picture, *self.model.look(picture)


def _evidence(data: bytes) -> list[dict[str, str]]:
    return [{"about": about, "says": says} for about, says in provenance.evidence(data).lines()]
