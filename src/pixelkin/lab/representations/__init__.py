"""What a method looks at: pure maps from pixels to signals.

Each takes and returns float tensors shaped (..., H, W), keeps the device and dtype of its input,
and is differentiable, unless its docstring says otherwise.
"""

from pixelkin.explain.relations import Reference, check_relation
from pixelkin.lab.representations.neighbours import neighbour_relation

__all__ = ["Reference", "check_relation", "neighbour_relation"]
