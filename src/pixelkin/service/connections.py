"""Connections that wait for nobody without end: HTTP/1.1 of uvicorn, which bounds idle connections alone."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from pixelkin.service.headers import HEADERS
from pixelkin.service.limits import Limits


class _Patience:
    """Does something once a time is over that was begun and not ended; begun twice, it goes on."""

    def __init__(self, loop: asyncio.AbstractEventLoop, seconds: float, then: Callable[[], None]) -> None:
        self._loop, self._seconds, self._then = loop, seconds, then
        self._timer: asyncio.TimerHandle | None = None

    def begin(self) -> None:
        self._timer = self._timer or self._loop.call_later(self._seconds, self._then)

    def end(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class BoundedProtocol(H11Protocol):
    """A connection with a time for a request's headers, and one for taking an answer.

    What lies between them, the upload, is bounded by `pixelkin.service.uploads`. Beyond
    ``limits.connections`` the one that has been idle longest makes room. (uvicorn's own bound refuses
    the requests of all while many connections idle.)
    """

    limits = Limits()

    @property
    def is_in_hand(self) -> bool:
        """Whether a request is received or answered."""
        return self.cycle is not None and not self.cycle.response_complete

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for a request."""
        super().connection_made(transport)
        self.idle_since = self.loop.time()
        self._head = _Patience(self.loop, self.limits.head_seconds, self.give_up)
        self._taking = _Patience(self.loop, self.limits.seconds, transport.abort)
        self._head.begin()
        self._make_room()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no longer."""
        self._head.end()
        self._taking.end()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Bytes of a request: of its head, until it is in hand."""
        super().data_received(data)
        if self.is_in_hand:
            self._head.end()
        elif not self.transport.is_closing():
            self._head.begin()

    def on_response_complete(self) -> None:
        """Idle from now on; for the rest of a request that has its answer it waits as for a head."""
        self.idle_since = self.loop.time()
        if self.conn.their_state is h11.SEND_BODY:
            self._head.begin()
        super().on_response_complete()

    def pause_writing(self) -> None:
        """The client takes its answer slower than it is written."""
        super().pause_writing()
        self._taking.begin()

    def resume_writing(self) -> None:
        """The client has taken what was written."""
        super().resume_writing()
        self._taking.end()

    def give_up(self) -> None:
        """End a connection that has no request in hand; one that has sent part of a head hears why."""
        part_of_a_head, _ = self.conn.trailing_data
        if self.conn.our_state is h11.IDLE and part_of_a_head:
            self._refuse(408, f"no request within {self.limits.head_seconds:g} s")
        else:
            self.timeout_keep_alive_handler()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - uvicorn's words, which are not ours
        """Answer what is not HTTP."""
        self._refuse(400, "what came is no valid HTTP/1.1 request")

    def _make_room(self) -> None:
        if len(self.connections) <= self.limits.connections:
            return
        there = [each for each in self.connections if isinstance(each, BoundedProtocol)]
        there = [each for each in there if not each.transport.is_closing()]
        if len(there) > self.limits.connections:
            idle = [each for each in there if not each.is_in_hand]
            min(idle, key=lambda each: each.idle_since).give_up()

    def _refuse(self, status: int, sentence: str) -> None:
        """An answer from before there is a request, in the words and headers of all others."""
        if self.is_in_hand:  # who waits for its body waits in vain
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            body = json.dumps({"error": sentence}).encode()
            own = {
                "Content-Type": "application/json",
                "Content-Length": str(len(body)),
                "Connection": "close",
            }
            headers = [*(HEADERS | own | {"Cache-Control": "no-store"}).items()]
            start = h11.Response(status_code=status, headers=headers)
            events = (start, h11.Data(data=body), h11.EndOfMessage())
            self.transport.write(b"".join(self.conn.send(event) or b"" for event in events))
        self.transport.close()


def bounded(limits: Limits) -> type[BoundedProtocol]:
    """The protocol with its limits, as uvicorn takes one."""
    return type(BoundedProtocol.__name__, (BoundedProtocol,), {"limits": limits})
