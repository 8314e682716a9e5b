"""The door for returned mail: an SMTP server behind the mail exchanger of the bounce domain, off by default.

It takes mail to our return addresses only, at most 1 MiB, one recipient, and answers 250 when the notice is in the
database: what cannot be kept now is tried again by the server that brought it.
"""

import asyncio
from typing import Final

from aiosmtpd.lmtp import LMTP
from aiosmtpd.smtp import SMTP, Envelope, Session

from identity_service import doors, logs
from identity_service.database import Database, is_away
from identity_service.mail import feedback

MAXIMUM: Final = 1024 * 1024
_HOSTNAME: Final = "bounces"


class BounceDoor:
    """What aiosmtpd calls for each mail."""

    def __init__(self, database: Database) -> None:
        """Take the database that notices are kept in."""
        self.database = database
        settings = database.settings
        self.domain = (settings.bounce_domain or settings.sender_domain).lower()

    async def handle_RCPT(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        """Take one recipient, which is one of our return addresses."""
        del server, session, options
        local, _, domain = address.lower().rpartition("@")
        if domain != self.domain or not local.startswith("b+"):
            return "550 5.1.1 no such return address"
        if envelope.rcpt_tos:
            return "452 4.5.3 one recipient at a time"
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 ok"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        """Keep the notice; 451 if that cannot be done now."""
        del server, session
        raw = envelope.content if isinstance(envelope.content, bytes) else (envelope.content or "").encode()
        now = doors.utc_now()
        try:
            async with self.database.transaction() as own:
                notice = await feedback.read_mail(
                    own, raw, envelope_from=envelope.mail_from, envelope_to=envelope.rcpt_tos[0], now=now
                )
                became = await feedback.take(own, notice, via="smtp", now=now)
        except Exception as problem:  # noqa: BLE001
            # Whatever it was, the mail is still with its sender: it must not be lost by our answer.
            if is_away(problem):
                logs.log.warning("bounce.database_away", error=type(problem).__name__)
            else:
                logs.log.error("bounce.not_kept", exc_info=problem)
            return "451 4.3.0 try again later"
        logs.log.info("bounce.taken", became=became, type=notice.type, message_id=str(notice.message_id))
        return "250 2.0.0 kept"


async def listen(database: Database, host: str, port: int, *, lmtp: bool = False) -> asyncio.Server:
    """Listen for returned mail."""
    door, speaks = BounceDoor(database), LMTP if lmtp else SMTP
    return await asyncio.get_running_loop().create_server(
        lambda: speaks(door, hostname=_HOSTNAME, ident="bounces", data_size_limit=MAXIMUM, timeout=60), host, port
    )
