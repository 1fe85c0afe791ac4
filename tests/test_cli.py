"""The command line, as a person or a script meets it."""

import csv
import io
import json
import os
import shutil
import subprocess
import sys
import time

import pytest
from PIL import Image
from tiny import EXAMPLES, RECIPE, plant
from tiny import settings as words

from pixelkin import __version__, cli
from pixelkin.caution import CAUTION
from pixelkin.images import read
from pixelkin.models import DEFAULT, SHIPPED

PHOTOS = sorted(EXAMPLES.glob("photo-*"))
FIELDS = [
    "path",
    "verdict",
    "probability",
    "score",
    "width",
    "height",
    "format",
    "model",
    "model_sha256",
    "error",
]


@pytest.fixture
def run(monkeypatch, capsys):
    """Runs `pixelkin` with arguments in this process; gives its exit status, stdout and stderr."""

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["pixelkin", *map(str, arguments)])
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        return stopped.value.code or 0, *capsys.readouterr()

    return call


def test_detect_says_verdict_probability_size_and_path(run):
    status, out, err = run("detect", PHOTOS[0], PHOTOS[1])
    assert status == 0
    first, second = out.splitlines()
    assert first.split()[0] in {"real", "uncertain", "generated"}
    assert "%" in first
    assert first.endswith("photo-chelsea.png")
    assert "451 x 300 PNG" in first
    assert second.endswith("photo-coffee.png")
    assert err == CAUTION + "\n"


def test_detect_json_is_one_object_a_line_with_every_key(run):
    status, out, _ = run("detect", "--json", EXAMPLES)
    rows = [json.loads(line) for line in out.splitlines()]
    assert status == 0
    assert len(rows) == 8
    for row in rows:
        assert list(row) == FIELDS
        assert row["verdict"] in {"real", "uncertain", "generated"}
        assert 0 <= row["probability"] <= 1
        assert row["error"] is None
        assert row["model_sha256"] == SHIPPED[DEFAULT].sha256
    assert [row["path"] for row in rows] == sorted(row["path"] for row in rows)


def test_detect_csv_has_the_same_columns(run, tmp_path):
    awkward = tmp_path / 'a, "b".png'
    shutil.copy(PHOTOS[0], awkward)
    status, out, _ = run("detect", "--csv", awkward)
    (row,) = csv.DictReader(io.StringIO(out))
    assert status == 0
    assert list(row) == FIELDS
    assert row["path"] == str(awkward)
    assert row["width"] == "451"


def test_an_unreadable_file_is_a_row_and_the_others_are_still_judged(run, tmp_path):
    (tmp_path / "cut.jpg").write_bytes((EXAMPLES / "photo-flower.jpg").read_bytes()[:9000])
    shutil.copy(PHOTOS[0], tmp_path / "whole.png")
    missing = tmp_path / "missing.png"
    status, out, _ = run("detect", "--json", tmp_path, missing)
    cut, whole, gone = (json.loads(line) for line in out.splitlines())
    assert status == 1
    assert cut["verdict"] is None
    assert cut["path"] in cut["error"]
    assert "cut short" in cut["error"]
    assert whole["error"] is None
    assert "No such file" in gone["error"]
    status, out, _ = run("detect", tmp_path, missing)
    assert status == 1
    assert [line.split()[0] == "unreadable" for line in out.splitlines()] == [True, False, True]


def test_folders_are_searched_to_any_depth_in_any_case(run, tmp_path):
    (tmp_path / "a" / "b").mkdir(parents=True)
    shutil.copy(PHOTOS[0], tmp_path / "a" / "b" / "X.PNG")
    shutil.copy(EXAMPLES / "photo-rocket.jpg", tmp_path / "a" / "y.JpEg")
    (tmp_path / "notes.txt").write_text("no image")
    _, out, _ = run("detect", "--json", tmp_path)
    assert [json.loads(line)["format"] for line in out.splitlines()] == ["PNG", "JPEG"]


def test_the_first_frame_of_an_animation_is_judged_and_said_so(run, tmp_path):
    frames = [Image.open(PHOTOS[0]).convert("P"), Image.open(PHOTOS[0]).rotate(90).convert("P")]
    frames[0].save(tmp_path / "moving.gif", save_all=True, append_images=frames[1:])
    status, _, err = run("detect", tmp_path / "moving.gif")
    assert status == 0
    assert "its first frame of 2 was judged" in err


def test_heat_maps_are_written_at_picture_size(run, tmp_path):
    run("detect", PHOTOS[0], EXAMPLES / "photo-rocket.jpg", "--heatmap", tmp_path / "maps")
    sizes = sorted(read(file).pixels.shape[:2] for file in (tmp_path / "maps").iterdir())
    assert sizes == [(300, 451), (427, 640)]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["detect", "--model", "nope", PHOTOS[0]], "no model is named 'nope'"),
        (["detect", "--json", "--csv", PHOTOS[0]], "exclude each other"),
        (["train", "--set", "lr=1"], "missing"),
        (["train", "--detector", "nprr", "--data", EXAMPLES, "--out", "x"], "no detector is named 'nprr'"),
        (["train", "--detector", "npr", "--data", EXAMPLES, "--out", "x"], "none of its 8 images"),
        (
            ["train", "--detector", "npr", "--set", "options.l=2", "--data", "x", "--out", "x"],
            "period, reference",
        ),
        (["train", "missing.toml"], "missing.toml"),
        (["evaluate", "--data", "nowhere", "--out", "x"], "nowhere is not a folder"),
        (["evaluate", "--data", "x", "--out", "x", "--model", "a", "--run", "b"], "exclude each other"),
        (["export", "nowhere", "-o", "x.onnx"], "is it the folder of a run"),
    ],
)
def test_what_cannot_be_done_is_a_sentence_and_status_2(run, tmp_path, monkeypatch, arguments, told):
    monkeypatch.chdir(tmp_path)
    status, _, err = run(*arguments)
    assert status == 2
    assert err.startswith("error: ")
    assert told in err
    assert "Traceback" not in err
    assert list(tmp_path.iterdir()) == []


