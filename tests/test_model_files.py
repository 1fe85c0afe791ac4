"""Files of models and weights that were damaged, edited or made to harm: refused, each with a sentence."""

import ast
import json
import os
import struct
import zipfile
from pathlib import Path

import onnx
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper
from pairs_model import graph

import pixelkin
from pixelkin import modelfile, models
from pixelkin.errors import ModelError, WeightsError
from pixelkin.lab import weights
from pixelkin.model import CARD_KEY, Model
from pixelkin.modelfile import check, sealed

PLAIN = graph()


def edited(change):
    """The model with what ``change`` does to it, sealed anew as somebody would who means harm."""
    model = onnx.load_from_string(PLAIN)
    change(model)
    return sealed(model.SerializeToString())


def test_a_seal_is_metadata_that_every_reader_of_onnx_sees():
    metadata = {entry.key: entry.value for entry in onnx.load_from_string(PLAIN).metadata_props}
    assert metadata.keys() == {CARD_KEY, "pixelkin.sha256"}
    assert sealed(PLAIN) == PLAIN
    Model(PLAIN)


@pytest.mark.parametrize("name", models.SHIPPED)
def test_the_shipped_models_are_sealed(name):
    data = (models.folder() / models.SHIPPED[name].file).read_bytes()
    check(data, name)
    assert sealed(data) == data


@given(st.integers(0, len(PLAIN) - 1), st.integers(1, 255))
def test_any_changed_byte_is_noticed(place, change):
    data = bytearray(PLAIN)
    data[place] ^= change
    with pytest.raises(ModelError, match="altered"):
        check(bytes(data), "a model")


@given(st.integers(0, len(PLAIN) - 1))
def test_a_file_cut_anywhere_is_noticed(length):
    with pytest.raises(ModelError, match="cut short"):
        check(PLAIN[:length], "a model")


def test_an_edited_card_or_graph_is_refused():
    other = PLAIN.replace(b'"temperature": 1.0', b'"temperature": 9.0')
    assert other != PLAIN
    with pytest.raises(ModelError, match="was altered since it was exported"):
        Model(other)
    model = onnx.load_from_string(PLAIN)
    model.graph.node[-1].op_type = "Div"
    with pytest.raises(ModelError, match="was altered since it was exported"):
        Model(model.SerializeToString())
    model.metadata_props.pop()
    with pytest.raises(ModelError, match="does not end in a seal"):
        Model(model.SerializeToString())


def outside(tensor, path="/etc/passwd"):
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=path)


def in_attribute(model):
    inner = helper.make_tensor("x", TensorProto.FLOAT, [1], [0.0])
    outside(inner, "../../secret")
    model.graph.node.append(helper.make_node("Constant", [], ["x"], value=inner))


def in_branch(model):
    inner = helper.make_tensor("x", TensorProto.FLOAT, [1], [0.0])
    outside(inner)
    branch = helper.make_graph([], "branch", [], [], [inner])
    model.graph.node.append(helper.make_node("If", ["c"], ["y"], then_branch=branch, else_branch=branch))


def sparse(model):
    values = helper.make_tensor("x", TensorProto.FLOAT, [1], [0.0])
    outside(values)
    places = helper.make_tensor("places", TensorProto.INT64, [1], [0])
    model.graph.sparse_initializer.append(helper.make_sparse_tensor(values, places, [1]))


def only_said_to_be_outside(model):
    model.graph.initializer[0].data_location = TensorProto.EXTERNAL


@pytest.mark.parametrize(
    "change",
    [
        lambda model: outside(model.graph.initializer[0]),
        lambda model: outside(model.graph.initializer[0], "weights.bin"),
        *(in_attribute, in_branch, sparse, only_said_to_be_outside),
    ],
)
def test_tensors_in_other_files_are_refused(change):
    with pytest.raises(ModelError, match="tensors that lie in other files"):
        Model(edited(change))


@pytest.mark.parametrize("domain", ["com.microsoft", "evil", "ai.onnx.ml"])
def test_operators_beside_onnx_s_own_are_refused(domain):
    def change(model):
        model.opset_import.append(helper.make_opsetid(domain, 1))
        model.graph.node[-1].domain = domain

    with pytest.raises(ModelError, match=f"operators of b'{domain}'"):
        Model(edited(change))


def test_functions_and_deep_nesting_are_refused():
    made = helper.make_function("", "F", ["x"], ["y"], [], [helper.make_opsetid("", 18)])
    with pytest.raises(ModelError, match="functions of its own"):
        Model(edited(lambda model: model.functions.append(made)))

    def nest(model):
        inner = helper.make_graph([], "g", [], [])
        for _ in range(30):
            inner = helper.make_graph([helper.make_node("Loop", [], [], body=inner)], "g", [], [])
        model.graph.node.append(helper.make_node("Loop", [], [], body=inner))

    with pytest.raises(ModelError, match="graphs within graphs"):
        Model(edited(nest))


@given(st.binary(max_size=200))
def test_sealed_rubbish_is_refused_and_nothing_else_happens(rubbish):
    with pytest.raises(ModelError):
        Model(sealed(rubbish))


def test_a_model_file_over_the_bound_or_of_no_end_is_not_read(tmp_path):
    with (tmp_path / "huge.onnx").open("wb") as file:
        file.truncate(2**40)  # sparse: no byte of it is written
    with pytest.raises(ModelError, match=r"huge\.onnx: 1,099,511,627,776 bytes, over the 536,870,912"):
        pixelkin.load(tmp_path / "huge.onnx")
    os.mkfifo(tmp_path / "pipe.onnx")
    for path in (tmp_path / "pipe.onnx", Path("/dev/zero")):
        with pytest.raises(ModelError, match="not a regular file"):
            pixelkin.load(path)


