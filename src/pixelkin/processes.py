"""Work handed to other processes, in order. They import anew, so that no thread or lock is copied."""

from __future__ import annotations

import ctypes
import os
import signal
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from itertools import islice
from multiprocessing import get_context, parent_process
from threading import Thread
from typing import TypeVar

from pixelkin.errors import ConfigError

AHEAD = 4  # results made in advance, per worker

Item = TypeVar("Item")
Made = TypeVar("Made")


def cores() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def mapped(function: Callable[[Item], Made], items: Iterable[Item], workers: int) -> Iterator[Made]:
    """``function`` of each item, in order, a bounded number of them in advance.

    Args:
        function: can be pickled, where there are workers.
        items: its arguments.
        workers: processes; 0 for this one.

    Raises:
        ConfigError: ``workers`` is negative.
    """
    if workers < 0:
        raise ConfigError(f"workers are 0 or more, not {workers}")
    if not workers:
        yield from map(function, items)
        return
    with ProcessPoolExecutor(workers, get_context("spawn"), initializer=_begin) as pool:
        waiting: deque[Future[Made]] = deque()
        left = iter(items)
        waiting.extend(pool.submit(function, item) for item in islice(left, AHEAD * workers))
        while waiting:
            done = waiting.popleft().result()
            waiting.extend(pool.submit(function, item) for item in islice(left, 1))
            yield done


def _begin() -> None:
    """The first that a worker does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # an interrupt is the parent's to handle: it stops asking
    Thread(target=_end_with_parent, name="pixelkin-parent", daemon=True).start()


def _end_with_parent() -> None:
    """A pool's worker would wait for its next item for ever if the parent were killed."""
    if (parent := parent_process()) is not None:
        parent.join()
        os._exit(1)


def keep_freed_memory(block: int = 2**30, total: int = 2**31 - 1) -> None:
    """Ask glibc to keep freed blocks of this process for reuse; elsewhere nothing happens.

    By default memory of large arrays is given back and page-faulted anew again and again, which cost
    8 % of a training step where each activation is over 32 MB (docs/performance.md), and half of a
    decoding process's time at one megapixel.

    Args:
        block: bytes of the largest block that is kept.
        total: bytes kept in all.
    """
    trim_threshold, mmap_threshold = -1, -3  # M_TRIM_THRESHOLD, M_MMAP_THRESHOLD of malloc.h
    if hasattr(os, "confstr") and "glibc" in (_libc_version() or ""):
        libc = ctypes.CDLL(None)
        libc.mallopt(trim_threshold, total)
        libc.mallopt(mmap_threshold, block)


def _libc_version() -> str | None:
    try:
        return os.confstr("CS_GNU_LIBC_VERSION")
    except (ValueError, OSError):
        return None
