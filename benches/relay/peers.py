"""The peers are other mail servers that can stand where Sendgate stands: Postfix and aiosmtpd."""

from __future__ import annotations

import importlib.util
import os
import pwd
import subprocess
import sys
from pathlib import Path

from chain import BenchError, Chain, find_tool, free_port
from process import Process, Tree

SERVICES = """
127.0.0.1:{port} inet n - n - - smtpd
cleanup  unix n - n - 0 cleanup
qmgr     unix n - n 300 1 qmgr
rewrite  unix - - n - - trivial-rewrite
bounce   unix - - n - 0 bounce
defer    unix - - n - 0 bounce
trace    unix - - n - 0 bounce
verify   unix - - n - 1 verify
proxymap unix - - n - - proxymap
smtp     unix - - n - - smtp
error    unix - - n - - error
retry    unix - - n - - error
anvil    unix - - n - 1 anvil
scache   unix - - n - 1 scache
postlog  unix-dgram n - n - 1 postlogd
"""
"""What relaying takes, of master.cf."""


def check_postfix() -> None:
    """BenchError where no private Postfix can be started."""
    find_tool("postfix", "postfix")
    if os.geteuid() != 0:
        raise BenchError("the hop postfix takes root: Postfix starts for nobody else")


def check_aiosmtpd() -> None:
    """BenchError where this Python has no aiosmtpd."""
    if importlib.util.find_spec("aiosmtpd") is None:
        raise BenchError(
            "the hop aiosmtpd needs the Python package of that name. Install it where you like and "
            "run this with its Python:\n"
            "    python3 -m venv /tmp/aiosmtpd && /tmp/aiosmtpd/bin/pip install aiosmtpd\n"
            "    /tmp/aiosmtpd/bin/python benches/relay/run --hops direct,haproxy,aiosmtpd"
        )


def start_postfix(chain: Chain, sink_port: int) -> tuple[Process, int]:
    """A private Postfix that asks an access table about each recipient and relays to the sink.

    It keeps a queue, as it always does: mail is on disk before the client hears 250.
    """
    port = free_port()
    folder = chain.directory / "postfix"
    folder.mkdir(mode=0o755)
    for name, owner in (("config", "root"), ("queue", "root"), ("data", "postfix")):
        (folder / name).mkdir(mode=0o755)
        os.chown(folder / name, pwd.getpwnam(owner).pw_uid, -1)
    table = folder / "suppressed"
    table.write_text("".join(f"n{n}@suppressed.example REJECT\n" for n in range(1000)))
    config = folder / "config"
    (config / "main.cf").write_text(main_cf(folder, table, sink_port))
    (config / "master.cf").write_text(SERVICES.format(port=port).lstrip())
    run_tool(chain, ["postmap", "-c", str(config), f"hash:{table}"])
    run_tool(chain, ["postfix", "-c", str(config), "check"])
    argv = [find_tool("postfix", "postfix"), "-c", str(config), "start-fg"]
    gateway = chain.start("postfix", argv, kind=Tree)
    chain.await_answer(gateway, port, b"", b"220")
    return gateway, port


def main_cf(folder: Path, table: Path, sink_port: int) -> str:
    """Defaults, but for what makes it private and what would slow a benchmark for no reason."""
    return f"""compatibility_level = 3.6
config_directory = {folder}/config
queue_directory = {folder}/queue
data_directory = {folder}/data
maillog_file = {folder}/maillog
maillog_file_prefixes = {folder}
myhostname = relay.example
mydestination =
local_recipient_maps =
alias_maps =
alias_database =
inet_interfaces = loopback-only
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
relayhost = [127.0.0.1]:{sink_port}
smtp_tls_security_level = none
smtpd_recipient_restrictions = check_recipient_access hash:{table}, permit_mynetworks, reject
# One message stays one message, however many recipients it has.
smtp_destination_recipient_limit = 1000
# No brake on a sender that is faster than the disk, and no bound for our one client.
in_flow_delay = 0
smtpd_client_connection_count_limit = 0
"""


def run_tool(chain: Chain, command: list[str]) -> None:
    """Runs a program of Postfix to its end."""
    command[0] = find_tool(command[0], "postfix")
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=chain.directory)
    if ran.returncode != 0:
        raise BenchError(f"{' '.join(command)} failed:\n{ran.stdout}{ran.stderr}")


def start_aiosmtpd(chain: Chain, sink_port: int, redis_port: int) -> tuple[Process, int]:
    """A relay of some hundred lines of Python, that asks Redis about each recipient."""
    check_aiosmtpd()
    port = free_port()
    script = Path(__file__).resolve().parent / "aiosmtpd_relay.py"
    argv = [sys.executable, str(script), str(port), str(sink_port), str(redis_port)]
    gateway = chain.start("aiosmtpd", argv)
    chain.await_answer(gateway, port, b"", b"220")
    return gateway, port
