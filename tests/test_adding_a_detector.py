"""The page that tells how to add a detector, taken at its word."""

import re
import sys
from pathlib import Path
from types import ModuleType

import pytest
from tiny import EXAMPLES, RECIPE, plant

from pixelkin import config as settings
from pixelkin.data import find_samples
from pixelkin.lab import detectors
from pixelkin.lab.export import ExportConfig, export
from pixelkin.lab.recipe import TrainConfig
from pixelkin.lab.scorer import subject_of_run
from pixelkin.lab.train import train
from pixelkin.model import load
from pixelkin.scoring import score

PAGE = Path(__file__).parents[1] / "docs" / "adding-a-detector.md"


@pytest.fixture
def registered(monkeypatch):
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), flags=re.DOTALL)
    (line,) = re.findall(r'`"(\w+)": "([\w:]+)"`', PAGE.read_text("utf-8"))
    module = ModuleType("pixelkin.lab.detectors.sharpness")
    exec(compile(code, str(PAGE), "exec"), module.__dict__)  # noqa: S102 - our own page
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(detectors.DETECTORS, *line)
    body = code[code.index("    def __init__") :]
    assert len([each for each in body.splitlines() if each.strip()]) <= 10
    return line[0]


def test_the_page_s_ten_lines_are_trained_measured_and_exported(registered, tmp_path):
    data = plant(tmp_path / "data")
    values = RECIPE | {"detector": registered, "data": str(data), "out": str(tmp_path / "run"), "lr": 0.1}
    run = train(settings.build(TrainConfig, values))
    subject = subject_of_run(run)
    assert subject.name == "run (Sharpness)"
    samples = find_samples(data)
    assert all(scored.error is None for scored in score(subject.scorer, data, samples))
    export(run, tmp_path / "sharpness.onnx", ExportConfig(tile=32))
    model = load(tmp_path / "sharpness.onnx")
    assert model.card.system == "sharpness"
    assert 0 <= model.detect(EXAMPLES / "photo-flower.jpg").probability <= 1
