"""Uploads that kill, stall or bloat what decodes them, as hostile images do to native codecs."""

from concurrent.futures import ThreadPoolExecutor
from functools import partial

import killers
import pytest
from fastapi.testclient import TestClient
from tiny import EXAMPLES

from pixelkin.errors import ConfigError, ImageSizeError, IsolationError
from pixelkin.isolation import Isolated
from pixelkin.model import load
from pixelkin.service import judging
from pixelkin.service.app import create_app
from pixelkin.service.limits import Limits
from pixelkin.service.looking import VERDICT_ALONE, Looker, Upload

PHOTO = (EXAMPLES / "photo-chelsea.png").read_bytes()
SHORT = Limits(workers=2, look_seconds=1, look_memory=400 * 1024**2)


@pytest.fixture(scope="module")
def client():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(judging, "Looker", partial(Looker, decode=killers.decode))
        with TestClient(create_app(load(threads=1), SHORT)) as client:
            yield client


def detect(client, name):
    return client.post("/v1/detect", files={"file": (name, PHOTO)})


@pytest.mark.parametrize(
    ("killer", "status", "sentence"),
    [
        ("crash.png", 422, "crash.png: its process died of SIGSEGV, and was replaced"),
        ("hang.png", 422, "hang.png: took over 1 s, and its process was replaced"),
        ("eat.png", 413, "eat.png: takes more memory than decoding may"),
    ],
)
def test_a_killer_costs_its_own_request_and_no_other(client, killer, status, sentence):
    names = ["a.png", "b.png", killer, "c.png", "d.png", "e.png"]
    with ThreadPoolExecutor(len(names)) as pool:
        answers = dict(zip(names, pool.map(partial(detect, client), names), strict=True))
    killed = answers.pop(killer)
    assert killed.status_code == status
    assert killed.json() == {"error": sentence}
    assert {name: answer.json()["path"] for name, answer in answers.items()} == {
        name: name for name in answers
    }
    assert [answer.status_code for answer in answers.values()] == [200] * 5
    assert detect(client, "after.png").status_code == 200


def test_a_killer_in_a_batch_is_a_row_with_its_error(client):
    names = ["a.png", "crash.png", "b.png", "eat.png", "c.png"]
    answer = client.post("/v1/detect/batch", files=[("files", (name, PHOTO)) for name in names])
    rows = answer.json()["results"]
    assert [row["path"] for row in rows] == names
    assert [row["error"] is None for row in rows] == [True, False, True, False, True]


def test_killers_are_counted_by_themselves(client):
    detect(client, "crash.png")
    assert 'pixelkin_pictures_total{verdict="lost"}' in client.get("/metrics").text


def test_more_killers_than_workers_only_make_others_wait(client):
    names = ["crash.png"] * 5 + ["hang.png"] * 2 + ["a.png"] * 3
    with ThreadPoolExecutor(len(names)) as pool:
        statuses = [answer.status_code for answer in pool.map(partial(detect, client), names)]
    assert statuses == [422] * 7 + [200] * 3


def test_while_no_worker_can_be_started_it_is_503_and_afterwards_as_before(client, monkeypatch):
    def fail(_):
        raise IsolationError("no memory")

    with monkeypatch.context() as patch:
        patch.setattr(Isolated, "_start", fail)
        answer = detect(client, "crash.png")
    assert answer.status_code == 503
    assert answer.headers["retry-after"]
    assert answer.json() == {"error": "crash.png: no process to decode it could be started"}
    assert detect(client, "a.png").status_code == 200


def test_the_worker_s_own_lack_of_memory_is_a_sentence():
    def lack(*_, **__):
        raise MemoryError

    looker = Looker(load(threads=1).card, 1000, lack)
    with pytest.raises(ImageSizeError, match=r"x\.png: takes more memory than decoding may"):
        looker((Upload("x.png", b""), VERDICT_ALONE))


def test_impossible_limits_are_refused_at_start():
    with (
        pytest.raises(ConfigError, match="no limits"),
        TestClient(create_app(load(threads=1), Limits(look_seconds=0))),
    ):
        pass
