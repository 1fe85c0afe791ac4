"""All systems, by name. Adding one is a file in this folder and a line in `DETECTORS`."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from pixelkin.errors import UnknownDetectorError

if TYPE_CHECKING:
    from pixelkin.lab.detectors.base import Detector

DETECTORS = {  # name: module and class; imported on first use, so that listing them needs no torch
    "npr": "npr:NPR",
    "cnndetection": "cnndetection:CNNDetection",
    "frank": "frank:Frank",
    "durall": "durall:Durall",
    "patchfor": "patchfor:Patchfor",
    "f3net": "f3net:F3Net",
    "sbi": "sbi:SBI",
    "gandetection": "gandetection:GANDetection",
    "bihpf": "bihpf:BiHPF",
    "frepgan": "frepgan:FrePGAN",
    "lgrad": "lgrad:LGrad",
    "ojha": "ojha:Ojha",
    "dire": "dire:DIRE",
    "ferretnet": "ferretnet:FerretNet",
    "rich": "rich:Rich",
    "kin": "kin:Kin",
}


def detector_class(name: str) -> type[Detector]:
    """The class registered as ``name``.

    Raises:
        UnknownDetectorError: no detector has that name.
    """
    if name not in DETECTORS:
        raise UnknownDetectorError(name, sorted(DETECTORS))
    module, _, attribute = DETECTORS[name].partition(":")
    found: type[Detector] = getattr(import_module(f"{__name__}.{module}"), attribute)
    return found
