"""The service as a process that its clients and its machine treat badly."""

import io
import os
import resource
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import httpx2
import pytest
from PIL import Image
from serving import running
from tiny import EXAMPLES

from pixelkin.models import DEFAULT, SHIPPED, folder

STOPPED = ["stopped\n"]  # all that a served process says after its address
PHOTO = (EXAMPLES / "photo-coffee.png").read_bytes()
IDLE = 1000
PATIENCE = 120  # seconds
FORM = b"--b\r\nContent-Disposition: form-data; name=file; filename=x.png\r\n\r\n"
HEAD = (
    b"POST /v1/detect HTTP/1.1\r\nHost: x\r\nContent-Length: 5000\r\n"
    b"Content-Type: multipart/form-data; boundary=b\r\n\r\n"
)

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def impatient():
    """A service that waits a second for anything."""
    with running("--timeout=1") as service:
        yield service


def detect(service, data=PHOTO, name="x.png"):
    return httpx2.post(f"{service.url}/v1/detect", files={"file": (name, data)}, timeout=PATIENCE)


def connect(service):
    return socket.create_connection(("127.0.0.1", int(service.url.rsplit(":", 1)[1])), PATIENCE)


def is_closed(connection):
    """Whether the other side has closed it, what it sent before left aside."""
    connection.settimeout(0.01)
    try:
        while connection.recv(10_000):
            pass
    except TimeoutError:
        return False
    except ConnectionResetError:
        pass
    return True


def everything_from(connection):
    """All that is said until the other side closes, and the seconds that it took."""
    began, told = time.monotonic(), b""
    while data := connection.recv(10_000):
        told += data
    return told, time.monotonic() - began


def in_hand(service):
    page = httpx2.get(f"{service.url}/metrics", timeout=PATIENCE).text
    return float(
        next(line for line in page.splitlines() if line.startswith("pixelkin_requests_in_hand")).split()[1]
    )


def wait_until(condition):
    until = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < until, "it never came to that"
        time.sleep(0.02)


def allow_files(count):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < count:
        pytest.skip(f"this machine lets a process open {hard} files")
    if soft != resource.RLIM_INFINITY and soft < count:
        resource.setrlimit(resource.RLIMIT_NOFILE, (count, hard))


def few_files():
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))


def test_while_1000_connections_idle_others_are_answered_and_the_idle_are_closed_in_time():
    allow_files(IDLE + 300)
    with running(preexec_fn=few_files) as service, ExitStack() as stack:
        idle = [stack.enter_context(connect(service)) for _ in range(IDLE)]
        for place, connection in enumerate(idle):
            connection.sendall(HEAD[: place % 80])  # none at all, or part of a head
        began = time.monotonic()
        assert detect(service).status_code == 200
        assert not is_closed(idle[-1])
        wait_until(lambda: all(map(is_closed, idle[::50])))
        assert 5 < time.monotonic() - began < 60
        assert detect(service).status_code == 200
    assert service.told[1:] in ([], STOPPED)


def test_beyond_its_bound_the_connection_that_is_idle_longest_makes_room():
    allow_files(1000)
    with running(preexec_fn=partial(resource.setrlimit, resource.RLIMIT_NOFILE, (300, 300))) as service:  # 44
        with ExitStack() as stack:
            idle = [stack.enter_context(connect(service)) for _ in range(100)]
            assert detect(service).status_code == 200
            assert is_closed(idle[0])
            assert not is_closed(idle[-1])
        assert service.told[1:] in ([], STOPPED)


def trickled(service):
    """Seconds, and what came back, when a request is sent a byte at a time."""
    with connect(service) as slow:
        slow.settimeout(0.1)
        began = time.monotonic()
        for byte in HEAD:
            slow.sendall(bytes([byte]))
            try:
                told = slow.recv(10_000)
            except TimeoutError:
                continue
            seconds = time.monotonic() - began
            slow.settimeout(PATIENCE)
            return seconds, told + everything_from(slow)[0]
    raise AssertionError("all of it was taken")


