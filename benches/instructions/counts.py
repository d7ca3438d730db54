"""Counts are instructions per message, as Markdown tables and compared with those that were kept."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from callgrind import Profile
from chain import BenchError

CORNER = "instructions per message"
"""The first cell of our tables, by which they are found again in a file."""

ALL = 0.95
"""The share above which a function that calls others tells nothing."""

Counts = dict[tuple[str, str], int]
"""By row and column."""


def table(head: list[str], rows: list[list[str]]) -> str:
    """A Markdown table whose figures stand at the right."""
    rule = ["---"] + ["---:"] * (len(head) - 1)
    return "\n".join("| " + " | ".join(line) + " |" for line in [head, rule, *rows])


def as_table(counts: Counts) -> str:
    """The counts of one table."""
    rows = list(dict.fromkeys(row for row, _ in counts))
    columns = list(dict.fromkeys(column for _, column in counts))
    lines = []
    for row in rows:
        figures = (counts.get((row, column)) for column in columns)
        lines.append([row, *("" if n is None else f"{n:,}" for n in figures)])
    return table([CORNER, *columns], lines)


def kept(path: Path) -> Counts:
    """The counts in a Markdown file, whatever else is in it."""
    try:
        text = path.read_text()
    except OSError as error:
        raise BenchError(f"{path} cannot be read: {error.strerror}") from error
    counts: Counts = {}
    columns: list[str] = []
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if not line.lstrip().startswith("|"):
            columns = []
        elif cells[0] == CORNER:
            columns = cells[1:]
        elif columns:
            for column, cell in zip(columns, cells[1:]):
                figure = cell.replace(",", "")
                if figure.isdigit():
                    counts[cells[0], column] = int(figure)
    if not counts:
        raise BenchError(f"{path} has no table that begins with `{CORNER}`")
    return counts


def compare(before: Counts, now: Counts, tolerance: float) -> tuple[str, list[str]]:
    """A table of what changed, and a complaint for each count that grew by more than `tolerance`.

    What was not measured now is left out, and what was not kept has nothing to grow from.
    """
    rows, complaints = [], []
    for (row, column), count in now.items():
        was = before.get((row, column))
        if was is None:
            rows.append([row, column, "", f"{count:,}", "new"])
            continue
        change = count / was - 1
        rows.append([row, column, f"{was:,}", f"{count:,}", f"{change:+.1%}"])
        if change > tolerance:
            complaints.append(f"{row}, {column}: {was:,} became {count:,} ({change:+.1%})")
    return table(["what", "of", "kept", "now", "change"], rows), complaints


def hot(title: str, profile: Profile, number: int) -> str:
    """Where the instructions of one message are spent."""
    parts = [f"### {title}: {profile.total:,} instructions"]
    for kind, counter in [
        ("crate or library", profile.by_crate()),
        ("function, without what it calls", profile.own),
        ("function, with what it calls", telling(profile)),
    ]:
        parts.append(table([kind, "instructions", "share"], shares(counter, profile.total, number)))
    return "\n\n".join(parts)


def telling(profile: Profile) -> Counter[str]:
    """Functions with what they call, without those in which everything happens."""
    limit = ALL * profile.total
    return Counter({f: count for f, count in profile.inclusive.items() if count < limit})


def shares(counter: Counter[str], total: int, number: int) -> list[list[str]]:
    """The greatest counts with their share of all."""
    return [
        [f"`{name}`", f"{count:,}", f"{count / total:.1%}"]
        for name, count in counter.most_common(number)
        if count > 0
    ]
