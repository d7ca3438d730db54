"""How large messages cost how much: a hop that passes them on needs no more memory for them."""

from __future__ import annotations

import re
from pathlib import Path

from chain import Chain
from hops import LABELS, start_hop, start_sink
from measure import counted, send
from plot import Panel
from process import Process
from report import table as markdown
from scaling.setting import MIB, Row, Setting, attempt, cell, distinct, series, size_in_words
from scenarios import Scenario

TITLE = "Size of messages"
ABOUT = (
    "smtp-source on 20 connections, one recipient. The peak of the resident memory is that of the "
    "load alone, from /proc/PID/status."
)
HOPS = ["direct", "haproxy", "redis", "embedded"]
SESSIONS = 20
OCTETS_A_SECOND = 150 * MIB
MESSAGES_A_SECOND = 4_000
"""What a hop is taken to do, to choose how many messages are sent."""


def run(setting: Setting) -> list[Row]:
    """Measures every size through every hop."""
    rows: list[Row] = []
    sizes = [1024, 10 * 1024, 100 * 1024, MIB, 20 * MIB]
    for size in setting.choose(sizes, [1024, MIB]):
        for hop in HOPS:
            what = {"hop": LABELS[hop], "size": size}
            attempt(rows, what, one_size, setting, hop, size)
    return rows


def one_size(setting: Setting, hop_name: str, size: int) -> Row:
    """Rate and peak memory; the median rate and the highest peak of some loads."""
    scenario = Scenario("sizes", size, True, 1, SESSIONS, 0)
    wanted = min(OCTETS_A_SECOND / size, MESSAGES_A_SECOND) * setting.seconds
    messages = max(int(wanted), SESSIONS)
    with Chain(setting.place) as chain:
        sink, sink_port = start_sink(chain)
        hop = start_hop(chain, hop_name, sink_port, setting.binary)
        warm_up = Scenario("warm-up", 1024, True, 1, SESSIONS, 0)
        send(chain, warm_up, hop, sink, 2 * SESSIONS, already=0)
        seconds, peaks = [], [0]
        for _ in range(setting.runs):
            forget_peak(hop.gateway)
            sent = send(chain, scenario, hop, sink, messages, already=counted(sink))
            seconds.append(sent.seconds)
            peaks.append(peak(hop.gateway))
    middle = sorted(seconds)[len(seconds) // 2]
    return {
        "messages": messages,
        "messages_per_second": messages / middle,
        "octets_per_second": messages * size / middle,
        "peak_rss": max(peaks),
    }


def forget_peak(process: Process | None) -> None:
    """Has the kernel begin anew to note the peak of the resident memory (proc(5), clear_refs)."""
    if process:
        Path(f"/proc/{process.pid}/clear_refs").write_text("5")


def peak(process: Process | None) -> int:
    """The peak of the resident memory, in octets."""
    if process is None:
        return 0
    status = Path(f"/proc/{process.pid}/status").read_text()
    found = re.search(r"^VmHWM:\s+(\d+) kB", status, re.MULTILINE)
    return int(found.group(1)) * 1024 if found else 0


def table(rows: list[Row]) -> str:
    """One line for each hop and size."""
    hops = distinct(rows, "hop")
    lines = [
        [
            str(row["hop"]),
            size_in_words(row["size"]),
            cell(row, "messages_per_second", ",.1f" if row["size"] >= MIB else ",.0f"),
            cell(row, "octets_per_second", ",.1f", 1 / MIB),
            "–" if row.get("peak_rss") == 0 else cell(row, "peak_rss", ".1f", 1 / MIB),
        ]
        for row in sorted(rows, key=lambda row: hops.index(row["hop"]))
    ]
    return markdown(["hop", "size", "messages/s", "MiB/s", "peak RSS in MiB"], lines)


def panels(rows: list[Row]) -> list[Panel]:
    """Octets a second, and the peak of memory."""
    labels = [size_in_words(size) for size in distinct(rows, "size")]
    hops = [row for row in rows if row["hop"] != LABELS["direct"]]
    below = "octets of one message"
    rates = series(rows, "hop", "size", "octets_per_second", 1 / MIB)
    sizes = series(hops, "hop", "size", "peak_rss", 1 / MIB)
    return [
        Panel("MiB per second", labels, rates, below=below, powers=True),
        Panel("Peak resident memory of the hop, in MiB", labels, sizes, below=below),
    ]
