"""What an ``.onnx`` file must be before the runtime is shown it: whole, sealed, and of plain tensors.

The seal is the file's last entry of metadata, the SHA-256 of all bytes before it: graph, weights and card.
It tells an edited or damaged file from the one that was exported. It is no signature: whoever edits a file
can seal it anew, and which file to trust is told by the SHA-256 of the whole.

    python -m pixelkin.modelfile MODEL.onnx...      # seal files of before there were seals; their SHA-256
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from pixelkin.errors import ModelError
from pixelkin.files import write_atomically

MOST_BYTES = 512 * 2**20  # of a model file; the largest network that can be exported takes 100 MB
SEAL_KEY = b"pixelkin.sha256"
DOMAINS = (b"", b"ai.onnx")  # whose operators any runtime brings
DEEPEST = 16  # graphs within graphs

# Protocol buffers of onnx.proto3 that hold others, by the number of the field: all that can hold a tensor
# or an operator. What an exported model never has is refused.
_PARTS = {
    "model": {7: "graph"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {},
}
_REFUSED = {
    ("model", 20): "training steps",
    ("model", 25): "functions of its own",
    ("tensor", 13): "tensors that lie in other files",
    ("tensor", 14): "tensors that lie in other files",
}
_VARINT, _LONG, _BYTES, _SHORT = 0, 1, 2, 5
_DATA_LOCATION_HERE = 0


def read_model(path: Path) -> bytes:
    """The bytes of a model file.

    Raises:
        ModelError: it is no regular file, or over `MOST_BYTES`.
        OSError: it cannot be read.
    """
    if path.exists() and not path.is_file():  # a pipe would be waited for, a device read without end
        raise ModelError(f"{path}: not a regular file")
    if (size := path.stat().st_size) > MOST_BYTES:
        raise ModelError(f"{path}: {size:,} bytes, over the {MOST_BYTES:,} that are read here")
    return path.read_bytes()


def sealed(data: bytes) -> bytes:
    """An ONNX file with its seal at the end; one that bears a right seal as it is."""
    return data if data.endswith(_seal(data[: -len(_seal(b""))])) else data + _seal(data)


def check(data: bytes, name: str) -> None:
    """Let pass the bytes of a model file that is as it was exported and needs nothing but itself.

    Args:
        data: of the file.
        name: what to call it in an error.

    Raises:
        ModelError: it is altered or cut short, has no seal, or holds what an exported model never does.
    """
    size = len(_seal(b""))
    if _seal(b"")[:-64] != data[-size:-64]:
        raise ModelError(
            f"{name}: cut short, altered, or not exported by Pixelkin: it does not end in a seal"
        )
    if not data.endswith(_seal(data[:-size])):
        raise ModelError(f"{name} was altered since it was exported: its contents are not those of its seal")
    try:
        _check_parts(memoryview(data))
    except (IndexError, ValueError) as error:
        raise ModelError(f"{name}: no ONNX model: its structure is broken ({error})") from error
    except ModelError as error:
        raise ModelError(f"{name}: {error}") from error


def _seal(data: bytes) -> bytes:
    """The entry of metadata, 85 bytes: appended to a protocol buffer, a repeated field gains an element."""
    digest = hashlib.sha256(data).hexdigest().encode()
    entry = bytes([0x0A, len(SEAL_KEY)]) + SEAL_KEY + bytes([0x12, len(digest)]) + digest
    return bytes([14 << 3 | _BYTES, len(entry)]) + entry


def _check_parts(model: memoryview) -> None:
    waiting = [("model", model, 0)]
    while waiting:
        kind, data, depth = waiting.pop()
        for number, value in _fields(data):
            if isinstance(value, memoryview) and number in _PARTS[kind]:
                inner = _PARTS[kind][number]
                waiting.append((inner, value, depth + (inner == "graph")))
            _check_field(kind, number, value)
        if depth > DEEPEST:
            raise ModelError(f"graphs within graphs, over {DEEPEST} deep")


def _check_field(kind: str, number: int, value: memoryview | int) -> None:
    if (kind, number) == ("tensor", 14) and value == _DATA_LOCATION_HERE:
        return
    if what := _REFUSED.get((kind, number)):
        raise ModelError(f"it holds {what}, which are not read")
    if (kind, number) == ("node", 7) and isinstance(value, memoryview) and bytes(value) not in DOMAINS:
        raise ModelError(f"it needs operators of {bytes(value)!r}, beside ONNX's own")


def _fields(data: memoryview) -> Iterator[tuple[int, memoryview | int]]:
    """Number and value of each field of a protocol buffer; floats, which nobody asks for, as their bytes."""
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        number, kind = tag >> 3, tag & 7
        if kind == _VARINT:
            value, at = _varint(data, at)
            yield number, value
            continue
        if kind == _BYTES:
            size, at = _varint(data, at)
        elif kind in (_LONG, _SHORT):
            size = 8 if kind == _LONG else 4
        else:
            raise ValueError(f"a field of type {kind}")
        if size > len(data) - at:
            raise ValueError("a field reaches beyond its end")
        yield number, data[at : at + size]
        at += size


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    """A number of seven bits a byte, and where it ends."""
    value = 0
    for shift in range(0, 70, 7):
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
    raise ValueError("a number of over ten bytes")


def main(files: Sequence[str]) -> None:
    """Seal files in place; writes the SHA-256 of each to the standard output."""
    for file in map(Path, files):
        data = sealed(read_model(file))
        write_atomically(file, data)
        sys.stdout.write(f"{hashlib.sha256(data).hexdigest()}  {file}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
