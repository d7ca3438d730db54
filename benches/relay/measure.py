"""A Measurement is one load sent through one hop, and what it took."""

from __future__ import annotations

import json
import os
import re
import resource
import sys
import time
from collections import Counter
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from chain import BenchError, Chain, Place, find_tool
from hops import SHARE, WITHOUT_PIPELINING, Hop, start_hop, start_sink
from load import Load
from process import Process
from scenarios import Scenario

RUN_TIMEOUT = 90.0
"""Seconds that one load may take."""

POLL = 0.001
"""Seconds between two looks at the sink's counter."""


@dataclass
class Measurement:
    """What one load took. Times in seconds, memory in octets."""

    messages: int
    seconds: float
    hop_cpu: float
    redis_cpu: float
    ends_cpu: float
    """CPU time of smtp-source and smtp-sink; not of our client, which runs beside the chain."""
    connections: int
    """Connections that the sink saw end."""
    rss: int
    pss: int
    client_share: float = 0.0
    """The part of its core that our client used: near 1 it was the limit, not the chain."""

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Measurement:
        """What `as_json` made."""
        names = {field.name for field in fields(cls)}
        return cls(**{name: value for name, value in values.items() if name in names})

    @property
    def rate(self) -> float:
        """Messages a second."""
        return self.messages / self.seconds

    @property
    def rate_of_cpu(self) -> float:
        """Messages for each CPU second of the whole chain: the rate of a core that does nothing
        else. Other programs on the machine change it little."""
        return self.messages / (self.hop_cpu + self.redis_cpu + self.ends_cpu)

    def as_json(self) -> dict[str, float]:
        """For `--json`."""
        return {**asdict(self), "rate": self.rate, "rate_of_cpu": self.rate_of_cpu}


def measure(
    scenario: Scenario, hop_name: str, messages: int, place: Place, binary: Path
) -> Measurement:
    """Starts a fresh chain, warms it up, and measures one load through it."""
    with Chain(place) as chain:
        sink, sink_port = start_sink(chain)
        hop = start_hop(chain, hop_name, sink_port, binary)
        warm_up = 2 * scenario.sessions
        send(chain, scenario, hop, sink, warm_up, already=0)
        before = Used.now(hop, sink)
        sent = send(chain, scenario, hop, sink, messages, already=warm_up)
        # The log and the counters may still be written.
        time.sleep(0.1)
        used = Used.now(hop, sink)
        return Measurement(
            messages,
            sent.seconds,
            used.hop - before.hop,
            used.redis - before.redis,
            used.ends - before.ends - sent.client_cpu,
            used.connections - before.connections,
            sent.rss,
            sent.pss,
            sent.client_share,
        )


@dataclass
class Sent:
    """What one load took, as `send` saw it. Times in seconds, memory in octets."""

    seconds: float
    rss: int = 0
    pss: int = 0
    client_cpu: float = 0.0
    """All CPU time of our client, its start included."""
    client_share: float = 0.0


@dataclass
class Used:
    """What the processes of a chain have used so far."""

    hop: float
    redis: float
    ends: float
    connections: int

    @classmethod
    def now(cls, hop: Hop, sink: Process) -> Used:
        """Reads the clocks. smtp-source has ended by now and is counted with our children."""
        ended = resource.getrusage(resource.RUSAGE_CHILDREN)
        ends = ended.ru_utime + ended.ru_stime + cpu(sink)
        return cls(cpu(hop.gateway), cpu(hop.redis), ends, counters(sink)[0])


def cpu(process: Process | None) -> float:
    """CPU seconds of a process, none if there is none."""
    return process.cpu_seconds() if process else 0.0


def send(
    chain: Chain, scenario: Scenario, hop: Hop, sink: Process, messages: int, already: int
) -> Sent:
    """Sends `messages` and waits until the sink has counted them.

    The time is that from the start of smtp-source, or the first envelope of our client, to the
    sink's last count. Memory is that of the hop half-way, when all sessions are open. `already` is
    what the sink counted before.
    """
    expected = already + messages
    began = time.monotonic()
    source = start_source(chain, scenario, messages, hop.port)
    sent = None
    memory = (0, 0)
    while sent is None:
        now = time.monotonic()
        ended = source.popen.poll()
        count = counted(sink)
        if count >= expected:
            sent = Sent(now - began, *memory)
        elif now - began > RUN_TIMEOUT or ended:
            why = f"{source.name} gave up" if ended else f"no end after {RUN_TIMEOUT:.0f} s"
            raise BenchError(incomplete(why, count - already, messages, hop, source))
        elif memory == (0, 0) and hop.gateway and count - already > messages // 2:
            memory = hop.gateway.resident()
        else:
            time.sleep(POLL)
    if source.popen.wait(RUN_TIMEOUT) != 0:
        raise BenchError(incomplete(f"{source.name} failed", messages, messages, hop, source))
    if counted(sink) != expected:
        raise BenchError(f"the sink counted {counted(sink) - already} of {messages} messages sent")
    if scenario.mode:
        note_client(sent, source, began)
    return sent


