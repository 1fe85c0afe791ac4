"""Work on hostile input in processes of its own: one that crashes, hangs or eats memory costs one item."""

from __future__ import annotations

import resource
import signal
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from types import TracebackType
from typing import Any, Generic, NoReturn, Self, TypeVar

from pixelkin.errors import ConfigError, IsolationError, LostError
from pixelkin.processes import keep_freed_memory

KEPT = 32 * 1024**2, 128 * 1024**2  # bytes of a block, and of all, that a worker keeps for its next item
LEAST_MEMORY = 64 * 1024**2
SIZES = Path("/proc/self/statm")  # of this process in pages, its address space first

Item = TypeVar("Item")
Made = TypeVar("Made")


@dataclass(frozen=True, slots=True)
class Limits:
    """Of what one item may take.

    Attributes:
        seconds: until its process is killed.
        memory: bytes that its process may take beside what it has when it starts; held on Linux.
    """

    seconds: float = 60.0
    memory: int = 4 * 1024**3

    def __post_init__(self) -> None:
        if self.seconds <= 0 or self.memory < LEAST_MEMORY:
            raise ConfigError(
                f"{self.seconds:g} s and {self.memory:,} bytes are no limits: over 0 s, and 64 MiB or more"
            )


@dataclass(slots=True)
class _Worker:
    process: SpawnProcess
    connection: Connection
    done: int = 0


class Isolated(Generic[Item, Made]):
    """A function in worker processes that are replaced when they die. For Linux and macOS.

    A worker that dies on an item after it did others may be a victim of those: the item is tried
    once more, alone, in a fresh one.

    Args:
        function: of one item; it, items and what it makes can be pickled.
        workers: processes.
        limits: for each item.

    Raises:
        ConfigError: fewer than one worker.
    """

    def __init__(self, function: Callable[[Item], Made], workers: int, limits: Limits = Limits()) -> None:
        if workers < 1:
            raise ConfigError(f"workers are 1 or more, not {workers}")
        self._function, self._limits = function, limits
        self._tasks: SimpleQueue[tuple[Item, Future[Made]] | None] = SimpleQueue()
        self._places: list[_Worker | None] = [None] * workers
        self._open = True
        self._threads = [
            Thread(target=self._serve, args=(place,), name="pixelkin-isolation", daemon=True)
            for place in range(workers)
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, item: Item) -> Future[Made]:
        """What the function will make of ``item``.

        The future raises what the function raised; `LostError` if its process died of the item;
        `IsolationError` if no process could be started.
        """
        future: Future[Made] = Future()
        self._tasks.put((item, future))
        return future

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop at once; what was not done is cancelled."""
        self._open = False
        for _ in self._threads:
            self._tasks.put(None)
        for worker in self._places:
            if worker is not None:
                worker.process.kill()
        for thread in self._threads:
            thread.join()

    def _serve(self, place: int) -> None:
        while (task := self._tasks.get()) is not None:
            item, future = task
            if not self._open:
                future.cancel()
            elif future.set_running_or_notify_cancel():
                self._settle(place, item, future)
        self._stop(place)

    def _settle(self, place: int, item: Item, future: Future[Made]) -> None:
        try:
            made, error = self._ask(place, item)
        except Exception as failed:  # noqa: BLE001 - whatever it is, who waits must hear of it
            future.set_exception(failed)
            return
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(made)

    def _ask(self, place: int, item: Item) -> tuple[Any, Exception | None]:
        """What the worker at a place answers; asked again in a fresh one where it may be innocent."""
        while True:
            worker = self._places[place] = self._places[place] or self._start()
            if not self._open:  # `close` may have come too early to see it
                worker.process.kill()
            try:
                worker.connection.send(item)
                answer = worker.connection.recv()
            except (EOFError, OSError) as error:
                self._stop(place)
                if worker.done and self._open:
                    continue
                raise LostError(_why(worker.process.exitcode, self._limits)) from error
            worker.done += 1
            return answer

    def _start(self) -> _Worker:
        context = get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(target=_work, args=(theirs, self._function, self._limits), daemon=True)
        process.start()
        theirs.close()
        try:
            ours.recv()
        except (EOFError, OSError) as error:
            process.join()
            raise IsolationError(
                f"a worker process did not start (exit status {process.exitcode}): "
                "is there memory, and does the program run without workers?"
            ) from error
        return _Worker(process, ours)

    def _stop(self, place: int) -> None:
        worker, self._places[place] = self._places[place], None
        if worker is not None:
            worker.connection.close()  # it ends by itself, if it has not ended
            worker.process.join()


def _work(connection: Connection, function: Callable[[Any], Any], limits: Limits) -> None:
    """The life of a worker."""
    for number in (signal.SIGINT, signal.SIGTERM):  # these are the parent's to handle, who may finish first
        signal.signal(number, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if SIZES.exists():
        own = int(SIZES.read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (own + limits.memory,) * 2)
    keep_freed_memory(*KEPT)
    with suppress(EOFError, OSError):  # there is no parent any more
        connection.send("ready")
        _answer(connection, function, limits)


def _answer(connection: Connection, function: Callable[[Any], Any], limits: Limits) -> NoReturn:
    while True:
        item = connection.recv()
        # The kernel ends the process then, whatever native code it is in, and whether or not the
        # parent is still alive.
        signal.setitimer(signal.ITIMER_REAL, limits.seconds)
        answer: tuple[Any, Exception | None]
        try:
            answer = function(item), None
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the caller's
            answer = None, error
        signal.setitimer(signal.ITIMER_REAL, 0)
        connection.send(answer)


def _why(status: int | None, limits: Limits) -> str:
    if status == -signal.SIGALRM:
        return f"took over {limits.seconds:g} s, and its process was replaced"
    if status is not None and status < 0:
        return f"its process died of {signal.Signals(-status).name}, and was replaced"
    return f"its process ended with status {status}, and was replaced"
