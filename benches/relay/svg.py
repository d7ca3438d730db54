"""The small parts of which an SVG picture is made."""

from __future__ import annotations

from html import escape

INK, FAINT, GRID = "#24292f", "#57606a", "#d8dee4"
FONT = "-apple-system, 'Segoe UI', Helvetica, Arial, sans-serif"


def text(
    x: float,
    y: float,
    words: str,
    size: float,
    fill: str = INK,
    weight: int = 400,
    anchor: str = "start",
    halo: bool = False,
) -> str:
    """A line of text; with a halo it can be read on top of a line."""
    where = f'x="{x:.1f}" y="{y:.1f}" font-size="{size:g}" text-anchor="{anchor}"'
    drawn = f'<text {where} font-weight="{weight}" fill="{fill}">{escape(words)}</text>'
    around = f'<text {where} stroke="#ffffff" stroke-width="3">{escape(words)}</text>'
    return around + drawn if halo else drawn


def wrapped(words: str, width: int) -> list[str]:
    """Lines of at most `width` letters."""
    lines = [""]
    for word in words.split():
        if lines[-1] and len(lines[-1]) + len(word) >= width:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return lines


def number(value: float) -> str:
    """A number as short as it can be without saying less."""
    if value == 0:
        return "0"
    if value >= 100:
        return f"{value:,.0f}"
    if value >= 10:
        return f"{value:.1f}".removesuffix(".0")
    if value >= 0.1:
        return f"{value:.2f}".removesuffix(".00").removeprefix("0")
    return f"{value:.2g}"
