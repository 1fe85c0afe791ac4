"""The corpus that the shipped models learn from, named by manifest, and the tools that widen it.

No image is part of Pixelkin. The manifest names each by repository, path and git blob, with its split,
label, source and facts; from clones of the repositories the files are laid out byte for byte. The
commands are described by ``python -m pixelkin.lab.corpus --help`` and in docs/corpus.md.
"""

from __future__ import annotations

from pixelkin.lab.corpus.layout import lay_out
from pixelkin.lab.corpus.manifest import MANIFEST, Entry, read_manifest, write_manifest

__all__ = ["MANIFEST", "Entry", "lay_out", "read_manifest", "write_manifest"]
