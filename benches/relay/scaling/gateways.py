"""How several gateways share one Redis: each has its own load, client and sink."""

from __future__ import annotations

from dataclasses import replace

from chain import Chain
from hops import Hop, redis_url, start_redis, start_sendgate, start_sink
from load import Load
from measure import counted, cpu, start_client
from plot import Panel
from process import Process
from report import table as markdown
from scaling.loaded import await_count, read_summary
from scaling.setting import Row, Setting, attempt, cell, series

TITLE = "Gateways on one Redis"
ABOUT = (
    "Messages of 1 KiB to 50 recipients, pipelined, on 20 connections to each gateway. All "
    "processes, the clients and sinks too, share all cores that may be used."
)
SESSIONS, RECIPIENTS = 20, 50

Lane = tuple[Hop, Process]
"""A gateway and its sink."""


def run(setting: Setting) -> list[Row]:
    """Measures every number of gateways."""
    rows: list[Row] = []
    for count in setting.choose([1, 2, 4], [1, 2]):
        what = {"store": "Redis", "gateways": count}
        attempt(rows, what, together, setting, count)
    return rows


def together(setting: Setting, count: int) -> Row:
    """Some loads at the same time; of several tries the one with the median rate."""
    place = setting.place
    everywhere = replace(place, cores=place.cores | place.beside, beside=frozenset())
    with Chain(everywhere) as chain:
        redis, redis_port = start_redis(chain)
        lanes = []
        for number in range(count):
            sink, sink_port = start_sink(chain, name=f"smtp-sink-{number}")
            name = f"sendgate-{number}" if number else "sendgate"
            url = redis_url(redis_port)
            lanes.append((start_sendgate(chain, sink_port, setting.binary, url, name), sink))
        tries = [load_all(chain, setting, lanes, redis) for _ in range(setting.runs)]
    return sorted(tries, key=lambda row: row["messages_per_second"])[len(tries) // 2]


def load_all(chain: Chain, setting: Setting, lanes: list[Lane], redis: Process) -> Row:
    """One load for each gateway, all at once."""
    counts = [counted(sink) for _, sink in lanes]
    before = cpu(redis), sum(cpu(hop.gateway) for hop, _ in lanes)
    clients = []
    for number, (hop, _) in enumerate(lanes):
        load = Load(hop.port, "pipelined", SESSIONS, None, setting.seconds, 1024, RECIPIENTS)
        clients.append(start_client(chain, load, f"client-{number}"))
    for client in clients:
        client.popen.wait()
    said = [read_summary(client, hop) for client, (hop, _) in zip(clients, lanes)]
    for summary, count, (_, sink) in zip(said, counts, lanes):
        await_count(sink, count + summary["messages"])
    redis_cpu = cpu(redis) - before[0]
    hop_cpu = sum(cpu(hop.gateway) for hop, _ in lanes) - before[1]
    recipients = sum(summary["recipients"] for summary in said)
    elapsed = max(s["ended"] for s in said) - min(s["began"] for s in said)
    rate = sum(s["messages"] / (s["ended"] - s["began"]) for s in said)
    return {
        "messages_per_second": rate,
        "recipients_per_second": rate * RECIPIENTS,
        "hop_cpu_per_recipient": hop_cpu / recipients,
        "redis_cpu_per_recipient": redis_cpu / recipients,
        "redis_share": redis_cpu / elapsed,
    }


def table(rows: list[Row]) -> str:
    """One line for each number of gateways."""
    head = [
        "gateways",
        "messages/s, all together",
        "recipients/s",
        "CPU µs of the gateways per recipient",
        "CPU µs of Redis per look-up",
        "Redis's share of a core",
    ]
    lines = [
        [
            str(row["gateways"]),
            cell(row, "messages_per_second"),
            cell(row, "recipients_per_second"),
            cell(row, "hop_cpu_per_recipient", ".1f", 1e6),
            cell(row, "redis_cpu_per_recipient", ".2f", 1e6),
            cell(row, "redis_share", ".0%"),
        ]
        for row in rows
    ]
    return markdown(head, lines)


def panels(rows: list[Row]) -> list[Panel]:
    """Recipients a second, and what a look-up costs Redis."""
    labels = [str(row["gateways"]) for row in rows]
    rates = series(rows, "store", "gateways", "recipients_per_second")
    costs = series(rows, "store", "gateways", "redis_cpu_per_recipient", 1e6)
    below = "gateways"
    return [
        Panel("Recipients per second, all gateways together", labels, rates, True, below=below),
        Panel("CPU time of Redis for one look-up, in µs", labels, costs, True, below=below),
    ]
