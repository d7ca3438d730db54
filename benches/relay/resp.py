"""RESP is what Redis speaks; this is as much of it as it takes to ask one question."""

from __future__ import annotations

import socket
from io import BufferedReader

from chain import BenchError

BATCH = 10_000
"""Questions that are asked in one go."""


def ask(port: int, *words: str) -> list[bytes]:
    """The reply to one command, as a list of strings."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
            connection.sendall(composed(words))
            return read(connection.makefile("rb"))
    except OSError as error:
        raise BenchError(f"Redis does not answer {words[0]}: {error}") from error


def composed(words: tuple[str, ...]) -> bytes:
    """A command as it is sent."""
    texts = [word.encode() for word in words]
    return b"*%d\r\n" % len(texts) + b"".join(b"$%d\r\n%b\r\n" % (len(t), t) for t in texts)


def settle(port: int, known: str) -> None:
    """Lets Redis finish what it began when its tables grew.

    It moves what it holds to a larger table bit by bit, with each look-up of a `known` key. Until
    that is done look-ups cost more, which is not what we want to measure.
    """
    batch = composed(("EXISTS", known)) * BATCH
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
            source = connection.makefile("rb")
            for _ in range(int(ask(port, "DBSIZE")[0]) // BATCH + 1):
                connection.sendall(batch)
                source.read(BATCH * len(b":1\r\n"))
    except OSError as error:
        raise BenchError(f"Redis does not answer EXISTS: {error}") from error


def read(source: BufferedReader) -> list[bytes]:
    """One reply."""
    line = source.readline()
    kind, rest = line[:1], line[1:].strip()
    if kind == b"*":
        return [text for _ in range(int(rest)) for text in read(source)]
    if kind == b"$" and rest != b"-1":
        text = source.read(int(rest) + 2)
        return [text[:-2]]
    if kind in (b"+", b":"):
        return [rest]
    raise BenchError(f"Redis answered {line!r}")


def memory_used(port: int) -> int:
    """Octets that Redis has allocated (`used_memory`)."""
    for line in ask(port, "INFO", "memory")[0].decode().splitlines():
        name, _, value = line.partition(":")
        if name == "used_memory":
            return int(value)
    raise BenchError("Redis does not say how much memory it uses")
