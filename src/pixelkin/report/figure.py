"""An explanation as one picture."""

from __future__ import annotations

import textwrap

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from pixelkin.caution import CAUTION
from pixelkin.images import encode
from pixelkin.report import drawing, words
from pixelkin.report.content import Explained, Tile
from pixelkin.types import Pixels, Verdict

WIDTH, MARGIN, GAP = 1280, 32, 20
COLUMN = (WIDTH - 2 * MARGIN - GAP) // 2
INK, SOFT, LINE, PAPER = (27, 31, 36), (93, 102, 112), (214, 218, 224), (255, 255, 255)
COLOURS = {Verdict.REAL: (33, 102, 172), Verdict.UNCERTAIN: (138, 109, 0), Verdict.GENERATED: (178, 24, 43)}
FOR, AGAINST = COLOURS[Verdict.GENERATED], COLOURS[Verdict.REAL]
STRENGTH, STRONG = 0.55, 0.8  # of the heat map and of the occlusion map, which is transparent in places
TALLEST = 620  # pixels of a panel


class Sheet:
    """A page that grows downwards as things are put on it."""

    def __init__(self) -> None:
        self.image = Image.new("RGB", (WIDTH, 6000), PAPER)
        self.draw = ImageDraw.Draw(self.image)
        self.y = MARGIN

    def text(
        self,
        text: str,
        size: int = 17,
        fill: tuple[int, int, int] = INK,
        x: int = MARGIN,
        width: int = WIDTH - 2 * MARGIN,
    ) -> None:
        """Lines of text, broken to fit ``width`` pixels."""
        for line in _broken(text, font(size), width):
            self.draw.text((x, self.y), line, fill, font(size))
            self.y += round(1.4 * size)

    def put(self, pixels: Pixels, x: int) -> tuple[int, int]:
        """A picture with its corner at ``x`` and here; returns its width and height."""
        self.image.paste(Image.fromarray(pixels), (x, self.y))
        return pixels.shape[1], pixels.shape[0]

    def finished(self) -> Pixels:
        """The page, cut below what is on it."""
        return np.asarray(self.image.crop((0, 0, WIDTH, min(self.y + MARGIN, self.image.height))))


def font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Pillow's own font, which needs no file of the machine."""
    return ImageFont.load_default(size)


def figure_png(explained: Explained) -> bytes:
    """The figure as a PNG file, 1280 pixels wide."""
    sheet = Sheet()
    _head(sheet, explained)
    _maps(sheet, explained)
    _signals(sheet, explained)
    _tiles(sheet, explained)
    _text(sheet, explained)
    return encode(sheet.finished(), "PNG")


