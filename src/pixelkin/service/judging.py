"""From an upload to its row: seen by a worker process, its tiles through the batcher, on wish a heat map."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np

from pixelkin import isolation
from pixelkin.errors import ImageError, IsolationError, LostError
from pixelkin.images import encode
from pixelkin.isolation import Isolated
from pixelkin.model import Model
from pixelkin.processes import cores
from pixelkin.scoring import Judged, record
from pixelkin.service.batching import Batcher
from pixelkin.service.limits import RETRY, Limits, Refusal, check_bytes
from pixelkin.service.looking import VERDICT_ALONE, Looker, Seen, Upload, Wanted
from pixelkin.service.metrics import Metrics
from pixelkin.service.views import heat_view

OF_ONE_BATCH = 4  # files of one request that are judged at once: others come in between
NAME_LENGTH = 255


class Judge:
    """Judges uploads, several at once, by one model.

    What touches an upload's bytes runs in processes of its own, which may crash, hang or run out of
    memory at the cost of that upload.

    Args:
        model: that judges.
        limits: of bytes, pixels, time, memory and pictures at once.
        metrics: told what became of each file.

    Raises:
        ConfigError: impossible limits.
    """

    def __init__(self, model: Model, limits: Limits, metrics: Metrics) -> None:
        self.model = model
        self._limits, self._metrics = limits, metrics
        self._workers = limits.workers or cores()
        of_one = isolation.Limits(limits.look_seconds, limits.look_memory)
        self._lookers = Isolated(Looker(model.card, limits.pixels), self._workers, of_one)
        self._batcher = Batcher(model.logits, on_batch=metrics.batches.observe)
        self._places = asyncio.Semaphore(limits.pictures)

    async def start(self) -> None:
        """Let every worker process start, and see a picture, before the first client comes.

        Raises:
            IsolationError: one cannot be started.
        """
        first = Upload("the first", encode(np.zeros((2, 2, 3), np.uint8), "PNG"))
        looks = [self._lookers.submit((first, VERDICT_ALONE)) for _ in range(self._workers)]
        await asyncio.gather(*map(asyncio.wrap_future, looks))

    async def judge(self, upload: Upload, wanted: Wanted = VERDICT_ALONE) -> dict[str, Any]:
        """The row of one file, with what was wanted beside the verdict.

        Raises:
            ImageError: it cannot be judged.
            Refusal: it took too long, or there is no process to look at it.
        """
        try:
            async with asyncio.timeout(self._limits.seconds), self._places:
                row = await self._judged(upload, wanted)
        except LostError as error:
            self._metrics.pictures.labels("lost").inc()
            raise ImageError(f"{upload.name}: {error}") from error
        except ImageError:
            self._metrics.pictures.labels("unreadable").inc()
            raise
        except TimeoutError as error:
            self._metrics.pictures.labels("late").inc()
            raise Refusal(503, f"{upload.name}: not judged within {self._limits.seconds:g} s") from error
        except IsolationError as error:
            raise Refusal(503, f"{upload.name}: no process to decode it could be started", RETRY) from error
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
        """Finish the tiles that wait, then stop the processes."""
        self._batcher.close()
        self._lookers.close()

    async def _judged(self, upload: Upload, wanted: Wanted) -> dict[str, Any]:
        check_bytes(upload.name, upload.data, self._limits)
        seen: Seen = await asyncio.wrap_future(self._lookers.submit((upload, wanted)))
        logits = await asyncio.wrap_future(self._batcher.submit(seen.tiles))
        prediction = self.model.conclude(seen, seen.boxes, logits)
        row: dict[str, Any] = record(Judged(upload.name, prediction), self.model)
        if wanted.heatmap:
            row["heatmap"] = await asyncio.to_thread(heat_view, prediction)
        return row | seen.extras
