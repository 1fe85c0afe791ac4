"""The shipped models say of the examples what they said when they were shipped."""

import json

import golden_verdicts
import pytest
from tiny import EXAMPLES, write_model

from pixelkin.errors import ModelError
from pixelkin.model import load
from pixelkin.models import SHIPPED

# Kernels of other processors and releases of the runtime add up in another order; on one machine
# test_determinism.py asks for 1e-5.
TOLERANCE = {False: 1e-3, True: 1e-2}  # by whether there is an encoder, which rounds in every block
PINNED = json.loads(golden_verdicts.FILE.read_text())
CHANGES = (EXAMPLES.parent / "CHANGELOG.md").read_text("utf-8").split("\n- ")
AGAIN = "pin them, once the changelog tells of the model: python tests/golden_verdicts.py"


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_model_says_what_is_pinned(name):
    model = load(name)
    pinned = PINNED.get(golden_verdicts.key(model))
    assert pinned, AGAIN
    assert pinned["sha256"] == model.sha256, "a changed model has a new name or version"
    found = golden_verdicts.entry(model)["verdicts"]
    assert found.keys() == pinned["verdicts"].keys()
    tolerance = TOLERANCE[bool(model.card.encoder)]
    bounds = (model.card.real_below, model.card.generated_above)
    for file, was in pinned["verdicts"].items():
        assert found[file]["probability"] == pytest.approx(was["probability"], abs=tolerance), file
        if all(abs(was["probability"] - bound) > tolerance for bound in bounds):
            assert found[file]["verdict"] == was["verdict"], file


@pytest.mark.parametrize("key", PINNED)
def test_the_changelog_tells_of_every_model_that_was_pinned(key):
    name, digest = key.split()[0], PINNED[key]["sha256"][:8]
    assert [change for change in CHANGES if name in change and digest in change], f"{name}, {digest}"


def test_no_pinned_verdict_is_replaced(tmp_path):
    first, other = (
        load(write_model(tmp_path / "tiny.onnx", scale=scale), threads=1) for scale in (1 / 16, 1 / 20)
    )
    pinned = golden_verdicts.pinned_too({}, first)
    assert golden_verdicts.pinned_too(pinned, first) == pinned
    with pytest.raises(ModelError, match="a test's 0 is pinned with another file: give its card a new name"):
        golden_verdicts.pinned_too(pinned, other)
    newer = load(write_model(tmp_path / "newer.onnx", scale=1 / 20, version="1"), threads=1)
    assert list(golden_verdicts.pinned_too(pinned, newer)) == ["a test's 0", "a test's 1"]
