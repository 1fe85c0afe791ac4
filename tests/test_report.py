"""Explanations as files: one page, one figure, and the command that makes them."""

import base64
import io
import json
import re
import shutil
import sys
from errno import ENOSPC
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from pairs_model import graph, pairs_model, planted
from PIL import Image, PngImagePlugin
from tiny import EXAMPLES

from pixelkin import cli, report
from pixelkin.caution import CAUTION
from pixelkin.errors import ConfigError
from pixelkin.images import decode, encode, from_pixels, read
from pixelkin.report import drawing
from pixelkin.report.content import _middle
from pixelkin.types import Verdict

TABLE = read(EXAMPLES / "photo-coffee.png")
PHOTO = EXAMPLES / "photo-rocket.jpg"
LIMITS = "It counts pairs & nothing <else>."
MEASURED = {
    "clean": {"dataset": "a set", "mean": {"caught": {"value": 0.876}, "false_alarms": {"value": 0.043}}},
    "odd": {"mean": "none"},
}


@pytest.fixture(scope="module")
def model():
    bounds = {"real_below": 0.2, "generated_above": 0.8}
    return pairs_model(tile=64, most_tiles=32, limits=LIMITS, measured=MEASURED, **bounds)


@pytest.fixture(scope="module")
def explained(model):
    """Of a photograph with a planted patch, in a file with hostile text."""
    info = PngImagePlugin.PngInfo()
    info.add_text("parameters", "<script>alert(1)</script> Steps: 3, Sampler: x, Seed: 1")
    data = encode(planted(TABLE.pixels[:200, :301], 64, 128, 64), "PNG", pnginfo=info)
    return report.explain(model, decode(data), data, "<b>name</b>.png")


@pytest.fixture
def run(monkeypatch, capsys):
    """Runs `pixelkin` with arguments in this process; gives its exit status, stdout and stderr."""

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["pixelkin", *map(str, arguments)])
        try:
            cli.main()
        except SystemExit as stopped:
            return stopped.code or 0, *capsys.readouterr()
        return 0, *capsys.readouterr()

    return call


class Reader(HTMLParser):
    """Elements with their attributes, and the text between them."""

    def __init__(self, page):
        super().__init__()
        self.elements, self.text = [], ""
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data


def pictures(page):
    """Decoded pictures of a page by their alternative text."""
    found = {}
    for tag, attributes in Reader(page).elements:
        if tag == "img":
            data = base64.b64decode(attributes["src"].partition("base64,")[2])
            found.setdefault(attributes["alt"], []).append(np.array(Image.open(io.BytesIO(data))))
    return found


def test_the_page_loads_nothing_from_elsewhere(explained):
    page = report.page_html(explained)
    for tag, attributes in Reader(page).elements:
        assert tag not in {"script", "link", "iframe", "object", "base"}
        assert "href" not in attributes
        assert attributes.get("src", "data:image/").startswith("data:image/")
    assert "url(" not in page
    assert "default-src 'none'" in page
    assert not re.search(r"(?<!cv\.iptc\.org)https?://", page)


def test_the_page_says_what_there_is_to_say_and_escapes_it(explained):
    page = report.page_html(explained)
    text = Reader(page).text
    probability = explained.prediction.probability
    assert f"{probability:.0%}" in text
    for told in (
        "<b>name</b>.png",
        "below 20% it says real, above 80% generated",
        LIMITS,
        "clean (a set): 88% of generated pictures are called generated, 4% of photographs are, wrongly",
        "<script>alert(1)</script> Steps: 3",
        "the verdict does not use them",
        "301 x 200 pixels, PNG; 20 tiles of 64 px at native scale",
        explained.prediction.model_sha256,
    ):
        assert told in text
    assert "<script>" not in page


