"""How commands end that are told to: at once, whatever they are doing, with a sentence."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import NoReturn

STOPPED = 130
STDERR = 2
SHOW_CURSOR = "\x1b[?25h\n"  # a progress bar hides it


@contextmanager
def ends_at_once(sentence: str = "") -> Iterator[None]:
    """SIGINT and SIGTERM end the process there and then, with "stopped" on stderr and status 130.

    They raise nothing: an exception that comes amid another thread's work may leave a lock held for good, and
    whoever waits for it waits for ever. What is begun inside must therefore be such that being killed at
    any moment loses nothing that was kept.

    A signal that the process was started to ignore, as a shell's background jobs are SIGINT, stays ignored.

    Args:
        sentence: what is kept and how to go on, if anything is.
    """
    process = os.getpid()
    words = f"{SHOW_CURSOR * os.isatty(STDERR)}stopped{sentence and ': '}{sentence}\n"

    def end(_number: int, _frame: FrameType | None) -> NoReturn:
        if os.getpid() == process:  # those that were forked from it end without a word
            with suppress(OSError):  # nobody listens any more
                os.write(STDERR, words.encode(errors="backslashreplace"))
        os._exit(STOPPED)

    heard = [each for each in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(each) is not signal.SIG_IGN]
    before = {number: signal.signal(number, end) for number in heard}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
