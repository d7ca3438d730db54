"""A Hop is what stands between smtp-source and smtp-sink."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from chain import BenchError, Chain, Process, find_tool, free_port

HOPS = ["direct", "haproxy", "redis", "embedded"]
"""In the order in which they are measured."""

LABELS = {
    "direct": "direct, no hop",
    "haproxy": "HAProxy, TCP mode",
    "redis": "Sendgate, Redis",
    "embedded": "Sendgate, embedded store",
}

SENDGATE = ["redis", "embedded"]

STORE_TIMEOUT = "200ms"
"""How long a look-up may take, as by default."""

PROFILED_TIMEOUT = "10s"
"""How long under a profiler."""


@dataclass
class Hop:
    """A started hop: where smtp-source connects, and whose CPU time counts."""

    port: int
    gateway: Process | None = None
    redis: Process | None = None


def start_sink(chain: Chain, *options: str) -> tuple[Process, int]:
    """Starts smtp-sink, which counts what it gets on its standard output."""
    port = free_port()
    argv = [find_tool("smtp-sink", "postfix"), "-4", "-c", "-m", "1000", *options]
    if os.geteuid() == 0:
        argv += ["-u", "nobody"]
    sink = chain.start("smtp-sink", [*argv, f"127.0.0.1:{port}", "2000"])
    chain.await_answer(sink, port, b"", b"220")
    return sink, port


def start_hop(
    chain: Chain, name: str, sink_port: int, binary: Path, under: Sequence[str] = ()
) -> Hop:
    """Starts the hop called `name` in front of the sink, and waits until it greets.

    `under` is a command that the gateway is run by, a profiler for one. Then it is slow, and waits
    longer for its store.
    """
    if name == "direct":
        return Hop(sink_port)
    if name == "haproxy":
        return start_haproxy(chain, sink_port)
    if name == "embedded":
        url = f"embedded:{chain.directory}/data/sendgate.redb"
        return start_sendgate(chain, sink_port, binary, url, under)
    redis, url = start_redis(chain)
    hop = start_sendgate(chain, sink_port, binary, url, under)
    hop.redis = redis
    return hop


def start_haproxy(chain: Chain, sink_port: int) -> Hop:
    """HAProxy as a TCP proxy, with a thread for each core of the chain."""
    port = free_port()
    config = chain.directory / "haproxy.cfg"
    config.write_text(
        f"""global
    nbthread {len(chain.place.cores)}
    maxconn 4000
defaults
    mode tcp
    timeout connect 10s
    timeout client 60s
    timeout server 60s
listen relay
    bind 127.0.0.1:{port} backlog 2000
    server sink 127.0.0.1:{sink_port}
"""
    )
    haproxy = find_tool("haproxy", "haproxy")
    gateway = chain.start("haproxy", [haproxy, "-db", "-f", str(config)])
    chain.await_answer(gateway, port, b"", b"220")
    return Hop(port, gateway)


def start_redis(chain: Chain) -> tuple[Process, str]:
    """An empty Redis that writes nothing to disk, and its URL."""
    port = free_port()
    argv = [find_tool("redis-server", "redis-server")]
    argv += ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
    redis = chain.start("redis-server", argv)
    chain.await_answer(redis, port, b"PING\r\n", b"+PONG")
    return redis, f"redis://127.0.0.1:{port}/0"


def start_sendgate(
    chain: Chain, sink_port: int, binary: Path, store_url: str, under: Sequence[str] = ()
) -> Hop:
    """The gateway with one listener that reads scopes, which is its costliest way to relay."""
    if not binary.exists():
        raise BenchError(f"{binary} is missing: run `cargo build --release`, or give --binary PATH")
    port = free_port()
    data = chain.directory / "data"
    data.mkdir(exist_ok=True)
    config = chain.directory / "sendgate.toml"
    config.write_text(
        f"""data_dir = "{data}"
returns = []

[[smtp]]
listen = "127.0.0.1:{port}"
clients = ["127.0.0.0/8"]
scopes = true

[upstream]
url = "smtp://127.0.0.1:{sink_port}"

[store]
url = "{store_url}"
timeout = "{PROFILED_TIMEOUT if under else STORE_TIMEOUT}"

[http]
socket = "{data}/sendgate.sock"
admin = "127.0.0.1:{free_port()}"

[log]
file = "{data}/suppression.log"

[limits]
connections_per_client_limit = 4000
"""
    )
    argv = [*under, str(binary), "serve", "--config", str(config)]
    gateway = chain.start("sendgate", argv)
    chain.await_answer(gateway, port, b"", b"220")
    return Hop(port, gateway)
