"""The robustness grid: what images go through on their way to whoever judges them."""

from __future__ import annotations

from dataclasses import dataclass

from pixelkin.evaluate import Report


@dataclass(frozen=True, slots=True)
class Condition:
    """One cell of the grid.

    Attributes:
        family: the kind of degradation, a curve.
        value: how strong, as an axis labels it.
        chain: as `pixelkin.degrade.parse` reads it; empty for the images as they are.
    """

    family: str
    value: str
    chain: str

    @property
    def name(self) -> str:
        """A file's name."""
        return self.chain.replace(":", "-").replace(",", "+") or "clean"


def _curve(family: str, step: str, *values: float) -> list[Condition]:
    return [Condition(family, f"{value:g}", f"{step}:{value:g}") for value in values]


CLEAN = Condition("clean", "", "")
GRID = [
    *_curve("JPEG quality", "jpeg", 95, 90, 85, 80, 75, 70, 60, 50),
    *_curve("WebP quality", "webp", 95, 80, 65, 50),
    *_curve("resize factor", "resize", 0.25, 0.5, 0.75, 1.25, 1.5, 2),
    *_curve("blur, sigma in pixels", "blur", 0.5, 1, 2),
    *_curve("noise, sigma in grey levels", "noise", 2, 5, 10),
    *_curve("crop, share of each side", "crop", 0.75, 0.5, 0.25),
    # Shown scaled on a page, captured, and saved without loss or sent on as a JPEG.
    Condition("screenshot", "1:1", "screenshot:1"),
    Condition("screenshot", "x 0.8", "screenshot:0.8"),
    Condition("screenshot", "x 0.8, JPEG 85", "screenshot:0.8,jpeg:85"),
    # Two sites in turn, each with a largest size and a codec of its own.
    Condition("shared twice", "2048 JPEG 85, 1080 JPEG 75", "fit:2048,jpeg:85,fit:1080,jpeg:75"),
    Condition("shared twice", "1600 JPEG 70, 1280 WebP 80", "fit:1600,jpeg:70,fit:1280,webp:80"),
    Condition("shared twice", "1280 WebP 75, 800 JPEG 80", "fit:1280,webp:75,fit:800,jpeg:80"),
]


@dataclass(frozen=True, slots=True)
class Robustness:
    """Reports of one model on one set, as it is and under each condition of the grid."""

    clean: Report
    conditions: tuple[tuple[Condition, Report], ...]

    def families(self) -> dict[str, list[tuple[Condition, Report]]]:
        """The conditions by family, in order."""
        found: dict[str, list[tuple[Condition, Report]]] = {}
        for condition, report in self.conditions:
            found.setdefault(condition.family, []).append((condition, report))
        return found
