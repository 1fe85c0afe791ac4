"""Tiles of many clients through the runtime together, each answer to the one who asked."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from threading import Condition, Thread

import numpy as np
from numpy.typing import NDArray

from pixelkin.types import Pixels

MOST_TILES = 64  # of one call, unless a single picture has more

Logits = NDArray[np.float64]


class Batcher:
    """A thread that runs whatever tiles wait, together.

    Nobody waits for a batch to fill: while the runtime works on one, the next gathers by itself.

    Args:
        logits: of tiles uint8 (n, 3, side, side), shape (n,): `Model.logits`.
        most: tiles of one call, unless a single picture has more.
        on_batch: told the number of tiles of each call.
    """

    def __init__(
        self,
        logits: Callable[[Pixels], Logits],
        most: int = MOST_TILES,
        on_batch: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._logits, self._most, self._on_batch = logits, most, on_batch
        self._waiting: deque[tuple[Pixels, Future[Logits]]] = deque()
        self._changed = Condition()
        self._open = True
        self._thread = Thread(target=self._work, name="pixelkin-runtime", daemon=True)
        self._thread.start()

    def submit(self, tiles: Pixels) -> Future[Logits]:
        """The logits, shape (n,), that ``tiles`` of one picture will have; cancelled, they are not run.

        Raises:
            RuntimeError: after `close`.
        """
        future: Future[Logits] = Future()
        with self._changed:
            if not self._open:
                raise RuntimeError("the batcher is closed")
            self._waiting.append((tiles, future))
            self._changed.notify()
        return future

    def waiting(self) -> int:
        """Tiles that no call has taken yet."""
        with self._changed:
            return sum(len(tiles) for tiles, _ in self._waiting)

    def close(self) -> None:
        """Run what waits, then stop."""
        with self._changed:
            self._open = False
            self._changed.notify()
        self._thread.join()

    def _work(self) -> None:
        while group := self._gather():
            live = [(tiles, future) for tiles, future in group if future.set_running_or_notify_cancel()]
            if live:
                self._run(live)

    def _gather(self) -> list[tuple[Pixels, Future[Logits]]]:
        """What goes through the runtime next; nothing once all is done and closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or not self._open)
            group: list[tuple[Pixels, Future[Logits]]] = []
            size = 0
            while self._waiting and (not group or size + len(self._waiting[0][0]) <= self._most):
                group.append(self._waiting.popleft())
                size += len(group[-1][0])
            return group

    def _run(self, group: list[tuple[Pixels, Future[Logits]]]) -> None:
        tiles = np.concatenate([tiles for tiles, _ in group])
        self._on_batch(len(tiles))
        ends = np.cumsum([len(tiles) for tiles, _ in group])
        try:
            parts = np.split(self._logits(tiles), ends[:-1])
        except Exception as error:  # noqa: BLE001 - whatever it is, those who wait must hear of it
            for _, future in group:
                future.set_exception(error)
            return
        for (_, future), part in zip(group, parts, strict=True):
            future.set_result(part)
