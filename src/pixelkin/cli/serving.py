"""The command that serves."""

from __future__ import annotations

import ipaddress
import os
from pathlib import Path
from typing import Annotated

import typer

from pixelkin.errors import ConfigError, MissingExtraError

KEY_VARIABLE = "PIXELKIN_API_KEY"
MEBIBYTE = 1024**2
HOST = "127.0.0.1"


def serve(
    host: Annotated[str, typer.Option(help="Address to listen on; this machine alone unless told.")] = HOST,
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 for any that is free.")] = 8000,
    model: Annotated[str, typer.Option(help="Name of a shipped model, or an .onnx file.")] = "",
    threads: Annotated[int, typer.Option(min=0, help="Of the runtime; 0 for one a core.")] = 0,
    api_key_file: Annotated[
        Path | None, typer.Option(help=f"File with the key that clients must show; or set {KEY_VARIABLE}.")
    ] = None,
    max_megabytes: Annotated[int, typer.Option(min=1, help="Of one file, MiB.")] = 32,
    max_megapixels: Annotated[int, typer.Option(min=1, max=200, help="Of one picture.")] = 50,
    max_requests: Annotated[int, typer.Option(min=1, help="In hand at once; more are told to wait.")] = 256,
    rate: Annotated[float, typer.Option(min=0, help="Files a minute of one address; 0 for any number.")] = 0,
    timeout: Annotated[float, typer.Option(min=1, help="Seconds for an upload, and for judging it.")] = 60,
    workers: Annotated[int, typer.Option(min=0, help="Processes that decode; 0 for one a core.")] = 0,
    decode_seconds: Annotated[float, typer.Option(min=0.1, help="That decoding one image may take.")] = 20,
    decode_memory: Annotated[float, typer.Option(min=1, help="GiB that decoding one image may take.")] = 2,
) -> None:
    """Answer over HTTP, and show a web page. Uploads are neither kept nor logged."""
    from pixelkin.model import load
    from pixelkin.models import DEFAULT

    try:
        from pixelkin.service.app import create_app
        from pixelkin.service.limits import Limits
        from pixelkin.service.server import run
    except ModuleNotFoundError as error:
        raise MissingExtraError("the service", "serve", error.name) from error

    key = _key(api_key_file)
    limits = Limits(
        file_bytes=max_megabytes * MEBIBYTE,
        batch_bytes=8 * max_megabytes * MEBIBYTE,
        pixels=max_megapixels * 1_000_000,
        requests=max_requests,
        requests_of_one=max(1, max_requests // 2),
        rate=rate,
        seconds=timeout,
        head_seconds=min(timeout, Limits().head_seconds),
        workers=workers,
        look_seconds=decode_seconds,
        look_memory=round(decode_memory * 1024 * MEBIBYTE),
    )
    if not (_is_loopback(host) or key):
        typer.echo(f"{host} is open to other machines, and no key is asked for: see --api-key-file", err=True)
    app = create_app(load(model or DEFAULT, threads), limits, key)
    run(app, host, port, lambda url: typer.echo(f"Pixelkin is at {url} (Ctrl+C stops it)", err=True))


def _key(file: Path | None) -> str:
    """The key that clients must show; empty where none was set."""
    if file is None:
        return os.environ.get(KEY_VARIABLE, "").strip()
    try:
        key = file.read_text().strip()
    except OSError as error:
        raise ConfigError(f"no key can be read from {file}: {error.strerror}") from error
    if not key:
        raise ConfigError(f"{file} holds no key")
    return key


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
