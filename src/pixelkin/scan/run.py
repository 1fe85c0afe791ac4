"""A scan from its beginning, or from where it was stopped, to its end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from pixelkin import images
from pixelkin.errors import ConfigError
from pixelkin.isolation import Limits
from pixelkin.model import load
from pixelkin.models import DEFAULT, SHIPPED
from pixelkin.parquet import modules
from pixelkin.processes import cores
from pixelkin.scan import cluster, parts, state
from pixelkin.scan.cluster import Resources
from pixelkin.scan.job import Judge, OnBegin, OnCounts, Share
from pixelkin.scan.looking import Looker
from pixelkin.types import Picture

PART = 1000  # images

Engine = Literal["local", "ray"]


@dataclass(frozen=True, slots=True, kw_only=True)
class How:
    """Of a scan, what changes no row.

    Attributes:
        engine: processes of this machine, or a Ray cluster.
        workers: images decoded, and calls of the runtime made, at once; with Ray, actors. 0 for one a
            core, or for what the cluster has room for.
        limits: for each image.
        resources: of each actor.
    """

    engine: Engine = "local"
    workers: int = 0
    limits: Limits = field(default_factory=Limits)
    resources: Resources = field(default_factory=Resources)

    def __post_init__(self) -> None:
        if self.workers < 0:
            raise ConfigError(f"workers are 0 or more, not {self.workers}")


def scan(
    source: str,
    out: Path,
    *,
    model: str = DEFAULT,
    part: int = PART,
    how: How = How(),
    decode: Callable[[bytes, str], Picture] = images.decode,
    on_begin: OnBegin = lambda *_: None,
    on_counts: OnCounts = lambda _: None,
) -> Counter[str]:
    """Judge every image of a source into Parquet files in ``out``; go on where it was stopped.

    Args:
        source: as `pixelkin.scan.sources.entries` takes it.
        out: folder of the rows, ``part-*.parquet``, and of what is needed to go on.
        model: name of a shipped model, or an .onnx file.
        part: images of one file of rows, where the scan is begun now.
        how: by what processes, within what limits.
        decode: an image file's bytes, named for messages, to a picture.
        on_begin: told how many images there are, and how many were judged before, by verdict.
        on_counts: told, by verdict, how many images were judged since it was told before.

    Returns:
        How many images have which verdict, or are unreadable.

    Raises:
        DataError: the source holds no images, ``out`` holds another scan, or rows cannot be written.
        SourceError: images cannot be reached.
        ModelError: there is no such model.
        MissingExtraError: pyarrow, Ray or fsspec is needed and not installed.
    """
    modules("scanning")
    loaded = load(model, 1)
    with state.alone(out):
        catalog, root = state.begin(out, source, loaded, part)
        found = {number: parts.counts(parts.file_of(out, number)) for number in range(catalog.parts)}
        counts = sum((each for each in found.values() if each is not None), Counter[str]())
        left = [number for number, each in found.items() if each is None]
        on_begin(catalog.entries, counts)
        share = Share(
            folder=out.absolute(),
            model=model if model in SHIPPED else str(Path(model).absolute()),
            model_sha256=loaded.sha256,
            looker=Looker(loaded.card, root, decode),
            limits=how.limits,
            workers=how.workers or cores(),
        )
        for number, file in _judged(share, left, how, on_counts):
            parts.write(out, number, file)
            counts = counts + (parts.counts(file) or Counter())
    return counts


def _judged(share: Share, left: list[int], how: How, on_counts: OnCounts) -> Iterator[tuple[int, bytes]]:
    if not left:
        return
    if how.engine == "local":
        with Judge(share) as judge:
            yield from judge.parts(left, on_counts)
        return
    for number, file in cluster.judged(share, left, how.workers, how.resources):
        on_counts(parts.counts(file) or Counter())
        yield number, file
