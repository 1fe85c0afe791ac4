"""An explanation as one HTML file: nothing is loaded from elsewhere, and without scripts all can be seen."""

from __future__ import annotations

import base64
import math
from collections.abc import Iterable
from html import escape
from pathlib import Path

from pixelkin import __version__
from pixelkin.caution import CAUTION
from pixelkin.images import encode
from pixelkin.report import drawing, words
from pixelkin.report.content import Explained, Tile
from pixelkin.types import Pixels

STYLE = Path(__file__).with_name("page.css")
LONGEST = 1200  # pixels of the picture's longer side in the page
MINUS = "\N{MINUS SIGN}"
SLIDER = (
    '<div class="controls"><label for="strength">Picture</label>'
    '<input type="range" id="strength" min="0" max="1" step="0.01" value="0.55" '
    'aria-label="strength of the map over the picture" '
    "oninput=\"document.getElementById('stack').style.setProperty('--strength', this.value)\">"
    '<label for="strength">Map</label>'
)
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"


def page_html(explained: Explained) -> str:
    """The whole document."""
    parts = (_head, _views, _tiles, _text, _signals)
    body = "\n".join(part(explained) for part in parts)
    title = escape(f"{explained.name}: {words.title(explained)}")
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{title}</title>\n"
        f"<style>:root {{ --ramp: {drawing.css_ramp()} }}\n{STYLE.read_text('utf-8')}</style></head>\n"
        f"<body><main>{body}\n<footer>Made by Pixelkin {escape(__version__)}. {escape(CAUTION)}"
        "</footer></main></body></html>\n"
    )


def _head(explained: Explained) -> str:
    said, card = explained.prediction, explained.card
    marks = "".join(
        f'<i style="left:{100 * place:.2f}%" title="{name} {place:.0%}"></i>'
        for name, place in (("real below", card.real_below), ("generated above", card.generated_above))
    )
    return (
        f'<header class="{said.verdict}"><p class="file">{escape(explained.name)}</p>'
        f"<h1>{escape(said.verdict.capitalize())}<b>{said.probability:.0%}</b></h1>"
        f'<div class="bar" role="img" aria-label="probability of generated {said.probability:.0%}">{marks}'
        f'<span style="left:{100 * said.probability:.2f}%"></span></div>'
        '<div class="ends"><span>real</span><span>probability of generated</span><span>generated</span></div>'
        f"<p>{escape(words.verdict_in_words(explained))}</p>"
        f'<p class="soft">{escape(words.looked_at(explained))} {escape(CAUTION)}</p></header>'
    )


def _views(explained: Explained) -> str:
    base = drawing.reduced(explained.picture.pixels, LONGEST)
    size = (base.shape[0], base.shape[1])
    heat = words.heat_in_words(explained)
    span = drawing.occlusion_span(explained)
    hidden = words.OCCLUSION.format(side=explained.occlusion.side, span=span)
    whole = base.shape == explained.picture.pixels.shape
    reduced = "" if whole else f" The picture is shown at {size[1]} x {size[0]} pixels."
    layers = (
        ("heat", "Heat map", heat, drawing.heat_layer(explained, size)),
        ("occlusion", "Occlusion", hidden, drawing.occlusion_layer(explained, size)),
    )
    inputs = "".join(
        f'<input type="radio" name="view" id="{key}"{" checked" * (key == "heat")}>'
        f'<label for="{key}">{name}</label>'
        for key, name in (*((key, name) for key, name, _, _ in layers), ("plain", "Picture"))
    )
    drawn = "".join(f'<img class="{key}" alt="{name}" src="{_png(image)}">' for key, name, _, image in layers)
    notes = "".join(f'<p class="note {key}">{escape(note)}{reduced}</p>' for key, _, note, _ in layers)
    return (
        f"<section><h2>Where</h2>{inputs}"
        f'<div class="stack" id="stack"><img alt="the picture" src="{_jpeg(base)}">{drawn}'
        f"{_outlines(explained)}</div>{SLIDER}{_legend('real', 'generated')}</div>{notes}</section>"
    )


def _outlines(explained: Explained) -> str:
    """Frames around the strongest tiles, numbered as they are listed."""
    height, width = explained.picture.pixels.shape[:2]
    frames = []
    for kind, tiles in (("for", explained.speaking_for), ("against", explained.speaking_against)):
        for place, tile in enumerate(tiles, 1):
            top, left, bottom, right = tile.box
            frames.append(
                f'<span class="frame {kind}" style="left:{100 * left / width:.3f}%;'
                f"top:{100 * top / height:.3f}%;width:{100 * (right - left) / width:.3f}%;"
                f'height:{100 * (bottom - top) / height:.3f}%">'
                f"<b>{'+' if kind == 'for' else MINUS}{place}</b></span>"
            )
    return "".join(frames)


