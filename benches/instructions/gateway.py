"""The whole gateway under callgrind: what it executes for one message."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from statistics import median

from callgrind import Counted, Profile, command
from chain import BenchError, Chain, Place
from hops import start_hop, start_sink
from measure import send
from scenarios import Scenario

START_TIMEOUT = 90.0
"""Seconds until the gateway must answer; callgrind makes everything about fifty times slower."""

SCENARIOS = [
    Scenario("1K d r1", 1024, True, 1, 1, 100),
    Scenario("1K n r1", 1024, False, 1, 1, 80),
    Scenario("10K d r1", 10_240, True, 1, 1, 100),
    Scenario("10K d r50", 10_240, True, 50, 1, 12),
]
"""One session, so that everything comes in the same order every time."""


def count(
    hop_name: str, scenarios: list[Scenario], place: Place, binary: Path, rounds: int
) -> Iterator[tuple[str, int, Profile]]:
    """For each scenario its name, the instructions of one message and where they are spent.

    One process serves all scenarios. Each round sends N messages and then twice as many; what the
    second load takes more, divided by N, is what one message takes. The session, whatever is done
    once, and most of what happens by the clock drop out.
    """
    with Chain(place, START_TIMEOUT) as chain:
        sink, sink_port = start_sink(chain)
        out = chain.directory / "callgrind.out"
        hop = start_hop(chain, hop_name, sink_port, binary, under=command(out))
        if hop.gateway is None:
            raise BenchError(f"{hop_name} is no gateway")
        counted = Counted(hop.gateway, out)
        sent = 0
        for scenario in scenarios:
            slopes = []
            for load in [1] + [1, 2] * rounds:
                messages = load * scenario.messages
                send(chain, scenario, hop, sink, messages, already=sent)
                sent += messages
                slopes.append(counted.dump())
            # The first load only warms up.
            pairs = zip(slopes[1::2], slopes[2::2])
            per_message = [more.per(less, scenario.messages) for less, more in pairs]
            total = median(profile.total for profile in per_message)
            yield scenario.name, round(total), per_message[-1]