def test_files_of_before_there_were_seals_are_sealed_by_one_command(tmp_path, capsys):
    old = onnx.load_from_string(PLAIN)
    old.metadata_props.pop()
    (tmp_path / "old.onnx").write_bytes(old.SerializeToString())
    modelfile.main([str(tmp_path / "old.onnx")])
    assert capsys.readouterr().out.startswith(Model((tmp_path / "old.onnx").read_bytes()).sha256)


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "w.safetensors"
    tensors = {
        "a": torch.arange(40.0).view(5, 8).t(),
        "half": torch.ones(3, dtype=torch.bfloat16),
        "count": torch.tensor(7),
        "none": torch.zeros(0),
    }
    weights.save_tensors(path, tensors, {"step": 3, "best": float("-inf"), "sizes": (1, 2)})
    return path


def test_weights_travel_whole(saved):
    tensors, facts = weights.load_tensors(saved)
    assert facts == weights.load_facts(saved) == {"step": 3, "best": float("-inf"), "sizes": [1, 2]}
    torch.testing.assert_close(tensors["a"], torch.arange(40.0).view(5, 8).t())
    assert tensors["half"].dtype == torch.bfloat16


def test_any_changed_byte_of_weights_is_noticed(saved):
    whole = saved.read_bytes()
    name = whole.index(b"sha256")  # without it, a file is one of before there were digests
    for place in set(range(len(whole))) - set(range(name, name + len("sha256"))):
        data = bytearray(whole)
        data[place] ^= 1
        saved.write_bytes(data)
        with pytest.raises(WeightsError):
            weights.load_tensors(saved)


def test_an_edited_fact_is_noticed(saved):
    saved.write_bytes(saved.read_bytes().replace(b'step\\": 3', b'step\\": 4'))
    with pytest.raises(WeightsError, match="was altered"):
        weights.load_tensors(saved)


def test_weights_of_before_there_were_digests_load_with_a_warning(tmp_path, caplog):
    from safetensors.torch import save_file

    save_file({"a": torch.ones(2)}, tmp_path / "old.safetensors", {"pixelkin": json.dumps({"step": 1})})
    assert weights.load_tensors(tmp_path / "old.safetensors")[1] == {"step": 1}
    assert "of before files carried a digest" in caplog.text


@pytest.mark.parametrize(
    ("start", "told"),
    [
        (struct.pack("<Q", 2**60), "header claims 1,152,921,504,606,846,976 bytes"),
        (struct.pack("<Q", 2**24 + 1), "header claims 16,777,217 bytes"),
        (struct.pack("<Q", 500) + b"{", "no readable safetensors"),
        (struct.pack("<Q", 2) + b"[]", "no readable safetensors"),
        (b"", "no readable safetensors"),
    ],
)
def test_a_safetensors_header_of_any_size_is_refused(tmp_path, start, told):
    (tmp_path / "w.safetensors").write_bytes(start)
    with pytest.raises(WeightsError, match=told):
        weights.load_tensors(tmp_path / "w.safetensors")


@pytest.mark.parametrize("load", [weights.load_tensors, weights.load_official])
def test_weights_over_the_bound_are_not_read(tmp_path, load):
    with (tmp_path / "huge").open("wb") as file:
        file.truncate(2**40)
    with pytest.raises(WeightsError, match="huge: 1,099,511,627,776 bytes, over the"):
        load(tmp_path / "huge")


def test_a_checkpoint_that_unpacks_to_more_than_the_bound_is_not_read(tmp_path, monkeypatch):
    torch.save({"a": torch.zeros(10**6)}, tmp_path / "plain.pth")
    with (
        zipfile.ZipFile(tmp_path / "plain.pth") as plain,
        zipfile.ZipFile(tmp_path / "bomb.pth", "w", zipfile.ZIP_DEFLATED) as bomb,
    ):
        for part in plain.infolist():
            bomb.writestr(part.filename, plain.read(part))
    assert (tmp_path / "bomb.pth").stat().st_size < 10**5
    monkeypatch.setattr(weights, "MOST_BYTES", 10**6)
    with pytest.raises(WeightsError, match=r"bomb\.pth: 4,0\d\d,\d\d\d bytes, over the 1,000,000"):
        weights.load_official(tmp_path / "bomb.pth")


def calls(tree, *names):
    return [n for n in ast.walk(tree) if isinstance(n, ast.Call) and ast.unparse(n.func) in names]


def given_as(call, name):
    return next((ast.unparse(k.value) for k in call.keywords if k.arg == name), None)


@pytest.mark.parametrize("folder", ["src", "benchmarks"])
def test_no_pickle_is_ever_loaded(folder):
    running = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
    for file in (Path(__file__).parents[1] / folder).rglob("*.py"):
        tree = ast.parse(file.read_text("utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                assert not running & {alias.name.split(".")[0] for alias in node.names}, file
            if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in running:
                assert [alias.name for alias in node.names] == ["UnpicklingError"], file
        for call in calls(tree, "torch.load"):
            assert given_as(call, "weights_only") == "True", file
        for call in calls(tree, "np.load", "numpy.load"):
            assert given_as(call, "allow_pickle") in (None, "False"), file
        assert not calls(tree, "torch.jit.load", "torch.hub.load", "torch.package.PackageImporter"), file