def test_the_maps_lie_over_the_picture_to_the_pixel(explained):
    found = pictures(report.page_html(explained))
    (base,), (heat,), (hidden,) = (found[name] for name in ("the picture", "Heat map", "Occlusion"))
    assert base.shape == (200, 301, 3)
    assert heat.shape == hidden.shape == (200, 301, 4)
    patch = np.zeros((200, 301), bool)
    patch[64:128, 128:192] = True
    red = hidden[..., 0] > hidden[..., 2]
    assert hidden[..., 3][patch].min() > 0
    assert red[patch].all()
    weight = hidden[..., 3].astype(float)
    assert weight[patch & red].sum() > 0.9 * weight[red].sum()


def test_the_tile_that_speaks_most_for_generated_is_the_planted_one(explained):
    first = explained.speaking_for[0]
    top, left, bottom, right = first.box
    shared = max(0, min(bottom, 128) - max(top, 64)) * max(0, min(right, 192) - max(left, 128))
    assert shared > 0.4 * 64 * 64
    assert [tile.probability for tile in explained.speaking_for] == sorted(
        (tile.probability for tile in explained.speaking_for), reverse=True
    )
    crops = pictures(report.page_html(explained))["tile"]
    np.testing.assert_array_equal(crops[0], explained.picture.pixels[top:bottom, left:right])
    assert not {tile.box for tile in explained.speaking_for} & {
        tile.box for tile in explained.speaking_against
    }


@pytest.mark.parametrize("size", [(1, 1), (3, 90), (7, 9), (64, 64), (210, 1250)])
def test_pictures_of_any_size_become_a_page_and_a_figure(model, size):
    rng = np.random.default_rng(0)
    explained = report.explain(model, from_pixels(rng.integers(0, 256, (*size, 3), np.uint8)))
    page = report.page_html(explained)
    (base,), (heat,) = (pictures(page)[name] for name in ("the picture", "Heat map"))
    assert base.shape[:2] == heat.shape[:2]
    assert max(base.shape) <= 1200
    assert ("is shown at 1200 x 202 pixels" in page) == (size == (210, 1250))
    figure = decode(report.figure_png(explained))
    assert figure.width == 1280
    assert 800 < figure.height < 4000


def test_a_map_is_thinned_to_the_pixel_in_each_place():
    values = np.arange(7 * 10, dtype=np.float32).reshape(7, 10)
    np.testing.assert_array_equal(drawing.thinned(values, (7, 10)), values)
    found = drawing.thinned(values, (3, 4))
    for row, column in np.ndindex(3, 4):
        y, x = int((row + 0.5) * 7 / 3), int((column + 0.5) * 10 / 4)
        assert found[row, column] == values[y, x]


@pytest.mark.parametrize("length", [10, 1024, 1025, 1031, 4000])
def test_the_middle_begins_on_an_even_row(length):
    pixels = np.repeat(np.arange(length) % 2, 3).reshape(length, 1, 3).astype(np.uint8)
    middle = _middle(pixels, 1024)
    assert middle.shape == (min(length, 1024), 1, 3)
    assert middle[0, 0, 0] == 0


@pytest.mark.parametrize("verdict", Verdict)
def test_every_verdict_is_explained_in_words(explained, verdict):
    from dataclasses import replace

    other = replace(explained, prediction=replace(explained.prediction, verdict=verdict))
    assert {
        Verdict.REAL: "not proof that there was none",
        Verdict.UNCERTAIN: "cannot tell",
        Verdict.GENERATED: "made by a generator",
    }[verdict] in report.page_html(other)


def test_an_explanation_is_written_whole_or_not_at_all(explained, tmp_path, monkeypatch):
    out = tmp_path / "old.html"
    out.write_text("what was there")

    def fail(*_):
        raise OSError(ENOSPC, "No space left")

    monkeypatch.setattr("pathlib.Path.replace", fail)
    with pytest.raises(ConfigError, match=r"cannot be written \(No space"):
        report.save(explained, out)
    assert [file.name for file in tmp_path.iterdir()] == ["old.html"]
    assert out.read_text() == "what was there"
    with pytest.raises(ConfigError, match=r"its suffix is '\.pdf'"):
        report.save(explained, tmp_path / "x.pdf")


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """A small model as a file, for the command."""
    path = tmp_path_factory.mktemp("model") / "pairs.onnx"
    path.write_bytes(graph(tile=64, most_tiles=8, name="pairs"))
    return path


