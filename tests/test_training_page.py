"""docs/training.md: what it tells a reader to type is typed."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from tiny import plant

from pixelkin.lab.runs import load_run

PAGE = Path(__file__).parents[1] / "docs" / "training.md"
OURS = {
    "pixelkin": [sys.executable, "-m", "pixelkin"],
    "torchrun": [sys.executable, "-m", "torch.distributed.run"],
}
RUNS = {"npr", "again", "later", "shards", "two", "bf16", "micro"}


def blocks(kind):
    return re.findall(rf"^```{kind}\n(.*?)^```$", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)


@pytest.mark.slow
def test_every_command_for_a_cpu_does_what_the_page_says(tmp_path):
    plant(tmp_path / "set")
    (recipe,) = blocks("toml")
    (tmp_path / "small.toml").write_text(recipe)
    for line in "".join(blocks("sh")).splitlines():
        first, *rest = shlex.split(line)
        command = [*OURS.get(first, [first]), *rest]
        quick = dict(os.environ, OMP_NUM_THREADS="1")
        done = subprocess.run(command, cwd=tmp_path, env=quick, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{line}\n{done.stderr}"
    assert {run.name for run in (tmp_path / "runs").iterdir()} == RUNS
    for name in RUNS:
        load_run(tmp_path / "runs" / name)
