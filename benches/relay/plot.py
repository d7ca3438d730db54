"""A Plot is one SVG picture of panels, each with bars or lines over the same kind of labels.

White ground and dark letters, so that it can be read on light and dark pages alike; colours that
people with any colour vision tell apart (Okabe and Ito).
"""

from __future__ import annotations

from dataclasses import dataclass
from html import escape

from axis import Axis
from svg import FAINT, FONT, GRID, INK, number, text, wrapped

WIDTH = 1080
MARGIN_LEFT, MARGIN_RIGHT = 84, 24
PLOT_HEIGHT = 240
GREY = "#8c959f"
COLOURS = ["#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00"]


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
    powers: bool = False
    """Whether the values are shown in powers of ten; not for bars, which begin at 0."""

    def values(self) -> list[float]:
        """All that is shown."""
        shown = [v for row in self.series.values() for v in row if v is not None]
        return [*shown, self.line_at] if self.line_at is not None else shown


def draw(
    title: str, notes: list[str], panels: list[Panel], known: dict[str, str] | None = None
) -> str:
    """The picture: title, notes (date, machine, versions), and one panel below the other.

    `known` are colours of series that have the same in every picture.
    """
    paints = colours_of(panels, known or {})
    parts = [text(24, 34, title, size=19, weight=600)]
    y = 56
    for note in (line for long in notes for line in wrapped(long, 150)):
        parts.append(text(24, y, note, size=12, fill=FAINT))
        y += 17
    for panel in panels:
        drawn, y = draw_panel(panel, y + 22, paints)
        parts += drawn
    height = y + 14
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        f'width="{WIDTH}" height="{height}" font-family="{FONT}" role="img" '
        f'aria-label="{escape(title)}">'
    )
    ground = f'<rect width="{WIDTH}" height="{height}" rx="6" fill="#ffffff"/>'
    return "\n".join([head, ground, *parts, "</svg>"]) + "\n"


def draw_panel(panel: Panel, y: int, paints: dict[str, str]) -> tuple[list[str], int]:
    """A panel whose upper edge is at `y`, and where its lower edge is."""
    names, y_below = legend(panel, y + 24, paints)
    parts = [text(24, y + 4, panel.title, size=14, weight=600), *names]
    frame = Frame(y_below, panel, paints)
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

    def __init__(self, top: int, panel: Panel, paints: dict[str, str]):
        self.panel, self.paints = panel, paints
        self.above, self.bottom = top, top + PLOT_HEIGHT
        self.axis = Axis(panel.values(), panel.powers)
        self.pitch = (WIDTH - MARGIN_LEFT - MARGIN_RIGHT) / max(len(panel.labels), 1)

    def middle(self, place: int) -> float:
        """Where a label stands."""
        return MARGIN_LEFT + (place + 0.5) * self.pitch

    def height(self, value: float) -> float:
        """Where a value stands."""
        return self.bottom - PLOT_HEIGHT * self.axis.share(value)

    def grid(self) -> list[str]:
        """The horizontal lines and their numbers."""
        parts = []
        for place, tick in enumerate(self.axis.ticks):
            y = self.height(tick)
            parts.append(segment(y, GRID if place else FAINT))
            parts.append(text(MARGIN_LEFT - 8, y + 4, number(tick), size=11, anchor="end"))
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
                f'height="{self.bottom - y:.1f}" fill="{self.paints[name]}">'
                f"<title>{title}</title></rect>"
            )
            above.append(
                text(x + width / 2, y - 4, number(value), size, anchor="middle", halo=True)
            )
        return parts, above

    def line(self, name: str, values: list[float | None]) -> list[str]:
        """The line of one series, broken where there is no value."""
        paint = self.paints[name]
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


def legend(panel: Panel, y: int, paints: dict[str, str]) -> tuple[list[str], int]:
    """A square and a name for each series, and where the lines of them end."""
    parts = []
    x = MARGIN_LEFT
    for name in panel.series:
        width = 40 + round(6.4 * len(name))
        if x > MARGIN_LEFT and x + width > WIDTH:
            x, y = MARGIN_LEFT, y + 19
        paint = paints[name]
        parts.append(f'<rect x="{x}" y="{y - 9}" width="11" height="11" fill="{paint}"/>')
        parts.append(text(x + 17, y, name, size=12))
        x += width
    return parts, y + 20


def colours_of(panels: list[Panel], known: dict[str, str]) -> dict[str, str]:
    """The colour of every series, the same in all panels."""
    names = dict.fromkeys(name for panel in panels for name in panel.series)
    free = [c for c in COLOURS if c not in [known[name] for name in names if name in known]]
    others = [name for name in names if name not in known]
    return known | {name: free[place % len(free)] for place, name in enumerate(others)}


def segment(y: float, stroke: str, more: str = "") -> str:
    """A horizontal line over the whole panel."""
    right = WIDTH - MARGIN_RIGHT
    ends = f'x1="{MARGIN_LEFT}" y1="{y:.1f}" x2="{right}" y2="{y:.1f}"'
    return f'<line {ends} stroke="{stroke}" {more}/>'


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
