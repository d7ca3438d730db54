"""How many sessions cost how much: under load, and idle."""

from __future__ import annotations

import time
from functools import partial

from chain import BenchError, Chain
from hops import LABELS, Hop, start_hop, start_sink
from load import Load
from measure import cpu, start_client
from plot import Panel
from process import Process
from report import table as markdown
from scaling.loaded import footnotes, mark, middle, patiently, run_load
from scaling.setting import MIB, Row, Setting, attempt, cell, cpus, distinct, series

TITLE = "Concurrent sessions"
ABOUT = (
    "Messages of 1 KiB to one recipient, pipelined, and memory while they are sent; and sessions "
    "that said EHLO and nothing since."
)
HOPS = ["haproxy", "redis", "embedded"]
IDLE = 10_000
IDLE_TIMEOUT = 120.0
"""Seconds that opening idle sessions may take."""
IDLE_WATCH = 2.0
"""Seconds for which idle sessions are watched."""
SPARE_FILES = 200


def run(setting: Setting) -> list[Row]:
    """Measures every number of sessions through every hop, then idle ones."""
    rows: list[Row] = []
    counts = setting.choose([1, 10, 100, 500, 1_000, 2_000], [1, 100, 1_000])
    for sessions in counts:
        for hop in HOPS:
            what = {"hop": LABELS[hop], "sessions": sessions, "state": "loaded"}
            attempt(rows, what, patiently, partial(loaded, setting, hop, sessions))
    sessions = 1_000 if setting.quick else IDLE
    for hop in HOPS[1:]:
        what = {"hop": LABELS[hop], "sessions": sessions, "state": "idle"}
        attempt(rows, what, idle, setting, hop, sessions)
    return rows


def check_files(setting: Setting, needed: int) -> None:
    """BenchError where the system does not allow so many sessions."""
    if setting.files < needed + SPARE_FILES:
        raise BenchError(
            f"this takes {needed + SPARE_FILES} open files, and the hard limit is "
            f"{setting.files}: raise it (ulimit -Hn)"
        )


def loaded(setting: Setting, hop_name: str, sessions: int, store_timeout: str) -> Row:
    """All sessions at work; each has an upstream connection as well."""
    check_files(setting, 2 * sessions)
    with Chain(setting.place) as chain:
        sink, sink_port = start_sink(chain)
        hop = start_hop(chain, hop_name, sink_port, setting.binary, store_timeout)
        warm_up = Load(hop.port, "pipelined", sessions, 2 * sessions, None, 1024, 1)
        run_load(chain, hop, sink, warm_up)
        load = Load(hop.port, "pipelined", sessions, None, setting.seconds, 1024, 1)
        return middle(setting.runs, lambda: run_load(chain, hop, sink, load)).row()


def idle(setting: Setting, hop_name: str, sessions: int) -> Row:
    """Memory and CPU time of sessions that do nothing."""
    check_files(setting, sessions)
    with Chain(setting.place) as chain:
        _, sink_port = start_sink(chain)
        hop = start_hop(chain, hop_name, sink_port, setting.binary)
        empty = resident(hop)
        load = Load(hop.port, "idle", sessions, None, None, 0, 1)
        client = start_client(chain, load)
        await_ready(client)
        used = cpu(hop.gateway)
        time.sleep(IDLE_WATCH)
        rss, pss = resident(hop)
        return {
            "rss": rss,
            "pss": pss,
            "rss_without": empty[0],
            "memory_per_session": (rss - empty[0]) / sessions,
            "cpu_share": (cpu(hop.gateway) - used) / IDLE_WATCH,
        }


def resident(hop: Hop) -> tuple[int, int]:
    """Memory of the hop."""
    return hop.gateway.resident() if hop.gateway else (0, 0)


def await_ready(client: Process) -> None:
    """Waits until the client has opened all its sessions."""
    deadline = time.monotonic() + IDLE_TIMEOUT
    while not client.output.read_text().startswith("ready"):
        if client.popen.poll() is not None:
            raise BenchError(f"idle sessions: {client.complaint()}")
        if time.monotonic() > deadline:
            raise BenchError(f"the sessions were not open after {IDLE_TIMEOUT:.0f} s")
        time.sleep(0.1)


def table(rows: list[Row]) -> str:
    """Two tables: at work, and idle."""
    at_work = [row for row in rows if row["state"] == "loaded"]
    hops = distinct(at_work, "hop")
    head = [
        "hop",
        "sessions",
        "messages/s",
        "CPU µs per message, hop + Redis",
        "RSS / PSS in MiB",
        "upstream connections for 1,000 messages",
        "client's core",
    ]
    lines = [
        [
            str(row["hop"]),
            f"{row['sessions']:,}",
            cell(row, "messages_per_second") + mark(row),
            cpus(row),
            memory(row),
            cell(row, "connections_per_message", ",.0f", 1000),
            cell(row, "client_share", ".0%"),
        ]
        for row in sorted(at_work, key=lambda row: hops.index(row["hop"]))
    ]
    return f"{markdown(head, lines)}{footnotes(rows)}\n\nIdle:\n\n{idle_table(rows)}"


def idle_table(rows: list[Row]) -> str:
    """Sessions that do nothing."""
    head = ["hop", "idle sessions", "RSS / PSS in MiB", "RSS without any", "KiB a session", "CPU"]
    lines = [
        [
            str(row["hop"]),
            f"{row['sessions']:,}",
            memory(row),
            cell(row, "rss_without", ".1f", 1 / MIB),
            cell(row, "memory_per_session", ".1f", 1 / 1024),
            cell(row, "cpu_share", ".1%"),
        ]
        for row in rows
        if row["state"] == "idle"
    ]
    return markdown(head, lines)


def memory(row: Row) -> str:
    """Both sizes."""
    return f"{cell(row, 'rss', '.1f', 1 / MIB)} / {cell(row, 'pss', '.1f', 1 / MIB)}"


def panels(rows: list[Row]) -> list[Panel]:
    """Messages a second, and memory at work."""
    at_work = [row for row in rows if row["state"] == "loaded"]
    labels = [f"{count:,}" for count in distinct(at_work, "sessions")]
    below = "concurrent sessions"
    rates = series(at_work, "hop", "sessions", "messages_per_second")
    sizes = series(at_work, "hop", "sessions", "pss", 1 / MIB)
    return [
        Panel("Messages per second", labels, rates, below=below),
        Panel("Proportional set size of the hop at work, in MiB", labels, sizes, below=below),
    ]
