"""The service as a process: many clients at once, and an orderly end."""

import io
import signal
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from itertools import chain

import httpx2
import numpy as np
import pytest
from PIL import Image
from serving import running
from tiny import EXAMPLES

from pixelkin.model import load

CLIENTS, EACH = 64, 3
SECONDS = 120


def pictures():
    """Crops of the examples, each of its own width, as PNG files."""
    sources = [np.asarray(Image.open(file).convert("RGB")) for file in sorted(EXAMPLES.glob("*-*.*"))]
    for place in range(CLIENTS):
        pixels = sources[place % len(sources)][place : place + 150, : 100 + 2 * place]
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, "PNG")
        yield buffer.getvalue()


@pytest.mark.slow
def test_64_clients_at_once_each_get_their_own_answers():
    files = list(pictures())
    model = load(threads=1)
    expected = [model.detect(data) for data in files]
    assert len({round(each.probability, 4) for each in expected}) > CLIENTS // 2

    def client(place):
        with httpx2.Client(base_url=service.url, timeout=SECONDS) as http:
            for turn in range(EACH):
                of = (place + 7 * turn) % CLIENTS
                answer = http.post("/v1/detect", files={"file": (f"{place}-{turn}.png", files[of])})
                yield of, f"{place}-{turn}.png", answer

    with running() as service, ThreadPoolExecutor(CLIENTS) as pool:
        answers = list(chain.from_iterable(pool.map(lambda place: list(client(place)), range(CLIENTS))))
        metrics = httpx2.get(f"{service.url}/metrics").text
    assert len(answers) == CLIENTS * EACH
    for of, name, answer in answers:
        assert answer.status_code == 200, answer.text
        row = answer.json()
        assert row["path"] == name
        assert row["width"] == expected[of].width
        assert row["probability"] == pytest.approx(expected[of].probability, abs=1e-5)
    calls = next(line for line in metrics.splitlines() if line.startswith("pixelkin_batch_tiles_count"))
    assert float(calls.split()[1]) < CLIENTS * EACH  # so tiles of several clients did go together


@pytest.mark.slow
def test_a_client_that_keeps_its_connection_does_not_wait_for_the_network():
    """An answer in two packets, of which the second waits for the receipt of the first, takes 40 ms."""
    with running() as service, httpx2.Client(base_url=service.url, timeout=SECONDS) as http:
        took = [http.get("/healthz").elapsed.total_seconds() for _ in range(20)]
    assert min(took[2:]) < 0.03


@pytest.mark.slow
def test_told_to_stop_it_answers_what_is_in_hand_and_logs_nothing_of_it():
    data = (EXAMPLES / "photo-coffee.png").read_bytes()
    with running() as service, ThreadPoolExecutor(1) as pool:
        sent = [("files", ("private.png", data))] * 12
        answer = pool.submit(httpx2.post, f"{service.url}/v1/detect/batch", files=sent, timeout=SECONDS)
        while "requests_in_hand 0.0" in httpx2.get(f"{service.url}/metrics").text and not answer.done():
            pass
        service.send_signal(signal.SIGTERM)
        assert [row["error"] for row in answer.result(SECONDS).json()["results"]] == [None] * 12
        service.wait(SECONDS)
    assert "private.png" not in "".join(service.told)


@pytest.mark.slow
def test_it_listens_on_loopback_and_takes_its_key_from_the_environment():
    with running(PIXELKIN_API_KEY="k") as service:
        assert service.url.startswith("http://127.0.0.1:")
        assert httpx2.get(f"{service.url}/healthz").json()["status"] == "ok"
        assert httpx2.get(f"{service.url}/v1/models").status_code == 401
        shown = {"Authorization": "Bearer k"}
        assert httpx2.get(f"{service.url}/v1/models", headers=shown).status_code == 200


@pytest.mark.slow
def test_an_address_that_is_taken_is_a_sentence_and_status_2():
    with running() as service:
        port = service.url.rsplit(":", 1)[1]
        command = [sys.executable, "-m", "pixelkin", "serve", "--port", port]
        second = subprocess.run(command, capture_output=True, text=True, check=False, timeout=SECONDS)
    assert second.returncode == 2
    assert second.stderr.startswith("error: ")
    assert "in use" in second.stderr


def test_without_its_extra_serving_says_what_to_install():
    hidden = "import sys; sys.modules['fastapi'] = None; sys.argv = ['pixelkin', 'serve'];"
    command = [sys.executable, "-c", hidden + "from pixelkin.cli import main; main()"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=SECONDS)
    assert done.returncode == 2
    assert "pip install 'pixelkin[serve]'" in done.stderr


@pytest.mark.slow
def test_too_large_or_too_slow_an_upload_still_hears_why():
    with running("--max-megabytes", 1, "--timeout", 1) as service:
        answer = httpx2.post(f"{service.url}/v1/detect", files={"file": ("x.png", bytes(3 * 1024**2))})
        assert answer.status_code == 413
        assert answer.json() == {"error": "the upload is over 1 MiB"}
        with socket.create_connection(("127.0.0.1", int(service.url.rsplit(":", 1)[1])), 10) as slow:
            slow.sendall(
                b"POST /v1/detect HTTP/1.1\r\nHost: x\r\nContent-Length: 5000\r\n"
                b"Content-Type: multipart/form-data; boundary=b\r\n\r\n--b\r\n"
            )
            told = slow.recv(10_000)
        assert told.startswith(b"HTTP/1.1 408 ")
