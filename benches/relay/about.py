"""What a measurement is about: the machine and the versions, each in one line."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path

from chain import BenchError, find_tool
from hops import SENDGATE


def machine() -> str:
    """The machine and its load, in one line."""
    found = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    model = found.group(1) if found else platform.machine()
    return (
        f"{model}, {os.cpu_count()} cores, Linux {platform.release()}, "
        f"load {os.getloadavg()[0]:.2f} at the start, {datetime.now(timezone.utc):%Y-%m-%d}"
    )


def versions(hops: list[str], binary: Path) -> str:
    """What was measured, in one line."""
    commands = {"postconf": ["-d", "-h", "mail_version"]}
    if "haproxy" in hops:
        commands["haproxy"] = ["-v"]
    if {"redis", "aiosmtpd"} & set(hops):
        commands["redis-server"] = ["--version"]
    said = []
    for tool, options in commands.items():
        package = {"postconf": "postfix"}.get(tool, tool)
        said.append(f"{package} {version_of([find_tool(tool, package), *options])}")
    if "aiosmtpd" in hops:
        said.append(f"aiosmtpd {version('aiosmtpd')}, Python {platform.python_version()}")
    if set(hops) & set(SENDGATE):
        said.append(f"sendgate {version_of([str(binary), '--version'])}{commit(binary)}")
    return ", ".join(said)


def version_of(command: list[str]) -> str:
    """The first version number that a command prints."""
    found = re.search(r"\d+(\.\d+)+[-\w.+]*", said_by(command))
    return found.group(0) if found else "of unknown version"


def said_by(command: list[str]) -> str:
    """What a command prints; nothing if it does not end soon."""
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=3).stdout
    except subprocess.TimeoutExpired:
        return ""
    except OSError as error:
        raise BenchError(f"{command[0]} does not run: {error}") from error


def commit(binary: Path) -> str:
    """The commit of the source tree, if the binary lies in it."""
    root = Path(__file__).resolve().parents[2]
    if not binary.is_relative_to(root):
        return ""
    try:
        name = said_by(["git", "-C", str(root), "rev-parse", "--short", "HEAD"]).strip()
    except BenchError:
        return ""
    return f" ({name})" if name else ""
