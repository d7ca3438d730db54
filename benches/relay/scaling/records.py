"""How many records cost how much: memory, filling, and look-ups that find somebody or nobody."""

from __future__ import annotations

import re
import shutil
import time
from pathlib import Path

from chain import BenchError, Chain
from hops import LABELS, Hop, start_hop, start_sendgate, start_sink
from load import Load
from plot import Panel
from process import Process
from report import table as markdown
from resp import memory_used, settle
from scaling.fill import fill, has_import
from scaling.loaded import middle, run_load
from scaling.setting import (
    MIB,
    Row,
    Setting,
    attempt,
    cell,
    counted_in_words,
    cpus,
    distinct,
    series,
)

TITLE = "Records in the store"
ABOUT = (
    "Messages of 1 KiB to 50 recipients, pipelined, on 20 connections: nobody on record, and 5 of "
    "50 on record and refused. Look-ups go all over the store."
)
SESSIONS, RECIPIENTS, HITS = 20, 50, 5
MEMORY_SHARE = 0.6
"""The part of the free memory, or of the free disk, that a store may take."""
STILL, STEP = 1.0, 0.1
"""A gateway without a load has done what it does after a start once it used no CPU for so many
seconds; how often to look."""


def run(setting: Setting) -> list[Row]:
    """Fills each store step by step, and measures at each."""
    steps = [0, 10_000, 100_000] if setting.quick else [0, 10_000, 1_000_000, 10_000_000]
    steps = sorted({min(step, setting.largest) for step in steps})
    rows: list[Row] = []
    for store in setting.stores:
        with Chain(setting.place) as chain:
            sink, sink_port = start_sink(chain)
            hop = start_hop(chain, store, sink_port, setting.binary)
            filling = Filling(chain, hop, sink_port, setting)
            for records in steps:
                what = {"store": LABELS[store], "records": records}
                attempt(rows, what, one_step, setting, filling, sink, records)
                if "failed" in rows[-1]:
                    break
    return rows


class Filling:
    """A store that is filled step by step."""

    def __init__(self, chain: Chain, hop: Hop, sink_port: int, setting: Setting):
        self.chain, self.hop, self.sink_port, self.setting = chain, hop, sink_port, setting
        self.records, self.rate = 0, 0.0
        self.empty = self.size()
        self.room = MEMORY_SHARE * (free_memory() if hop.redis else free_disk(chain.directory))

    def size(self) -> int:
        """Octets of the store: what Redis has allocated, or the file."""
        if self.hop.redis:
            return memory_used(self.hop.redis_port)
        return (self.chain.directory / "data/sendgate.redb").stat().st_size

    def reach(self, records: int) -> Row:
        """Fills up to so many records, and tells what that took."""
        added = records - self.records
        if not added:
            return {}
        if self.records:
            self.check_room(records)
        seconds = fill(self.chain, self.hop, self.setting.binary, self.records, records)
        if self.hop.redis:
            settle(self.hop.redis_port, "sendgate:meta")
        self.records, self.rate = records, added / seconds
        return {
            "octets_per_record": (self.size() - self.empty) / records,
            "records_per_second": self.rate,
            "filled_by": "import" if has_import(self.setting.binary) else "redis-cli --pipe",
        }

    def start_again(self) -> Row:
        """Starts the gateway of an embedded store again, and waits until memory is filled."""
        if self.hop.redis or not self.records:
            return {}
        self.hop.gateway.stop()
        url = f"embedded:{self.chain.directory}/data/sendgate.redb"
        self.hop = start_sendgate(self.chain, self.sink_port, self.setting.binary, url)
        began = changed = time.monotonic()
        used = self.hop.gateway.cpu_seconds()
        while time.monotonic() - changed < STILL:
            time.sleep(STEP)
            before, used = used, self.hop.gateway.cpu_seconds()
            if used - before > STEP / 100:
                changed = time.monotonic()
        return {"seconds_after_start": changed - began}

    def check_room(self, records: int) -> None:
        """BenchError where so many would take too much memory or time, going by those before."""
        words = f"{counted_in_words(records)} records would take"
        needed = (self.size() - self.empty) / self.records * records
        if needed > self.room:
            raise BenchError(
                f"{words} {needed / 2**30:.1f} GiB, more than the {self.room / 2**30:.1f} GiB that "
                "may be used: see --largest"
            )
        minutes = (records - self.records) / self.rate / 60
        if minutes > self.setting.fill_minutes:
            raise BenchError(f"{words} {minutes:.0f} minutes to fill in: see --fill-minutes")


