"""The whole gateway under callgrind: what it executes for one message."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

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
) -> Iterator[tuple[str, Profile]]:
    """For each scenario its name and the instructions of one message.

    One process serves all scenarios. Each round sends N messages and then twice as many; what the
    second load takes more, divided by N, is what one message takes. The session and whatever is
    done once drop out. What happens by the clock, such as a write of counters, only ever adds, so
    that the least of all rounds is the load itself.
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
            single: list[Profile] = []
            double: list[Profile] = []
            for _ in range(rounds):
                for load, profiles in (1, single), (2, double):
                    messages = load * scenario.messages
                    send(chain, scenario, hop, sink, messages, already=sent)
                    sent += messages
                    profiles.append(counted.dump())
            yield scenario.name, least(double).per(least(single), scenario.messages)


def least(profiles: list[Profile]) -> Profile:
    """The one with the fewest instructions. The very first warms up and is never it."""
    return min(profiles, key=lambda profile: profile.total)
