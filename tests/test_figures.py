"""The pictures of the documents, and the script that makes them."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from tiny import EXAMPLES

import pixelkin
from pixelkin import models
from pixelkin.images import read

ROOT = Path(__file__).parents[1]
WITH_MAPS = "kin-2"  # its graph ends in a mean over places and a layer


@pytest.fixture(scope="module")
def figures():
    spec = importlib.util.spec_from_file_location("figures", ROOT / "benchmarks" / "figures.py")
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "figures", module)  # where its dataclasses look themselves up
        spec.loader.exec_module(module)
        yield module


def test_the_pictures_of_the_pages_are_there_and_small():
    page = "".join(page.read_text("utf-8") for page in (ROOT / "docs").glob("*.md"))
    files = sorted((ROOT / "docs" / "images").iterdir())
    for file in files:
        assert f"images/{file.name}" in page
        assert read(file).width >= 750
    assert len(files) == page.count("](images/")
    assert sum(file.stat().st_size for file in files) < 1_500_000


def test_the_mean_of_the_shipped_models_activation_and_its_bias_are_its_logit(figures):
    data = (models.folder() / models.SHIPPED[WITH_MAPS].file).read_bytes()
    pixels = np.ascontiguousarray(read(EXAMPLES / "photo-chelsea.png").pixels[:128, :128])
    activation = figures.class_activation(data, pixels)
    if activation is None:
        pytest.skip("this model's graph does not end in a mean and a layer")
    graph = onnx.load_from_string(data).graph
    last = [node for node in graph.node if node.op_type == "Gemm"][-1]
    (bias,) = (onnx.numpy_helper.to_array(each) for each in graph.initializer if each.name == last.input[2])
    (logit,) = pixelkin.load(WITH_MAPS, threads=1).logits(pixels.transpose(2, 0, 1)[None])
    assert activation.mean() + bias[0] == pytest.approx(logit, abs=1e-3)
    assert figures.activation_over(data, pixels).shape == (128, 128)
