"""Tiles of many through one runtime, and each answer back to its own."""

from concurrent.futures import CancelledError, ThreadPoolExecutor
from threading import Event

import numpy as np
import pytest

from pixelkin.service.batching import Batcher


def tiles(value, count=1):
    return np.full((count, 3, 4, 4), value, np.uint8)


def brightness(given):
    """A runtime whose logit is a tile's first sample."""
    return given[:, 0, 0, 0].astype(np.float64)


class Held:
    """A runtime that waits for a sign, and keeps how many tiles each call had."""

    def __init__(self):
        self.go, self.entered, self.calls = Event(), Event(), []

    def __call__(self, given):
        self.calls.append(len(given))
        self.entered.set()
        assert self.go.wait(10)
        return brightness(given)


@pytest.fixture
def batcher():
    opened = []

    def make(logits, **how):
        opened.append(Batcher(logits, **how))
        return opened[-1]

    yield make
    for each in opened:
        each.close()


def test_every_asker_gets_their_own_answer(batcher):
    shared = batcher(brightness)

    def ask(value):
        return shared.submit(tiles(value, 1 + value % 5)).result(10)

    with ThreadPoolExecutor(32) as pool:
        for value, told in enumerate(pool.map(ask, range(256))):
            assert told.tolist() == [value] * (1 + value % 5)


def test_what_waits_goes_together_up_to_the_bound(batcher):
    runtime = Held()
    shared = batcher(runtime, most=8)
    first = shared.submit(tiles(1))
    assert runtime.entered.wait(10)
    others = [shared.submit(tiles(value, 3)) for value in (2, 3, 4, 5)]
    assert shared.waiting() == 12
    runtime.go.set()
    assert [each.result(10)[0] for each in (first, *others)] == [1, 2, 3, 4, 5]
    assert runtime.calls == [1, 6, 6]


def test_a_picture_of_more_tiles_than_the_bound_goes_alone(batcher):
    sizes = []
    assert len(batcher(brightness, most=2, on_batch=sizes.append).submit(tiles(7, 5)).result(10)) == 5
    assert sizes == [5]


def test_who_stopped_waiting_is_not_run(batcher):
    runtime = Held()
    shared = batcher(runtime)
    first, second = shared.submit(tiles(1)), None
    assert runtime.entered.wait(10)
    second = shared.submit(tiles(2))
    assert second.cancel()
    runtime.go.set()
    assert first.result(10)[0] == 1
    with pytest.raises(CancelledError):
        second.result(10)
    shared.close()
    assert runtime.calls == [1]


def test_a_failure_reaches_those_who_wait_and_the_next_are_served(batcher):
    def fails_on_nine(given):
        if (given == 9).any():
            raise ValueError("nine")
        return brightness(given)

    shared = batcher(fails_on_nine)
    with pytest.raises(ValueError, match="nine"):
        shared.submit(tiles(9)).result(10)
    assert shared.submit(tiles(3)).result(10)[0] == 3


def test_closed_it_finishes_what_waits_and_takes_no_more(batcher):
    runtime = Held()
    shared = batcher(runtime)
    waiting = [shared.submit(tiles(value)) for value in range(5)]
    runtime.go.set()
    shared.close()
    assert [each.result(0)[0] for each in waiting] == [0, 1, 2, 3, 4]
    with pytest.raises(RuntimeError, match="closed"):
        shared.submit(tiles(1))
