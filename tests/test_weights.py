import pickle

import pytest
import torch

from pixelkin.errors import WeightsError
from pixelkin.lab.detectors import detector_class
from pixelkin.lab.weights import load_official, load_strictly, load_tensors, save_tensors, sha256_of


@pytest.fixture(scope="module")
def npr():
    torch.manual_seed(1)
    return detector_class("npr")().eval()


@pytest.mark.parametrize(
    "wrapped",
    [
        lambda s: s,
        lambda s: {"model": s, "optimizer": {}, "total_steps": 7},
        lambda s: {"state_dict": s, "epoch": 1},
        lambda s: {"netC": s},
        lambda s: {f"module.{k}": v for k, v in s.items()},
        lambda s: {"net": {f"module.model.{k}": v for k, v in s.items()}},
    ],
)
def test_an_official_checkpoint_loads_strictly(npr, tmp_path, wrapped):
    torch.save(wrapped(npr.state_dict()), tmp_path / "NPR.pth")
    other = detector_class("npr")().eval()
    load_strictly(other, load_official(tmp_path / "NPR.pth"), "NPR.pth")
    x = torch.rand(2, 3, 32, 32)
    torch.testing.assert_close(other(x), npr(x), rtol=0, atol=0)


def test_weights_of_another_network_are_refused_by_name_and_change_nothing(npr):
    before = {k: v.clone() for k, v in npr.state_dict().items()}
    wrong = {k: v for k, v in before.items() if k != "fc1.bias"} | {"head.weight": torch.zeros(1)}
    wrong["conv1.weight"] = torch.zeros(64, 3, 7, 7)
    with pytest.raises(WeightsError, match="weights of NPR") as refused:
        load_strictly(npr, wrong, "other.pth")
    for told in (
        "other.pth",
        "1 missing (fc1.bias)",
        "1 unknown (head.weight)",
        "(64, 3, 7, 7), not (64, 3, 3, 3)",
    ):
        assert told in str(refused.value)
    assert all(torch.equal(v, before[k]) for k, v in npr.state_dict().items())


class Payload:
    def __reduce__(self):
        return print, ("this would have been executed",)


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", pickle.dumps(Payload())])
def test_a_checkpoint_that_is_none_is_refused_and_nothing_in_it_runs(tmp_path, capsys, content):
    (tmp_path / "evil.pth").write_bytes(content)
    with pytest.raises(WeightsError, match="evil"):
        load_official(tmp_path / "evil.pth")
    assert capsys.readouterr().out == ""


def test_a_pickled_object_inside_a_torch_file_is_refused(tmp_path):
    torch.save({"model": {"weight": Payload()}}, tmp_path / "evil.pth")
    with pytest.raises(WeightsError, match="plain tensors"):
        load_official(tmp_path / "evil.pth")


def test_a_checkpoint_without_tensors_is_refused(tmp_path):
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(WeightsError, match="no state dict"):
        load_official(tmp_path / "list.pth")


def test_a_damaged_or_foreign_safetensors_file_is_refused(tmp_path):
    path = tmp_path / "w.safetensors"
    save_tensors(path, {"a": torch.arange(1000.0)}, {"step": 3})
    whole = path.read_bytes()
    path.write_bytes(whole[:-100])
    with pytest.raises(WeightsError, match="no readable safetensors"):
        load_tensors(path)
    path.write_bytes(whole.replace(b"pixelkin", b"somebody"))
    with pytest.raises(WeightsError, match="not one that Pixelkin wrote"):
        load_tensors(path)


def test_a_file_is_replaced_whole_and_nothing_is_left_beside_it(tmp_path):
    path = tmp_path / "w.safetensors"
    digests = set()
    for value in (1.0, 2.0):
        save_tensors(path, {"a": torch.full((4,), value)}, {})
        digests.add(sha256_of(path))
    assert len(digests) == 2
    assert [file.name for file in tmp_path.iterdir()] == ["w.safetensors"]
