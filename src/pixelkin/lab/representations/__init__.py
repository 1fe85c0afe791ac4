"""What a method looks at: pure maps from pixels to signals."""

from pixelkin.lab.representations.neighbours import Reference, check_relation, neighbour_relation

__all__ = ["Reference", "check_relation", "neighbour_relation"]
