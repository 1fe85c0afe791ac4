"""What a service takes, from whom, and how it refuses the rest: a status and a sentence."""

from __future__ import annotations

import hmac
import math
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from fastapi import HTTPException, Request

from pixelkin.errors import ImageError, ImageKindError, ImageSizeError
from pixelkin.service.rates import Rates, client_of

FORM_OVERHEAD = 64 * 1024  # bytes of a request that are not its files'
RETRY = {"Retry-After": "2"}


class Refusal(HTTPException):
    """An answer other than a verdict: its status, and a sentence for the person who asked."""

    def __init__(self, status: int, sentence: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(status, sentence, headers)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one process takes.

    Attributes:
        file_bytes: of one file.
        batch_bytes: of all files of one request.
        pixels: of one picture.
        files: of one request.
        seconds: that an upload may take, and after it each picture.
        requests: in hand at once, all clients together.
        requests_of_one: in hand at once, of one client's address.
        rate: files of one client's address a minute, of which a minute's worth may come at once; 0 for any.
        waiting_bytes: of all requests in hand, as they arrived.
        pictures: judged at once; the tiles of each are in memory.
        workers: processes that decode; 0 for one a core.
        look_seconds: that decoding one picture may take.
        look_memory: bytes that decoding one picture may take; held on Linux.
        connections: open at once; beyond, the one that has been idle longest is closed.
        head_seconds: from the first byte of a request, or an open connection, to the end of its headers.
    """

    file_bytes: int = 32 * 1024**2
    batch_bytes: int = 256 * 1024**2
    pixels: int = 50_000_000
    files: int = 100
    seconds: float = 60
    requests: int = 256
    requests_of_one: int = 128
    rate: float = 0
    waiting_bytes: int = 1024**3
    pictures: int = 16
    workers: int = 0
    look_seconds: float = 20
    look_memory: int = 2 * 1024**3
    connections: int = 2048
    head_seconds: float = 10


class Gate:
    """Who may come in: counts what is in hand, and refuses before a byte of an upload is read.

    Args:
        limits: of the service.
        key: that clients must show; empty for none.
    """

    def __init__(self, limits: Limits, key: str = "") -> None:
        self.limits = limits
        self._key = key.encode()
        self._of_client: Counter[str] = Counter()
        self._rates = Rates(limits.rate) if limits.rate else None
        self._bytes = 0

    @property
    def in_hand(self) -> int:
        """Uploads being received or judged."""
        return self._of_client.total()

    def check_key(self, request: Request) -> None:
        """Refuse whoever does not show the key, where there is one."""
        scheme, _, shown = request.headers.get("authorization", "").partition(" ")
        sent = shown.strip().encode("latin-1")  # the bytes that came
        same = hmac.compare_digest(sent, self._key)  # as long for a near miss as for any
        if self._key and not (scheme.lower() == "bearer" and same):
            sentence = "this service wants a key: send Authorization: Bearer KEY"
            raise Refusal(401, sentence, {"WWW-Authenticate": "Bearer"})

    @contextmanager
    def admit(self, request: Request, most_bytes: int) -> Iterator[None]:
        """Hold a place for an upload of ``most_bytes`` at the most, or refuse it."""
        client = _client(request)
        size = _declared(request, most_bytes)
        if size > most_bytes:
            raise too_many_bytes(most_bytes)
        if self._of_client[client] >= self.limits.requests_of_one:
            sentence = f"{self._of_client[client]} requests of yours are in hand: wait for an answer"
            raise Refusal(429, sentence, RETRY)
        if self.in_hand >= self.limits.requests or self._bytes + size > self.limits.waiting_bytes:
            raise Refusal(503, f"{self.in_hand} requests are in hand: ask again in a moment", RETRY)
        self._check_rate(client)
        self._of_client[client] += 1
        self._bytes += size
        try:
            yield
        finally:
            self._bytes -= size
            self._of_client[client] -= 1
            self._of_client += Counter()  # forgets clients that have nothing in hand

    def charge(self, request: Request, files: int) -> None:
        """Count files against the rate of whoever sent them, beside the one that every upload counts as."""
        if self._rates:
            self._rates.take(_client(request), files)

    def _check_rate(self, client: str) -> None:
        if not self._rates:
            return
        if wait := math.ceil(self._rates.wait(client)):
            sentence = f"over {self.limits.rate:g} files of yours a minute: ask again in {wait} s"
            raise Refusal(429, sentence, {"Retry-After": str(wait)})
        self._rates.take(client)


def too_many_bytes(most: int) -> Refusal:
    """The refusal of a request of more than ``most`` bytes, overhead included."""
    return Refusal(413, f"the upload is over {_mebibytes(most - FORM_OVERHEAD)}")


def check_bytes(name: str, data: bytes, limits: Limits) -> None:
    """Refuse one file that is over the limit of one file.

    Raises:
        ImageSizeError: it is.
    """
    if len(data) > limits.file_bytes:
        raise ImageSizeError(f"{name}: {len(data):,} bytes are over {_mebibytes(limits.file_bytes)}")


def refusal_of(error: ImageError) -> Refusal:
    """The same sentence as everywhere, with the status of what was wrong."""
    status = {ImageKindError: 415, ImageSizeError: 413}.get(type(error), 422)
    return Refusal(status, str(error))


def _declared(request: Request, most_bytes: int) -> int:
    """Bytes that a request announces; as many as it may have where it announces none."""
    length = request.headers.get("content-length", "")
    return int(length) if length.isascii() and length.isdigit() and len(length) < 20 else most_bytes


def _client(request: Request) -> str:
    return client_of(request.client.host if request.client else "")


def _mebibytes(count: int) -> str:
    return f"{count / 1024**2:.4g} MiB"
