"""A Hop is what stands between the load generator and smtp-sink."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from chain import BenchError, Chain, find_tool, free_port
from peers import start_aiosmtpd, start_postfix
from plot import GREY
from process import Process

HOPS = ["direct", "haproxy", "redis", "embedded"]
"""What is measured unless told otherwise, in this order."""

MORE_HOPS = ["postfix", "aiosmtpd"]
"""What else can be, after those."""

LABELS = {
    "direct": "direct, no hop",
    "haproxy": "HAProxy, TCP mode",
    "redis": "Sendgate, Redis",
    "embedded": "Sendgate, embedded store",
    "postfix": "Postfix, access table",
    "aiosmtpd": "aiosmtpd, Redis",
}

COLOURS_OF = dict(
    zip(LABELS.values(), [GREY, "#009E73", "#0072B2", "#E69F00", "#CC79A7", "#D55E00"])
)
"""In every plot."""

SENDGATE = ["redis", "embedded"]

WITHOUT_PIPELINING = ["aiosmtpd"]
"""Who does not offer it, so that our client must not use it (RFC 2920)."""

STORE_TIMEOUT = "200ms"
"""How long a look-up may take: the default of the gateway."""

SHARE = {"postfix": 0.05, "aiosmtpd": 0.15}
"""The part of the messages that is enough for a hop which is slower by an order of magnitude."""

PROFILED_TIMEOUT = "10s"
"""How long under a profiler."""


@dataclass
class Hop:
    """A started hop: where the client connects, and whose CPU time counts."""

    port: int
    gateway: Process | None = None
    redis: Process | None = None
    redis_port: int = 0
    config: Path | None = None
    """The configuration of Sendgate."""


def start_sink(chain: Chain, *options: str, name: str = "smtp-sink") -> tuple[Process, int]:
    """Starts smtp-sink, which counts what it gets on its standard output."""
    port = free_port()
    argv = [find_tool("smtp-sink", "postfix"), "-4", "-c", "-m", "4000", *options]
    if os.geteuid() == 0:
        argv += ["-u", "nobody"]
    sink = chain.start(name, [*argv, f"127.0.0.1:{port}", "2000"])
    chain.await_answer(sink, port, b"", b"220")
    return sink, port


def start_hop(
    chain: Chain,
    name: str,
    sink_port: int,
    binary: Path,
    store_timeout: str = STORE_TIMEOUT,
    under: Sequence[str] = (),
) -> Hop:
    """Starts the hop called `name` in front of the sink, and waits until it greets.

    `under` is a command that the gateway is run by, a profiler for one. Then it is slow, and waits
    longer for its store.
    """
    if under:
        store_timeout = PROFILED_TIMEOUT
    if name == "direct":
        return Hop(sink_port)
    if name == "haproxy":
        return start_haproxy(chain, sink_port)
    if name == "postfix":
        gateway, port = start_postfix(chain, sink_port)
        return Hop(port, gateway)
    if name == "embedded":
        url = f"embedded:{chain.directory}/data/sendgate.redb"
        return start_sendgate(
            chain, sink_port, binary, url, store_timeout=store_timeout, under=under
        )
    redis, redis_port = start_redis(chain)
    if name == "aiosmtpd":
        gateway, port = start_aiosmtpd(chain, sink_port, redis_port)
        return Hop(port, gateway, redis, redis_port)
    url = redis_url(redis_port)
    hop = start_sendgate(chain, sink_port, binary, url, store_timeout=store_timeout, under=under)
    hop.redis, hop.redis_port = redis, redis_port
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


def start_redis(chain: Chain) -> tuple[Process, int]:
    """An empty Redis that writes nothing to disk, and its port."""
    port = free_port()
    argv = [find_tool("redis-server", "redis-server")]
    argv += ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
    redis = chain.start("redis-server", argv)
    chain.await_answer(redis, port, b"PING\r\n", b"+PONG")
    return redis, port


def redis_url(port: int) -> str:
    """Where a gateway finds the store."""
    return f"redis://127.0.0.1:{port}/0"


def start_sendgate(
    chain: Chain,
    sink_port: int,
    binary: Path,
    store_url: str,
    name: str = "sendgate",
    store_timeout: str = STORE_TIMEOUT,
    under: Sequence[str] = (),
) -> Hop:
    """The gateway with one listener that reads scopes, which is its costliest way to relay.

    Several with one store need a `name` each, and take the pepper of the first, which made it.
    """
    if not binary.exists():
        raise BenchError(f"{binary} is missing: run `cargo build --release`, or give --binary PATH")
    port = free_port()
    first = chain.directory / "data"
    data = first if name == "sendgate" else chain.directory / name
    data.mkdir(exist_ok=True)
    keys = "" if data == first else f'[keys]\npepper_file = "{first}/pepper"\n'
    config = chain.directory / f"{name}.toml"
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
timeout = "{store_timeout}"

{keys}
[http]
socket = "{data}/sendgate.sock"
admin = "127.0.0.1:{free_port()}"

[log]
file = "{data}/suppression.log"

[limits]
connection_limit = 20000
connections_per_client_limit = 20000
"""
    )
    argv = [*under, str(binary), "serve", "--config", str(config)]
    gateway = chain.start(name, argv)
    chain.await_answer(gateway, port, b"", b"220")
    return Hop(port, gateway, config=config)
