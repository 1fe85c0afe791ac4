"""Charts as SVG text: curves, bars beside bars, reliability diagrams. Values are percent."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from html import escape

from pixelkin.tables.page import Point

COLOURS = ("var(--a)", "var(--b)", "var(--c)", "var(--d)", "var(--e)", "var(--f)")
LEFT, TOP, BOTTOM = 38, 12, 46  # margins, pixels


def curve(points: Sequence[Point], axis: str, width: int = 300, height: int = 200) -> str:
    """One curve with the band of its intervals; the axis runs from 0 to 100 %."""
    step = (width - LEFT - 26) / max(len(points) - 1, 1)
    at = [(LEFT + 8 + place * step, point) for place, point in enumerate(points)]
    line = " ".join(f"{x:.1f},{_y(point.value, height):.1f}" for x, point in at)
    upper = [
        f"{x:.1f},{_y(point.high if point.high is not None else point.value, height):.1f}" for x, point in at
    ]
    lower = [
        f"{x:.1f},{_y(point.low if point.low is not None else point.value, height):.1f}" for x, point in at
    ]
    marks = "".join(
        f'<circle cx="{x:.1f}" cy="{_y(point.value, height):.1f}" r="3" fill="var(--a)">'
        f"<title>{escape(point.label)}: {point.value:.1f} %</title></circle>"
        for x, point in at
    )
    names = "".join(_below(x, point.label, height) for x, point in at)
    band = f'<polygon points="{" ".join([*upper, *reversed(lower)])}" fill="var(--a)" opacity="0.18"/>'
    drawn = f'{band}<polyline points="{line}" fill="none" stroke="var(--a)" stroke-width="2"/>{marks}{names}'
    return _svg(width, height, axis, drawn)


def bars(groups: Sequence[str], series: Mapping[str, Sequence[float | None]], height: int = 240) -> str:
    """Groups of bars, one of each series; where there is no figure there is no bar."""
    each = max(14, 30 // max(len(series), 1) + 6)
    wide = each * len(series) + 14
    drawn: list[str] = []
    for place, group in enumerate(groups):
        start = LEFT + 8 + place * wide
        for nth, (name, values) in enumerate(series.items()):
            value = values[place]
            if value is None:
                continue
            top = _y(value, height)
            drawn.append(
                f'<rect x="{start + nth * each}" y="{top:.1f}" width="{each - 2}" '
                f'height="{_y(0, height) - top:.1f}" fill="{COLOURS[nth % len(COLOURS)]}">'
                f"<title>{escape(name)}, {escape(group)}: {value:.1f} %</title></rect>"
            )
        drawn.append(_below(start + (wide - 14) / 2, group, height))
    width = LEFT + 16 + wide * len(groups)
    return _legend(series) + _svg(width, height, "", "".join(drawn))


def reliability(bins: Sequence[tuple[int, float, float]], side: int = 280) -> str:
    """Share generated over mean probability, bin by bin; on the diagonal a probability means what it says."""
    span, most = side - LEFT - 24, max(images for images, _, _ in bins)

    def x(probability: float) -> float:
        return LEFT + 8 + span * probability

    diagonal = (
        f'<line x1="{x(0)}" y1="{_y(0, side):.1f}" x2="{x(1):.1f}" y2="{_y(100, side):.1f}" '
        'stroke="var(--soft)" stroke-dasharray="4 4"/>'
    )
    marks = "".join(
        f'<circle cx="{x(p):.1f}" cy="{_y(100 * share, side):.1f}" r="{3 + 7 * (n / most) ** 0.5:.1f}" '
        f'fill="var(--a)" opacity="0.7"><title>{n} images called {100 * p:.0f} %: '
        f"{100 * share:.0f} % are generated</title></circle>"
        for n, p, share in bins
    )
    names = "".join(_below(x(p), f"{100 * p:.0f}", side) for p in (0, 0.25, 0.5, 0.75, 1))
    return _svg(side, side, "% generated, over the probability said", diagonal + marks + names)


def _svg(width: float, height: int, axis: str, drawn: str) -> str:
    grid = "".join(
        f'<line x1="{LEFT}" x2="{width - 8:.0f}" y1="{_y(v, height):.1f}" y2="{_y(v, height):.1f}" '
        f'stroke="var(--line)"/><text x="{LEFT - 6}" y="{_y(v, height) + 4:.1f}" text-anchor="end">{v}</text>'
        for v in (0, 25, 50, 75, 100)
    )
    title = f'<text x="{LEFT + 10}" y="{TOP + 12}">{escape(axis)}</text>' if axis else ""
    return (
        f'<svg role="img" width="{width:.0f}" height="{height}" viewBox="0 0 {width:.0f} {height}" '
        f'xmlns="http://www.w3.org/2000/svg">{grid}{title}{drawn}</svg>'
    )


def _legend(series: Mapping[str, object]) -> str:
    swatches: Iterator[str] = (
        f'<span style="color: {COLOURS[place % len(COLOURS)]}">&#9632;</span> {escape(name)} '
        for place, name in enumerate(series)
    )
    return f'<p class="note">{"".join(swatches)}</p>'


def _below(x: float, label: str, height: int) -> str:
    short = label if len(label) <= 11 else label[:10] + "…"
    y = height - BOTTOM + 14
    turned = (
        f' transform="rotate(-30 {x:.1f} {y})" text-anchor="end"'
        if len(short) > 4
        else ' text-anchor="middle"'
    )
    return f'<text x="{x:.1f}" y="{y}"{turned}>{escape(short)}<title>{escape(label)}</title></text>'


def _y(percent: float, height: int) -> float:
    return TOP + (height - TOP - BOTTOM) * (1 - percent / 100)
