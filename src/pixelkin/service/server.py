"""uvicorn, as the service needs it."""

from __future__ import annotations

from collections.abc import Callable
from socket import AF_INET, AF_INET6, create_server, socket

import uvicorn
from fastapi import FastAPI

from pixelkin.errors import ConfigError

KEEP_ALIVE = 75  # seconds: longer than a proxy or a client leaves a connection idle


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


def run(app: FastAPI, host: str, port: int, seconds: float, on_start: Callable[[str], None]) -> None:
    """Serve until told to stop; what is in hand then has ``seconds`` to be answered.

    Raises:
        ConfigError: the address cannot be had.
    """
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE,
        timeout_graceful_shutdown=round(seconds),
    )
    family = AF_INET6 if ":" in host else AF_INET
    try:
        listening = create_server((host, port), family=family, backlog=config.backlog)
    except OSError as error:
        why = (error.strerror or str(error)).partition(" (")[0].lower()
        raise ConfigError(f"nothing can listen at {host}, port {port}: {why}") from error
    with listening:
        Server(config, on_start).run([listening])
