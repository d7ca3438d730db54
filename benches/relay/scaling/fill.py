"""To fill a store is to put records into it by `recipient import`; Redis also without that."""

from __future__ import annotations

import hashlib
import hmac
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from chain import BenchError, Chain, find_tool
from hops import Hop
from load import HIT_DOMAIN
from resp import ask

CHUNK = 1_000_000
"""Records of one file."""

FILL_TIMEOUT = 1200.0
"""Seconds that one file may take."""

REASONS = ["opt_out"] * 6 + ["hard_bounce"] * 3 + ["complaint"]
"""Why people are on record, and in which proportion."""


def fill(chain: Chain, hop: Hop, binary: Path, first: int, last: int) -> float:
    """Puts the recipients from `first` to before `last` on record; answers the seconds it took.

    Making the file is not counted.
    """
    seconds = 0.0
    by_import = has_import(binary)
    if not by_import and not hop.redis:
        raise BenchError(f"{binary} has no `recipient import`, and no other way fills this store")
    for start in range(first, last, CHUNK):
        numbers = range(start, min(start + CHUNK, last))
        one = import_list if by_import else pipe_into_redis
        seconds += one(chain, hop, binary, numbers)
    return seconds


def has_import(binary: Path) -> bool:
    """Whether the gateway can import a list."""
    command = [str(binary), "recipient", "import", "--help"]
    return subprocess.run(command, capture_output=True, timeout=20).returncode == 0


def import_list(chain: Chain, hop: Hop, binary: Path, numbers: range) -> float:
    """Has the running gateway import a list."""
    file = chain.directory / "list.csv"
    with file.open("w") as out:
        out.write("email,reason\n")
        out.writelines(f"n{n}@{HIT_DOMAIN},{REASONS[n % len(REASONS)]}\n" for n in numbers)
    command = [str(binary), "--config", str(hop.config), "recipient", "import", str(file)]
    began = time.monotonic()
    run(chain, command)
    seconds = time.monotonic() - began
    file.unlink()
    return seconds


def pipe_into_redis(chain: Chain, hop: Hop, binary: Path, numbers: range) -> float:
    """Copies the record that the gateway itself writes for one recipient, without its history.

    Look-ups read nothing else, but memory and time are not those of an import.
    """
    pattern = chain.directory / "pattern"
    if not pattern.exists():
        learn_pattern(chain, hop, binary, pattern)
    file = chain.directory / "records.resp"
    with file.open("wb") as out:
        out.writelines(commands(chain, pattern.read_bytes(), numbers))
    began = time.monotonic()
    with file.open("rb") as source:
        command = [find_tool("redis-cli", "redis-tools"), "-p", str(hop.redis_port), "--pipe"]
        run(chain, command, source)
    seconds = time.monotonic() - began
    file.unlink()
    return seconds


def learn_pattern(chain: Chain, hop: Hop, binary: Path, pattern: Path) -> None:
    """Has the gateway write one record, and keeps the command that would write it again."""
    example = f"n0@{HIT_DOMAIN}"
    run(chain, [str(binary), "--config", str(hop.config), "recipient", "block", example])
    name = record_name(chain, 0)
    fields = ask(hop.redis_port, "HGETALL", name)
    if not fields:
        raise BenchError("the record of a blocked recipient is not where it was expected")
    words = [b"HSET", name.encode(), *fields]
    command = b"*%d\r\n" % len(words)
    # The name has one length for all; the address is the only value that differs.
    for word in words:
        size = b"@SIZE@" if word == example.encode() else b"%d" % len(word)
        command += b"$%b\r\n%b\r\n" % (size, word)
    pattern.write_bytes(
        command.replace(name.encode(), b"@NAME@").replace(example.encode(), b"@ADDRESS@")
    )


def commands(chain: Chain, pattern: bytes, numbers: range) -> Iterator[bytes]:
    """The command of each record."""
    for number in numbers:
        address = f"n{number}@{HIT_DOMAIN}".encode()
        yield (
            pattern.replace(b"@NAME@", record_name(chain, number).encode())
            .replace(b"@SIZE@", b"%d" % len(address))
            .replace(b"@ADDRESS@", address)
        )


def record_name(chain: Chain, number: int) -> str:
    """The name of a record: keyed by pepper, tenant and address (see `suppression::key`)."""
    pepper = (chain.directory / "data/pepper").read_bytes().strip()
    tenant, address = b"default", f"n{number}@{HIT_DOMAIN}".encode()
    digest = hmac.digest(pepper, len(tenant).to_bytes(8, "big") + tenant + address, hashlib.sha256)
    return f"sendgate:{{default:{digest[:16].hex()}}}:record"


def run(chain: Chain, command: list[str], source: int | BinaryIO = subprocess.DEVNULL) -> None:
    """Runs a command at the place of the chain to its end."""
    try:
        ran = subprocess.run(
            command,
            stdin=source,
            capture_output=True,
            text=True,
            timeout=FILL_TIMEOUT,
            preexec_fn=chain.place.take,
        )
    except subprocess.TimeoutExpired as error:
        raise BenchError(f"{command[0]} did not end within {FILL_TIMEOUT:.0f} s") from error
    if ran.returncode != 0:
        said = (ran.stdout + ran.stderr)[-800:]
        raise BenchError(f"{' '.join(command)} failed:\n{said}")
