"""A Process is a started program: what it uses, and how it is stopped."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

STOP_TIMEOUT = 5.0
"""Seconds between SIGTERM and SIGKILL."""


@dataclass
class Process:
    """One started program."""

    name: str
    popen: subprocess.Popen
    output: Path
    """Its standard output."""
    errors: Path
    """Its standard error."""

    @property
    def pid(self) -> int:
        """The process id."""
        return self.popen.pid

    def cpu_seconds(self) -> float:
        """CPU time used so far by all its threads, also those that ended.

        This is the process's CPU clock, which counts nanoseconds; /proc/PID/stat counts ticks of
        10 ms. The number of the clock is the kernel's (~pid << 3 | CPUCLOCK_SCHED).
        """
        return time.clock_gettime((~self.pid << 3) | 2)

    def resident(self) -> tuple[int, int]:
        """Resident and proportional set size, in octets."""
        return resident_of(self.pid)

    def stop(self) -> None:
        """SIGTERM, and SIGKILL if that is not enough."""
        if self.popen.poll() is not None:
            return
        self.popen.terminate()
        try:
            self.popen.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            self.popen.kill()
            self.popen.wait()

    def complaint(self) -> str:
        """The last lines of its standard error."""
        lines = self.errors.read_text(errors="replace").strip().splitlines()
        return "\n".join(lines[-8:])


class Tree(Process):
    """A program that works in its children: they all count, and are all stopped."""

    def cpu_seconds(self) -> float:
        """CPU time of all processes. Those that ended are counted by whoever waited for them, in
        ticks of 10 ms."""
        tick = os.sysconf("SC_CLK_TCK")
        total = 0.0
        for pid in family(self.pid):
            try:
                total += time.clock_gettime((~pid << 3) | 2)
                total += sum(map(int, stat_of(pid)[13:15])) / tick
            except (OSError, IndexError):
                continue
        return total

    def resident(self) -> tuple[int, int]:
        """Resident and proportional set size of all processes, in octets."""
        sizes = [resident_of(pid) for pid in family(self.pid)]
        return sum(rss for rss, _ in sizes), sum(pss for _, pss in sizes)

    def stop(self) -> None:
        """Stops all processes: whoever began a session of its own does not end with its parent."""
        members = family(self.pid)
        super().stop()
        for sign in (signal.SIGTERM, signal.SIGKILL):
            deadline = time.monotonic() + STOP_TIMEOUT
            for pid in members:
                with suppress(ProcessLookupError):
                    os.kill(pid, sign)
            while members and time.monotonic() < deadline:
                time.sleep(0.02)
                members = [pid for pid in members if is_running(pid)]


def is_running(pid: int) -> bool:
    """Whether there is such a process, and it has not ended."""
    return stat_of(pid)[:1] not in ([], ["Z"])


def family(pid: int) -> list[int]:
    """A process and all that descend from it."""
    found = [pid]
    for parent in found:
        try:
            found += map(int, Path(f"/proc/{parent}/task/{parent}/children").read_text().split())
        except OSError:
            continue
    return found


def stat_of(pid: int) -> list[str]:
    """The fields of /proc/PID/stat behind the name, from the state on; none if it has ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def resident_of(pid: int) -> tuple[int, int]:
    """Resident and proportional set size of one process, in octets; nothing if it has ended."""
    sizes = {"Rss:": 0, "Pss:": 0}
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        lines = []
    for line in lines:
        name, *rest = line.split()
        if name in sizes:
            sizes[name] = int(rest[0]) * 1024
    return sizes["Rss:"], sizes["Pss:"]
