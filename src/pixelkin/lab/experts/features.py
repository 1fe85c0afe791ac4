"""Features of pictures by frozen networks: extracted once, kept on disk, keyed by image and recipe."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.numpy import load_file, save

from pixelkin import degrade, tiles
from pixelkin.data import bytes_of, picture_of
from pixelkin.errors import ImageError
from pixelkin.files import write_atomically
from pixelkin.lab.circulation import Circulation, circulated
from pixelkin.model import TILES, TOKENS
from pixelkin.processes import mapped
from pixelkin.types import Pixels, Sample

logger = logging.getLogger(__name__)

STORED, CIRCULATED = "stored", "circulated"  # views; any other is a chain that `degrade.parse` reads
PART = 64  # pictures of one file
SIDE = 224
NATIVE = 2  # most textured tiles whose traces are kept; the first's tokens, too
FORM = 1  # of what is kept: raised when the same recipe would give other numbers


@dataclass(frozen=True, slots=True)
class Networks:
    """The frozen networks, as files.

    Attributes:
        encoder: an encoder of `pixelkin.lab.encoders`.
        traces: graphs from ``tiles`` to one output (n, channels) each.
    """

    encoder: Path
    traces: tuple[Path, ...] = ()


@dataclass(frozen=True, slots=True)
class Extractor:
    """From a picture to what the frozen networks make of its views. Can be sent to another process.

    Attributes:
        networks: which.
        views: `STORED`, ``circulated:N`` with N the number of the draw, or a chain of degradations.
        circulation: what ``circulated`` draws from.
    """

    networks: Networks
    views: tuple[str, ...]
    circulation: Circulation

    @property
    def key(self) -> str:
        """Digest of all that decides the numbers."""
        files = [hashlib.sha256(file.read_bytes()).hexdigest() for file in self._files()]
        said = [FORM, files, self.views, SIDE, NATIVE]
        if any(view.startswith(CIRCULATED) for view in self.views):
            said.append(repr(self.circulation))
        return hashlib.sha256(json.dumps(said).encode()).hexdigest()[:16]

    def __call__(self, root: Path, sample: Sample) -> dict[str, NDArray[Any]] | str:
        """Features of one picture, or why there are none.

        Returns:
            ``class`` and ``mean``, float16 (views, 2, blocks, channels), of the overview and of the most
            textured tile; ``traces``, float32 (views, `NATIVE`, channels).
        """
        try:
            picture = picture_of(root, sample)
        except (ImageError, MemoryError) as error:
            return str(error)
        shown = [self._tiles(self._seen(picture.pixels, picture.sha256, view)) for view in self.views]
        encoder, *traces = _sessions(self._files())
        tokens = [_one_by_one(encoder, each[:2]) for each in shown]
        native = [
            np.concatenate([network.run(None, {TILES: each[1:]})[0] for network in traces], 1)
            if traces
            else np.zeros((NATIVE, 0), np.float32)
            for each in shown
        ]
        return {
            "class": np.stack([found[0] for found in tokens]).astype(np.float16),
            "mean": np.stack([found[1] for found in tokens]).astype(np.float16),
            "traces": np.stack(native).astype(np.float32),
        }

    def _files(self) -> tuple[Path, ...]:
        return (self.networks.encoder, *self.networks.traces)

    def _seen(self, pixels: Pixels, sha256: str, view: str) -> Pixels:
        if view == STORED:
            return pixels
        if view.startswith(CIRCULATED):
            return circulated(pixels, self.circulation, degrade.chance(f"{sha256} {view}"))
        return degrade.apply(degrade.parse(view), pixels, sha256)

    def _tiles(self, pixels: Pixels) -> Pixels:
        """The overview and `NATIVE` tiles, the most textured first; the last again where there are fewer."""
        seen = tiles.overview(pixels, SIDE).transpose(2, 0, 1)[None]
        boxes = tiles.by_texture(pixels, SIDE, NATIVE)
        native = tiles.cut(pixels, boxes, SIDE)
        native = native[np.minimum(np.arange(NATIVE), len(native) - 1)]
        return np.concatenate([seen, native])


def _one_by_one(encoder: onnxruntime.InferenceSession, shown: Pixels) -> list[NDArray[np.float32]]:
    """The encoder's outputs for tiles (n, 3, side, side), a tile a call, as `Model` calls it."""
    each = [encoder.run(list(TOKENS[:2]), {TILES: tile[None]}) for tile in shown]
    return [np.concatenate(of_one_output) for of_one_output in zip(*each, strict=True)]


_OPEN: dict[tuple[Path, ...], list[onnxruntime.InferenceSession]] = {}


def _sessions(files: tuple[Path, ...]) -> list[onnxruntime.InferenceSession]:
    """The networks' sessions, opened once a process, a thread each."""
    if files not in _OPEN:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        providers = ["CPUExecutionProvider"]
        _OPEN[files] = [onnxruntime.InferenceSession(str(f), options, providers=providers) for f in files]
    return _OPEN[files]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Features:
    """Features of labelled pictures, in one order.

    Attributes:
        samples: the pictures.
        tokens: by name (``class``, ``mean``): float16, (n, views, 2, blocks, channels).
        traces: float32, (n, views, `NATIVE`, channels).
    """

    samples: list[Sample]
    tokens: dict[str, NDArray[np.float16]]
    traces: NDArray[np.float32]

    @property
    def labels(self) -> NDArray[np.int64]:
        """1 generated, 0 real; shape (n,)."""
        return np.array([sample.label for sample in self.samples], np.int64)

    @property
    def sources(self) -> NDArray[np.str_]:
        """The source of each picture; shape (n,)."""
        return np.array([sample.source for sample in self.samples])


