"""How many recipients of one message cost how much: pipelined, and one reply after the other."""

from __future__ import annotations

from functools import partial

from chain import Chain
from hops import LABELS, start_hop, start_sink
from load import Load
from measure import measure
from plot import Panel
from report import table as markdown
from scaling.loaded import footnotes, mark, middle, patiently, run_load
from scaling.setting import Row, Setting, attempt, cell, cpus, distinct, series
from scenarios import Scenario

TITLE = "Recipients of one message"
ABOUT = (
    "Messages of 1 KiB on 20 connections. Pipelined: our client sends the whole envelope in one "
    "write. Lock-step: smtp-source waits for each reply."
)
HOPS = ["haproxy", "redis", "embedded"]
SESSIONS = 20
LOCK_STEP_RATE = 8_000
"""Recipients a second that lock-step is taken to do, to choose how many messages are sent."""


def run(setting: Setting) -> list[Row]:
    """Measures every number of recipients through every hop, both ways."""
    rows: list[Row] = []
    for recipients in setting.choose([1, 5, 20, 50, 100, 500], [1, 50, 500]):
        for hop in HOPS:
            what = {"hop": LABELS[hop], "recipients": recipients}
            attempt(rows, what, both, setting, hop, recipients)
    return rows


def both(setting: Setting, hop: str, recipients: int) -> Row:
    """Pipelined and lock-step."""
    stepwise = lock_step(setting, hop, recipients)
    return {**patiently(partial(pipelined, setting, hop, recipients)), **stepwise}


def pipelined(setting: Setting, hop_name: str, recipients: int, store_timeout: str) -> Row:
    """What our own client measures."""
    with Chain(setting.place) as chain:
        sink, sink_port = start_sink(chain)
        hop = start_hop(chain, hop_name, sink_port, setting.binary, store_timeout)
        load = Load(hop.port, "pipelined", SESSIONS, None, setting.seconds, 1024, recipients)
        return middle(setting.runs, lambda: run_load(chain, hop, sink, load)).row()


def lock_step(setting: Setting, hop: str, recipients: int) -> Row:
    """What smtp-source measures, which sends a given number of messages."""
    scenario = Scenario("recipients", 1024, True, recipients, SESSIONS, 0)
    enough = int(LOCK_STEP_RATE * setting.seconds / (recipients + 3))
    messages = max(enough, 2 * SESSIONS)
    measured = sorted(
        (
            measure(scenario, hop, messages, setting.place, setting.binary)
            for _ in range(setting.runs)
        ),
        key=lambda m: m.rate,
    )
    chosen = measured[len(measured) // 2]
    return {
        "lock_step_recipients_per_second": chosen.rate * recipients,
        "lock_step_hop_cpu_per_recipient": chosen.hop_cpu / messages / recipients,
        "lock_step_redis_cpu_per_recipient": chosen.redis_cpu / messages / recipients,
    }


def table(rows: list[Row]) -> str:
    """One line for each hop and number of recipients."""
    head = [
        "hop",
        "recipients",
        "pipelined: recipients/s",
        "CPU µs per recipient, hop + Redis",
        "lock-step: recipients/s",
        "CPU µs per recipient, hop + Redis",
        "client's core",
    ]
    return markdown(head, (line(row) for row in sorted_by_hop(rows))) + footnotes(rows)


def sorted_by_hop(rows: list[Row]) -> list[Row]:
    """The points of a hop one below the other."""
    hops = distinct(rows, "hop")
    return sorted(rows, key=lambda row: hops.index(row["hop"]))


def line(row: Row) -> list[str]:
    """One line of the table."""
    return [
        str(row["hop"]),
        str(row["recipients"]),
        cell(row, "recipients_per_second") + mark(row),
        cpus(row),
        cell(row, "lock_step_recipients_per_second"),
        cpus(row, "lock_step_"),
        cell(row, "client_share", ".0%"),
    ]


def panels(rows: list[Row]) -> list[Panel]:
    """Recipients a second both ways, and the CPU time of one."""
    labels = [str(count) for count in distinct(rows, "recipients")]
    below = "recipients of each message"
    wanted = [
        ("Recipients per second, pipelined", "recipients_per_second", 1.0),
        (
            "Recipients per second, one reply after the other",
            "lock_step_recipients_per_second",
            1.0,
        ),
        ("CPU time of the hop for one recipient, pipelined, in µs", "hop_cpu_per_recipient", 1e6),
    ]
    return [
        Panel(
            title, labels, series(rows, "hop", "recipients", name, factor), below=below, powers=True
        )
        for title, name, factor in wanted
    ]
