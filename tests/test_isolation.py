"""Work in processes that may die: what one item does to its process is its own affair."""

import os
import signal
import time
from concurrent.futures import CancelledError

import pytest
from killers import eat

from pixelkin.errors import ConfigError, IsolationError, LostError, MissingExtraError
from pixelkin.isolation import Isolated, Limits

SHORT = Limits(seconds=1.0, memory=1024**3)
poisoned = False


def spin():
    while True:
        pass


def fail():
    raise ValueError("no good")


class UntellableError(Exception):
    """An error that cannot be read back from another process."""

    def __init__(self, one, other):
        super().__init__(f"{one} {other}")


def fail_untellably():
    raise UntellableError(1, 2)


def lack():
    raise MissingExtraError("a URL", "scan", "s3fs")


def poison():
    global poisoned
    poisoned = True


def die_if_poisoned():
    if poisoned:
        os.abort()


DOES = {
    "crash": lambda: os.kill(os.getpid(), signal.SIGSEGV),
    "hang": lambda: time.sleep(60),
    "spin": spin,
    "eat": eat,
    "leave": lambda: os._exit(3),
    "raise": fail,
    "raise untellably": fail_untellably,
    "lack": lack,
    "poison": poison,
    "victim": die_if_poisoned,
}


def work(item):
    """Does what the item says, and answers with the item."""
    DOES.get(item, lambda: None)()
    return item


def raised(number):
    """Sends its process a signal; the process that goes on."""
    os.kill(os.getpid(), number)
    return os.getpid()


class Unstartable:
    """A function that no other process can load."""

    def __reduce__(self):
        return os._exit, (7,)


@pytest.mark.parametrize(
    ("killer", "told"),
    [
        ("crash", "died of SIGSEGV"),
        ("hang", "took over 1 s"),
        ("spin", "took over 1 s"),
        ("leave", "ended with status 3"),
    ],
)
def test_an_item_that_kills_its_process_costs_that_item_only(killer, told):
    with Isolated(work, 2, SHORT) as isolated:
        futures = [isolated.submit(item) for item in ("a", killer, "b", "c")]
        with pytest.raises(LostError, match=told):
            futures[1].result(60)
        assert [futures[place].result(60) for place in (0, 2, 3)] == ["a", "b", "c"]


def test_one_that_eats_memory_meets_the_limit_and_the_next_is_served():
    with Isolated(work, 1, Limits(30.0, 300 * 1024**2)) as isolated:
        eater, after = isolated.submit("eat"), isolated.submit("after")
        with pytest.raises(MemoryError):
            eater.result(60)
        assert after.result(60) == "after"


def test_what_the_function_raises_is_raised_where_it_was_asked():
    with Isolated(work, 1) as isolated:
        with pytest.raises(ValueError, match="no good"):
            isolated.submit("raise").result(60)
        with pytest.raises(MissingExtraError, match="a URL needs s3fs, which is not installed"):
            isolated.submit("lack").result(60)
        with pytest.raises(TypeError):
            isolated.submit("raise untellably").result(60)
        assert isolated.submit("a").result(60) == "a"


def test_the_victim_of_an_item_before_it_is_tried_again_in_a_fresh_process():
    with Isolated(work, 1) as isolated:
        assert isolated.submit("poison").result(60) == "poison"
        assert isolated.submit("victim").result(60) == "victim"


def test_a_signal_to_the_whole_group_is_the_parent_s_to_handle():
    with Isolated(raised, 1) as isolated:
        signals = signal.SIGTERM, signal.SIGINT, signal.SIGTERM
        assert len({isolated.submit(number).result(60) for number in signals}) == 1


def test_a_process_that_cannot_start_is_an_error_of_its_own():
    with Isolated(Unstartable(), 1) as isolated, pytest.raises(IsolationError, match="exit status 7"):
        isolated.submit("a").result(60)


def test_closing_stops_what_runs_and_cancels_the_rest():
    began = time.monotonic()
    with Isolated(work, 1) as isolated:
        isolated.submit("a").result(60)
        running, waiting = isolated.submit("hang"), isolated.submit("b")
        time.sleep(0.2)
    assert time.monotonic() - began < 30
    with pytest.raises(LostError):
        running.result(0)
    with pytest.raises(CancelledError):
        waiting.result(0)


@pytest.mark.parametrize("limits", [(0, 1024**3), (-1, 1024**3), (1, 1024**2)])
def test_impossible_limits_and_workers_are_refused(limits):
    with pytest.raises(ConfigError, match="no limits"):
        Limits(*limits)
    with pytest.raises(ConfigError, match="1 or more, not 0"):
        Isolated(work, 0)
