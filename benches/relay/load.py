"""A Load is what our own client sends: envelopes and a message, composed before they are needed."""

from __future__ import annotations

from dataclasses import dataclass

MODES = ("pipelined", "chained", "idle")
"""`pipelined`: MAIL, each RCPT and DATA in one write, then the message. `chained`: the next
envelope goes into the same write as the message before it. `idle`: nothing after EHLO."""

HIT_DOMAIN = "suppressed.example"
"""Where the recipients are that a filled store knows: n0 and so on, at this domain."""

STRIDE = 7_368_787
"""Steps of this prime through the records: neighbours in the load are no neighbours there."""

OK, REFUSED, START, BYE = b"250 ", b"550 ", b"354 ", b"221 "


@dataclass(frozen=True)
class Load:
    """What is sent."""

    port: int
    mode: str
    sessions: int
    messages: int | None
    """How many messages; None where `seconds` ends the load."""
    seconds: float | None
    size: int
    """Octets of the body."""
    recipients: int
    """For each message; every one is another address."""
    hits: int = 0
    """How many of them are on record and must be refused."""
    records: int = 0
    """How many are on record."""
    at_once: int = 100
    """Sessions that begin together; each of the others follows when one has made progress."""

    def arguments(self) -> list[str]:
        """The command line that makes this load."""
        return [
            word
            for name, value in vars(self).items()
            if value is not None
            for word in (f"--{name.replace('_', '-')}", str(value))
        ]


class Envelopes:
    """Composes envelopes; the parts that never change are made once."""

    def __init__(self, load: Load):
        self.records = load.records
        self.misses = 0
        self.found = 0
        # Refused recipients stand spread among the others.
        self.hits = [i * load.recipients // load.hits for i in range(load.hits)]
        commands = [b"RCPT TO:<%du@d.example>\r\n"] * load.recipients
        codes = [OK] * load.recipients
        for place in self.hits:
            commands[place] = b"RCPT TO:<n%d@" + HIT_DOMAIN.encode() + b">\r\n"
            codes[place] = REFUSED
        self.template = b"MAIL FROM:<a@b.example>\r\n" + b"".join(commands) + b"DATA\r\n"
        self.expected = [OK, *codes, START]
        self.recipients = load.recipients

    def next(self) -> bytes:
        """An envelope to recipients that were not used before."""
        first = self.misses
        self.misses += self.recipients
        numbers = list(range(first, self.misses))
        for place in self.hits:
            self.found += 1
            numbers[place] = self.found * STRIDE % self.records
        return self.template % tuple(numbers)


def message(size: int) -> bytes:
    """A header and `size` octets of body, with the final dot."""
    header = (
        b"From: <a@b.example>\r\nTo: <u@d.example>\r\nSubject: pipelined load\r\n"
        b"Date: Sun, 22 Nov 2026 12:00:00 +0000\r\nMessage-ID: <load@b.example>\r\n\r\n"
    )
    line = b"X" * 78 + b"\r\n"
    body = (line * (size // len(line) + 1))[: max(size - 2, 0)]
    # The cut must not leave half a line end.
    return header + body.rstrip(b"\r\n").ljust(max(size - 2, 0), b"X") + b"\r\n.\r\n"