def test_headers_that_trickle_in_are_408_in_time_however_often_a_byte_comes(impatient):
    try:
        seconds, told = trickled(impatient)
    except ConnectionError:  # a byte met the closing: then the answer is lost on its way
        seconds, told = trickled(impatient)
    assert 0.9 < seconds < 30
    head, _, body = told.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 408 ")
    assert b"content-security-policy" in head.lower()
    assert body == b'{"error": "no request within 1 s"}'
    assert detect(impatient).status_code == 200


def test_a_body_that_trickles_in_is_408_in_time_and_its_place_is_given_back(impatient):
    with connect(impatient) as slow:
        slow.sendall(HEAD + FORM)
        wait_until(lambda: in_hand(impatient) == 1)
        told, seconds = everything_from(slow)
    assert told.startswith(b"HTTP/1.1 408 ")
    assert b'{"error":"the upload took over 1 s"}' in told
    assert seconds < 30
    wait_until(lambda: in_hand(impatient) == 0)


def test_after_an_answer_a_trickle_of_the_next_request_is_bounded_too(impatient):
    with connect(impatient) as slow:
        slow.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        told = b""
        while not told.endswith(b"}"):
            told += slow.recv(10_000)
        assert told.startswith(b"HTTP/1.1 200 ")
        slow.sendall(b"GET /he")
        told, seconds = everything_from(slow)
    assert told.startswith(b"HTTP/1.1 408 ")
    assert seconds < 30


def test_a_body_that_nobody_asked_for_is_not_waited_for_long(impatient):
    with connect(impatient) as slow:
        slow.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n")
        told, seconds = everything_from(slow)
    assert told.startswith(b"HTTP/1.1 200 ")
    assert seconds < 30


