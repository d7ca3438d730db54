"""A Plot is one SVG picture of panels, each with bars or lines over the same kind of labels.

White ground and dark letters, so that it can be read on light and dark pages alike; colours that
people with any colour vision tell apart (Okabe and Ito).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from html import escape
from math import floor, log10

WIDTH = 1080
MARGIN_LEFT, MARGIN_RIGHT = 84, 24
PLOT_HEIGHT = 240
COLOURS = ["#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00"]
INK, FAINT, GRID = "#24292f", "#57606a", "#d8dee4"
FONT = "-apple-system, 'Segoe UI', Helvetica, Arial, sans-serif"


@dataclass
class Panel:
    """One diagram: a value, or none, for each label of each series."""

    title: str
    labels: list[str]
    series: dict[str, list[float | None]]
    bars: bool = False
    line_at: float | None = None
    """Where a dashed line is drawn, as what others are compared with."""
    line_label: str = ""
    below: str = ""
    """What the labels are."""
    colours: dict[str, str] = field(default_factory=dict)

    def top(self) -> float:
        """The highest value to show."""
        values = [v for row in self.series.values() for v in row if v is not None]
        return max([*values, self.line_at or 0.0], default=0.0) or 1.0


def draw(title: str, notes: list[str], panels: list[Panel]) -> str:
    """The picture: title, notes (date, machine, versions), and one panel below the other."""
    parts = [text(24, 34, title, size=19, weight=600)]
    y = 56
    for note in (line for long in notes for line in wrapped(long, 150)):
        parts.append(text(24, y, note, size=12, fill=FAINT))
        y += 17
    for panel in panels:
        drawn, y = draw_panel(panel, y + 22)
        parts += drawn
    height = y + 14
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        f'width="{WIDTH}" height="{height}" font-family="{FONT}" role="img" '
        f'aria-label="{escape(title)}">'
    )
    ground = f'<rect width="{WIDTH}" height="{height}" rx="6" fill="#ffffff"/>'
    return "\n".join([head, ground, *parts, "</svg>"]) + "\n"


def draw_panel(panel: Panel, y: int) -> tuple[list[str], int]:
    """A panel whose upper edge is at `y`, and where its lower edge is."""
    parts = [text(24, y + 4, panel.title, size=14, weight=600), *legend(panel, y + 24)]
    frame = Frame(y + 44, panel)
    parts += frame.grid()
    values_above = []
    for place, (name, values) in enumerate(panel.series.items()):
        if panel.bars:
            bars, above = frame.bars(place, name, values)
            parts += bars
            values_above += above
        else:
            parts += frame.line(name, values)
    # The numbers stand over the line, where it crosses them.
    parts += [*frame.reference(), *values_above]
    bottom = frame.bottom + 3
    for row in label_rows(panel.labels, frame.pitch):
        bottom += 16
        for place, label in enumerate(row):
            parts.append(text(frame.middle(place), bottom, label, size=11, anchor="middle"))
    bottom += 4
    if panel.below:
        bottom += 19
        middle = (MARGIN_LEFT + WIDTH - MARGIN_RIGHT) / 2
        parts.append(text(middle, bottom - 3, panel.below, size=12, fill=FAINT, anchor="middle"))
    return parts, bottom


class Frame:
    """The place of a panel's values."""

    def __init__(self, top: int, panel: Panel):
        self.panel = panel
        self.above, self.bottom = top, top + PLOT_HEIGHT
        self.step = nice_step(panel.top() * 1.08)
        self.ticks = int(panel.top() * 1.08 / self.step) + 1
        self.pitch = (WIDTH - MARGIN_LEFT - MARGIN_RIGHT) / max(len(panel.labels), 1)

    def middle(self, place: int) -> float:
        """Where a label stands."""
        return MARGIN_LEFT + (place + 0.5) * self.pitch

    def height(self, value: float) -> float:
        """Where a value stands."""
        return self.bottom - PLOT_HEIGHT * value / (self.step * self.ticks)

    def grid(self) -> list[str]:
        """The horizontal lines and their numbers."""
        parts = []
        for tick in range(self.ticks + 1):
            y = self.height(tick * self.step)
            parts.append(segment(y, GRID if tick else FAINT))
            parts.append(
                text(MARGIN_LEFT - 8, y + 4, number(tick * self.step), size=11, anchor="end")
            )
        return parts

    def reference(self) -> list[str]:
        """The dashed line."""
        if self.panel.line_at is None:
            return []
        y = self.height(self.panel.line_at)
        label = text(
            WIDTH - MARGIN_RIGHT, y - 5, self.panel.line_label, size=11, weight=600, anchor="end"
        )
        return [segment(y, INK, 'stroke-dasharray="6 4" stroke-width="1.5"'), label]

    def bars(
        self, series: int, name: str, values: list[float | None]
    ) -> tuple[list[str], list[str]]:
        """The bars of one series, and the values above them."""
        count = len(self.panel.series)
        width = min(self.pitch * 0.8 / count, 44)
        size = min(10, width / 2)
        parts, above = [], []
        for place, value in enumerate(values):
            if value is None:
                continue
            x = self.middle(place) + (series - count / 2) * width
            y = self.height(value)
            title = escape(f"{name}, {self.panel.labels[place]}: {number(value)}")
            parts.append(
                f'<rect x="{x + 1:.1f}" y="{y:.1f}" width="{width - 2:.1f}" '
                f'height="{self.bottom - y:.1f}" fill="{colour(self.panel, name)}">'
                f"<title>{title}</title></rect>"
            )
            above.append(
                text(x + width / 2, y - 4, number(value), size, anchor="middle", halo=True)
            )
        return parts, above

    def line(self, name: str, values: list[float | None]) -> list[str]:
        """The line of one series, broken where there is no value."""
        paint = colour(self.panel, name)
        pieces: list[list[str]] = [[]]
        parts = []
        for place, value in enumerate(values):
            if value is None:
                pieces.append([])
                continue
            x, y = self.middle(place), self.height(value)
            pieces[-1].append(f"{x:.1f},{y:.1f}")
            title = escape(f"{name}, {self.panel.labels[place]}: {number(value)}")
            parts.append(
                f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{paint}">'
                f"<title>{title}</title></circle>"
            )
        lines = [
            f'<polyline points="{" ".join(piece)}" fill="none" stroke="{paint}" stroke-width="2"/>'
            for piece in pieces
            if len(piece) > 1
        ]
        return [*lines, *parts]


