"""A relay made of aiosmtpd: asks Redis about each recipient, and hands mail on before it says 250.

    aiosmtpd_relay.py PORT UPSTREAM_PORT REDIS_PORT

This is what one writes in an afternoon, for comparison. It is no gateway: it knows no limits, and
holds every message whole. Connections upstream are kept, and each envelope goes there in one write.
"""

from __future__ import annotations

import asyncio
import sys

from aiosmtpd.smtp import SMTP, Envelope, Session

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Redis:
    """One connection that all sessions share; replies come in the order of the questions."""

    def __init__(self, connection: Connection):
        self.reader, self.writer = connection
        self.waiting: asyncio.Queue[asyncio.Future[bool]] = asyncio.Queue()
        self.task = asyncio.create_task(self.answer())

    async def knows(self, address: str) -> bool:
        """Whether the address is on record (EXISTS)."""
        key = f"suppressed:{address.lower()}".encode()
        self.writer.write(b"*2\r\n$6\r\nEXISTS\r\n$%d\r\n%b\r\n" % (len(key), key))
        future = asyncio.get_running_loop().create_future()
        self.waiting.put_nowait(future)
        return await future

    async def answer(self) -> None:
        """Gives each reply to whom it belongs."""
        while line := await self.reader.readline():
            self.waiting.get_nowait().set_result(line == b":1\r\n")


class Relay:
    """The handler that aiosmtpd calls."""

    def __init__(self, upstream_port: int, redis: Redis):
        self.upstream_port = upstream_port
        self.redis = redis
        self.idle: list[Connection] = []

    async def handle_RCPT(
        self,
        _server: SMTP,
        _session: Session,
        envelope: Envelope,
        address: str,
        _options: list[str],
    ) -> str:
        """Refuses who is on record."""
        if await self.redis.knows(address):
            return "550 5.7.1 suppressed"
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 OK"

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:
        """Sends the message on, and answers what the upstream answered."""
        connection = self.idle.pop() if self.idle else await self.connect()
        reply = await self.send(connection, envelope)
        self.idle.append(connection)
        return reply

    async def connect(self) -> Connection:
        """A connection upstream, past EHLO."""
        connection = await asyncio.open_connection("127.0.0.1", self.upstream_port)
        await read_reply(connection[0])
        connection[1].write(b"EHLO relay.example\r\n")
        await read_reply(connection[0])
        return connection

    async def send(self, connection: Connection, envelope: Envelope) -> str:
        """One transaction: the envelope in one write, then the message."""
        reader, writer = connection
        recipients = [f"RCPT TO:<{address}>\r\n" for address in envelope.rcpt_tos]
        envelope_text = f"MAIL FROM:<{envelope.mail_from}>\r\n{''.join(recipients)}DATA\r\n"
        writer.write(envelope_text.encode())
        for _ in range(len(recipients) + 2):
            await read_reply(reader)
        content = envelope.original_content or b""
        # A line that begins with a dot gets another (RFC 5321 §4.5.2).
        stuffed = (b"\r\n" + content).replace(b"\r\n.", b"\r\n..")[2:]
        writer.write(stuffed + b".\r\n")
        await writer.drain()
        return await read_reply(reader)


async def read_reply(reader: asyncio.StreamReader) -> str:
    """The last line of a reply; an error if it refuses."""
    while True:
        line = await reader.readline()
        if line[3:4] != b"-":
            break
    if line[:1] not in (b"2", b"3"):
        raise ConnectionError(f"the upstream answered {line!r}")
    return line.decode().rstrip()


async def main() -> None:
    """Serves until it is stopped."""
    port, upstream_port, redis_port = (int(word) for word in sys.argv[1:])
    redis = Redis(await asyncio.open_connection("127.0.0.1", redis_port))
    relay = Relay(upstream_port, redis)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: SMTP(relay, hostname="relay.example", loop=loop), "127.0.0.1", port, backlog=2000
    )
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
