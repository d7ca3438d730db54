"""An Axis says where a value stands between the bottom and the top of a panel."""

from __future__ import annotations

from math import ceil, floor, log10

ROOM = 1.08
"""The highest value stays a little below the top."""

STEPS = (1, 2, 5)
"""What a power of ten is multiplied with, for a number that people like to read."""


class Axis:
    """Linear from 0, or in powers of ten from a little below the lowest value."""

    def __init__(self, values: list[float], powers: bool):
        positive = [value for value in values if value > 0] or [1.0]
        top = max(positive) * ROOM
        self.powers = powers
        if powers:
            low = floor(log10(min(positive)))
            candidates = [
                step * 10.0**power for power in range(low, ceil(log10(top)) + 1) for step in STEPS
            ]
            below = max(tick for tick in candidates if tick <= min(positive))
            above = min(tick for tick in candidates if tick >= top)
            self.ticks = [tick for tick in candidates if below <= tick <= above]
        else:
            step = nice_step(top)
            self.ticks = [step * number for number in range(ceil(top / step) + 1)]

    def share(self, value: float) -> float:
        """How far up a value stands: 0 at the bottom, 1 at the top."""
        low, high = self.ticks[0], self.ticks[-1]
        if self.powers:
            return log10(max(value, low) / low) / log10(high / low)
        return value / high


def nice_step(top: float) -> float:
    """1, 2 or 5 times a power of ten, so that four to ten steps reach `top`."""
    power = 10 ** floor(log10(top))
    for factor in (0.1, 0.2, 0.5, 1):
        if top / (factor * power) <= 8:
            return factor * power
    return power
