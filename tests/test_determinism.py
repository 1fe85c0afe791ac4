"""The same file has the same probability whatever way it is judged, and in whatever company.

The ways that are quickest to try are always tried; the rest, and Ray, with the slow tests.
"""

import json
import subprocess
import sys

import httpx2
import numpy as np
import pyarrow.parquet
import pytest
from fastapi.testclient import TestClient
from PIL import Image
from serving import running
from tiny import EXAMPLES

from pixelkin.data import find_images
from pixelkin.images import read
from pixelkin.model import load
from pixelkin.scan.run import How, scan
from pixelkin.scoring import score
from pixelkin.service.app import create_app
from pixelkin.service.batching import Batcher
from pixelkin.types import Sample, Verdict

TOLERANCE = 1e-5
PATIENCE = 120  # seconds


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The examples, and files as they are seldom met."""
    root = tmp_path_factory.mktemp("files")
    for file in EXAMPLES.glob("*-*.*"):
        (root / file.name).symlink_to(file)
    photo = Image.open(EXAMPLES / "photo-rocket.jpg").convert("RGB")
    rotated = Image.Exif()
    rotated[0x0112] = 6
    deep = np.asarray(photo.convert("L"), np.uint16) * 257 + 128
    photo.crop((0, 0, 1, 1)).save(root / "a-pixel.png")
    photo.crop((100, 50, 107, 53)).save(root / "b-tiny.png")
    photo.crop((100, 50, 107, 350)).save(root / "c-narrow.webp", quality=60)
    photo.convert("CMYK").save(root / "d-cmyk.jpg", quality=90)
    Image.fromarray(deep).save(root / "e-16-bits.png")
    photo.convert("RGBA").quantize(64).save(root / "f-palette.png")
    photo.save(root / "g-rotated.jpg", exif=rotated, quality=80)
    photo.resize((4501, 3003)).save(root / "h-huge.jpg", quality=85)
    return root


@pytest.fixture(scope="module")
def expected(folder):
    """Verdict and probability of each file by the library on one thread, one file after the other."""
    return by_library(folder)


def by_library(folder, threads=1):
    model = load(threads=threads)
    return {file.name: told(model.detect(file)) for file in find_images(folder)}


def from_memory(folder):
    model = load(threads=1)
    return {file.name: told(model.detect(file.read_bytes())) for file in find_images(folder)}


def from_pillow(folder):
    model = load(threads=1)
    return {file.name: told(model.detect(Image.open(file))) for file in find_images(folder)}


def tiles_together(folder):
    """The tiles of all files in one array, the last file's first."""
    model = load(threads=2)
    pictures = {file.name: read(file) for file in reversed(find_images(folder))}
    looked = {name: model.look(picture) for name, picture in pictures.items()}
    logits = model.logits(np.concatenate([tiles for _, tiles in looked.values()]))
    ends = np.cumsum([len(boxes) for boxes, _ in looked.values()])[:-1]
    return {
        name: told(model.conclude(pictures[name], looked[name][0], part))
        for name, part in zip(looked, np.split(logits, ends), strict=True)
    }


def tiles_one_by_one(folder):
    model = load(threads=1)
    said = {}
    for file in find_images(folder):
        boxes, tiles = model.look(picture := read(file))
        logits = np.concatenate([model.logits(tile[None]) for tile in tiles])
        said[file.name] = told(model.conclude(picture, boxes, logits))
    return said


def by_batcher(folder):
    """As the service gathers tiles of several clients, here three at a time."""
    model, said = load(threads=2), {}
    batcher = Batcher(model.logits, most=3)
    waiting = [(file, read(file)) for file in find_images(folder)]
    asked = [(file, picture, *model.look(picture)) for file, picture in waiting]
    futures = [batcher.submit(tiles) for *_, tiles in asked]
    for (file, picture, boxes, _), future in zip(asked, futures, strict=True):
        said[file.name] = told(model.conclude(picture, boxes, future.result()))
    batcher.close()
    return said


