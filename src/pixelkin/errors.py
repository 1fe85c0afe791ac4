"""Every error Pixelkin raises on purpose. Catch `PixelkinError` to catch them all."""

from __future__ import annotations


class PixelkinError(Exception):
    """Base class; its message is written for the person who runs the program."""


class ImageError(PixelkinError):
    """The bytes are not an image this program will read."""


class ImageKindError(ImageError):
    """The bytes are no image of a kind that is read here."""


class ImageSizeError(ImageError):
    """An image of more pixels than are read here."""


class DataError(PixelkinError):
    """A folder of images cannot be used as it is laid out."""


class ConfigError(PixelkinError):
    """A setting is unknown, of the wrong type, or out of its range."""


class UnknownDetectorError(PixelkinError):
    """No detector has that name."""

    def __init__(self, name: str, known: list[str]) -> None:
        super().__init__(f"no detector is named {name!r}; the names are: {', '.join(known)}")


class WeightsError(PixelkinError):
    """A weights file is missing, altered, or made for another detector."""


class MissingWeightsError(WeightsError):
    """Weights that somebody else published are needed and not at hand."""


class NotFittedError(WeightsError):
    """A system that fits numbers to its training images was asked before it had seen any."""


class ExportError(PixelkinError):
    """A detector cannot leave the laboratory as an ONNX file, and why."""


class ModelError(PixelkinError):
    """A model file is missing, altered, or not a Pixelkin model."""


class ExplanationError(PixelkinError):
    """A map of where or why cannot be had of that system, or for that picture, and why."""


class ParityError(PixelkinError):
    """An exported model does not answer as the network it was exported from."""


class RunError(PixelkinError):
    """A training run cannot be started, resumed or read."""


class MissingExtraError(PixelkinError):
    """A part of Pixelkin that was not installed is needed."""

    def __init__(self, what: str, extra: str, missing: str | None) -> None:
        super().__init__(f"{what} needs {missing}, which is not installed: pip install 'pixelkin[{extra}]'")
        self._of = what, extra, missing

    def __reduce__(self) -> tuple[type[MissingExtraError], tuple[str, str, str | None]]:
        return type(self), self._of  # it travels between processes


class SourceError(DataError):
    """Images that were to be judged cannot be reached: none of theirs is at fault."""


class IsolationError(PixelkinError):
    """No process could be started to work in."""


class LostError(PixelkinError):
    """The process that worked on an item died of it."""
