"""SMTP conversations and the connection pool of a relay. No database.

The commands are sent one by one with aiosmtplib: whether a failure came before or after the payload decides whether the
message may have been accepted, and `sendmail` does not report it (RFC 1047). Every reply is recorded with phase and
time. One task uses a connection at a time, and a connection in an uncertain state is closed: a late reply must never be
read as the reply to the next command.
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

from identity_service.messages.delivery import replies
from identity_service.messages.delivery.queue import AttemptReport
from identity_service.messages.rendering import SmtpEnvelope
from identity_service.settings import Relay

GREETING: Final = 10.0
COMMAND: Final = 15.0
TCP: Final = 5.0
CLOSING: Final = 2.0
IDLE: Final = 30.0
MESSAGES_PER_CONNECTION: Final = 100
CONNECTION_AGE: Final = 300.0
AFTER_DOT: Final = {0: 60.0, 5: 300.0, 9: 300.0}
"""Seconds to wait for the reply to the final dot, per priority (RFC 5321 says ten minutes; in priority 0 a person
waits)."""


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds per phase; tests shorten them."""

    tcp: float = TCP
    greeting: float = GREETING
    command: float = COMMAND
    closing: float = CLOSING
    after_dot: float | None = None


class _Ended(Exception):
    """The conversation ended with this reply, or without one (`silent`); `verdict` replaces what the reply means."""

    verdict: replies.ReplyClass | None = None

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
class _Transcript:
    """The phase and the replies of one attempt."""

    phase: str = "connect"
    lines: list[dict[str, Any]] = field(default_factory=list)
    started: float = field(default_factory=time.monotonic)

    def add(self, verb: str, code: int | None, text: str, since: float) -> None:
        ms = round((time.monotonic() - since) * 1000)
        self.lines.append({"verb": verb, "code": code, "text": replies.scrub_reply(text), "ms": ms})


