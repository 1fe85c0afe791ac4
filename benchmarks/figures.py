"""Pictures of docs/explanations.md, out of examples/ and the shipped model: `python benchmarks/figures.py`.

Figures 1 and 4 of Tan et al. 2024 as far as these allow, and the figure that `pixelkin explain` draws.
The class activation maps come from the shipped ``.onnx`` file, by its last map and its last layer.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from pixelkin import explain, models, report
from pixelkin.images import decode, encode, read
from pixelkin.model import load
from pixelkin.types import Floats, Picture, Pixels

ROOT = Path(__file__).parents[1]
EXAMPLES, IMAGES = ROOT / "examples", ROOT / "docs" / "images"
PAIRS = {  # a photograph and what a generator made of it, and where both are looked at: top, left
    "coffee": ("photo-coffee.png", "generated-coffee-taef2.png", (176, 0)),
    "chelsea": ("photo-chelsea.png", "generated-chelsea-realesrgan.png", (60, 130)),
    "flower": ("photo-flower.jpg", "generated-flower-taef2.jpg", (100, 200)),
    "rocket": ("photo-rocket.jpg", "generated-rocket-vqvae.jpg", (160, 240)),
}
MAPPED = "kin-2"  # a model whose graph ends in a mean over places and a layer
SIDE, GAP, LEFT, LINE = 224, 8, 96, 26
INK, SOFT, PAPER = (27, 31, 36), (93, 102, 112), (255, 255, 255)
BLUE, RED = (33, 102, 172), (178, 24, 43)
QUALITY = 86


@dataclass
class Grid:
    """Cells of one size in rows and columns, with names above and to the left."""

    columns: int
    rows: int
    side: int = SIDE

    def __post_init__(self) -> None:
        size = (LEFT + self.columns * (self.side + GAP), LINE + self.rows * (self.side + GAP) + LINE)
        self.image = Image.new("RGB", size, PAPER)
        self.draw = ImageDraw.Draw(self.image)

    def corner(self, row: int, column: int) -> tuple[int, int]:
        """Left and top of a cell, pixels."""
        return LEFT + column * (self.side + GAP), LINE + row * (self.side + GAP)

    def put(self, row: int, column: int, pixels: Pixels) -> None:
        """A picture into a cell, its middle where it is larger."""
        self.image.paste(Image.fromarray(pixels[: self.side, : self.side]), self.corner(row, column))

    def names(self, above: list[str], beside: list[str]) -> None:
        """Names of columns and rows."""
        for column, name in enumerate(above):
            self.draw.text((self.corner(0, column)[0], 4), name, INK, font(15))
        for row, name in enumerate(beside):
            self.draw.multiline_text((0, self.corner(row, 0)[1]), name, INK, font(15))

    def note(self, text: str) -> None:
        """A line below all."""
        self.draw.text((LEFT, self.image.height - LINE + 2), text, SOFT, font(14))

    def save(self, name: str) -> None:
        """As a JPEG file of docs/images."""
        save(np.asarray(self.image), name)


def font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Pillow's own."""
    return ImageFont.load_default(size)


def save(pixels: Pixels, name: str) -> None:
    """A JPEG file of docs/images."""
    data = encode(pixels, "JPEG", quality=QUALITY, optimize=True)
    (IMAGES / name).write_bytes(data)
    print(f"{name}: {pixels.shape[1]} x {pixels.shape[0]}, {len(data):,} bytes")


def pair(name: str) -> tuple[Picture, Picture]:
    """A photograph and what was made of it, the former cut to the latter's size."""
    photograph, generated, _ = PAIRS[name]
    return read(EXAMPLES / photograph), read(EXAMPLES / generated)


def looked_at(name: str, pixels: Pixels) -> Pixels:
    """The part of a pair's picture that figures show."""
    top, left = PAIRS[name][2]
    return pixels[top : top + SIDE, left : left + SIDE]


def figure_1(name: str) -> None:
    """Relations of a photograph and of its reconstruction, their difference, and both spectra."""
    photograph, generated = (looked_at(name, picture.pixels) for picture in pair(name))
    crops = [photograph, generated]
    relations = [explain.neighbour_relation(crop) for crop in crops]
    difference = explain.relation_difference(photograph, generated)
    span = explain.span_of(np.stack(relations), 0.97)
    grid = Grid(4, 3)
    grid.names(
        ["picture", "relation of red", "of green", "of blue"], ["photo", "through\nTAEF2", "difference"]
    )
    for row, (crop, relation) in enumerate(zip((*crops, None), (*relations, difference), strict=True)):
        if crop is not None:
            grid.put(row, 0, crop)
        for column, image in enumerate(explain.channel_images(relation, span), 1):
            grid.put(row, column, image)
    spectra(grid, 2, 0, crops)
    grid.note(f"Blue is {span:.0f} of 255 levels below the first pixel of its 2 x 2 cell, red as many above.")
    grid.save("figure1.jpg")