@pytest.fixture(scope="module")
def photo(tmp_path_factory):
    """A corner of a photograph, as a file."""
    path = tmp_path_factory.mktemp("photo") / "corner.png"
    path.write_bytes(encode(TABLE.pixels[:90, :140], "PNG"))
    return path


def test_the_command_writes_a_page_and_a_figure(run, tmp_path, file, photo):
    for name in ("out.html", "out.PNG"):
        status, out, err = run("explain", photo, "-o", tmp_path / name, "--model", file)
        assert status == 0
        assert out.startswith(f"{tmp_path / name}: ")
        assert err == CAUTION + "\n"
    assert "corner.png" in (tmp_path / "out.html").read_text()
    assert CAUTION in (tmp_path / "out.html").read_text()
    assert read(tmp_path / "out.PNG").width == 1280
    assert len(list(tmp_path.iterdir())) == 2


def test_the_command_reads_standard_input(run, tmp_path, file, photo, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(photo.read_bytes())))
    assert run("explain", "-", "-o", tmp_path / "out.html", "--model", file)[0] == 0
    assert "standard input" in (tmp_path / "out.html").read_text()


@pytest.mark.parametrize(
    ("image", "out", "told"),
    [
        (PHOTO, "out.pdf", "a .png or .html file, and its suffix is '.pdf'"),
        (PHOTO, "out", "its suffix is ''"),
        (PHOTO, "missing/out.png", "there is no folder"),
        (PHOTO, "cut.jpg/out.html", "there is no folder"),
        (PHOTO, "folder.html", "is a folder"),
        (PHOTO, "/proc/out.html", "/proc/out.html cannot be written"),
        ("cut.jpg", "out.png", "cut short"),
        ("none.jpg", "out.png", "No such file"),
        ("notes.txt", "out.html", "not an image"),
    ],
)
def test_what_cannot_be_explained_is_a_sentence_and_nothing_is_written(
    run, tmp_path, monkeypatch, file, image, out, told
):
    if out.startswith("/proc") and not Path("/proc").is_dir():
        pytest.skip("a place where nobody can write is known on Linux only")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cut.jpg").write_bytes(PHOTO.read_bytes()[:9000])
    (tmp_path / "notes.txt").write_text("no image")
    (tmp_path / "folder.html").mkdir()
    before = sorted(tmp_path.rglob("*"))
    status, stdout, err = run("explain", image, "-o", out, "--model", file)
    assert status == 2
    assert stdout == ""
    assert err.startswith("error: ")
    assert told in err
    assert err.count("\n") == 1
    assert sorted(tmp_path.rglob("*")) == before


def test_a_bad_image_is_told_of_in_the_same_sentence_as_by_detect(run, tmp_path, file):
    cut = tmp_path / "cut.jpg"
    cut.write_bytes(PHOTO.read_bytes()[:9000])
    _, rows, _ = run("detect", "--json", cut, "--model", file)
    _, _, err = run("explain", cut, "-o", tmp_path / "out.png", "--model", file)
    assert err == f"error: {json.loads(rows)['error']}\n"


def test_the_shipped_model_explains(run, tmp_path):
    shutil.copy(EXAMPLES / "photo-chelsea.png", tmp_path / "a.png")
    small = encode(read(tmp_path / "a.png").pixels[:70, :90], "PNG")
    (tmp_path / "a.png").write_bytes(small)
    assert run("explain", tmp_path / "a.png", "-o", tmp_path / "b.html")[0] == 0