def note_client(sent: Sent, client: Process, started: float) -> None:
    """Adds what our client said of itself."""
    said = json.loads(client.output.read_text())
    sent.seconds -= said["began"] - started
    sent.client_cpu = said["cpu_total"]
    sent.client_share = said["cpu"] / (said["ended"] - said["began"])


def start_source(chain: Chain, scenario: Scenario, messages: int, port: int) -> Process:
    """Starts what makes the load: smtp-source in the chain, or our client beside it."""
    if scenario.mode is None:
        return chain.start("smtp-source", source_command(scenario, messages, port))
    load = Load(
        port,
        scenario.mode,
        scenario.sessions,
        messages,
        None,
        scenario.size,
        scenario.recipients,
    )
    return start_client(chain, load)


def start_client(chain: Chain, load: Load, name: str = "client") -> Process:
    """Starts our own client beside the chain."""
    script = Path(__file__).resolve().parent / "client.py"
    return chain.start(name, [sys.executable, str(script), *load.arguments()], beside=True)


def source_command(scenario: Scenario, messages: int, port: int) -> list[str]:
    """smtp-source for a scenario; -N makes every recipient another one."""
    argv = [find_tool("smtp-source", "postfix"), "-4", "-N", "-M", "client.example"]
    argv += ["-s", str(scenario.sessions), "-m", str(messages), "-l", str(scenario.size)]
    argv += ["-r", str(scenario.recipients), "-f", "a@b.example", "-t", "u@d.example"]
    argv += ["-d"] if scenario.reuse else []
    return [*argv, f"127.0.0.1:{port}"]


def counted(sink: Process) -> int:
    """Messages that the sink has received."""
    return counters(sink)[1]


def counters(sink: Process) -> tuple[int, int]:
    """Sessions that ended and messages that came, from the last complete line of the sink."""
    with sink.output.open("rb") as output:
        size = output.seek(0, os.SEEK_END)
        output.seek(max(size - 256, 0))
        lines = re.findall(rb"sess=(\d+) quit=\d+ mesg=(\d+)\r", output.read())
    return (int(lines[-1][0]), int(lines[-1][1])) if lines else (0, 0)


def incomplete(why: str, count: int, messages: int, hop: Hop, source: Process) -> str:
    """What to say about a load that did not arrive."""
    text = f"{why}: {count} of {messages} messages arrived"
    for process in (source, hop.gateway):
        if process and process.complaint():
            text += f"\n{process.name} says:\n{process.complaint()}"
    return text


def verify(hop_name: str, place: Place, binary: Path) -> None:
    """Sends some mail with many recipients through a hop and compares what the sink dumped.

    Counting messages would not notice a recipient that is lost, doubled or put into another
    message. Raises BenchError if any is.
    """
    modes = [None] if hop_name in WITHOUT_PIPELINING else [None, "pipelined", "chained"]
    messages = max(int(200 * SHARE.get(hop_name, 1.0)), 20)
    for mode in modes:
        scenario = Scenario("verify", 10_240, True, 50, 20, messages, mode)
        verify_mode(scenario, hop_name, place, binary)


def verify_mode(scenario: Scenario, hop_name: str, place: Place, binary: Path) -> None:
    """Verifies one way to send."""
    with Chain(place) as chain:
        dumps = chain.directory / "dumps"
        dumps.mkdir()
        dumps.chmod(0o777)
        sink, sink_port = start_sink(chain, "-d", f"{dumps}/m.")
        hop = start_hop(chain, hop_name, sink_port, binary)
        send(chain, scenario, hop, sink, scenario.messages, already=0)
        compare(scenario, [path.read_text() for path in dumps.iterdir()])


def compare(scenario: Scenario, dumps: list[str]) -> None:
    """Raises BenchError unless `dumps` are the messages of the scenario, each recipient once."""
    if len(dumps) != scenario.messages:
        raise BenchError(f"{len(dumps)} of {scenario.messages} messages were dumped")
    seen: Counter[str] = Counter()
    for dump in dumps:
        recipients = re.findall(r"^X-Rcpt-Args: <(.*)>", dump, re.MULTILINE)
        if len(recipients) != scenario.recipients:
            raise BenchError(f"a message came with {len(recipients)} recipients, not 50")
        seen.update(recipients)
        body = dump.partition("\n\n")[2]
        # smtp-sink ends lines in LF, and smtp-source fills the size with lines of CRLF.
        if len(body.rstrip("\n").replace("\n", "\r\n")) < scenario.size - 2:
            raise BenchError(f"a body came with {len(body)} octets, not {scenario.size}")
    if len(seen) != scenario.messages * scenario.recipients:
        raise BenchError(f"{len(seen)} different recipients came, not as many as were sent")
