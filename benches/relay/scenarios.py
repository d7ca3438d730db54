"""A Scenario is one kind of load: message size, connections, recipients and sessions."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Scenario:
    """One load that smtp-source or our own client makes.

    The name tells the size of the message, `d` (many messages per connection) or `n` (a new
    connection for each message), recipients per message and concurrent sessions. With `p` and `pp`
    our client sends many messages per connection and pipelines them; with `pp` an envelope goes
    into the same write as the message before it.
    """

    name: str
    size: int
    """Octets of the body."""
    reuse: bool
    """Whether a connection carries many messages."""
    recipients: int
    sessions: int
    messages: int
    """Messages of a full run: about a second without a hop."""
    mode: str | None = None
    """How our client pipelines (see `client.MODES`); None for smtp-source, which never does."""

    def scaled(self, factor: float) -> int:
        """Messages to send when the run is made shorter or longer by `factor`."""
        return max(int(self.messages * factor), 5 * self.sessions, 50)


SCENARIOS = [
    Scenario("1K d r1 c1", 1024, True, 1, 1, 15_000),
    Scenario("1K n r1 c1", 1024, False, 1, 1, 4_000),
    Scenario("10K d r1 c1", 10_240, True, 1, 1, 10_000),
    Scenario("1K d r1 c20", 1024, True, 1, 20, 20_000),
    Scenario("1K n r1 c20", 1024, False, 1, 20, 6_000),
    Scenario("10K d r1 c20", 10_240, True, 1, 20, 12_000),
    Scenario("100K d r1 c20", 102_400, True, 1, 20, 3_000),
    Scenario("10K d r50 c20", 10_240, True, 50, 20, 2_000),
    Scenario("1K d r1 c100", 1024, True, 1, 100, 20_000),
    Scenario("100K d r1 c100", 102_400, True, 1, 100, 3_000),
    Scenario("1K p r1 c20", 1024, True, 1, 20, 20_000, "pipelined"),
    Scenario("1K pp r1 c20", 1024, True, 1, 20, 20_000, "chained"),
    Scenario("10K p r50 c20", 10_240, True, 50, 20, 3_000, "pipelined"),
    Scenario("10K p r500 c20", 10_240, True, 500, 20, 800, "pipelined"),
]

PIPELINED = [s.name for s in SCENARIOS if s.mode]
"""What our own client sends."""

ONE_SESSION = [s.name for s in SCENARIOS if s.sessions == 1]
"""Where the time that a hop adds to one message is read."""

HUNDRED_SESSIONS = [s.name for s in SCENARIOS if s.sessions == 100]
"""Where resident memory is read."""

STALL_SCENARIO = "10K d r1 c1"
"""A last segment that waits for a delayed ACK costs 40 ms here, and leaves 25 messages a second."""

STALL_FLOOR = 1_000
"""Messages a second below which Sendgate is taken to stall in `STALL_SCENARIO`."""


def find(name: str) -> Scenario:
    """The scenario called `name`; KeyError if there is none."""
    for scenario in SCENARIOS:
        if scenario.name == name:
            return scenario
    raise KeyError(name)
