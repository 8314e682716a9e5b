"""A real Postfix of its own: private configuration, own queue, loopback, high ports; started and stopped by the test.

It takes our letters with STARTTLS and DSN as a relay does, brings them to a next hop that a test scripts, and brings
what comes back to our bounce door. Its waits are a second where a real one waits minutes. It lives in a folder of its
own, not under pytest's, because its processes drop root's rights and must still be able to walk there.
"""

import asyncio
import os
import shutil
import ssl
import tempfile
from pathlib import Path
from typing import NamedTuple

PROGRAMS = Path("/usr/lib/postfix/sbin")
_MAIN = """\
compatibility_level = 3.6
config_directory = {folder}/config
queue_directory = {folder}/queue
data_directory = {folder}/data
daemon_directory = {programs}
command_directory = /usr/sbin
maillog_file = {folder}/log
maillog_file_prefixes = {folder}
mail_owner = postfix
setgid_group = postdrop
myhostname = relay.example.net
mydestination =
mynetworks = 127.0.0.0/8
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
alias_maps =
local_recipient_maps =
smtp_dns_support_level = disabled
smtp_tls_security_level = none
smtpd_tls_security_level = may
smtpd_tls_cert_file = {certificate}/certificate.pem
smtpd_tls_key_file = {certificate}/key.pem
smtpd_relay_restrictions = permit_mynetworks, reject
transport_maps = texthash:{folder}/config/transport
delay_warning_time = 1s
queue_run_delay = 1s
minimal_backoff_time = 1s
maximal_backoff_time = 1s
maximal_queue_lifetime = {lifetime}
bounce_queue_lifetime = {lifetime}
"""
_SERVICES = """\
127.0.0.1:{port} inet n - n - - smtpd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
smtp unix - - n - - smtp
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
lmtp unix - - n - - lmtp
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
"""


class Ports(NamedTuple):
    """Where it listens, where letters go on to, and where returned mail is taken."""

    relay: int
    next_hop: int
    door: int


class Postfix:
    """One instance; `lifetime` is how long it tries, `door` speaks `smtp` or `lmtp`."""

    def __init__(self, ports: Ports, tls: ssl.SSLContext, *, lifetime: str = "1d", door: str = "smtp") -> None:
        self.ports, self.certificate = ports, tls.folder / "certificate.pem"
        self.folder = Path(tempfile.mkdtemp(prefix="identity-postfix-"))
        self.folder.chmod(0o755)
        for name in ("config", "queue", "data"):
            (self.folder / name).mkdir()
        shutil.chown(self.folder / "data", "postfix")
        given = {
            "folder": self.folder, "programs": PROGRAMS, "port": ports.relay, "lifetime": lifetime,
            "certificate": tls.folder,
        }  # fmt: skip
        self._write("main.cf", _MAIN.format(**given))
        self._write("master.cf", _SERVICES.format(**given))
        returned = f"smtp:[127.0.0.1]:{ports.door}" if door == "smtp" else f"lmtp:inet:127.0.0.1:{ports.door}"
        self._write("transport", f"identity.example {returned}\n* smtp:[127.0.0.1]:{ports.next_hop}\n")

    def _write(self, name: str, words: str) -> None:
        (self.folder / "config" / name).write_text(words)

    async def start(self) -> "Postfix":
        await self._do("postfix", "start")
        return self

    async def stop(self) -> None:
        try:
            await self._do("postfix", "abort")
        finally:
            shutil.rmtree(self.folder)

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text()

    async def _do(self, command: str, *words: str) -> None:
        process = await asyncio.create_subprocess_exec(
            f"/usr/sbin/{command}", "-c", self.folder / "config", *words,
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        assert await process.wait() == 0, self.log


def missing() -> str | None:
    """Tell why no Postfix can be had here, in one plain sentence; None: it can."""
    if not (PROGRAMS / "master").exists():
        return "needs Postfix (apt-get install postfix)"
    if os.geteuid() != 0:
        return "needs root: Postfix starts as nobody else"
    return None
