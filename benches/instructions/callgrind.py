"""A Profile is what callgrind counted: instructions in user space, by function."""

from __future__ import annotations

import re
import subprocess
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from chain import BenchError, find_tool
from process import Process

QUIET = 0.1
"""Seconds without CPU time after which a program counts as idle."""

QUIET_CPU = 0.002
"""CPU seconds that do not count in them."""

SETTLE_TIMEOUT = 20.0
"""Seconds within which a program must become idle."""

DUMP_TIMEOUT = 60.0
"""Seconds that callgrind may take to write a dump."""


@dataclass
class Profile:
    """Instructions by function, and by function with all that it calls."""

    total: int = 0
    own: Counter[str] = field(default_factory=Counter)
    inclusive: Counter[str] = field(default_factory=Counter)
    objects: dict[str, str] = field(default_factory=dict)
    """The library or program of each function."""

    def per(self, less: Profile, number: int) -> Profile:
        """What is left when `less` is taken off, for each of `number` messages."""

        def slope(more: Counter[str], base: Counter[str]) -> Counter[str]:
            return Counter({f: round((n - base[f]) / number) for f, n in more.items()})

        return Profile(
            round((self.total - less.total) / number),
            slope(self.own, less.own),
            slope(self.inclusive, less.inclusive),
            self.objects,
        )

    def by_crate(self) -> Counter[str]:
        """Instructions by the crate or library whose code they are."""
        crates: Counter[str] = Counter()
        for function, count in self.own.items():
            crates[crate_of(function, self.objects[function])] += count
        return crates


def command(out: Path) -> list[str]:
    """What goes in front of a program so that callgrind counts it; dumps go to `out`."""
    return [
        find_tool("valgrind", "valgrind"),
        "--tool=callgrind",
        f"--callgrind-out-file={out}",
        # Threads take turns in the order in which they ask, so that every run is alike.
        "--fair-sched=try",
        "--dump-line=no",
    ]


@dataclass
class Counted:
    """A running program that callgrind counts."""

    process: Process
    out: Path
    dumps: int = 0

    def dump(self) -> Profile:
        """What was counted since the last dump, once the program is idle."""
        self.settle()
        control = find_tool("callgrind_control", "valgrind")
        try:
            asked = subprocess.run(
                [control, "--dump", str(self.process.pid)],
                capture_output=True,
                text=True,
                timeout=DUMP_TIMEOUT,
            )
        except subprocess.TimeoutExpired as error:
            raise BenchError(f"callgrind wrote no dump within {DUMP_TIMEOUT:.0f} s") from error
        self.dumps += 1
        path = Path(f"{self.out}.{self.dumps}")
        if not path.exists():
            said = (asked.stdout + asked.stderr).strip()
            raise BenchError(f"callgrind wrote no dump; callgrind_control says:\n{said}")
        return read(path)

    def settle(self) -> None:
        """Waits until the program does nothing: its log and its clean-up are part of the load."""
        deadline = time.monotonic() + SETTLE_TIMEOUT
        used = self.process.cpu_seconds()
        while time.monotonic() < deadline:
            time.sleep(QUIET)
            now = self.process.cpu_seconds()
            if now - used < QUIET_CPU:
                return
            used = now
        raise BenchError(f"{self.process.name} was not idle within {SETTLE_TIMEOUT:.0f} s")


NAMED = re.compile(r"(c?)(fn|ob)=\((\d+)\)(?: (.*))?")
"""A function or an object; its name stands only where its number comes first."""


def read(path: Path) -> Profile:
    """Reads a dump (https://valgrind.org/docs/manual/cl-format.html)."""
    profile = Profile()
    names: dict[tuple[str, str], str] = {}
    here = called = ""
    objects = {"": "", "c": ""}
    is_call = False
    for line in path.read_text(errors="replace").splitlines():
        first = line[:1]
        if first.isdigit() or first in ("+", "-", "*"):
            count = int(line.split()[1])
            if not is_call:
                profile.own[here] += count
                profile.inclusive[here] += count
            elif called != here:
                profile.inclusive[here] += count
            is_call = False
        elif line.startswith("calls="):
            is_call = True
        elif found := NAMED.match(line):
            side, kind, number, name = found.groups()
            if name is not None:
                names[kind, number] = name
            name = names[kind, number]
            if kind == "ob":
                objects[side] = name
                continue
            name = readable(name, objects[side])
            if side:
                called = name
                # It holds for one call only; without it the callee is in the caller's object.
                objects["c"] = objects[""]
            else:
                here = name
                objects["c"] = objects[""]
                profile.objects.setdefault(name, objects[""])
        elif line.startswith("totals:"):
            profile.total = int(line.split()[1])
    if profile.total == 0:
        raise BenchError(f"{path} is no dump of callgrind, or an empty one")
    return profile


def readable(function: str, owner: str) -> str:
    """A function's name; one that has none gets that of its library."""
    return f"{Path(owner).name} {function}" if function.startswith("0x") else function


def crate_of(function: str, owner: str) -> str:
    """Whose code a function is. Code of a generic type is its library's, whoever made use of it."""
    if ".so" in Path(owner).name:
        return Path(owner).name.split(".so")[0]
    if re.match(r"_?mi_", function):
        return "mimalloc"
    found = re.match(r"[<&*(\[]*(?:mut |dyn |const )?(\w+)::", function)
    return found.group(1) if found else "other"
