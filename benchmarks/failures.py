"""Known failures with pictures, for docs/model-card.md: `python benchmarks/failures.py`.

Every example image through every history of `HISTORIES`, judged by the shipped model: a table of all
verdicts is printed, and of each example that was ever judged wrongly, the worst case is drawn.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from figures import EXAMPLES, GAP, INK, PAPER, SIDE, Grid, font

from pixelkin import degrade, explain
from pixelkin.data import find_images
from pixelkin.images import read
from pixelkin.model import Model, load
from pixelkin.types import Picture, Pixels, Prediction, Verdict

HISTORIES = (
    *("", "jpeg:75", "jpeg:30", "webp:50", "resize:0.75,jpeg:80,jpeg:70"),
    *("resize:2", "resize:0.5", "blur:1.5", "noise:4", "screenshot:1.25"),
)
SHORT = {Verdict.REAL: "real", Verdict.UNCERTAIN: "-", Verdict.GENERATED: "gen."}


@dataclass(frozen=True, slots=True)
class Case:
    """One picture after one history, and what was said of it."""

    name: str
    history: str
    picture: Picture
    said: Prediction

    @property
    def wrongness(self) -> float:
        """How far the probability is from the truth, in [0, 1]; 0 for a verdict that is right or withheld."""
        generated = self.name.startswith("generated")
        truth = Verdict.GENERATED if generated else Verdict.REAL
        return (
            0.0 if self.said.verdict in (truth, Verdict.UNCERTAIN) else abs(self.said.probability - generated)
        )


def main() -> None:
    """Print the table and draw the figure."""
    model = load()
    rows = [[judged(model, file, history) for history in HISTORIES] for file in find_images(EXAMPLES)]
    print("| | " + " | ".join(history or "as it is" for history in HISTORIES) + " |")
    print("|---" * (len(HISTORIES) + 1) + "|")
    for row in rows:
        print(f"| {row[0].name} | " + " | ".join(map(in_words, row)) + " |")
    worst = [max(row, key=lambda case: case.wrongness) for row in rows]
    draw([case for case in worst if case.wrongness], model)


def judged(model: Model, file: Path, history: str) -> Case:
    """An example after its history."""
    picture = read(file)
    changed = replace(picture, pixels=degrade.apply(degrade.parse(history), picture.pixels, file.name))
    return Case(file.stem, history, changed, model.detect(changed))


def in_words(case: Case) -> str:
    """The verdict and the probability; a wrong one bold."""
    words = f"{SHORT[case.said.verdict]} {case.said.probability:.0%}"
    return f"**{words}**" if case.wrongness else words


def draw(cases: list[Case], model: Model) -> None:
    """Each case's middle, and under it the same with its heat map."""
    grid = Grid(len(cases), 2)
    grid.names([case.name for case in cases], ["picture", "heat map"])
    for column, case in enumerate(cases):
        heat = explain.heat_overlay(case.picture, case.said.heatmap)
        for row, pixels in enumerate((case.picture.pixels, heat)):
            grid.put(row, column, middle(pixels))
        left, top = grid.corner(1, column)
        words = f"{case.history or 'as it is'}: {in_words(case).strip('*')}"
        grid.draw.text(
            (left + 2, top - GAP + 1), words, INK, font(14), "ls", stroke_width=3, stroke_fill=PAPER
        )
    grid.note(f"Red is generated, blue real; {model.card.name}, version {model.card.version}.")
    grid.save("failures.jpg")


def middle(pixels: Pixels) -> Pixels:
    """The middle of a picture, at most `SIDE` a side."""
    top, left = (max(length - SIDE, 0) // 2 for length in pixels.shape[:2])
    return pixels[top : top + SIDE, left : left + SIDE]


if __name__ == "__main__":
    main()
