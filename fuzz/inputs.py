"""Small manifests, archives, kept files, models and forms: what a fuzzer of their readers starts from.

The first byte of a seed chooses among readers where a target has several.
"""

from __future__ import annotations

import io
import json
import tarfile
import tempfile
import zipfile
from dataclasses import asdict
from pathlib import Path

import pictures

BOUNDARY = "b"
KINDS_OF_MANIFEST = (".tar", ".zip", ".txt", ".csv", ".parquet")
CARD = {
    "name": "a fuzzer's",
    "version": "0",
    "system": "-",
    "paper": "-",
    "weights_sha256": "-",
    "trained_on": "nothing",
    "licence": "-",
    "tile": 16,
}


def manifests() -> dict[str, bytes]:
    """Of each kind that `pixelkin scan` lists images from."""
    import pyarrow
    from pyarrow import parquet

    table = io.BytesIO()
    parquet.write_table(pyarrow.table({"path": ["a.jpg", "b/c.png"], "label": [0, 1]}), table)
    files = {
        ".tar": _tar(["a.jpg", "b/c.png"]),
        ".zip": _zip(["a.jpg", "b/c.png"]),
        ".txt": b"a.jpg\nb/c.png\n\xff.png\n",
        ".csv": b'path,label\na.jpg,0\n"b/c,\n.png",1\n',
        ".parquet": table.getvalue(),
    }
    return {kind[1:]: bytes([at]) + files[kind] for at, kind in enumerate(KINDS_OF_MANIFEST)}


def layouts() -> dict[str, bytes]:
    """Tar files whose folders say labels, and one whose folders say both."""
    return {
        "labelled": _tar(["gan/0_real/a.jpg", "gan/1_fake/b.png", "nature/c.webp", "ai/d.jpg"]),
        "both": _tar(["0_real/1_fake/a.jpg"]),
        "hidden": _tar(["../0_real/a.jpg", ".x/1_fake/b.png", "/real/c.png"]),
        "long": _tar(["0_real/" + "x" * 300 + ".png"]),
    }


def kept() -> dict[str, bytes]:
    """Scores and lists as they are kept, and a card as settings."""
    from pixelkin import rows
    from pixelkin.evaluate import About
    from pixelkin.scan import catalog
    from pixelkin.scan.sources import Entry
    from pixelkin.types import Member, Sample, Scored

    about = About(
        model="m", model_sha256="0" * 64, dataset="d", dataset_sha256="1" * 64, thresholds=(0.4, 0.6)
    )
    scored = [Scored(Sample("a.jpg", ".", 0), 0.5, None, 0.0, "2" * 64)]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "kept"
        rows.write(file, about, scored)
        scores = file.read_bytes()
        catalog.write(file, [Entry("a.jpg", "/a.jpg"), Entry("b.png", "/b.tar", Member("/b.tar", 512, 9))], 1)
        listed = file.read_bytes()
    settings = "\n".join(f"{key} = {json.dumps(value)}" for key, value in CARD.items())
    return {"scores": b"\0" + scores, "list": b"\1" + listed, "card": b"\2" + settings.encode()}


def model() -> bytes:
    """A model whose logit is a tile's mean brightness; not sealed."""
    from onnx import TensorProto, helper

    from pixelkin.model import CARD_KEY
    from pixelkin.types import Card

    tiles = helper.make_tensor_value_info("tiles", TensorProto.UINT8, ["n", 3, "h", "w"])
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n"])
    nodes = [
        helper.make_node("Cast", ["tiles"], ["x"], to=TensorProto.FLOAT),
        helper.make_node("Conv", ["x", "kernel"], ["c"], pads=[1, 1, 1, 1]),
        helper.make_node("ReduceMean", ["c", "axes"], ["logits"], keepdims=0),
    ]
    values = [
        helper.make_tensor("axes", TensorProto.INT64, [3], [1, 2, 3]),
        helper.make_tensor("kernel", TensorProto.FLOAT, [1, 3, 3, 3], [0.01] * 27),
    ]
    graph = helper.make_graph(nodes, "fuzz", [tiles], [logits], values)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    helper.set_model_props(made, {CARD_KEY: json.dumps(asdict(Card(**CARD)))})  # type: ignore[arg-type]
    return bytes(made.SerializeToString())


def forms() -> dict[str, bytes]:
    """Bodies of requests to the service: one picture, several, with options, and none."""
    file = pictures.saved(pictures.photo(), "JPEG", quality=20)
    options = _field(b'name="heatmap"', b"true") + _field(b'name="evidence"', b"1")
    return {
        "one": b"\0" + _field(b'name="file"; filename="a.jpg"', file) + options + _END,
        "many": b"\1" + 2 * _field(b'name="files"; filename="a.jpg"', file) + _END,
        "text": b"\0" + _field(b'name="file"', b"a cat") + _END,
        "none": b"\0" + _END,
    }


_END = f"--{BOUNDARY}--\r\n".encode()


def _field(disposition: bytes, value: bytes) -> bytes:
    start = f"--{BOUNDARY}\r\nContent-Disposition: form-data; ".encode()
    return start + disposition + b"\r\nContent-Type: image/jpeg\r\n\r\n" + value + b"\r\n"


def _tar(names: list[str]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name in names:
            member = tarfile.TarInfo(name)
            member.size = 3
            archive.addfile(member, io.BytesIO(b"abc"))
    return buffer.getvalue().rstrip(b"\0") + bytes(4 * tarfile.BLOCKSIZE)


def _zip(names: list[str]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in names:
            archive.writestr(zipfile.ZipInfo(name), b"abc")
    return buffer.getvalue()