def _head(sheet: Sheet, explained: Explained) -> None:
    said, card = explained.prediction, explained.card
    sheet.text(explained.name, 17, SOFT)
    sheet.text(words.title(explained), 44, COLOURS[said.verdict])
    bar = drawing.scale_bar(WIDTH - 2 * MARGIN, 16)
    sheet.y += 8
    width, height = sheet.put(bar, MARGIN)
    for bound in (card.real_below, card.generated_above):
        x = MARGIN + round(bound * width)
        sheet.draw.line((x, sheet.y, x, sheet.y + height), SOFT, 2)
    x = MARGIN + round(said.probability * (width - 1))
    sheet.draw.rounded_rectangle((x - 4, sheet.y - 7, x + 4, sheet.y + height + 7), 3, INK, PAPER)
    sheet.y += height + 12
    for name, anchor, x in (("real", "la", MARGIN), ("generated", "ra", WIDTH - MARGIN)):
        sheet.draw.text((x, sheet.y), name, SOFT, font(15), anchor)
    sheet.draw.text((WIDTH // 2, sheet.y), "probability of generated", SOFT, font(15), "ma")
    sheet.y += 30
    sheet.text(words.verdict_in_words(explained))
    sheet.text(words.looked_at(explained), 15, SOFT)
    sheet.y += GAP


def _maps(sheet: Sheet, explained: Explained) -> None:
    base = _fitted(explained.picture.pixels)
    size = (base.shape[0], base.shape[1])
    heat = drawing.over(base, drawing.heat_layer(explained, size), STRENGTH)
    hidden = drawing.over(base, drawing.occlusion_layer(explained, size), STRONG)
    span = drawing.occlusion_span(explained)
    _panels(
        sheet,
        (heat, "Heat map", words.heat_in_words(explained)),
        (hidden, "Occlusion", words.OCCLUSION.format(side=explained.occlusion.side, span=span)),
        frames=explained,
    )


def _signals(sheet: Sheet, explained: Explained) -> None:
    relation = drawing.centre(drawing.relation_picture(explained), min(COLUMN, TALLEST))
    right = drawing.centre(explained.middle, min(COLUMN, TALLEST))
    note = words.RELATIONS.format(span=explained.relation_span)
    _panels(
        sheet,
        (relation, "Neighbour relations", f"{note} Native scale."),
        (right, "The same pixels", "What the relations on the left are of, native scale."),
    )


def _panels(sheet: Sheet, *panels: tuple[Pixels, str, str], frames: Explained | None = None) -> None:
    """Two pictures side by side, each under its name and above what it shows."""
    top, lowest = sheet.y, sheet.y
    for place, (pixels, name, note) in enumerate(panels):
        x = MARGIN + place * (COLUMN + GAP)
        sheet.y = top
        sheet.text(name, 20, x=x)
        sheet.y += 4
        width, height = sheet.put(pixels, x)
        if frames is not None and place == 0:
            _frames(sheet, frames, x, width / frames.picture.width)
        sheet.y += height + 8
        sheet.text(note, 14, SOFT, x, COLUMN)
        lowest = max(lowest, sheet.y)
    sheet.y = lowest + GAP


def _frames(sheet: Sheet, explained: Explained, x: int, scale: float) -> None:
    for tiles, sign, colour in _sides(explained):
        for place, tile in enumerate(tiles, 1):
            top, left, bottom, right = (round(edge * scale) for edge in tile.box)
            corner = (x + left, sheet.y + top)
            sheet.draw.rectangle((*corner, x + right - 1, sheet.y + bottom - 1), None, colour, 2)
            sheet.draw.rectangle((*corner, corner[0] + 26, corner[1] + 19), colour)
            sheet.draw.text((corner[0] + 13, corner[1] + 10), f"{sign}{place}", PAPER, font(14), "mm")


def _sides(explained: Explained) -> tuple[tuple[list[Tile], str, tuple[int, int, int]], ...]:
    return (explained.speaking_for, "+", FOR), (explained.speaking_against, "-", AGAINST)


def _tiles(sheet: Sheet, explained: Explained) -> None:
    """The strongest tiles of either side in a row, their relations below."""
    side = (WIDTH - 2 * MARGIN - 5 * 12) // 6
    sheet.text("Tiles that spoke most (+) and least (-) for generated, and their relations", 20)
    sheet.y += 4
    place = 0
    for tiles, sign, colour in _sides(explained):
        for nth, tile in enumerate(tiles, 1):
            top, left, bottom, right = tile.box
            crop = explained.picture.pixels[top:bottom, left:right]
            x = MARGIN + place * (side + 12)
            for row, pixels in enumerate((crop, drawing.relation_of(crop, explained.relation_span))):
                scaled = Image.fromarray(pixels).resize((side, side), Image.Resampling.NEAREST)
                sheet.image.paste(scaled, (x, sheet.y + row * (side + 8)))
            told = f"{sign}{nth}  {tile.probability:.0%} at {left}, {top}"
            sheet.draw.text((x, sheet.y + 2 * side + 14), told, colour, font(14))
            place += 1
    sheet.y += 2 * side + 40 + GAP


def _text(sheet: Sheet, explained: Explained) -> None:
    lines = explained.evidence.lines()
    card = list(words.card_lines(explained.card, explained.prediction.model_sha256))
    top, lowest = sheet.y, sheet.y
    for place, (name, told, note) in enumerate(
        (
            ("What the file says of itself", lines, words.CONTEXT if lines else words.NOTHING_SAID),
            ("The model, and its limits", card, CAUTION),
        )
    ):
        x = MARGIN + place * (COLUMN + GAP)
        sheet.y = top
        sheet.text(name, 20, x=x)
        sheet.y += 4
        for what, value in told:
            sheet.text(f"{what}: {value}", 15, INK, x, COLUMN)
            sheet.y += 3
        sheet.text(note, 14, SOFT, x, COLUMN)
        lowest = max(lowest, sheet.y)
    sheet.y = lowest


def _fitted(pixels: Pixels) -> Pixels:
    """A picture of the column's width, or of the tallest height; a small one is enlarged by whole pixels."""
    height, width = pixels.shape[:2]
    scale = min(COLUMN / width, TALLEST / height)
    size = (max(1, int(width * scale)), max(1, int(height * scale)))
    kernel = Image.Resampling.LANCZOS if scale < 1 else Image.Resampling.NEAREST
    return np.asarray(Image.fromarray(pixels).resize(size, kernel))


def _broken(text: str, face: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> list[str]:
    """Lines no wider than ``width`` pixels, broken at spaces and, where a word is longer, inside it."""
    letters = max(8, int(width / max(face.getlength("abcdefghij klmnopq") / 18, 1)))
    while True:
        lines = textwrap.wrap(text, letters) or [""]
        if letters <= 8 or max(map(face.getlength, lines)) <= width:
            return lines
        letters -= 2
