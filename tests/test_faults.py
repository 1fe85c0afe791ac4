"""What goes wrong around it: disks, permissions, signals, readers that leave, corrupt models, clocks."""

import ast
import ctypes
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import trees
from test_scan import plant as plant_many
from test_scan import rows_of
from test_scan_process import children_of, heard, is_gone
from test_train import recipe
from tiny import EXAMPLES, plant, settings, write_model

import pixelkin
from pixelkin import images, rows
from pixelkin.lab.runs import LAST
from pixelkin.lab.train import train
from pixelkin.lab.weights import load_tensors
from pixelkin.model import load
from pixelkin.models import DEFAULT, SHIPPED, folder

PATIENCE = 120  # seconds
PHOTO = EXAMPLES / "photo-coffee.png"


def command(*arguments):
    return [sys.executable, "-m", "pixelkin", *map(str, arguments)]


def program(*arguments, **options):
    how = {"capture_output": True, "text": True, "check": False, "timeout": PATIENCE} | options
    return subprocess.run(command(*arguments), **how)


def begun(*arguments, **options):
    """The program, heard by signals as if a terminal had started it, whatever started the tests."""
    piped = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command(*arguments), preexec_fn=heard, **piped, **options)


def assert_refused(done, words):
    """Status 2, and one sentence at the end that has ``words``."""
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1].startswith("error: ")
    assert words in done.stderr.splitlines()[-1]


class Disk:
    """A file system in memory, of the size that it is given."""

    def __init__(self, place):
        self.place = place
        place.mkdir()

    def mount(self, *options):
        how = ["mount", "-t", "tmpfs", "-o", ",".join(options), "pixelkin-test", self.place]
        return subprocess.run(how, capture_output=True, check=False).returncode == 0

    def remount(self, *options):
        assert self.mount("remount", *options)


@pytest.fixture
def disk(tmp_path):
    if os.geteuid() or not shutil.which("mount"):
        pytest.skip("a small disk takes root")
    made = Disk(tmp_path / "disk")
    if not made.mount("size=4m"):
        pytest.skip("no disk may be mounted here")
    yield made
    subprocess.run(["umount", made.place], check=True)


def scanning(tmp_path, out):
    data, model = plant_many(tmp_path / "data", 40), write_model(tmp_path / "tiny.onnx")

    def check():
        found = rows_of(out)
        assert len({row["path"] for row in found}) == len(found) == 41
        return {*out.glob("part-*"), *out.glob("_*"), out / ".lock"}

    return ("scan", data, "--model", model, "--out", out, "--part", 9, "--workers", 1), check


def evaluating(tmp_path, out):
    trees.pair(tmp_path / "data", 12)
    model = write_model(tmp_path / "tiny.onnx")

    def check():
        _, found = rows.read(out / "scores" / "clean.parquet")
        assert len({row.sample.path for row in found}) == len(found) == 24
        assert all(row.score is not None for row in found)
        return {*out.glob("report.*"), out / "scores"}

    return ("evaluate", "--data", tmp_path / "data", "--model", model, "--out", out, "--workers", 0), check


def training(tmp_path, out):
    def check():
        _, facts = load_tensors(out / LAST)
        assert facts["state"]["step"] == 10
        return {*out.glob("*.safetensors"), *out.glob("*.json"), out / "tensorboard"}

    data = f"--data={plant(tmp_path / 'data')}"
    return ("train", data, f"--out={out}", "--resume", *settings(checkpoint_steps=1)), check


def exporting(tmp_path, out):
    run = train(recipe(plant(tmp_path / "data"), tmp_path / "run", epochs=1))
    out.mkdir(exist_ok=True)

    def check():
        assert load(str(out / "m.onnx")).card.system == "npr"
        return {out / "m.onnx"}

    return ("export", run, "-o", out / "m.onnx"), check