def free_memory() -> float:
    """Octets that could be used without swapping."""
    text = Path("/proc/meminfo").read_text()
    found = re.search(r"^MemAvailable:\s+(\d+) kB", text, re.MULTILINE)
    return float(found.group(1)) * 1024 if found else 0.0


def free_disk(folder: Path) -> float:
    """Octets free on the disk of a folder."""
    return float(shutil.disk_usage(folder).free)


def one_step(setting: Setting, filling: Filling, sink: Process, records: int) -> Row:
    """Fills up to so many records, starts again, then looks up."""
    filled = filling.reach(records) | filling.start_again()
    missed = look_up(setting, filling, sink, hits=0)
    found = look_up(setting, filling, sink, hits=HITS) if records else {}
    return {
        **filled,
        **{f"missed_{name}": value for name, value in missed.items()},
        **{f"found_{name}": value for name, value in found.items()},
        "rss": max(missed["rss"], found.get("rss", 0)),
    }


def look_up(setting: Setting, filling: Filling, sink: Process, hits: int) -> Row:
    """One kind of load."""
    hop = filling.hop
    load = Load(
        hop.port,
        "pipelined",
        SESSIONS,
        None,
        setting.seconds,
        1024,
        RECIPIENTS,
        hits,
        filling.records,
    )
    return middle(setting.runs, lambda: run_load(filling.chain, hop, sink, load)).row()


def table(rows: list[Row]) -> str:
    """One line for each store and number of records."""
    head = [
        "store",
        "records",
        "octets per record",
        "filled, records/s",
        "seconds after a start to have them in memory",
        "gateway's RSS in MiB",
        "recipients/s, nobody on record",
        "CPU µs per recipient, gateway + Redis",
        "recipients/s, 1 of 10 refused",
        "CPU µs per recipient, gateway + Redis",
    ]
    ways = {row["filled_by"] for row in rows if "filled_by" in row}
    text = markdown(head, (line(row) for row in rows))
    failures = [f"{row['store']}: {row['failed']}" for row in rows if "failed" in row]
    notes = [f"Filled by {' and '.join(sorted(ways))}."] if ways else []
    return "\n\n".join([text, *notes, *failures])


def line(row: Row) -> list[str]:
    """One line of the table."""
    return [
        str(row["store"]),
        counted_in_words(row["records"]),
        cell(row, "octets_per_record"),
        cell(row, "records_per_second"),
        cell(row, "seconds_after_start", ".1f"),
        cell(row, "rss", ".1f", 1 / MIB),
        cell(row, "missed_recipients_per_second"),
        cpus(row, "missed_"),
        cell(row, "found_recipients_per_second"),
        cpus(row, "found_"),
    ]


def panels(rows: list[Row]) -> list[Panel]:
    """Look-ups a second of both kinds, and the size of a record."""
    labels = [counted_in_words(count) for count in distinct(rows, "records")]
    below = "records"
    rates = [
        Panel(
            f"Recipients looked up per second, {words}",
            labels,
            series(rows, "store", "records", f"{kind}_recipients_per_second"),
            below=below,
        )
        for kind, words in (("missed", "nobody on record"), ("found", "1 of 10 refused"))
    ]
    sizes = series(rows, "store", "records", "octets_per_record")
    title = "Octets per record: memory of Redis, or file"
    return [*rates, Panel(title, labels, sizes, bars=True, below=below)]
