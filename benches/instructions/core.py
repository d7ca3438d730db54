"""The pure core under callgrind: one message without sockets, store, log and clock."""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from callgrind import Profile, command, read
from chain import BenchError, Place

ROOT = Path(__file__).resolve().parents[2]

MESSAGES = 100
"""Messages of the smaller of two runs."""


def build() -> Path:
    """Builds the bench that carries messages, and says where it is."""
    cargo = ["cargo", "bench", "--bench", "carry", "--no-run", "--message-format=json"]
    try:
        built = subprocess.run(cargo, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    except OSError as error:
        raise BenchError(f"cargo does not run: {error}; give --carry PATH") from error
    for line in built.stdout.splitlines():
        artifact = json.loads(line)
        if artifact.get("target", {}).get("name") == "carry" and artifact.get("executable"):
            return Path(artifact["executable"])
    raise BenchError("cargo did not build the bench `carry`; what is wrong stands above")


def loads(carry: Path) -> list[str]:
    """The kinds of message that it knows."""
    return said_by([str(carry)]).splitlines()


def count(carry: Path, place: Place) -> Iterator[tuple[str, Profile]]:
    """For each kind of message its name and the instructions of one."""
    with tempfile.TemporaryDirectory(prefix="instructions-") as directory:
        for load in loads(carry):
            less, more = (
                profile(carry, load, messages, place, Path(directory))
                for messages in (MESSAGES, 2 * MESSAGES)
            )
            yield load, more.per(less, MESSAGES)


def profile(carry: Path, load: str, messages: int, place: Place, directory: Path) -> Profile:
    """What carrying so many messages takes, the start of the program included."""
    out = directory / "callgrind.out"
    said_by([*command(out), str(carry), load, str(messages)], place)
    return read(out)


def said_by(argv: list[str], place: Place | None = None) -> str:
    """What a program prints; BenchError with its complaint if it fails."""
    try:
        ended = subprocess.run(
            argv, capture_output=True, text=True, preexec_fn=place.take if place else None
        )
    except OSError as error:
        raise BenchError(f"{argv[0]} does not run: {error}") from error
    if ended.returncode != 0:
        complaint = "\n".join(ended.stderr.strip().splitlines()[-8:])
        raise BenchError(f"{argv[0]} ended with status {ended.returncode}:\n{complaint}")
    return ended.stdout
