"""One SMTP conversation, step by step, and the pool of connections it runs on. Knows no database.

aiosmtplib speaks; the steps are ours, because whether a failure came before or after the payload decides whether the
letter may already be on its way, and `sendmail` cannot tell (RFC 1047). Every reply is kept with its phase and time.
One task uses a connection at a time, and any doubt closes it: a late answer must never be read as the next one's.
"""

import asyncio
import contextlib
import socket
import ssl
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any, Final

import aiosmtplib
from aiosmtplib.errors import SMTPConnectResponseError, SMTPException, SMTPReadTimeoutError, SMTPServerDisconnected

from identity_service.mail import rules
from identity_service.mail.letters import Envelope
from identity_service.mail.outbox import Report
from identity_service.settings import Relay

GREETING: Final = 10.0
COMMAND: Final = 15.0
TCP: Final = 5.0
CLOSING: Final = 2.0
IDLE: Final = 30.0
MAILS_PER_CONNECTION: Final = 100
CONNECTION_LIFE: Final = 300.0
AFTER_DOT: Final = {0: 60.0, 5: 300.0, 9: 300.0}
"""Seconds to wait for the answer to the final dot, per lane (RFC 5321 says ten minutes; a person waits in lane 0)."""


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds per phase; tests shorten them."""

    tcp: float = TCP
    greeting: float = GREETING
    command: float = COMMAND
    closing: float = CLOSING
    after_dot: float | None = None


class _Ended(Exception):
    """The conversation ended at this reply, or at this lack of one."""

    def __init__(self, phase: str, code: int, text: str, *, silent: bool = False) -> None:
        super().__init__(text)
        self.phase, self.code, self.text, self.silent = phase, code, text, silent


@dataclass(slots=True)
class _Connection:
    client: aiosmtplib.SMTP
    peer_ip: str | None
    tls_version: str | None
    opened_at: float
    used: int = 0
    idle_since: float = 0.0


@dataclass(slots=True)
class _Talk:
    """What is said in one attempt."""

    phase: str = "connect"
    lines: list[dict[str, Any]] = field(default_factory=list)
    started: float = field(default_factory=time.monotonic)

    def keep(self, verb: str, code: int | None, text: str, since: float) -> None:
        ms = round((time.monotonic() - since) * 1000)
        self.lines.append({"verb": verb, "code": code, "text": rules.scrub(text), "ms": ms})


class Pool:
    """Connections to one relay: reused while fresh, at most `connections` at a time."""

    def __init__(self, relay: Relay, *, local_hostname: str, timeouts: Timeouts | None = None) -> None:
        """Prepare; nothing is connected. The TLS context is built once."""
        self.relay = relay
        self.timeouts = timeouts or Timeouts()
        self._hostname = local_hostname
        self._tls = ssl.create_default_context(cafile=str(relay.ca_file) if relay.ca_file else None)
        self._idle: list[_Connection] = []
        self._slots = asyncio.Semaphore(relay.connections)

    async def deliver(self, envelope: Envelope, *, lane: int) -> Report:
        """Hand one letter to this relay and report how it went; never raises for what a relay does."""
        async with self._slots:
            talk = _Talk()
            connection = self._reusable()
            if connection is not None:
                report = await self._attempt(connection, envelope, talk, lane, reused=True)
                if report is not None:
                    return report
                talk.keep("reconnect", None, "the idle connection was gone", talk.started)
            talk.phase = "connect"
            try:
                fresh = await self._connect(talk)
            except _Ended as ended:
                return self._report(talk, ended, None, reused=False)
            report = await self._attempt(fresh, envelope, talk, lane, reused=False)
            assert report is not None  # noqa: S101
            return report

    async def check(self) -> tuple[Report, dict[str, str]]:
        """Connect, encrypt and log in, hand over nothing; return how it went and the extensions offered."""
        talk = _Talk()
        try:
            connection = await self._connect(talk)
        except _Ended as ended:
            return self._report(talk, ended, None, reused=False), {}
        extensions = dict(connection.client.esmtp_extensions)
        connection.client.close()
        return self._report(talk, _Ended("auth", 250, "ready"), connection, reused=False), extensions

    async def close(self) -> None:
        """Close every idle connection."""
        while self._idle:
            await self._quit(self._idle.pop())

    def _reusable(self) -> _Connection | None:
        while self._idle:
            connection = self._idle.pop()
            now = time.monotonic()
            fresh = now - connection.idle_since < IDLE and now - connection.opened_at < CONNECTION_LIFE
            if connection.client.is_connected and fresh and connection.used < MAILS_PER_CONNECTION:
                return connection
            connection.client.close()
        return None

    async def _attempt(
        self, connection: _Connection, envelope: Envelope, talk: _Talk, lane: int, *, reused: bool
    ) -> Report | None:
        """Return the report, or None where a reused connection died before the payload: that one is free to repeat."""
        connection.used += 1
        try:
            await self._converse(connection.client, envelope, talk, lane)
        except _Ended as ended:
            gone = ended.silent and ended.phase in ("mail", "rcpt", "data") and not _timed_out(ended)
            if reused and gone:
                connection.client.close()
                return None
            await self._after(connection, ended)
            return self._report(talk, ended, connection, reused=reused)
        except BaseException:
            connection.client.close()
            raise
        raise AssertionError("a conversation ends with a reply")

    async def _connect(self, talk: _Talk) -> _Connection:
        relay = self.relay
        client = aiosmtplib.SMTP(
            hostname=relay.host, local_hostname=self._hostname, timeout=self.timeouts.greeting,
            use_tls=relay.tls == "implicit", start_tls=False, tls_context=self._tls,
        )  # fmt: skip
        try:
            async with self._told(talk, "connect"):
                sock = await _open_socket(relay.host, relay.port, self.timeouts.tcp)
                since = time.monotonic()
                greeting = await client.connect(sock=sock, port=None)
                talk.keep("greeting", greeting.code, greeting.message, since)
            await self._ehlo(client, talk)
            if relay.tls == "starttls":
                await self._start_tls(client, talk)
            if relay.username is not None and relay.password is not None:
                await self._log_in(client, talk, relay.username, relay.password.get_secret_value())
        except BaseException:
            client.close()
            raise
        peer = client.get_transport_info("peername")
        secured = client.get_transport_info("ssl_object")
        return _Connection(
            client,
            peer_ip=peer[0] if peer else None,
            tls_version=secured.version() if secured else None,
            opened_at=time.monotonic(),
        )

    async def _start_tls(self, client: aiosmtplib.SMTP, talk: _Talk) -> None:
        talk.phase = "tls"
        if not client.supports_extension("starttls"):
            raise _Ended("tls", 0, "the relay offers no encryption; nothing was sent", silent=True)
        async with self._told(talk, "tls"):
            since = time.monotonic()
            reply = await client.starttls(timeout=self.timeouts.greeting, server_hostname=self.relay.host)
            talk.keep("STARTTLS", reply.code, reply.message, since)
        await self._ehlo(client, talk)

    async def _log_in(self, client: aiosmtplib.SMTP, talk: _Talk, username: str, password: str) -> None:
        talk.phase = "auth"
        since = time.monotonic()
        async with self._told(talk, "auth"):
            reply = await client.auth_plain(username, password, timeout=self.timeouts.greeting)
            talk.keep("AUTH", reply.code, reply.message, since)

    async def _ehlo(self, client: aiosmtplib.SMTP, talk: _Talk) -> None:
        async with self._told(talk, talk.phase):
            since = time.monotonic()
            reply = await client.ehlo(timeout=self.timeouts.greeting)
            talk.keep("EHLO", reply.code, reply.message, since)

    async def _converse(self, client: aiosmtplib.SMTP, envelope: Envelope, talk: _Talk, lane: int) -> None:
        """Say MAIL, RCPT, DATA and the payload. Always ends by raising `_Ended` with the last reply."""
        dsn = client.supports_extension("dsn")
        sender = [b"FROM:<" + envelope.sender.encode("ascii") + b">"]
        recipient = [b"TO:<" + envelope.recipient.encode("ascii") + b">"]
        if dsn:
            sender += [b"RET=HDRS", b"ENVID=" + envelope.envid.encode("ascii")]
            recipient += [b"NOTIFY=FAILURE,DELAY", b"ORCPT=rfc822;" + _xtext(envelope.recipient)]
        await self._say(client, talk, "mail", b"MAIL", *sender, wanted=(200, 299))
        await self._say(client, talk, "rcpt", b"RCPT", *recipient, wanted=(200, 299))
        await self._say(client, talk, "data", b"DATA", wanted=(354, 354))
        talk.phase, since = "payload", time.monotonic()
        protocol, payload = client.protocol, envelope.payload_for(self.relay.headers)
        assert protocol is not None  # noqa: S101
        wait = self.timeouts.after_dot or AFTER_DOT[lane]
        async with self._told(talk, "payload"):
            # These two stay next to each other: a reply that comes during an await between them would be dropped.
            protocol.write(payload)
            talk.phase = "eod"
            reply = await protocol.read_response(timeout=wait)
        talk.keep("payload", reply.code, reply.message, since)
        raise _Ended("eod", reply.code, reply.message)

    async def _say(
        self, client: aiosmtplib.SMTP, talk: _Talk, phase: str, *words: bytes, wanted: tuple[int, int]
    ) -> None:
        talk.phase, since = phase, time.monotonic()
        async with self._told(talk, phase):
            reply = await client.execute_command(*words, timeout=self.timeouts.command)
        talk.keep(words[0].decode(), reply.code, reply.message, since)
        if not wanted[0] <= reply.code <= wanted[1]:
            raise _Ended(phase if phase != "data" or reply.code < 400 else "eod", reply.code, reply.message)

    @contextlib.asynccontextmanager
    async def _told(self, talk: _Talk, verb: str) -> AsyncIterator[None]:
        """Turn every way in which a step can fail into the one end of a conversation."""
        since = time.monotonic()
        try:
            yield
        except (SMTPReadTimeoutError, aiosmtplib.SMTPTimeoutError, TimeoutError) as silent:
            text = f"no answer within {time.monotonic() - since:.0f} s"
            talk.keep(verb, None, text, since)
            raise _Ended(talk.phase, 0, text, silent=True) from silent
        except (aiosmtplib.SMTPResponseException, SMTPConnectResponseError) as refused:
            talk.keep(verb, refused.code, str(refused.message), since)
            raise _Ended(talk.phase, refused.code, str(refused.message)) from refused
        except (SMTPServerDisconnected, SMTPException, OSError, ValueError) as broken:
            text = _plain(broken)
            talk.keep(verb, None, text, since)
            raise _Ended(talk.phase, 0, text, silent=True) from broken

    async def _after(self, connection: _Connection, ended: _Ended) -> None:
        """Keep a connection whose state is certain: after an acceptance, or after a refusal and a good RSET."""
        client = connection.client
        taken = ended.phase == "eod" and 200 <= ended.code <= 299
        refused = 400 <= ended.code <= 599 and ended.code != 421
        if ended.silent or not client.is_connected or not (taken or refused):
            client.close()
            return
        if refused:
            try:
                reset = await client.execute_command(b"RSET", timeout=self.timeouts.closing)
            except (SMTPException, OSError):
                client.close()
                return
            if reset.code != 250:
                client.close()
                return
        connection.idle_since = time.monotonic()
        self._idle.append(connection)

    async def _quit(self, connection: _Connection) -> None:
        with contextlib.suppress(SMTPException, OSError):
            await connection.client.execute_command(b"QUIT", timeout=self.timeouts.closing)
        connection.client.close()

    def _report(self, talk: _Talk, ended: _Ended, connection: _Connection | None, *, reused: bool) -> Report:
        text = rules.scrub(ended.text)
        enhanced = None if ended.silent else rules.enhanced_code(text)
        verdict = (
            rules.without_reply(ended.phase)
            if ended.silent
            else rules.classify(ended.phase, ended.code, enhanced, text)
        )
        return Report(
            phase=talk.phase,
            outcome=verdict.outcome,
            reply_class=verdict.reply_class,
            code=None if ended.silent or ended.code < 0 else ended.code,
            enhanced=enhanced,
            reply=text,
            transcript=talk.lines,
            relay=self.relay.name,
            peer_ip=connection.peer_ip if connection else None,
            tls_version=connection.tls_version if connection else None,
            reused=reused,
            duration_ms=round((time.monotonic() - talk.started) * 1000),
            queue_id=rules.queue_id(text) if verdict.outcome == "accepted" else None,
        )


async def _open_socket(host: str, port: int, seconds: float) -> socket.socket:
    """Return a connected socket; our own, so that TCP has its own time and the greeting another."""
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(seconds):
        addresses = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        last: OSError = OSError("no address")
        for family, kind, protocol, _, address in addresses:
            sock = socket.socket(family, kind, protocol)
            sock.setblocking(False)
            try:
                await loop.sock_connect(sock, address)
            except OSError as refused:
                sock.close()
                last = refused
            except BaseException:
                sock.close()
                raise
            else:
                return sock
        raise last


def _plain(broken: BaseException) -> str:
    """Return what happened in a few words; of our side, never of the letter."""
    cause = broken
    while cause.__cause__ is not None and not isinstance(cause, ssl.SSLError):
        cause = cause.__cause__
    if isinstance(cause, ssl.SSLCertVerificationError):
        return f"the relay's certificate is not valid: {cause.verify_message}"
    if isinstance(cause, ConnectionRefusedError):
        return "connection refused"
    if isinstance(cause, SMTPServerDisconnected | ConnectionError):
        return "the relay closed the connection"
    return str(cause)[:200] or type(cause).__name__


def _timed_out(ended: _Ended) -> bool:
    return ended.text.startswith("no answer within")


def _xtext(address: str) -> bytes:
    """Return an address as xtext (RFC 3461, 4)."""
    return "".join(c if "!" <= c <= "~" and c not in "+=" else f"+{ord(c):02X}" for c in address).encode("ascii")
