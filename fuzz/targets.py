"""What is fuzzed: functions of bytes, each of which may raise a `PixelkinError` and nothing else.

A target's function imports what it needs when it is made, so that a fuzzer can watch those imports.
"""

from __future__ import annotations

import atexit
import shutil
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random

import inputs
import pictures
from mutation import Change, mutate

Run = Callable[[bytes], object]
Mutator = Callable[[bytes, int, int, Change], bytes]
STATUSES = {200, 400, 413, 415, 422}
CONTENT_TYPES = (
    f"multipart/form-data; boundary={inputs.BOUNDARY}",
    "multipart/form-data",
    f'multipart/form-data; charset="utf-7"; boundary="{inputs.BOUNDARY}"',
    "application/x-www-form-urlencoded",
)
SECONDS, MEGABYTES = 5, 1024  # that one input may take: of processor time, and of the process's memory
AFRESH = 0.5  # of changed image files were whole before
BATCH = 250_000  # inputs of a process
PATIENCE = 30  # seconds of a clock on the wall, after which an input hangs: machines may be busy
MOST_PIXELS = 50_000_000  # of one picture, as the service takes them by default


@dataclass(frozen=True, slots=True)
class Target:
    """One of the things that are fuzzed.

    Attributes:
        make: imports what is fuzzed, and gives the function.
        seeds: by name, what to start from.
        about: what reads the bytes, for people.
        mutate: changes an input, given the fuzzer's own way of changing bytes.
        longest: bytes of an input at the most.
    """

    make: Callable[[], Run]
    seeds: Callable[[], dict[str, bytes]]
    about: str
    mutate: Mutator
    longest: int = 16_384


def _decode() -> Run:
    from PIL import Image

    from pixelkin.images import decode

    Image.init()  # imports all that reads files, now that imports are watched
    return lambda data: decode(data, most_pixels=MOST_PIXELS)


def _carried() -> Run:
    from PIL import Image

    from pixelkin.errors import ImageError
    from pixelkin.images import carried, inspect
    from pixelkin.provenance import evidence

    Image.init()

    def run(data: bytes) -> None:
        evidence(data)
        with suppress(ImageError):
            inspect(data)
        carried(data)

    return run


def _manifest() -> Run:
    from pixelkin.scan.sources import entries

    suffixes = inputs.KINDS_OF_MANIFEST
    folder = _folder()

    def run(data: bytes) -> None:
        file = folder / f"source{suffixes[data[0] % len(suffixes)] if data else '.txt'}"
        file.write_bytes(data[1:])
        for _ in entries(str(file)):
            pass

    return run


def _layout() -> Run:
    from pixelkin.data import bytes_of, find_samples

    file = _folder() / "set.tar"

    def run(data: bytes) -> None:
        file.write_bytes(data)
        for sample in find_samples(file):
            bytes_of(file, sample)

    return run


def _kept() -> Run:
    """Kept scores and lists of scans (Parquet), recipes (TOML), by the first byte."""
    from pixelkin.config import build, read_toml
    from pixelkin.rows import read
    from pixelkin.scan.catalog import Catalog
    from pixelkin.types import Card

    file = _folder() / "kept"

    def catalog(file: Path) -> None:
        kept = Catalog(file)
        for number in range(kept.parts):
            kept.part(number)

    readers: tuple[Callable[[Path], object], ...] = (read, catalog, lambda file: build(Card, read_toml(file)))

    def run(data: bytes) -> None:
        file.write_bytes(data[1:])
        readers[data[0] % len(readers) if data else 0](file)

    return run


def _model() -> Run:
    from pixelkin.model import Model
    from pixelkin.modelfile import sealed

    return lambda data: Model(sealed(data), threads=1)


def _upload() -> Run:
    """Bodies of requests, their path and content type by the first byte."""
    from starlette.testclient import TestClient

    from pixelkin.model import Model
    from pixelkin.modelfile import sealed
    from pixelkin.service.app import create_app

    client = TestClient(create_app(Model(sealed(inputs.model()), threads=1)))
    client.__enter__()  # for as long as the process lives

    def run(data: bytes) -> None:
        choice = data[0] if data else 0
        path = "/v1/detect/batch" if choice % 2 else "/v1/detect"
        kind = CONTENT_TYPES[choice // 2 % len(CONTENT_TYPES)]
        answer = client.post(path, content=data[1:], headers={"content-type": kind})
        if answer.status_code not in STATUSES or not isinstance(answer.json(), dict):
            raise ValueError(f"answered {answer.status_code}: {answer.text}")

    return run


def _folder() -> Path:
    """An empty folder, gone when the process ends."""
    folder = Path(tempfile.mkdtemp(prefix="fuzz-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def as_picture(data: bytes, most: int, seed: int, change: Change) -> bytes:
    """An image file with parts changed: the one that is given, which often is broken, or a whole one."""
    random = Random(seed)
    if random.random() < AFRESH:
        data = random.choice(list(pictures.whole().values()))
    return mutate(data, most, random.getrandbits(32), change)


def as_bytes(data: bytes, most: int, _: int, change: Change) -> bytes:
    """An input changed by the fuzzer's own means."""
    return change(data, most)


TARGETS = {
    "decode": Target(_decode, pictures.images, "`images.decode`", as_picture),
    "carried": Target(
        _carried,
        pictures.images,
        "`images.inspect`, `images.carried`, `provenance.evidence`",
        as_picture,
    ),
    "manifest": Target(
        _manifest,
        inputs.manifests,
        "`scan.sources.entries` of .tar, .zip, .txt, .csv, .parquet",
        as_bytes,
    ),
    "layout": Target(_layout, inputs.layouts, "`data.find_samples` of tar files, `data.bytes_of`", as_bytes),
    "kept": Target(_kept, inputs.kept, "`rows.read`, `scan.catalog`, settings in TOML", as_bytes),
    "model": Target(
        _model,
        lambda: {"model": inputs.model()},
        "`Model`, of files sealed after they were changed",
        as_bytes,
    ),
    "upload": Target(_upload, inputs.forms, "`POST /v1/detect` and `/v1/detect/batch`", as_bytes),
}
