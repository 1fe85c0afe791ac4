"""Uploads as they come in: admitted first, bounded while read, kept in memory alone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import aclosing
from typing import Any, TypeVar

from fastapi import Request, Response
from fastapi.routing import APIRoute
from starlette.datastructures import FormData
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect

from pixelkin.service.limits import FORM_OVERHEAD, Gate, Limits, Refusal, too_many_bytes

Handler = Callable[[Request], Coroutine[Any, Any, Response]]
MOST_FIELDS, FIELD_BYTES = 16, 1024
SLOW = 408
DRAIN_SECONDS = 5

Made = TypeVar("Made")


class InMemoryParser(MultiPartParser):
    """Starlette's parser, whose files never roll over to the disk: they are bounded before."""

    spool_max_size = 0  # to SpooledTemporaryFile: never


class UploadRequest(Request):
    """A request whose form is read within the limits of bytes, files and time."""

    limits = Limits()
    most_bytes = 0

    async def form(self, **_: Any) -> FormData:  # type: ignore[override]  # FastAPI awaits it, no more
        """The fields and files of a multipart request.

        Raises:
            Refusal: another content type, too many bytes or files, too slow, or no valid form.
        """
        if not self.headers.get("content-type", "").lower().startswith("multipart/form-data"):
            raise Refusal(415, "send the image as multipart/form-data, in the field that the API names")
        try:
            async with asyncio.timeout(self.limits.seconds), aclosing(self._bounded()) as stream:
                parser = InMemoryParser(
                    self.headers,
                    stream,
                    max_files=self.limits.files,
                    max_fields=MOST_FIELDS,
                    max_part_size=FIELD_BYTES,
                )
                return await parser.parse()
        except TimeoutError as error:
            sentence = f"the upload took over {self.limits.seconds:g} s"
            raise Refusal(SLOW, sentence, {"Connection": "close"}) from error
        except ClientDisconnect as error:
            raise Refusal(400, "the upload was broken off") from error
        except MultiPartException as error:
            if error.message.startswith("Too many files"):
                raise Refusal(413, f"a request takes {self.limits.files} files at the most") from error
            raise Refusal(422, f"no valid form: {error.message}") from error

    async def _bounded(self) -> AsyncGenerator[bytes, None]:
        received = 0
        async for chunk in self.stream():
            received += len(chunk)
            if received > self.most_bytes:
                raise too_many_bytes(self.most_bytes)
            yield chunk


class KeyedRoute(APIRoute):
    """A route for those who show the key, where there is one."""

    def get_route_handler(self) -> Handler:
        """FastAPI's own handler, behind the key."""
        handle: Handler = super().get_route_handler()

        async def keyed(request: Request) -> Response:
            gate: Gate = request.app.state.gate
            gate.check_key(request)
            return await handle(request)

        return keyed


class UploadRoute(KeyedRoute):
    """A route that takes files: one, or many where its path ends in ``/batch``."""

    def get_route_handler(self) -> Handler:
        """FastAPI's own handler, with an `UploadRequest`, behind the gate."""
        handle = APIRoute.get_route_handler(self)
        many = self.path.endswith("/batch")

        async def admitted(request: Request) -> Response:
            gate: Gate = request.app.state.gate
            upload = UploadRequest(request.scope, request.receive)
            upload.limits = gate.limits
            most = gate.limits.batch_bytes if many else gate.limits.file_bytes
            upload.most_bytes = most + FORM_OVERHEAD
            try:
                gate.check_key(request)
                with gate.admit(request, upload.most_bytes):
                    return await handle(upload)
            except Refusal as refusal:
                if refusal.status_code != SLOW:
                    await _drain(upload, upload.most_bytes)
                raise

        return admitted


async def while_there(request: Request, work: Coroutine[Any, Any, Made]) -> Made:
    """What ``work`` comes to; it is given up once the client of a request, read to its end, has left.

    Raises:
        Refusal: it has.
    """
    working, leaving = asyncio.ensure_future(work), asyncio.ensure_future(_left(request))
    try:
        await asyncio.wait((working, leaving), return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise Refusal(400, "the client left before its answer")
        return working.result()
    finally:
        working.cancel()
        leaving.cancel()


async def _left(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _drain(request: Request, most: int) -> None:
    """Read on a little: who is still sending hears the answer then, instead of a broken pipe."""
    if "expect" in request.headers:  # who waits to be told to send is told at once
        return
    left = most
    try:
        async with asyncio.timeout(DRAIN_SECONDS), aclosing(request.stream()) as stream:
            async for chunk in stream:
                left -= len(chunk)
                if left < 0:
                    return
    except (TimeoutError, ClientDisconnect, RuntimeError):  # the last: nothing is left to read
        return