def _tiles(explained: Explained) -> str:
    groups = "".join(
        f"<div><h3>{name}</h3>{_group(explained, tiles, sign)}</div>"
        for name, tiles, sign in (
            ("Most for generated", explained.speaking_for, "+"),
            ("Least for generated", explained.speaking_against, MINUS),
        )
        if tiles
    )
    return (
        f'<section><h2>Tiles</h2><div class="sides">{groups}</div><p class="note">Each tile at native scale, '
        "beside its neighbour relations, with the probability that it alone would give.</p></section>"
    )


def _group(explained: Explained, tiles: Iterable[Tile], sign: str) -> str:
    cells = []
    for place, tile in enumerate(tiles, 1):
        top, left, bottom, right = tile.box
        crop = explained.picture.pixels[top:bottom, left:right]
        relation = drawing.relation_of(crop, explained.relation_span)
        cells.append(
            f'<figure><img alt="tile" src="{_png(crop)}"><img alt="its relations" src="{_png(relation)}">'
            f"<figcaption>{sign}{place} <b>{tile.probability:.0%}</b> <span>at {left}, {top}</span>"
            "</figcaption></figure>"
        )
    return f'<div class="tiles">{"".join(cells)}</div>'


def _signals(explained: Explained) -> str:
    note = words.RELATIONS.format(span=explained.relation_span)
    if explained.middle.shape != explained.picture.pixels.shape:
        note += f" Shown is the middle {explained.middle.shape[1]} x {explained.middle.shape[0]} pixels."
    relation = _image("neighbour relations", _jpeg(drawing.relation_picture(explained)))
    drawn = _figure("whole", relation, escape(note))
    channels, span = drawing.channel_pictures(drawing.centre(explained.middle, 256))
    for name, image in zip(("Red", "Green", "Blue"), channels, strict=False):
        caption = f"{name}{_legend(f'{MINUS}{span:.0f}', f'+{span:.0f}')}"
        drawn += _figure("third", _image(f"relations of {name.lower()}", _png(image)), caption)
    if explained.spectrum is not None:
        plane = drawing.reduced(drawing.spectrum_picture(explained), 512)
        drawn += _figure("half", _image("spectrum", _jpeg(plane)), escape(words.PLANE))
        drawn += _figure("half", _curve(explained), escape(words.SPECTRUM))
    return f'<section><h2>Signals</h2><div class="signals">{drawn}</div></section>'


def _image(alt: str, source: str) -> str:
    return f'<img alt="{escape(alt)}" src="{source}">'


def _figure(kind: str, drawn: str, caption: str) -> str:
    return f'<figure class="{kind}">{drawn}<figcaption>{caption}</figcaption></figure>'


def _legend(low: str, high: str) -> str:
    return f'<span class="legend"><span>{low}</span><i></i><span>{high}</span></span>'


def _curve(explained: Explained) -> str:
    """The azimuthal mean of the spectrum as SVG."""
    assert explained.profile is not None  # noqa: S101 - for the type checker
    frequencies, powers = explained.profile
    low, high = 10 * math.floor(powers.min() / 10), 10 * math.ceil(powers.max() / 10)
    high = max(high, low + 10)

    def x(frequency: float) -> float:
        return 44 + 640 * frequency

    def y(power: float) -> float:
        return 14 + 220 * (high - power) / (high - low)

    points = " ".join(f"{x(f):.1f},{y(p):.1f}" for f, p in zip(frequencies, powers, strict=True))
    lines = "".join(
        f'<line x1="44" x2="364" y1="{y(power):.1f}" y2="{y(power):.1f}"/>'
        f'<text x="38" y="{y(power) + 4:.1f}" text-anchor="end">{power}</text>'
        for power in range(low, high + 1, 10 if high - low <= 60 else 20)
    )
    names = "".join(
        f'<text x="{x(f):.0f}" y="252" text-anchor="middle">{f:g}</text>'
        for f in (0, 0.1, 0.2, 0.3, 0.4, 0.5)
    )
    return (
        f'<svg viewBox="0 0 380 278" role="img" aria-label="mean power by frequency">{lines}{names}'
        '<text x="204" y="272" text-anchor="middle">cycles a pixel; power in dB</text>'
        f'<polyline points="{points}"/></svg>'
    )


def _text(explained: Explained) -> str:
    lines = explained.evidence.lines()
    note = f'<p class="note">{escape(words.CONTEXT)}</p>'
    said = _list(lines) + note if lines else f"<p>{escape(words.NOTHING_SAID)}</p>"
    card = _list(words.card_lines(explained.card, explained.prediction.model_sha256))
    return (
        f'<section class="sides"><div><h2>What the file says of itself</h2>{said}</div>'
        f"<div><h2>The model, and its limits</h2>{card}</div></section>"
    )


def _list(lines: Iterable[tuple[str, str]]) -> str:
    return (
        "<dl>"
        + "".join(f"<dt>{escape(what)}</dt><dd>{escape(value)}</dd>" for what, value in lines)
        + "</dl>"
    )


def _png(pixels: Pixels) -> str:
    return _uri(encode(pixels, "PNG", optimize=True), "png")


def _jpeg(pixels: Pixels) -> str:
    return _uri(encode(pixels, "JPEG", quality=90, subsampling=0), "jpeg")


def _uri(data: bytes, kind: str) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
