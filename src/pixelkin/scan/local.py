"""Parts judged by the processes of one machine: images are decoded beside, tiles of many scored together."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import groupby
from operator import itemgetter

import numpy as np
from numpy.typing import NDArray

from pixelkin.errors import LostError
from pixelkin.isolation import Isolated
from pixelkin.judgement import conclude
from pixelkin.model import Model
from pixelkin.scan.looking import Look
from pixelkin.scan.parts import Row
from pixelkin.scan.sources import Entry
from pixelkin.types import Pixels

AHEAD = 16  # images decoded in advance, per worker: one that takes long does not stop the others
TILES = 4  # of one call of the runtime
CALLS = 4  # that wait for the runtime, per thread

Part = tuple[int, list[Entry]]  # its number, and what is in it
Scored = tuple[NDArray[np.float64], float]  # logits of some tiles, and the seconds that each took


def judged(
    parts: Iterable[Part], model: Model, looker: Isolated[Entry, Look], workers: int
) -> Iterator[tuple[int, Iterator[Row]]]:
    """Each part's rows, in order; one part's are to be taken before the next part's.

    What a part's rows say does not depend on what is judged beside it: no call of the runtime has
    tiles of two parts, and each the same tiles whenever the part is judged.

    Args:
        parts: to be judged; the next is begun while the one before is still scored.
        model: with one thread, so that ``workers`` calls at once keep as many cores busy.
        looker: `pixelkin.scan.looking.Looker` in worker processes.
        workers: calls of the runtime at once.

    Raises:
        SourceError: images cannot be reached.
        IsolationError: no worker process can be started.
    """
    with ThreadPoolExecutor(workers, "pixelkin-runtime") as threads:
        scoring = _Scoring(model, threads, CALLS * workers)
        rows = scoring.rows(_looked(parts, looker, AHEAD * workers))
        for number, of_part in groupby(rows, itemgetter(0)):
            yield number, (row for _, row in of_part)


def _looked(
    parts: Iterable[Part], looker: Isolated[Entry, Look], ahead: int
) -> Iterator[tuple[int, Entry, Look]]:
    waiting: deque[tuple[int, Entry, Future[Look]]] = deque()
    for number, entries in parts:
        for entry in entries:
            waiting.append((number, entry, looker.submit(entry)))
            if len(waiting) > ahead:
                yield _settled(*waiting.popleft())
    while waiting:
        yield _settled(*waiting.popleft())


def _settled(number: int, entry: Entry, future: Future[Look]) -> tuple[int, Entry, Look]:
    try:
        return number, entry, future.result()
    except LostError as error:
        return number, entry, Look(error=f"{entry.path}: {error}")


class _Scoring:
    """Tiles in, rows out, both in order."""

    def __init__(self, model: Model, threads: ThreadPoolExecutor, most: int) -> None:
        self._model, self._threads, self._most = model, threads, most
        self._images: deque[tuple[int, Entry, Look]] = deque()  # whose logits are not all there
        self._calls: deque[Future[Scored]] = deque()
        self._tiles: list[Pixels] = []  # that no call has taken yet
        self._logits: list[float] = []  # that no image has taken yet
        self._seconds: list[float] = []  # that each of them took

    def rows(self, looked: Iterable[tuple[int, Entry, Look]]) -> Iterator[tuple[int, Row]]:
        for _, of_part in groupby(looked, itemgetter(0)):
            for number, entry, look in of_part:
                self._images.append((number, entry, look))
                self._tiles += list(look.tiles)
                while len(self._tiles) >= TILES:
                    self._call()
                yield from self._finished(self._most)
            if self._tiles:
                self._call()
        yield from self._finished(0)

    def _call(self) -> None:
        taken, self._tiles = self._tiles[:TILES], self._tiles[TILES:]
        self._calls.append(self._threads.submit(self._score, np.stack(taken)))

    def _score(self, tiles: Pixels) -> Scored:
        began = time.perf_counter()
        logits = self._model.logits(tiles)
        return logits, (time.perf_counter() - began) / len(tiles)

    def _finished(self, most: int) -> Iterator[tuple[int, Row]]:
        """Rows of the images that are done, once at most ``most`` calls wait."""
        while len(self._calls) > most or (self._calls and self._calls[0].done()):
            logits, seconds = self._calls.popleft().result()
            self._logits += logits.tolist()
            self._seconds += [seconds] * len(logits)
        while self._images and len(self._images[0][2].tiles) <= len(self._logits):
            number, entry, look = self._images.popleft()
            count = len(look.tiles)
            logits, self._logits = np.array(self._logits[:count]), self._logits[count:]
            seconds, self._seconds = sum(self._seconds[:count]), self._seconds[count:]
            yield number, _row(self._model, entry, look, logits, seconds)


def _row(model: Model, entry: Entry, look: Look, logits: NDArray[np.float64], seconds: float) -> Row:
    known = look.facts | {
        "path": _text(entry.path),
        "archive": entry.archive and _text(entry.archive),
        "model_sha256": model.sha256,
        "seconds": look.seconds + seconds,
    }
    if look.error is not None:
        return Row(**known, error=_text(look.error))
    wrong = logits[~np.isfinite(logits)]
    if len(wrong):
        return Row(**known, error=_text(f"{entry.path}: the model gave {wrong[0]}, no number"))
    said = conclude(model.card, logits)
    return Row(**known, verdict=str(said.verdict), probability=said.probability, logit=said.logit)


def _text(words: str) -> str:
    """Words that can be kept as UTF-8, whatever bytes a file name had."""
    return words.encode("utf-8", "backslashreplace").decode()