def legend(panel: Panel, y: int) -> list[str]:
    """A square and a name for each series, in one line."""
    parts = []
    x = MARGIN_LEFT
    for name in panel.series:
        paint = colour(panel, name)
        parts.append(f'<rect x="{x}" y="{y - 9}" width="11" height="11" fill="{paint}"/>')
        parts.append(text(x + 17, y, name, size=12))
        x += 40 + round(6.4 * len(name))
    return parts


def colour(panel: Panel, name: str) -> str:
    """The colour of a series: the one it has in every panel, or the next."""
    own = list(panel.series).index(name)
    return panel.colours.get(name, COLOURS[own % len(COLOURS)])


def segment(y: float, stroke: str, more: str = "") -> str:
    """A horizontal line over the whole panel."""
    right = WIDTH - MARGIN_RIGHT
    return f'<line x1="{MARGIN_LEFT}" y1="{y:.1f}" x2="{right}" y2="{y:.1f}" stroke="{stroke}" {more}/>'


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


def label_rows(labels: list[str], pitch: float) -> list[list[str]]:
    """The labels in one line, or in two where they would run into each other."""
    if max(map(len, labels), default=0) * 6.4 < pitch:
        return [labels]
    rows: list[list[str]] = [[], []]
    for label in labels:
        words = label.split()
        half = len(words) // 2
        rows[0].append(" ".join(words[:half]))
        rows[1].append(" ".join(words[half:]))
    return rows


def wrapped(words: str, width: int) -> list[str]:
    """Lines of at most `width` letters."""
    lines = [""]
    for word in words.split():
        if lines[-1] and len(lines[-1]) + len(word) >= width:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return lines


def nice_step(top: float) -> float:
    """1, 2 or 5 times a power of ten, so that four to ten steps reach `top`."""
    power = 10 ** floor(log10(top))
    for factor in (0.1, 0.2, 0.5, 1):
        if top / (factor * power) <= 8:
            return factor * power
    return power


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