def test_what_is_not_http_is_a_sentence_without_words_of_the_inside(impatient):
    with connect(impatient) as odd:
        odd.sendall(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n")  # TLS
        told, _ = everything_from(odd)
    assert told.startswith(b"HTTP/1.1 400 ")
    assert told.endswith(b'{"error": "what came is no valid HTTP/1.1 request"}')


def test_a_body_that_is_not_http_gives_its_place_back(impatient):
    with connect(impatient) as odd:
        odd.sendall(HEAD.replace(b"Content-Length: 5000", b"Transfer-Encoding: chunked"))
        wait_until(lambda: in_hand(impatient) == 1)
        odd.sendall(b"no size of a chunk\r\n")
        told, _ = everything_from(odd)
    assert told.startswith(b"HTTP/1.1 400 ")
    wait_until(lambda: in_hand(impatient) == 0)
    assert "Traceback" not in "".join(impatient.told)


def test_an_answer_that_nobody_takes_does_not_hold_its_connection():
    """The relations of noise are 4 MB each: several are more than the sockets of both sides hold."""
    wanted = b"\r\n--b\r\nContent-Disposition: form-data; name=relation\r\n\r\ntrue\r\n--b--\r\n"
    body = FORM + _bmp(os.urandom(3 * 1024**2), 1024) + wanted
    with running("--timeout=5") as service, socket.socket() as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.settimeout(PATIENCE)
        deaf.connect(("127.0.0.1", int(service.url.rsplit(":", 1)[1])))
        began = time.monotonic()
        with pytest.raises(ConnectionError):
            deaf.sendall((HEAD.replace(b"5000", str(len(body)).encode()) + body) * 9)
        assert 5 < time.monotonic() - began < 60


def _bmp(pixels, side):
    """A BMP file of 24 bits."""
    head = 54
    parts = (head + len(pixels), 4), (0, 4), (head, 4), (40, 4), (side, 4), (side, 4), (1, 2), (24, 2)
    return b"BM" + b"".join(value.to_bytes(size, "little") for value, size in parts) + bytes(24) + pixels


def test_a_client_that_leaves_in_its_upload_or_while_judged_holds_no_place():
    with running("--max-requests=2", "--timeout=30") as service:
        with connect(service) as leaver:
            leaver.sendall(HEAD + FORM)
            wait_until(lambda: in_hand(service) == 1)
        wait_until(lambda: in_hand(service) == 0)
        files = (
            b"".join(FORM.replace(b"name=file", b"name=files") + PHOTO + b"\r\n" for _ in range(60))
            + b"--b--\r\n"
        )
        with connect(service) as leaver:
            head = HEAD.replace(b"/detect", b"/detect/batch").replace(b"5000", str(len(files)).encode())
            leaver.sendall(head + files)
            wait_until(lambda: in_hand(service) == 1)
            time.sleep(0.3)
        wait_until(lambda: in_hand(service) == 0)
        judged = _judged(service)
        assert judged < 60, "it was judged to the end for nobody"
        assert detect(service, name="mine.png").json()["path"] == "mine.png"
        assert _judged(service) <= judged + 5  # mine, and those that were under way
    assert service.told[1:] in ([], STOPPED)


def _judged(service):
    page = httpx2.get(f"{service.url}/metrics", timeout=PATIENCE).text
    lines = [line for line in page.splitlines() if line.startswith("pixelkin_pictures_total")]
    return sum(float(line.split()[-1]) for line in lines)


def test_told_to_stop_with_all_its_processes_it_answers_each_request_in_hand_once():
    """All have come before the first is answered: their client is ready, and each is long in decoding."""
    large = io.BytesIO()
    Image.new("RGB", (6000, 5000), "olive").save(large, "PNG")
    names = [f"{place}.png" for place in range(24)]
    with running(start_new_session=True) as service, ThreadPoolExecutor(24) as pool, ExitStack() as stack:
        http = stack.enter_context(httpx2.Client(base_url=service.url, timeout=PATIENCE))
        sent = [{"file": (name, large.getvalue())} for name in names]
        answers = [pool.submit(http.post, "/v1/detect", files=each) for each in sent]
        wait_until(lambda: in_hand(service) == len(names) or answers[0].done())
        assert not any(answer.done() for answer in answers)
        os.killpg(service.pid, signal.SIGTERM)  # as systemd does
        rows = [answer.result(PATIENCE).json() for answer in answers]
        assert [row["path"] for row in rows] == names
        assert [row["error"] for row in rows] == [None] * len(names)
        assert len({row["probability"] for row in rows}) == 1
        service.wait(PATIENCE)
        with pytest.raises(OSError, match="refused"):
            connect(service)
    assert service.told[1:] in ([], STOPPED)


def test_its_processes_end_with_it_when_it_is_killed():
    with running() as service:
        told = [file.read_text() for file in Path(f"/proc/{service.pid}/task").glob("*/children")]
        workers = [int(each) for each in " ".join(told).split()]
        assert workers
        service.kill()
        service.wait(PATIENCE)
        wait_until(lambda: not any(map(_lives, workers)))


def _lives(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda data: data[:-1000], "it does not end in a seal"),
        (lambda data: data[:5000] + b"!" + data[5001:], "was altered since it was exported"),
        (lambda data: data[:0], "it does not end in a seal"),
    ],
    ids=["cut short", "altered", "empty"],
)
def test_a_corrupt_model_file_is_a_sentence_and_status_2_before_anything_listens(tmp_path, change, sentence):
    file = tmp_path / "model.onnx"
    file.write_bytes(change((folder() / SHIPPED[DEFAULT].file).read_bytes()))
    command = [sys.executable, "-m", "pixelkin", "serve", "--port=0", "--model", file]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE)
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: {file}")
    assert sentence in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr


def test_it_needs_no_disk(tmp_path):
    """Not a byte can be written to any file, and there is no folder for temporary ones."""

    def full():
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))

    with running(preexec_fn=full, TMPDIR=str(tmp_path / "none"), PYTHONDONTWRITEBYTECODE="1") as service:
        batch = [("files", (f"{place}.png", PHOTO)) for place in range(8)]
        answer = httpx2.post(f"{service.url}/v1/detect/batch", files=batch, timeout=PATIENCE)
        assert [row["error"] for row in answer.json()["results"]] == [None] * 8
        fields = {"heatmap": "true", "relation": "true", "evidence": "true"}
        answer = httpx2.post(
            f"{service.url}/v1/detect", files={"file": ("x.png", PHOTO)}, data=fields, timeout=PATIENCE
        )
        assert answer.status_code == 200
    assert service.told[1:] in ([], STOPPED)
