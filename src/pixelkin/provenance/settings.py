"""`Settings`: what generated a picture, with which model, and whether a picture went in."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from pixelkin.provenance.claims import clean

LONGEST = 120  # characters of a model's name
MOST = 6  # models of a picture

# What a picture's settings may say beside their program and model.
EDIT = "edit"  # the pixels or latents of a picture went in: image to image, inpainting, upscaling, face swap
REFERENCE = "ref"  # a picture went in as a condition only: ControlNet, image prompts
CLOSED = "api"  # a service behind a node made it, and not a checkpoint
NOT_MADE = "notmade"  # nothing that feeds the saved picture generates
MAYBE = "maybe"  # of several pictures that a graph saves only some are generated
WORKFLOW = "workflow"  # only an editor's graph is there: most such pictures are screenshots of the editor
UNPARSED = "unparsed"  # the settings are damaged


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings that a program or service wrote into a picture.

    Attributes:
        mark: a short name of who wrote them, e.g. ``comfy``.
        program: the same in words.
        models: checkpoints or services, as far as they are named.
        flags: of `EDIT` and the other words of this module.
    """

    mark: str
    program: str
    models: tuple[str, ...] = ()
    flags: frozenset[str] = frozenset()

    @property
    def generates(self) -> bool:
        """Whether they say that the picture was generated, wholly or from another picture."""
        return NOT_MADE not in self.flags


def settings(mark: str, program: str, models: Iterable[object] = (), flags: Iterable[str] = ()) -> Settings:
    """`Settings` with each model once, in one line without its folder, at most `MOST` of them."""
    paths = [str(model).replace("\\", "/").rstrip("/") for model in models if model]
    names = [clean(path.rsplit("/", 1)[-1], LONGEST) for path in paths]
    unique = tuple(dict.fromkeys(filter(None, names)))
    return Settings(mark, program, unique[:MOST], frozenset(flags))