class Pool:
    """Connections to one relay: at most `connections` at a time, reused for a limited time and number of messages."""

    def __init__(self, relay: Relay, *, local_hostname: str, timeouts: Timeouts | None = None) -> None:
        """Create a pool without connections; the TLS context is built once."""
        self.relay = relay
        self.timeouts = timeouts or Timeouts()
        self._hostname = local_hostname
        self._tls = ssl.create_default_context(cafile=str(relay.ca_file) if relay.ca_file else None)
        self._idle: list[_Connection] = []
        self._slots = asyncio.Semaphore(relay.connections)

    async def deliver(self, envelope: SmtpEnvelope, *, priority: int) -> AttemptReport:
        """Send one message to this relay and return the report; never raises for anything a relay does."""
        async with self._slots:
            transcript = _Transcript()
            connection = self._reusable()
            if connection is not None:
                report = await self._attempt(connection, envelope, transcript, priority, reused=True)
                if report is not None:
                    return report
                transcript.add("reconnect", None, "the idle connection was gone", transcript.started)
            transcript.phase = "connect"
            try:
                fresh = await self._connect(transcript)
            except _Ended as ended:
                return self._report(transcript, ended, None, reused=False)
            report = await self._attempt(fresh, envelope, transcript, priority, reused=False)
            assert report is not None  # noqa: S101
            return report

    async def check(self) -> tuple[AttemptReport, dict[str, str]]:
        """Connect, start TLS and log in without sending; return the report and the extensions offered."""
        transcript = _Transcript()
        try:
            connection = await self._connect(transcript)
        except _Ended as ended:
            return self._report(transcript, ended, None, reused=False), {}
        extensions = dict(connection.client.esmtp_extensions)
        connection.client.close()
        return self._report(transcript, _Ended("auth", 250, "ready"), connection, reused=False), extensions

    async def close(self) -> None:
        """Close every idle connection."""
        while self._idle:
            await self._quit(self._idle.pop())

    def _reusable(self) -> _Connection | None:
        while self._idle:
            connection = self._idle.pop()
            now = time.monotonic()
            fresh = now - connection.idle_since < IDLE and now - connection.opened_at < CONNECTION_AGE
            if connection.client.is_connected and fresh and connection.used < MESSAGES_PER_CONNECTION:
                return connection
            connection.client.close()
        return None

    async def _attempt(
        self, connection: _Connection, envelope: SmtpEnvelope, transcript: _Transcript, priority: int, *, reused: bool
    ) -> AttemptReport | None:
        """Return the report, or None if a reused connection broke before the payload, so that repeating is safe."""
        connection.used += 1
        try:
            await self._converse(connection.client, envelope, transcript, priority)
        except _Ended as ended:
            broke_early = ended.silent and ended.phase in ("mail", "rcpt", "data") and not _timed_out(ended)
            if reused and broke_early:
                connection.client.close()
                return None
            await self._reuse_or_close(connection, ended)
            return self._report(transcript, ended, connection, reused=reused)
        except BaseException:
            connection.client.close()
            raise
        raise AssertionError("a conversation ends with a reply")

    async def _connect(self, transcript: _Transcript) -> _Connection:
        relay = self.relay
        client = aiosmtplib.SMTP(
            hostname=relay.host, local_hostname=self._hostname, timeout=self.timeouts.greeting,
            use_tls=relay.tls == "implicit", start_tls=False, tls_context=self._tls,
        )  # fmt: skip
        try:
            async with self._failures(transcript, "connect"):
                sock = await _open_socket(relay.host, relay.port, self.timeouts.tcp)
                since = time.monotonic()
                greeting = await client.connect(sock=sock, port=None)
                transcript.add("greeting", greeting.code, greeting.message, since)
            await self._ehlo(client, transcript)
            if relay.tls == "starttls":
                await self._start_tls(client, transcript)
            if relay.username is not None and relay.password is not None:
                await self._log_in(client, transcript, relay.username, relay.password.get_secret_value())
        except BaseException:
            client.close()
            raise
        peer = client.get_transport_info("peername")
        tls = client.get_transport_info("ssl_object")
        return _Connection(
            client,
            peer_ip=peer[0] if peer else None,
            tls_version=tls.version() if tls else None,
            opened_at=time.monotonic(),
        )

    async def _start_tls(self, client: aiosmtplib.SMTP, transcript: _Transcript) -> None:
        transcript.phase = "tls"
        if not client.supports_extension("starttls"):
            raise _Ended("tls", 0, "the relay offers no encryption; nothing was sent", silent=True)
        async with self._failures(transcript, "tls"):
            since = time.monotonic()
            reply = await client.starttls(timeout=self.timeouts.greeting, server_hostname=self.relay.host)
            transcript.add("STARTTLS", reply.code, reply.message, since)
        await self._ehlo(client, transcript)

    async def _log_in(self, client: aiosmtplib.SMTP, transcript: _Transcript, username: str, password: str) -> None:
        transcript.phase = "auth"
        since = time.monotonic()
        async with self._failures(transcript, "auth"):
            reply = await client.auth_plain(username, password, timeout=self.timeouts.greeting)
            transcript.add("AUTH", reply.code, reply.message, since)

    async def _ehlo(self, client: aiosmtplib.SMTP, transcript: _Transcript) -> None:
        async with self._failures(transcript, transcript.phase):
            since = time.monotonic()
            reply = await client.ehlo(timeout=self.timeouts.greeting)
            transcript.add("EHLO", reply.code, reply.message, since)

    async def _converse(
        self, client: aiosmtplib.SMTP, envelope: SmtpEnvelope, transcript: _Transcript, priority: int
    ) -> None:
        """Send MAIL, RCPT, DATA and the payload. Always ends by raising `_Ended` with the last reply."""
        dsn, utf8 = client.supports_extension("dsn"), envelope.needs_smtputf8
        transcript.phase = "mail"
        if utf8 and not client.supports_extension("smtputf8"):
            raise _without_smtputf8(_Ended("mail", 0, "the relay offers no SMTPUTF8; nothing was sent"))
        sender = [b"FROM:<" + envelope.sender.encode("ascii") + b">", *([b"SMTPUTF8"] if utf8 else [])]
        recipient = [b"TO:<" + envelope.recipient.encode() + b">"]
        if dsn:
            sender += [b"RET=HDRS", b"ENVID=" + envelope.envid.encode("ascii")]
            recipient += [b"NOTIFY=FAILURE,DELAY", b"ORCPT=" + _original_recipient(envelope.recipient)]
        try:
            await self._command(client, transcript, "mail", b"MAIL", *sender, wanted=(200, 299))
        except _Ended as refused:
            # A parameter that is not understood (RFC 5321, 4.1.1.11): the relay offers SMTPUTF8 and does not take it.
            raise _without_smtputf8(refused) if utf8 and refused.code in (501, 504, 555) else refused from None
        await self._command(client, transcript, "rcpt", b"RCPT", *recipient, wanted=(200, 299))
        await self._command(client, transcript, "data", b"DATA", wanted=(354, 354))
        transcript.phase, since = "payload", time.monotonic()
        protocol, payload = client.protocol, envelope.payload_for(self.relay.headers)
        assert protocol is not None  # noqa: S101
        wait = self.timeouts.after_dot or AFTER_DOT[priority]
        async with self._failures(transcript, "payload"):
            # No await between write and read: a reply that arrived meanwhile would be dropped.
            protocol.write(payload)
            transcript.phase = "eod"
            reply = await protocol.read_response(timeout=wait)
        transcript.add("payload", reply.code, reply.message, since)
        raise _Ended("eod", reply.code, reply.message)

    async def _command(
        self, client: aiosmtplib.SMTP, transcript: _Transcript, phase: str, *parts: bytes, wanted: tuple[int, int]
    ) -> None:
        transcript.phase, since = phase, time.monotonic()
        async with self._failures(transcript, phase):
            reply = await client.execute_command(*parts, timeout=self.timeouts.command)
        transcript.add(parts[0].decode(), reply.code, reply.message, since)
        if not wanted[0] <= reply.code <= wanted[1]:
            raise _Ended(phase if phase != "data" or reply.code < 400 else "eod", reply.code, reply.message)

    @contextlib.asynccontextmanager
    async def _failures(self, transcript: _Transcript, verb: str) -> AsyncIterator[None]:
        """Add any failure of a step to the transcript and raise it as `_Ended`."""
        since = time.monotonic()
        try:
            yield
        except (SMTPReadTimeoutError, aiosmtplib.SMTPTimeoutError, TimeoutError) as silent:
            text = f"no answer within {time.monotonic() - since:.0f} s"
            transcript.add(verb, None, text, since)
            raise _Ended(transcript.phase, 0, text, silent=True) from silent
        except (aiosmtplib.SMTPResponseException, SMTPConnectResponseError) as refused:
            transcript.add(verb, refused.code, str(refused.message), since)
            raise _Ended(transcript.phase, refused.code, str(refused.message)) from refused
        except (SMTPServerDisconnected, SMTPException, OSError, ValueError) as broken:
            text = _describe(broken)
            transcript.add(verb, None, text, since)
            raise _Ended(transcript.phase, 0, text, silent=True) from broken

    async def _reuse_or_close(self, connection: _Connection, ended: _Ended) -> None:
        """Keep a connection in a known state (after an acceptance, or a refusal and a good RSET); close any other."""
        client = connection.client
        accepted = ended.phase == "eod" and 200 <= ended.code <= 299
        refused = 400 <= ended.code <= 599 and ended.code != 421
        if ended.verdict is not None and ended.code == 0 and client.is_connected:
            accepted = True
        if ended.silent or not client.is_connected or not (accepted or refused):
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

    def _report(
        self, transcript: _Transcript, ended: _Ended, connection: _Connection | None, *, reused: bool
    ) -> AttemptReport:
        text = replies.scrub_reply(ended.text)
        enhanced = None if ended.silent else replies.enhanced_code(text)
        verdict = ended.verdict or (
            replies.classify_silence(ended.phase)
            if ended.silent
            else replies.classify_reply(ended.phase, ended.code, enhanced, text)
        )
        return AttemptReport(
            phase=transcript.phase,
            outcome=verdict.outcome,
            reply_class=verdict.reply_class,
            code=None if ended.silent or ended.code <= 0 else ended.code,
            enhanced=enhanced,
            reply=text,
            transcript=transcript.lines,
            relay=self.relay.name,
            peer_ip=connection.peer_ip if connection else None,
            tls_version=connection.tls_version if connection else None,
            reused=reused,
            duration_ms=round((time.monotonic() - transcript.started) * 1000),
            queue_id=replies.queue_id(text) if verdict.outcome == "accepted" else None,
        )


async def _open_socket(host: str, port: int, seconds: float) -> socket.socket:
    """Return a connected socket; opened here, so that TCP and the greeting have separate timeouts."""
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


def _describe(broken: BaseException) -> str:
    """Return a short description of an error; it never has content of the message."""
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


def _without_smtputf8(ended: _Ended) -> _Ended:
    ended.verdict = replies.NO_SMTPUTF8
    return ended


def _original_recipient(address: str) -> bytes:
    """Return the ORCPT of an address: as xtext (RFC 3461, 4), or as utf-8-addr-xtext (RFC 6533, 3)."""
    if address.isascii():
        plain = "".join(c if "!" <= c <= "~" and c not in "+=" else f"+{ord(c):02X}" for c in address)
        return b"rfc822;" + plain.encode("ascii")
    escaped = "".join(c if "!" <= c <= "~" and c not in "+=\\" else f"\\x{{{ord(c):02X}}}" for c in address)
    return b"utf-8;" + escaped.encode("ascii")