def test_a_folder_without_images_is_wrong_usage(run, tmp_path):
    status, _, err = run("detect", tmp_path)
    assert status == 2
    assert "a folder without images" in err


@pytest.mark.parametrize("arguments", [["detect"], ["detect", "--nonsense", "x"], ["dettect", "x"]])
def test_wrong_usage_is_status_2(run, arguments):
    assert run(*arguments)[0] == 2


def test_the_lists_name_what_there_is(run):
    assert DEFAULT in run("models")[1]
    assert "2312.10461" in run("detectors")[1]
    assert run("--version")[1] == f"pixelkin {__version__}\n"


def program(*arguments, **options):
    return subprocess.run(
        [sys.executable, "-m", "pixelkin", *map(str, arguments)], capture_output=True, check=False, **options
    )


def test_standard_input_is_judged():
    done = program("detect", "-", "--json", input=PHOTOS[0].read_bytes())
    row = json.loads(done.stdout)
    assert done.returncode == 0
    assert row["path"] == "-"
    assert row["width"] == 451
    assert program("detect", "-", "--json", input=b"").returncode == 1


@pytest.mark.alone
def test_help_answers_at_once_and_loads_neither_torch_nor_a_runtime():
    times = []
    for _ in range(5):
        began = time.perf_counter()
        assert program("--help").returncode == 0
        times.append(time.perf_counter() - began)
    assert min(times) < 0.4
    loaded = (
        "import sys; from pixelkin import cli; print({'torch', 'onnxruntime', 'numpy'} & set(sys.modules))"
    )
    answer = subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True, check=True)
    assert answer.stdout == "set()\n"


def test_judging_needs_no_torch(tmp_path):
    (tmp_path / "torch.py").write_text("raise ImportError('torch was imported')")
    done = program("detect", PHOTOS[0], env=os.environ | {"PYTHONPATH": str(tmp_path)})
    assert done.returncode == 0, done.stderr


def test_without_the_laboratory_training_says_what_to_install(tmp_path):
    hidden = "import sys; sys.modules['torch'] = None; sys.argv = ['pixelkin', 'train', '--out', 'x'];"
    done = subprocess.run(
        [sys.executable, "-c", hidden + "from pixelkin.cli import main; main()"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "pip install 'pixelkin[lab]'" in done.stderr


def test_from_images_to_a_model_that_judges(run, tmp_path):
    data = plant(tmp_path / "data", 32)
    (data / "squares" / "1_fake" / "bad.png").write_bytes(b"nothing")
    status, out, err = run("train", "--data", data, "--out", tmp_path / "run", *words(epochs=1))
    assert (status, out.strip()) == (0, str(tmp_path / "run"))
    assert "32 images (32 PNG)" in err
    assert "unreadable: " in err
    assert "bad.png" in err
    status, page, _ = run(
        "evaluate", "--data", data, "--run", tmp_path / "run", "--out", tmp_path / "report", "--workers", 0
    )
    assert status == 0
    assert "squares" in page
    assert "1 images could not be read" in page
    (tmp_path / "card.toml").write_text('name = "mine"\nlicence = "CC0"\ntile = 32\n')
    model = tmp_path / "mine.onnx"
    report = f"--report=clean={tmp_path / 'report' / 'report.json'}"
    status, out, _ = run("export", tmp_path / "run", "-o", model, "--card", tmp_path / "card.toml", report)
    assert status == 0
    assert "mine" in out
    status, out, _ = run("detect", "--json", "--model", model, PHOTOS[0])
    assert status == 0
    assert json.loads(out)["model"] == "mine"
    status, page, _ = run(
        "evaluate", "--data", data, "--model", model, "--out", tmp_path / "r2", "--degrade", "jpeg:75"
    )
    assert status == 0
    assert "jpeg:75" in page
    assert (
        json.loads((tmp_path / "r2" / "report.json").read_text())["about"]["protocol"]["degradation"]
        == "jpeg:75"
    )


def test_the_recipe_file_and_its_overrides_meet(run, tmp_path):
    data = plant(tmp_path / "data", 16)
    recipe = tmp_path / "recipe.toml"
    lines = [f"{k} = {json.dumps(v)}" for k, v in RECIPE.items()]
    recipe.write_text(
        "\n".join([f'data = "{data}"', f'out = "{tmp_path / "run"}"', *lines, "[degradations]", "jpeg = 0.5"])
    )
    status, _, err = run("train", recipe, "--set", "epochs=1", "--set", "degradations.jpeg=2")
    assert status == 2
    assert "degradations.jpeg is a probability" in err
    assert run("train", recipe, "--set", "epochs=1", "--set", "images_per_epoch=8")[0] == 0
    assert run("train", recipe, "--set", "epochs=1", "--set", "images_per_epoch=8")[0] == 2
    assert run("train", recipe, "--set", "epochs=2", "--set", "images_per_epoch=8", "--resume")[0] == 0
