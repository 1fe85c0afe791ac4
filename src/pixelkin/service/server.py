"""uvicorn, as the service needs it."""

from __future__ import annotations

import resource
from collections.abc import Callable
from dataclasses import replace
from socket import AF_INET, AF_INET6, IPPROTO_TCP, TCP_NODELAY, create_server, socket

import uvicorn
from fastapi import FastAPI

from pixelkin.errors import ConfigError
from pixelkin.service.connections import bounded
from pixelkin.service.limits import Limits

KEEP_ALIVE = 75  # seconds: longer than a proxy or a client leaves a connection idle
OTHER_FILES = 256  # that may be open beside connections


class Server(uvicorn.Server):
    """uvicorn's server, that tells where it listens once it does.

    Args:
        config: of uvicorn.
        on_start: told the address.
    """

    def __init__(self, config: uvicorn.Config, on_start: Callable[[str], None]) -> None:
        super().__init__(config)
        self._on_start = on_start

    async def startup(self, sockets: list[socket] | None = None) -> None:
        """As uvicorn's, then the telling."""
        await super().startup(sockets)
        for server in self.servers if self.started else ():
            host, port = server.sockets[0].getsockname()[:2]
            self._on_start(f"http://{f'[{host}]' if ':' in host else host}:{port}")


def run(app: FastAPI, host: str, port: int, on_start: Callable[[str], None]) -> None:
    """Serve until told to stop; what is in hand then has the ``seconds`` of its limits to be answered.

    Args:
        app: of `pixelkin.service.app.create_app`, whose limits hold for its connections too.
        host: address to listen on.
        port: 0 for any that is free.
        on_start: told the address.

    Raises:
        ConfigError: the address cannot be had.
    """
    limits: Limits = app.state.gate.limits
    connections = max(1, _open_files(limits.connections + OTHER_FILES) - OTHER_FILES)
    config = uvicorn.Config(
        app,
        http=bounded(replace(limits, connections=connections)),
        ws="none",
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE,
        timeout_graceful_shutdown=round(limits.seconds),
    )
    family = AF_INET6 if ":" in host else AF_INET
    try:
        listening = create_server((host, port), family=family, backlog=config.backlog)
    except OSError as error:
        why = (error.strerror or str(error)).partition(" (")[0].lower()
        raise ConfigError(f"nothing can listen at {host}, port {port}: {why}") from error
    with listening:
        # Its connections inherit it. asyncio sets it on sockets that name their protocol alone, which
        # Python's listeners do not; without, a client that keeps its connection waits 40 ms for each answer.
        listening.setsockopt(IPPROTO_TCP, TCP_NODELAY, 1)
        Server(config, on_start).run([listening])


def _open_files(wanted: int) -> int:
    """Files that this process may have open: as many as are wanted, or as it can get."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if resource.RLIM_INFINITY != soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    return most
