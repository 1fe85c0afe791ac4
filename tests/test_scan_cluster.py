"""The same scan on Ray: a cluster of several nodes on this machine's loopback."""

import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

import killers
import pytest
from test_scan import plant, rows_of
from tiny import EXAMPLES, write_model

from pixelkin.errors import ConfigError, DataError
from pixelkin.isolation import Limits
from pixelkin.scan.cluster import Resources
from pixelkin.scan.run import How, scan

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

PATIENCE = 120  # seconds
THREE = How(engine="ray", workers=3, limits=Limits(seconds=3.0, memory=4 * 1024**3))


@pytest.fixture(scope="module", autouse=True)
def cluster():
    """Three nodes of one CPU each."""
    patch = pytest.MonkeyPatch()
    patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    patch.setenv("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
    patch.setenv("PYTHONPATH", os.pathsep.join(sys.path))  # for the killers
    import ray
    from ray.cluster_utils import Cluster

    facts = {"num_cpus": 1, "object_store_memory": 100 * 1024**2, "node_ip_address": "127.0.0.1"}
    nodes = Cluster(initialize_head=True, head_node_args=facts | {"include_dashboard": False})
    for _ in range(2):
        nodes.add_node(**facts)
    nodes.wait_for_nodes()
    ray.init(address=nodes.address, log_to_driver=False, logging_level="ERROR")
    yield nodes
    ray.shutdown()
    nodes.shutdown()
    patch.undo()


def processes(word):
    """Ids of this user's processes whose title begins with a word."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if (folder / "cmdline").read_bytes().startswith(word):
                yield int(folder.name)
        except OSError:
            continue


@contextmanager
def an_actor_killed(out, killed):
    """Once a first part is there, one of the processes that judge is killed."""

    def kill():
        until = time.monotonic() + PATIENCE
        while not list(out.glob("part-*.parquet")) and time.monotonic() < until:
            time.sleep(0.01)
        for pid in list(processes(b"ray::MapWorker"))[:1]:
            os.kill(pid, signal.SIGKILL)
            killed.append(pid)

    thread = Thread(target=kill)
    thread.start()
    yield
    thread.join()


def test_the_rows_are_the_local_engine_s_bit_for_bit_with_an_actor_killed_meanwhile(tmp_path):
    scan(str(EXAMPLES), tmp_path / "local", part=1, how=How(workers=2))
    killed = []
    with an_actor_killed(tmp_path / "ray", killed):
        counts = scan(str(EXAMPLES), tmp_path / "ray", part=1, how=THREE)
    assert len(killed) == 1
    assert counts.total() == 8
    assert rows_of(tmp_path / "ray") == rows_of(tmp_path / "local")


def test_a_scan_begun_by_one_engine_is_ended_by_the_other(tmp_path):
    model = str(write_model(tmp_path / "tiny.onnx"))
    data = plant(tmp_path / "data")
    scan(str(data), tmp_path / "local", model=model, part=5, how=How(workers=2))
    scan(str(data), tmp_path / "both", model=model, part=5, how=How(workers=2))
    for number in (1, 3):
        (tmp_path / "both" / f"part-000000{number}.parquet").unlink()
    told = []
    scan(
        str(data), tmp_path / "both", model=model, how=THREE, on_counts=lambda more: told.append(more.total())
    )
    assert sum(told) == 10
    assert rows_of(tmp_path / "both") == rows_of(tmp_path / "local")


def test_killers_cost_their_image_and_a_lost_source_stops_with_a_sentence(tmp_path):
    model = str(write_model(tmp_path / "tiny.onnx"))
    data = plant(tmp_path / "data", 6)
    for word in ("crash", "hang"):
        (data / f"000{word}.png").write_bytes(b"")
    counts = scan(str(data), tmp_path / "out", model=model, part=3, how=THREE, decode=killers.decode)
    assert counts["unreadable"] == 3
    (tmp_path / "out" / "part-0000001.parquet").unlink()
    data.rename(tmp_path / "gone")
    with pytest.raises(DataError, match="cannot be read"):
        scan(str(data), tmp_path / "out", model=model, how=THREE)


def test_impossible_resources_are_refused():
    with pytest.raises(ConfigError, match="0 CPUs"):
        Resources(cpus=0)


def listening():
    """Addresses that processes of Ray's listen on, as the kernel writes them."""
    of_ray = {
        str(handle.readlink())
        for word in (b"ray::", b"/", b"raylet")
        for pid in processes(word)
        if b"ray" in Path(f"/proc/{pid}/cmdline").read_bytes()
        for handle in Path(f"/proc/{pid}/fd").glob("*")
        if handle.is_symlink()
    }
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            place, state, inode = (line.split()[at] for at in (1, 3, 9))
            if state == "0A" and f"socket:[{inode}]" in of_ray:
                yield place.rpartition(":")[0]


def test_nothing_of_it_can_be_reached_from_another_machine():
    loopback = {"0100007F", "00000000000000000000000001000000", "0000000000000000FFFF00000100007F"}
    assert set(listening()) <= loopback
    assert set(listening())


def test_without_ray_it_says_what_to_install(tmp_path):
    hidden = "import sys; sys.modules['ray'] = None; from pixelkin.cli import main; main()"
    arguments = ["scan", str(EXAMPLES), "--out", str(tmp_path / "out"), "--engine", "ray"]
    done = subprocess.run(
        [sys.executable, "-c", hidden, *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "pip install 'pixelkin[ray]'" in done.stderr
