"""An SMTP server for returned mail, behind the mail exchanger of the bounce domain; off by default.

It accepts mail to our return addresses only, at most 1 MiB and one recipient, and answers 250 once the mail is stored
as received. Otherwise it answers 451, and the sending server tries again later. What is stored is read afterwards, in
another process with a time limit: no notice can hold the server, and a notice that cannot be read is not lost.
"""

import asyncio
import contextlib
import socket
from collections.abc import Sequence
from typing import Final

from aiosmtpd.lmtp import LMTP
from aiosmtpd.smtp import SMTP, Envelope, Session

from identity_service import clock, logs
from identity_service.database.failures import is_unavailable
from identity_service.database.transactions import Database
from identity_service.messages.inbound import feedback, return_addresses
from identity_service.messages.inbound.reader_process import NoticeReader

MAXIMUM: Final = 1024 * 1024
LOOK_EVERY: Final = 5.0
"""Seconds between two looks for mail that another process left unread."""
_HOSTNAME: Final = "bounces"
_TRY_AGAIN: Final = "451 4.3.0 try again later"


class BounceServer:
    """The handler that aiosmtpd calls for each mail, and the task that reads what was stored."""

    def __init__(self, database: Database) -> None:
        """Use `database` to store notices; its settings name the bounce domain."""
        self.database = database
        mails = [brand.mail for brand in database.settings.brands.by_key.values() if brand.mail is not None]
        self.domains = {(mail.bounce_domain or mail.domain).lower() for mail in mails}
        self.reader = NoticeReader()
        self._new = asyncio.Event()

    async def handle_RCPT(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        """Accept one recipient, which must be one of our return addresses."""
        del server, session, options
        if not return_addresses.is_return_address(address, self.domains):
            return "550 5.1.1 no such return address"
        if envelope.rcpt_tos:
            return "452 4.5.3 one recipient at a time"
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 ok"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        """Store the mail as received; answer 451 if that fails."""
        del server, session
        raw = envelope.content if isinstance(envelope.content, bytes) else (envelope.content or "").encode()
        try:
            async with self.database.transaction() as transaction:
                await feedback.keep_unread(
                    transaction, raw, envelope_from=envelope.mail_from, envelope_to=envelope.rcpt_tos[0],
                    via="smtp", now=clock.utc_now(),
                )  # fmt: skip
        except Exception as problem:  # noqa: BLE001
            # The sending server still has the mail: 451 makes it try again, any other answer could lose the notice.
            _log_failure("bounce.not_kept", problem)
            return _TRY_AGAIN
        self._new.set()
        return "250 2.0.0 stored"

    async def handle_exception(self, error: Exception) -> str:
        """Answer 451 to whatever fails outside of the handlers; the library would answer 500, which is final."""
        _log_failure("bounce.not_kept", error)
        return _TRY_AGAIN

    async def read_stored(self) -> None:
        """Read what is stored and unread, now and whenever something new is stored; runs until it is cancelled."""
        try:
            while True:
                self._new.clear()
                try:
                    while await self._read_next():
                        pass
                except Exception as problem:  # noqa: BLE001
                    # The mail stays stored; the next round tries again.
                    _log_failure("bounce.not_read", problem)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._new.wait(), LOOK_EVERY)
        finally:
            self.reader.close()

    async def _read_next(self) -> bool:
        """Read the oldest unread mail and apply what it says; return whether there was one."""
        async with self.database.transaction() as session:
            kept = await feedback.next_unread(session)
        if kept is None:
            return False
        reading = await self.reader.read(kept.raw, kept.envelope_from)
        try:
            async with self.database.transaction() as session:
                result, notice = await feedback.apply_reading(session, kept, reading, now=clock.utc_now())
        except Exception as problem:
            if is_unavailable(problem):
                raise
            _log_failure("bounce.not_applied", problem)
            async with self.database.transaction() as session:
                await feedback.give_up_reading(session, kept.id)
            return True
        logs.log.info("bounce.read", became=result, type=notice.type, message_id=str(notice.message_id))
        return True


class _PatientSmtp(SMTP):
    """SMTP with lines of any length: a notice has no sender who could send it again with shorter ones."""

    line_length_limit = MAXIMUM


class _PatientLmtp(LMTP):
    line_length_limit = MAXIMUM


class ListeningServer:
    """A bounce server that listens and reads; `sockets` are where it listens."""

    def __init__(self, server: asyncio.Server, reading: asyncio.Task[None]) -> None:
        """Hold the two until `close`."""
        self._server, self._reading = server, reading

    @property
    def sockets(self) -> Sequence[socket.socket]:
        """Return the sockets that it listens on."""
        return self._server.sockets

    def close(self) -> None:
        """Stop listening and reading; what is unread is read by the next server."""
        self._server.close()
        self._reading.cancel()

    async def wait_closed(self) -> None:
        """Wait until the reading has ended."""
        with contextlib.suppress(asyncio.CancelledError):
            await self._reading


async def listen_for_bounces(database: Database, host: str, port: int, *, lmtp: bool = False) -> ListeningServer:
    """Listen for returned mail on `host` and `port`, by SMTP or LMTP, and read what is stored."""
    handler, protocol = BounceServer(database), _PatientLmtp if lmtp else _PatientSmtp

    def connection() -> SMTP:
        return protocol(
            handler, hostname=_HOSTNAME, ident="bounces", data_size_limit=MAXIMUM, timeout=60, enable_SMTPUTF8=True
        )

    server = await asyncio.get_running_loop().create_server(connection, host, port)
    return ListeningServer(server, asyncio.create_task(handler.read_stored()))


def _log_failure(event: str, problem: Exception) -> None:
    """Log a failure; a logger that fails itself must not change the answer."""
    with contextlib.suppress(Exception):
        if is_unavailable(problem):
            logs.log.warning("bounce.database_unavailable", error=type(problem).__name__)
        else:
            logs.log.error(event, exc_info=problem)
