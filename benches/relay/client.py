#!/usr/bin/env python3
"""A Client is a load generator for what smtp-source cannot do: pipelined sessions (RFC 2920).

One process holds all sessions, checks the code of every reply, and prints what it did and how much
CPU time that took as one line of JSON. A reply that is missing or wrong ends it with status 1.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import select
import signal
import socket
import sys
import time
from collections import Counter
from collections.abc import Iterator

sys.dont_write_bytecode = True

from load import BYE, MODES, OK, Envelopes, Load, message  # noqa: E402

REPLY_TIMEOUT = 60.0
"""Seconds without any reply after which the load has failed."""

Step = tuple[bytes, list[bytes]]
"""What is sent in one write, and the beginnings of the replies to it."""


class ClientError(Exception):
    """A reply that is missing or wrong."""


class Session:
    """One connection: what it waits for, and what is still to be written."""

    __slots__ = ("socket", "steps", "tail", "expected", "unsent")

    def __init__(self, connection: socket.socket):
        self.socket = connection
        self.steps: Iterator[Step] = iter(())
        self.tail = b""
        self.expected: list[bytes] = []
        self.unsent = memoryview(b"")

    def begin(self, poll: select.epoll) -> None:
        """Sends the next step."""
        data, self.expected = next(self.steps)
        sent = self.socket.send(data)
        if sent < len(data):
            self.unsent = memoryview(data)[sent:]
            poll.modify(self.socket, select.EPOLLIN | select.EPOLLOUT)

    def flush(self, poll: select.epoll) -> None:
        """Writes what the socket had no room for."""
        self.unsent = self.unsent[self.socket.send(self.unsent) :]
        if not self.unsent:
            poll.modify(self.socket, select.EPOLLIN)

    def receive(self, counts: Counter[bytes]) -> bool:
        """Reads and checks replies; whether the last of this step has come."""
        data = self.socket.recv(65_536)
        if not data:
            raise ClientError(f"the connection was closed, {self.missing()}")
        lines = (self.tail + data).split(b"\r\n")
        self.tail = lines.pop()
        codes = [line[:4] for line in lines]
        due = self.expected[: len(codes)]
        if codes != due:
            raise ClientError(difference(lines, codes, due))
        counts.update(codes)
        self.expected = self.expected[len(codes) :]
        return not self.expected

    def missing(self) -> str:
        """What has not come."""
        first = self.expected[0].decode() if self.expected else "nothing"
        return f"{len(self.expected)} replies are missing, the next is {first.strip()}"


def difference(lines: list[bytes], codes: list[bytes], due: list[bytes]) -> str:
    """The first reply that is not the one that was due."""
    for line, code, expected in zip(lines, codes, due):
        if code != expected:
            return f"expected {expected.decode().strip()}, got: {line.decode(errors='replace')}"
    return f"a reply that nobody asked for: {lines[len(due)].decode(errors='replace')}"


class Client:
    """All sessions of one load."""

    def __init__(self, load: Load):
        self.load = load
        self.envelopes = Envelopes(load)
        self.message = message(load.size)
        self.counts: Counter[bytes] = Counter()
        self.begun = 0
        self.done = 0
        self.deadline = 0.0
        self.began = self.ended = self.cpu = 0.0
        self.waiting: list[Session] = []
        self.sessions = [connect(load.port) for _ in range(load.sessions)]

    def run(self) -> None:
        """Sends everything; ClientError when a reply is missing or wrong."""
        dialog = self.chained if self.load.mode == "chained" else self.pipelined
        poll = select.epoll()
        gc.disable()
        for session in self.sessions:
            session.steps = dialog()
            session.socket.setblocking(False)
            poll.register(session.socket, select.EPOLLIN)
        cpu = time.process_time()
        self.began = time.monotonic()
        self.deadline = self.began + (self.load.seconds or 0.0)
        self.waiting = self.sessions[self.load.at_once :]
        for session in self.sessions[: self.load.at_once]:
            session.begin(poll)
        self.serve(poll)
        self.cpu = time.process_time() - cpu

    def serve(self, poll: select.epoll) -> None:
        """Answers until every session has left."""
        by_number = {session.socket.fileno(): session for session in self.sessions}
        while by_number:
            ready = poll.poll(REPLY_TIMEOUT)
            if not ready:
                missing = next(iter(by_number.values())).missing()
                raise ClientError(f"no reply for {REPLY_TIMEOUT:.0f} s: {missing}")
            for number, event in ready:
                session = by_number[number]
                if event & select.EPOLLOUT:
                    session.flush(poll)
                if not event & ~select.EPOLLOUT or not session.receive(self.counts):
                    continue
                if self.waiting:
                    self.waiting.pop().begin(poll)
                try:
                    session.begin(poll)
                except StopIteration:
                    poll.unregister(number)
                    session.socket.close()
                    del by_number[number]

    def pipelined(self) -> Iterator[Step]:
        """The envelope in one write, the message in the next."""
        while self.take():
            yield self.envelopes.next(), self.envelopes.expected
            yield self.message, [OK]
            self.finish()
        yield b"QUIT\r\n", [BYE]

    def chained(self) -> Iterator[Step]:
        """The next envelope goes with the end of the message before it."""
        if self.take():
            yield self.envelopes.next(), self.envelopes.expected
            while self.take():
                following = [OK, *self.envelopes.expected]
                yield self.message + self.envelopes.next(), following
                self.finish()
            yield self.message, [OK]
            self.finish()
        yield b"QUIT\r\n", [BYE]

    def take(self) -> bool:
        """Whether there is one more message to send."""
        if self.load.messages is None:
            more = time.monotonic() < self.deadline
        else:
            more = self.begun < self.load.messages
        self.begun += more
        return more

    def finish(self) -> None:
        """A message was accepted."""
        self.done += 1
        self.ended = time.monotonic()

    def summary(self) -> dict[str, object]:
        """What was done; times are of the monotonic clock, which all processes share."""
        return {
            "messages": self.done,
            "recipients": self.done * (self.load.recipients - self.load.hits),
            "refused": self.done * self.load.hits,
            "replies": {code.decode().strip(): n for code, n in self.counts.items()},
            "began": self.began,
            "ended": self.ended,
            "cpu": self.cpu,
            "cpu_total": time.process_time(),
        }


def connect(port: int) -> Session:
    """A session past EHLO with a server that offers pipelining."""
    connection = socket.create_connection(("127.0.0.1", port), timeout=REPLY_TIMEOUT)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    converse(connection, b"", b"220")
    offered = converse(connection, b"EHLO client.example\r\n", b"250")
    if b"PIPELINING" not in offered:
        raise ClientError("the server does not offer PIPELINING")
    return Session(connection)


def converse(connection: socket.socket, command: bytes, code: bytes) -> bytes:
    """Sends a command, and reads its reply of one or more lines."""
    if command:
        connection.sendall(command)
    reply = b""
    while not (reply.endswith(b"\r\n") and reply.splitlines()[-1].startswith(code + b" ")):
        try:
            data = connection.recv(4096)
        except TimeoutError as error:
            raise ClientError(f"no reply to {command!r} for {REPLY_TIMEOUT:.0f} s") from error
        reply += data
        if not data or not reply.startswith(code[: len(reply)]):
            raise ClientError(f"expected {code.decode()}, got: {reply.decode(errors='replace')!r}")
    return reply


def stay(load: Load) -> int:
    """Keeps the sessions open and idle until SIGTERM."""
    signals = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    print(f"ready {load.sessions}", flush=True)
    signal.sigwait(signals)
    return 0


def arguments() -> Load:
    """The load that the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add("--port", type=int, required=True, help="on 127.0.0.1")
    add("--mode", choices=MODES, default="pipelined")
    add("--sessions", type=int, default=1)
    add("--messages", type=int, help="how many in all")
    add("--seconds", type=float, help="instead: begin no message after so long")
    add("--size", type=int, default=1024, help="octets of the body")
    add("--recipients", type=int, default=1, help="for each message")
    add("--hits", type=int, default=0, help="how many of them are on record and must be refused")
    add("--records", type=int, default=0, help="how many are on record")
    add("--at-once", type=int, default=100, metavar="N", help="how many sessions begin together")
    load = Load(**vars(parser.parse_args()))
    if load.mode != "idle" and (load.messages is None) == (load.seconds is None):
        parser.error("give either --messages or --seconds")
    if load.hits and not (load.records and load.hits < load.recipients):
        parser.error("--hits needs --records, and must be fewer than --recipients")
    return load


def main() -> int:
    """Sends the load; 1 if a reply is missing or wrong."""
    load = arguments()
    try:
        client = Client(load)
        if load.mode == "idle":
            return stay(load)
        client.run()
    except (ClientError, OSError) as error:
        print(f"client: {error}", file=sys.stderr)
        return 1
    print(json.dumps(client.summary()), flush=True)
    # Closing thousands of sockets one by one would only take time.
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main())