@dataclass(slots=True)
class Cache:
    """A folder of features by one extractor; grows by whole files, so that any end leaves it whole.

    Attributes:
        folder: of these features.
        places: file and row of each picture, by its name (`name_of`).
    """

    folder: Path
    places: dict[str, tuple[str, int]] = field(default_factory=dict)

    @classmethod
    def open(cls, folder: Path, extractor: Extractor) -> Cache:
        """Open what was kept before, below a folder of caches."""
        cache = cls(folder / extractor.key)
        for file in sorted(cache.folder.glob("*.safetensors")):
            with safe_open(file, "numpy") as opened:
                names = json.loads(opened.metadata()["names"])
            cache.places |= {name: (file.name, row) for row, name in enumerate(names)}
        return cache

    def keep(self, found: dict[str, dict[str, NDArray[Any]]]) -> None:
        """Write the features of some pictures, by name, as one file."""
        names = list(found)
        stacked = {key: np.stack([found[name][key] for name in names]) for key in found[names[0]]}
        file = hashlib.sha256("\n".join(names).encode()).hexdigest()[:24] + ".safetensors"
        self.folder.mkdir(parents=True, exist_ok=True)
        write_atomically(self.folder / file, save(stacked, {"names": json.dumps(names)}))
        self.places |= {name: (file, row) for row, name in enumerate(names)}

    def read(self, named: Sequence[tuple[str, Sample]]) -> Features:
        """Features of those pictures that are kept."""
        held = [(name, sample) for name, sample in named if name in self.places]
        by_file: dict[str, list[int]] = {}
        for place, (name, _) in enumerate(held):
            by_file.setdefault(self.places[name][0], []).append(place)
        arrays: dict[str, NDArray[Any]] = {}
        for file, at in by_file.items():
            stored = load_file(self.folder / file)
            rows = [self.places[held[each][0]][1] for each in at]
            for key in ("class", "mean", "traces"):
                if key not in arrays:
                    arrays[key] = np.empty((len(held), *stored[key].shape[1:]), stored[key].dtype)
                arrays[key][at] = stored[key][rows]
        if not arrays:
            empty = np.zeros((0, 1, 2, 1, 1), np.float16)
            arrays = {"class": empty, "mean": empty, "traces": np.zeros((0, 1, NATIVE, 0), np.float32)}
        tokens = {key: arrays[key] for key in ("class", "mean")}
        return Features(samples=[sample for _, sample in held], tokens=tokens, traces=arrays["traces"])


def extract(
    root: Path, samples: Sequence[Sample], extractor: Extractor, folder: Path, workers: int = 0
) -> Iterator[int]:
    """Extract what the cache lacks; yields how many pictures are done, after each file.

    Args:
        root: the folder that the samples' paths start from.
        samples: labelled pictures.
        extractor: of features.
        folder: of caches.
        workers: processes; 0 for this one.
    """
    yield from _extracted(root, _named(root, samples), extractor, Cache.open(folder, extractor), workers)


def _extracted(
    root: Path, named: Sequence[tuple[str, Sample]], extractor: Extractor, cache: Cache, workers: int
) -> Iterator[int]:
    lacking = [(name, sample) for name, sample in named if name not in cache.places]
    done = len(named) - len(lacking)
    yield done
    results = mapped(partial(extractor, root), [sample for _, sample in lacking], workers)
    paired = zip(lacking, results, strict=True)
    while group := list(islice(paired, PART)):
        found = {name: made for (name, _), made in group if not isinstance(made, str)}
        for (_, sample), made in group:
            if isinstance(made, str):
                logger.warning("%s: left out (%s)", sample.path, made)
        if found:
            cache.keep(found)
        done += len(group)
        yield done


def features_of(
    root: Path,
    samples: Sequence[Sample],
    extractor: Extractor,
    folder: Path,
    workers: int = 0,
    on_progress: Callable[[int, int], None] = lambda *_: None,
) -> Features:
    """Features of all samples that can be read, out of the cache, what it lacks extracted first.

    Args:
        root: as `extract` takes it, and so the next three.
        samples: labelled pictures.
        extractor: of features.
        folder: of caches.
        workers: processes; 0 for this one.
        on_progress: told the pictures that are done, and of how many.
    """
    cache, named = Cache.open(folder, extractor), _named(root, samples)
    for done in _extracted(root, named, extractor, cache, workers):
        on_progress(done, len(named))
    return cache.read(named)


def name_of(root: Path, sample: Sample) -> str:
    """The name that a picture is kept by: its file's digest, so that no folder matters.

    Raises:
        ImageError: the file cannot be read.
    """
    return hashlib.sha256(bytes_of(root, sample)).hexdigest()


def _named(root: Path, samples: Sequence[Sample]) -> list[tuple[str, Sample]]:
    return [(name_of(root, sample), sample) for sample in samples]