def spectra(grid: Grid, row: int, column: int, crops: list[Pixels]) -> None:
    """The azimuthal means of two pictures' spectra, drawn into a cell."""
    left, top = grid.corner(row, column)
    profiles = [explain.radial_profile(explain.power_spectrum(crop), 56) for crop in crops]
    low, high = -10.0, 70.0
    for (frequencies, powers), colour in zip(profiles, (BLUE, RED), strict=True):
        points = [
            (left + 28 + 2 * f * (SIDE - 34), top + 6 + (SIDE - 40) * (high - p) / (high - low))
            for f, p in zip(frequencies.tolist(), powers.tolist(), strict=True)
        ]
        grid.draw.line(points, colour, 2)
    for power in range(0, 61, 20):
        y = top + 6 + (SIDE - 40) * (high - power) / (high - low)
        grid.draw.text((left, y), f"{power}", SOFT, font(11), "lm")
        grid.draw.line((left + 22, y, left + SIDE, y), (226, 229, 233), 1)
    grid.draw.text((left + 28, top + SIDE - 30), "0", SOFT, font(11))
    grid.draw.text((left + SIDE - 16, top + SIDE - 30), "0.5", SOFT, font(11), "ra")
    grid.draw.text((left + 36, top + SIDE - 16), "dB by cycles a pixel", SOFT, font(12))
    grid.draw.text((left + SIDE - 4, top + 8), "photo", BLUE, font(12), "ra")
    grid.draw.text((left + SIDE - 4, top + 24), "generated", RED, font(12), "ra")


def class_activation(data: bytes, pixels: Pixels) -> Floats | None:
    """What each place of a picture says to an exported model, shape (h, w); None if it cannot be told.

    The class activation map of Zhou et al. 2016: the last map weighed by the last layer, which a
    graph shows where it ends in a spatial mean and a matrix. Signed: its mean and the layer's bias
    are the logit.
    """
    model = onnx.load_from_string(data)
    nodes, weights = list(model.graph.node), {each.name: each for each in model.graph.initializer}
    means = [node for node in nodes if node.op_type in {"ReduceMean", "GlobalAveragePool"}]
    last = [node for node in nodes if node.op_type in {"Gemm", "MatMul"}]
    if not means or not last or last[-1].input[1] not in weights:
        return None
    model.graph.output.append(onnx.ValueInfoProto(name=means[-1].input[0]))
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (maps,) = session.run([means[-1].input[0]], {"tiles": pixels.transpose(2, 0, 1)[None]})
    weight = onnx.numpy_helper.to_array(weights[last[-1].input[1]]).ravel()
    activation: Floats = np.tensordot(weight, maps[0], 1)
    return activation


def activation_over(data: bytes, pixels: Pixels) -> Floats | None:
    """`class_activation` at the picture's size."""
    activation = class_activation(data, pixels)
    if activation is None:
        return None
    size = (pixels.shape[1], pixels.shape[0])
    scaled: Floats = np.asarray(Image.fromarray(activation).resize(size, Image.Resampling.BILINEAR))
    return scaled


def figure_4() -> None:
    """Picture, relation and class activation map of generated pictures and of photographs."""
    data = (models.folder() / models.SHIPPED[MAPPED].file).read_bytes()
    model = load(MAPPED)
    found: dict[str, list[tuple[Picture, Floats | None]]] = {
        name: [(each, activation_over(data, each.pixels)) for each in pair(name)] for name in PAIRS
    }
    seen = [values for both in found.values() for _, values in both if values is not None]
    span = max((float(np.quantile(np.abs(values), 0.99)) for values in seen), default=1.0)
    grid = Grid(6, len(PAIRS), 176)
    of = ("relation", "activation")
    grid.names(["generated", *of, "photograph", *of], [])
    for row, (name, both) in enumerate(found.items()):
        said = [f"{model.detect(picture).probability:.0%}" for picture, _ in both]
        grid.draw.multiline_text(
            (0, grid.corner(row, 0)[1]), f"{name}\ngen. {said[1]}\nphoto {said[0]}", INK, font(14)
        )
        for start, (picture, values) in ((0, both[1]), (3, both[0])):
            crop = looked_at(name, picture.pixels)
            grid.put(row, start, small(crop))
            grid.put(row, start + 1, small(explain.relation_image(crop)))
            if values is not None:
                top, left = PAIRS[name][2]
                here = values[top : top + SIDE, left : left + SIDE]
                grid.put(row, start + 2, small(tinted(crop, here, span)))
    grid.note(
        f"Activation: red adds to the logit of generated, blue takes from it, full colour at {span:.2g}; "
        f"{model.card.name}, version {model.card.version}."
    )
    grid.save("figure4.jpg")


def tinted(pixels: Pixels, values: Floats, span: float) -> Pixels:
    """A picture in grey under the colours of a signed map."""
    grey = pixels.mean(-1, keepdims=True)
    strength = np.clip(np.abs(values) / span, 0, 1)[..., None] * 0.75
    return np.rint((1 - strength) * grey + strength * explain.diverging(np.sign(values), 1)).astype(np.uint8)


def small(pixels: Pixels) -> NDArray[np.uint8]:
    """A cell's middle at native scale: relations must not be resized."""
    margin = (SIDE - 176) // 4 * 2
    return pixels[margin : margin + 176, margin : margin + 176]


def figure_of_explain() -> None:
    """What `pixelkin explain` draws, at two thirds of its size."""
    file = EXAMPLES / "generated-coffee-taef2.png"
    explained = report.explain(load(), read(file), file.read_bytes(), file.name)
    pixels = decode(report.figure_png(explained)).pixels
    size = (pixels.shape[1] * 2 // 3, pixels.shape[0] * 2 // 3)
    save(np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.LANCZOS)), "explain.jpg")


def main() -> None:
    """Make all of them."""
    IMAGES.mkdir(parents=True, exist_ok=True)
    figure_1("coffee")
    figure_4()
    figure_of_explain()


if __name__ == "__main__":
    main()
