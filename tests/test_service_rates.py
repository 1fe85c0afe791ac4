"""How often one client may ask: its bucket by a clock of the test's own, and what the service says."""

import pytest
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st
from tiny import EXAMPLES

from pixelkin.model import load
from pixelkin.service.app import create_app
from pixelkin.service.limits import Limits
from pixelkin.service.rates import FEW, Rates, client_of

PHOTO = (EXAMPLES / "photo-chelsea.png").read_bytes()


class Clock:
    """Seconds that the test sets."""

    now = 1000.0

    def __call__(self):
        return self.now


def asked(rates, client="a"):
    """Whether the client came in."""
    if rates.wait(client) > 0:
        return False
    rates.take(client)
    return True


def test_a_minute_s_worth_may_come_at_once_and_then_one_at_a_time():
    clock = Clock()
    rates = Rates(6, clock)
    assert [asked(rates) for _ in range(8)] == [True] * 6 + [False] * 2
    assert rates.wait("a") == pytest.approx(10)
    assert rates.wait("b") == 0
    clock.now += 9.9
    assert not asked(rates)
    clock.now += 0.2
    assert [asked(rates), asked(rates)] == [True, False]


def test_under_one_a_minute_one_comes_in_and_the_next_waits_for_its_token():
    clock = Clock()
    rates = Rates(0.5, clock)
    assert [asked(rates), asked(rates)] == [True, False]
    assert rates.wait("a") == pytest.approx(120)


def test_who_took_more_than_there_was_waits_the_longer():
    clock = Clock()
    rates = Rates(60, clock)
    rates.take("a", 100)
    assert rates.wait("a") == pytest.approx(41)


@given(st.lists(st.floats(0, 40), min_size=1, max_size=60), st.sampled_from([1, 3, 20]))
def test_a_bucket_lets_in_as_one_that_counts_tokens_does(pauses, per_minute):
    clock = Clock()
    rates, tokens = Rates(per_minute, clock), float(per_minute)
    for pause in pauses:
        clock.now += pause
        tokens = min(per_minute, tokens + pause * per_minute / 60)
        if abs(tokens - 1) < 1e-6:  # either answer is right up to rounding
            return
        assert asked(rates) == (tokens >= 1)
        tokens -= tokens >= 1


def test_full_buckets_are_forgotten():
    clock = Clock()
    rates = Rates(60, clock)
    for place in range(20 * FEW):
        clock.now += 0.5
        rates.take(str(place))
    assert len(rates._full_at) <= FEW + 1


@pytest.mark.parametrize(
    ("host", "client"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("testclient", "testclient"),
    ],
)
def test_an_address_of_ipv6_stands_for_its_site(host, client):
    assert client_of(host) == client


def test_over_the_rate_is_429_with_the_seconds_to_wait_and_a_batch_counts_its_files():
    def detect():
        return client.post("/v1/detect", files={"file": ("x.png", PHOTO)})

    with TestClient(create_app(load(threads=1), Limits(rate=3))) as client:
        assert detect().status_code == 200
        batch = client.post("/v1/detect/batch", files=[("files", ("x.png", PHOTO))] * 4)
        assert [row["error"] for row in batch.json()["results"]] == [None] * 4
        refused = detect()
        assert refused.status_code == 429
        assert 55 <= int(refused.headers["retry-after"]) <= 60
        assert refused.json()["error"].startswith("over 3 files of yours a minute: ask again in ")
        assert client.get("/healthz").status_code == 200