def mapping(tmp_path, out):
    def check():
        found = {*out.glob("*.png")}
        assert len(found) == len(list(EXAMPLES.glob("*-*.*")))
        assert all(images.read(file).width for file in found)
        return found

    return ("detect", EXAMPLES, "--heatmap", out), check


JOBS = {scanning: 32, evaluating: 12, training: 1000, exporting: 48, mapping: 400}  # KiB that do not suffice


@pytest.mark.slow
@pytest.mark.parametrize("job", JOBS, ids=lambda job: job.__name__)
def test_a_disk_that_is_read_only_or_full_is_a_sentence_and_once_it_has_room_the_command_is_done(
    job, disk, tmp_path
):
    disk.remount("size=64m")
    out = disk.place / "out"
    arguments, check = job(tmp_path, out)
    filler = disk.place / "filler"
    filler.write_bytes(bytes(1024 * (64 * 1024 - JOBS[job])))
    disk.remount("ro")
    assert_refused(program(*arguments), "Read-only file system")
    disk.remount("rw")
    assert_refused(program(*arguments), "No space left on device")
    filler.unlink()
    done = program(*arguments)
    assert done.returncode in (0, 1), done.stderr
    assert set(out.iterdir()) == check(), "something is left beside"


def unprivileged():
    """Root that heeds permissions, in what is executed next."""
    drop, override, search = 24, 1, 2  # PR_CAPBSET_DROP, CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
    for capability in (override, search):
        ctypes.CDLL(None).prctl(drop, capability, 0, 0, 0)


