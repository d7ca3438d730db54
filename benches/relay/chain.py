"""A Chain is the set of processes of one measurement: started on given cores, stopped by pid."""

from __future__ import annotations

import os
import random
import resource
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from process import Process

START_TIMEOUT = 20.0
"""Seconds until a server must answer."""

AUTOGROUP = Path("/proc/self/autogroup")
"""The priority of a session among sessions, where the kernel groups by them."""


class BenchError(Exception):
    """Something that a measurement cannot go on with; the text tells what to do."""


@dataclass(frozen=True)
class Place:
    """Where the processes of a chain run."""

    cores: frozenset[int]
    nice: int
    """Their priority; below 0 they go before everything else, which takes root."""
    beside: frozenset[int] = frozenset()
    """Where our own client and we run, if there are cores besides."""

    def take(self) -> None:
        """Moves the calling process there, out of reach of Ctrl-C: we stop it."""
        self.move(self.cores)

    def take_beside(self) -> None:
        """Moves the calling process out of the way of the chain, where there is room."""
        self.move(self.beside or self.cores)

    def move(self, cores: frozenset[int]) -> None:
        """Takes these cores and the priority of the chain."""
        os.sched_setaffinity(0, cores)
        if self.nice == 0:
            # In our session, because the kernel shares out time by session: on a busy machine a
            # chain of more processes would get more of it.
            os.setpgid(0, 0)
            return
        os.setsid()
        os.setpriority(os.PRIO_PROCESS, 0, self.nice)
        if AUTOGROUP.exists():
            AUTOGROUP.write_text(str(self.nice))


def choose_place(first: int | None, count: int, nice: int) -> Place:
    """`count` cores for the chain, from the `first` on; we leave them if there are others."""
    available = sorted(os.sched_getaffinity(0))
    if first is not None and first not in available:
        raise BenchError(f"--core {first}, but only {available} may be used here")
    if len(available) < count:
        raise BenchError(f"--cores {count}, but only {len(available)} may be used here")
    start = 0 if first is None else available.index(first)
    turned = available[start:] + available[:start]
    place = Place(frozenset(turned[:count]), nice, frozenset(turned[count:]))
    if place.beside:
        os.sched_setaffinity(0, place.beside)
    return place


def raise_file_limit() -> int:
    """Lets us and what we start open as many files as the system allows; answers how many."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


class Chain:
    """Processes that live as long as the `with` block, in one temporary directory."""

    def __init__(self, place: Place, start_timeout: float = START_TIMEOUT):
        self.place = place
        self.start_timeout = start_timeout
        self.processes: list[Process] = []
        self.directory = Path(tempfile.mkdtemp(prefix="relay-bench-"))
        # smtp-sink gives up root, and must still reach its files.
        self.directory.chmod(0o755)

    def __enter__(self) -> Chain:
        return self

    def __exit__(self, *_: object) -> None:
        for process in reversed(self.processes):
            process.stop()
        shutil.rmtree(self.directory, ignore_errors=True)

    def start(
        self, name: str, argv: list[str], beside: bool = False, kind: type[Process] = Process
    ) -> Process:
        """Starts a program at the place of the chain, or beside it."""
        output = self.directory / f"{name}.out"
        errors = self.directory / f"{name}.err"
        with output.open("wb") as out, errors.open("wb") as err:
            popen = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                cwd=self.directory,
                preexec_fn=self.place.take_beside if beside else self.place.take,
            )
        process = kind(name, popen, output, errors)
        self.processes.append(process)
        return process

    def await_answer(self, process: Process, port: int, ask: bytes, expected: bytes) -> None:
        """Waits until the server on `port` answers `ask` with something that begins as expected."""
        deadline = time.monotonic() + self.start_timeout
        while time.monotonic() < deadline:
            ended = process.popen.poll()
            if ended is not None:
                said = process.complaint() or "it said nothing"
                raise BenchError(f"{process.name} ended at once with status {ended}:\n{said}")
            if answers(port, ask, expected):
                return
            time.sleep(0.02)
        raise BenchError(
            f"{process.name} did not answer on port {port} within {self.start_timeout:.0f} s:\n"
            f"{process.complaint()}"
        )


def answers(port: int, ask: bytes, expected: bytes) -> bool:
    """Whether a server answers as expected. An SMTP server is asked nothing and left with QUIT."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=2) as connection:
            if ask:
                connection.sendall(ask)
            answer = connection.recv(512)
            if not ask:
                connection.sendall(b"QUIT\r\n")
                connection.recv(512)
            return answer.startswith(expected)
    except OSError:
        return False


def free_port() -> int:
    """A loopback port nobody listens on, outside the range that the kernel gives to clients."""
    for _ in range(200):
        port = random.randrange(20_000, 32_000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise BenchError("no free loopback port between 20000 and 32000: stop what is using them")


def find_tool(name: str, package: str) -> str:
    """The path of a program; BenchError naming the Debian package if it is not installed."""
    path = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if path is None:
        raise BenchError(f"{name} is missing: install the Debian package {package}")
    return path


def end_on_sigterm() -> None:
    """Makes SIGTERM end the run as Ctrl-C does, so that the processes are stopped."""

    def end(_signal: int, _frame: object) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, end)
