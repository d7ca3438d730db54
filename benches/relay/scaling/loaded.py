"""A Loaded is what one load of our own client took."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass

from chain import BenchError, Chain
from hops import STORE_TIMEOUT, Hop
from load import Load
from measure import counted, counters, cpu, start_client
from process import Process
from scaling.setting import Row

PAUSE = 0.05
"""Seconds between two looks at the client."""

SETTLE = 10.0
"""Seconds that the sink may take to count what the client was told was accepted."""

END_TIMEOUT = 120.0
"""Seconds after which a load that should have ended is given up."""


LATE = "451 4.3.0"
"""What a client hears when a look-up takes too long."""

PATIENT_TIMEOUT = "10s"
"""How long a look-up may take where the default is too short."""


@dataclass
class Loaded:
    """One load. Times in seconds, memory in octets."""

    messages: int
    recipients: int
    """Looked up: accepted and refused."""
    seconds: float
    hop_cpu: float
    redis_cpu: float
    client_share: float
    rss: int
    """The most that was seen while the load lasted."""
    pss: int
    connections: int
    """Connections that the sink saw end."""

    def row(self) -> Row:
        """For tables, plots and JSON."""
        return {
            "messages": self.messages,
            "messages_per_second": self.messages / self.seconds,
            "recipients_per_second": self.recipients / self.seconds,
            "hop_cpu_per_recipient": self.hop_cpu / max(self.recipients, 1),
            "redis_cpu_per_recipient": self.redis_cpu / max(self.recipients, 1),
            "client_share": self.client_share,
            "rss": self.rss,
            "pss": self.pss,
            "connections_per_message": self.connections / max(self.messages, 1),
        }


def patiently(measure: Callable[[str], Row]) -> Row:
    """Measures with the store timeout that is the default; where look-ups take longer than that,
    with a longer one, and says so."""
    try:
        return measure(STORE_TIMEOUT)
    except BenchError as error:
        if LATE not in str(error):
            raise
    return {**measure(PATIENT_TIMEOUT), "late": True}


def mark(row: Row) -> str:
    """What is set after a figure for which look-ups got more time."""
    return " ¹" if row.get("late") else ""


def footnotes(rows: list[Row]) -> str:
    """What the mark means, if there is one."""
    if not any(row.get("late") for row in rows):
        return ""
    return (
        f"\n\n¹ With `store.timeout` at {PATIENT_TIMEOUT}: within {STORE_TIMEOUT}, the default, "
        "some look-ups were not answered, and recipients were put off (451)."
    )


def middle(runs: int, once: Callable[[], Loaded]) -> Loaded:
    """Loads several times; the one with the median rate."""
    loaded = sorted((once() for _ in range(runs)), key=lambda load: load.messages / load.seconds)
    return loaded[len(loaded) // 2]


def run_load(chain: Chain, hop: Hop, sink: Process, load: Load) -> Loaded:
    """Sends a load through a hop, and checks that all of it came to the sink."""
    ended, before = counters(sink)
    hop_cpu, redis_cpu = cpu(hop.gateway), cpu(hop.redis)
    client = start_client(chain, load)
    rss, pss = watch(client, hop, load.seconds or 0.0)
    said = read_summary(client, hop)
    await_count(sink, before + said["messages"])
    return Loaded(
        said["messages"],
        said["recipients"] + said["refused"],
        said["ended"] - said["began"],
        cpu(hop.gateway) - hop_cpu,
        cpu(hop.redis) - redis_cpu,
        said["cpu"] / (said["ended"] - said["began"]),
        rss,
        pss,
        counters(sink)[0] - ended,
    )


def watch(client: Process, hop: Hop, seconds: float) -> tuple[int, int]:
    """Waits for the client; the most memory the hop had, looked at some times only: looking costs
    the time of the hop."""
    highest = (0, 0)
    began = time.monotonic()
    look_at = began + seconds / 2
    while client.popen.poll() is None:
        now = time.monotonic()
        if now - began > END_TIMEOUT + seconds:
            raise BenchError(f"the client did not end within {END_TIMEOUT + seconds:.0f} s")
        if hop.gateway and now > look_at:
            highest = max(highest, hop.gateway.resident())
            look_at = now + max(seconds / 4, 0.25)
        time.sleep(PAUSE)
    return highest


def read_summary(client: Process, hop: Hop) -> dict:
    """What the client printed when it ended well."""
    if client.popen.returncode == 0:
        return json.loads(client.output.read_text())
    text = client.complaint()
    if hop.gateway and hop.gateway.complaint():
        text += f"\n{hop.gateway.name} says:\n{hop.gateway.complaint()}"
    raise BenchError(text)


def await_count(sink: Process, expected: int) -> None:
    """Waits until the sink has counted as many messages as were accepted."""
    deadline = time.monotonic() + SETTLE
    while counted(sink) < expected and time.monotonic() < deadline:
        time.sleep(PAUSE)
    if counted(sink) != expected:
        raise BenchError(f"the sink counted {counted(sink)} messages, not {expected}")
