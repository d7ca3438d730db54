"""A Setting is how all questions are measured: where, how long, how often, and how large."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chain import BenchError, Place

MIB = 1024 * 1024

Row = dict[str, Any]
"""One measured point, as it is written to JSON: names and plain values."""


@dataclass(frozen=True)
class Setting:
    """What the command line asked for."""

    place: Place
    binary: Path
    runs: int
    """Loads for each point; the one with the median rate counts."""
    seconds: float
    """How long one load sends."""
    quick: bool
    largest: int
    """Most records to fill a store with."""
    stores: list[str]
    """Which stores are filled."""
    fill_minutes: float
    """A fill that would take longer is not begun."""
    files: int
    """Files that one process may open."""

    def choose(self, all_values: list[int], few: list[int]) -> list[int]:
        """The points to measure: all, or the few of a short version."""
        return few if self.quick else all_values


def attempt(rows: list[Row], what: Row, measure: Callable[..., Row], *arguments: object) -> None:
    """Adds a measured point, or what kept it from being measured; tells whoever waits."""
    name = ", ".join(str(value) for value in what.values())
    try:
        measured = measure(*arguments)
    except BenchError as error:
        measured = {"failed": str(error)}
    rows.append({**what, **measured})
    progress(f"{name}: {measured.get('failed') or brief(measured)}")


def brief(measured: Row) -> str:
    """The main figures of a point in one line."""
    shown = []
    for name, value in measured.items():
        if name.endswith("_per_second"):
            shown.append(f"{value:,.0f} {name.replace('_', ' ')}")
        elif name in ("rss", "peak_rss") and value:
            shown.append(f"{value / MIB:.1f} MiB")
    return ", ".join(shown)


def progress(line: str) -> None:
    """Tells whoever waits where we are."""
    print(line, file=sys.stderr, flush=True)


def distinct(rows: Iterable[Row], name: str) -> list:
    """The values of a column in their order."""
    return list(dict.fromkeys(row[name] for row in rows))


def value_of(row: Row | None, name: str, factor: float = 1.0) -> float | None:
    """A figure of a point, None where it was not measured."""
    value = (row or {}).get(name)
    return value * factor if isinstance(value, int | float) else None


def series(
    rows: list[Row], by: str, along: str, name: str, factor: float = 1.0
) -> dict[str, list[float | None]]:
    """The figures of a column for a plot: a line for each value of `by`, over those of `along`."""
    found = {(row[by], row[along]): row for row in rows}
    return {
        str(line): [
            value_of(found.get((line, point)), name, factor) for point in distinct(rows, along)
        ]
        for line in distinct(rows, by)
    }


def cell(row: Row, name: str, form: str = ",.0f", factor: float = 1.0) -> str:
    """A figure as it stands in a table."""
    value = value_of(row, name, factor)
    if value is None:
        return "failed" if "failed" in row else "–"
    return format(value, form)


def cpus(row: Row, kind: str = "") -> str:
    """CPU time for one recipient in µs: of the hop, and of Redis where there is one."""
    own = cell(row, f"{kind}hop_cpu_per_recipient", ".1f", 1e6)
    redis = cell(row, f"{kind}redis_cpu_per_recipient", ".2f", 1e6)
    return f"{own} + {redis}" if row.get(f"{kind}redis_cpu_per_recipient") else own


def counted_in_words(count: int) -> str:
    """10 thousand, 1 million."""
    for size, word in ((1_000_000, "million"), (1_000, "thousand")):
        if count >= size:
            return f"{count / size:g} {word}"
    return str(count) if count else "none"


def size_in_words(octets: int) -> str:
    """1K, 20M."""
    return f"{octets // MIB}M" if octets >= MIB else f"{octets // 1024}K"