@pytest.mark.slow
def test_a_file_that_may_not_be_read_is_a_row_and_a_folder_that_may_not_be_written_a_sentence(tmp_path):
    data, model = plant_many(tmp_path / "data", 4), write_model(tmp_path / "tiny.onnx")
    (data / "002.png").chmod(0)
    told = program("detect", data, "--json", "--model", model, preexec_fn=unprivileged)
    assert told.returncode == 1
    assert told.stdout.count("Permission denied") == 1
    out = tmp_path / "out"
    scan = ("scan", data, "--model", model, "--out", out)
    assert program(*scan, preexec_fn=unprivileged).returncode == 1
    errors = {Path(row["path"]).name: row["error"] for row in rows_of(out)}
    assert {name for name, error in errors.items() if error} == {"002.png", "005bad.png"}
    assert "Permission denied" in errors["002.png"]
    out.chmod(0o500)
    (out / "part-0000000.parquet").unlink()
    assert_refused(program(*scan, preexec_fn=unprivileged), "Permission denied")
    data.chmod(0)
    assert_refused(program("detect", data, preexec_fn=unprivileged), "Permission denied")
    data.chmod(0o700)


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments", [("detect", PHOTO), ("scan", EXAMPLES, "--out"), ("evaluate", "--data", EXAMPLES, "--out")]
)
def test_a_corrupt_model_file_is_a_sentence_and_nothing_is_written(arguments, tmp_path):
    data = bytearray((folder() / SHIPPED[DEFAULT].file).read_bytes())
    data[len(data) // 2] ^= 1
    (tmp_path / "m.onnx").write_bytes(data)
    out = [tmp_path / "out"] if arguments[-1] == "--out" else []
    assert_refused(program(*arguments, *out, "--model", tmp_path / "m.onnx"), "m.onnx")
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
@pytest.mark.parametrize("form", ["--json", "--csv", None])
def test_a_reader_that_leaves_ends_it_without_a_word(form):
    process = begun("detect", *filter(None, [form]), *[EXAMPLES] * 3)
    assert process.stdout.readline()
    process.stdout.close()
    assert process.wait(PATIENCE) == 141
    assert process.stderr.read() == ""
    process.stderr.close()


@pytest.mark.slow
@pytest.mark.parametrize("form", ["--json", "--csv"])
def test_output_that_cannot_be_written_is_a_sentence(form):
    with Path("/dev/full").open("w") as full:
        done = program("detect", form, PHOTO, capture_output=False, stdout=full, stderr=subprocess.PIPE)
    assert_refused(done, "No space left on device")


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_told_to_stop_judging_ends_and_says_so(number):
    process = begun("detect", "--csv", *[EXAMPLES] * 20)
    assert process.stdout.readline()
    process.send_signal(number)
    _, told = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130
    assert told.splitlines()[-1] == "stopped"


@pytest.mark.slow
def test_started_to_ignore_interrupts_it_does():
    def deaf():
        signal.signal(signal.SIGINT, signal.SIG_IGN)

    process = subprocess.Popen(
        command("detect", "--csv", EXAMPLES), stdout=subprocess.PIPE, text=True, preexec_fn=deaf
    )
    assert process.stdout.readline()
    process.send_signal(signal.SIGINT)
    told, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0
    assert len(told.splitlines()) == len(list(EXAMPLES.glob("*-*.*")))


@pytest.mark.slow
def test_a_training_told_to_stop_says_how_to_go_on_and_does(tmp_path):
    arguments, check = training(tmp_path, tmp_path / "run")
    process = begun(*arguments)
    until = time.monotonic() + PATIENCE
    while not (tmp_path / "run" / LAST).exists() and time.monotonic() < until:
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    _, told = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130
    assert told.splitlines()[-1].startswith("stopped: --resume goes on from the last checkpoint in ")
    assert program(*arguments).returncode == 0
    check()


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_workers_do_not_outlive_an_evaluation_and_its_rows_are_each_there_once(tmp_path, number):
    for label in ("0_real", "1_fake"):
        plant_many(tmp_path / "data" / label, 300)
    model, out = write_model(tmp_path / "tiny.onnx"), tmp_path / "out"
    arguments = ("evaluate", "--data", tmp_path / "data", "--model", model, "--out", out, "--workers", 2)
    process = begun(*arguments)
    until = time.monotonic() + PATIENCE
    while not list(out.glob("scores/clean.parts/*.parquet")) and time.monotonic() < until:
        time.sleep(0.01)
    children = children_of(process)
    process.send_signal(number)
    process.communicate(timeout=PATIENCE)
    assert process.returncode == (130 if number == signal.SIGTERM else -number)
    until = time.monotonic() + 20
    while not all(map(is_gone, children)) and time.monotonic() < until:
        time.sleep(0.05)
    assert len(children) >= 2
    assert all(map(is_gone, children)), "a worker outlived the evaluation"
    assert program(*arguments).returncode == 0
    _, found = rows.read(out / "scores" / "clean.parquet")
    assert len({row.sample.path for row in found}) == len(found) == 602


JUMPS = """
import itertools, time
turns = itertools.count()
def jumping(plain=time.time):
    return plain() + (86400, -86400)[next(turns) % 2]
time.time = jumping
time.time_ns = lambda: int(jumping() * 1e9)
"""


@pytest.mark.slow
@pytest.mark.parametrize("job", [scanning, evaluating], ids=lambda job: job.__name__)
def test_a_clock_that_jumps_by_a_day_changes_no_row(job, tmp_path):
    (tmp_path / "sitecustomize.py").write_text(JUMPS)
    arguments, check = job(tmp_path, tmp_path / "out")
    jumping = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])}
    for _ in range(2):  # again: it finds all done
        done = program(*arguments, env=jumping)
        assert done.returncode in (0, 1), done.stderr
        check()


def test_nothing_asks_for_the_time_of_day():
    """Rates, timeouts and deadlines are by clocks that nobody sets."""
    wall = {"time.time", "time.time_ns", "datetime.now", "datetime.utcnow", "datetime.today", "date.today"}
    asked = {
        (file.name, ast.unparse(node))
        for file in Path(pixelkin.__file__).parent.rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Attribute) and ".".join(ast.unparse(node).split(".")[-2:]) in wall
    }
    assert asked == set()