def by_scoring(folder, batch, workers):
    model = load(threads=1)
    samples = [Sample(file.name, ".", None) for file in find_images(folder)]
    rows = score(model, folder, samples, batch=batch, workers=workers)
    return {row.sample.path: (None, row.score) for row in rows}


def by_command(folder):
    command = [sys.executable, "-m", "pixelkin", "detect", "--json", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return named(map(json.loads, done.stdout.splitlines()))


def by_service(folder):
    with TestClient(create_app(load(threads=1))) as client:
        return named(asked_one_by_one(client, folder))


def by_service_at_once(folder):
    with TestClient(create_app(load(threads=2))) as client:
        files = [("files", (file.name, file.read_bytes())) for file in reversed(find_images(folder))]
        return named(client.post("/v1/detect/batch", files=files).json()["results"])


def by_server(folder):
    with running() as server, httpx2.Client(base_url=server.url, timeout=PATIENCE) as client:
        return named(asked_one_by_one(client, folder))


def by_scan(folder, workers, part):
    out = folder.parent / f"scan-{workers}"
    scan(str(folder), out, part=part, how=How(workers=workers))
    return rows_in(out)


def by_ray(folder):
    out = folder.parent / "scan-ray"
    command = [sys.executable, "-m", "pixelkin", "scan", folder, "--out", out, "--engine=ray"]
    subprocess.run([*map(str, command), "--workers=2", "--part=3"], capture_output=True, check=True)
    return rows_in(out)


WAYS = {
    "two threads": lambda folder: by_library(folder, threads=2),
    "tiles of all files together": tiles_together,
    "command": by_command,
    "service, all at once": by_service_at_once,
    "scan, two workers, parts of three": lambda folder: by_scan(folder, workers=2, part=3),
}
SLOW_WAYS = {
    "from memory": from_memory,
    "from pillow": from_pillow,
    "threads as the runtime likes": lambda folder: by_library(folder, threads=0),
    "tile by tile": tiles_one_by_one,
    "the service's batches": by_batcher,
    "scored one at a time": lambda folder: by_scoring(folder, batch=1, workers=0),
    "scored five at a time by a worker": lambda folder: by_scoring(folder, batch=5, workers=1),
    "service": by_service,
    "server": by_server,
    "scan, one worker": lambda folder: by_scan(folder, workers=1, part=1000),
    "scan on Ray": by_ray,
}
EVERY_WAY = [
    *(pytest.param(way, id=name) for name, way in WAYS.items()),
    *(pytest.param(way, id=name, marks=pytest.mark.slow) for name, way in SLOW_WAYS.items()),
]


@pytest.mark.parametrize("way", EVERY_WAY)
def test_a_file_has_one_probability_whatever_way_it_is_judged(way, folder, expected):
    said = way(folder)
    assert said.keys() == expected.keys()
    for name, (verdict, probability) in said.items():
        assert probability == pytest.approx(expected[name][1], abs=TOLERANCE), name
        assert verdict in {None, expected[name][0]}, name


def test_these_files_have_probabilities_that_can_be_told_apart(expected):
    assert len(expected) == 16
    assert len({round(probability, 3) for _, probability in expected.values()}) > 12
    assert {verdict for verdict, _ in expected.values()} <= set(map(str, Verdict))


def told(prediction):
    return str(prediction.verdict), prediction.probability


def named(rows):
    """Verdict and probability by the file's name, of rows that are as `pixelkin detect --json` has them."""
    return {row["path"].rpartition("/")[2]: (row["verdict"], row["probability"]) for row in rows}


def asked_one_by_one(client, folder):
    for file in find_images(folder):
        yield client.post("/v1/detect", files={"file": (file.name, file.read_bytes())}).json()


def rows_in(out):
    tables = map(pyarrow.parquet.read_table, out.glob("part-*.parquet"))
    return named(row for table in tables for row in table.to_pylist())
