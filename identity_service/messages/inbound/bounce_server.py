"""An SMTP server for returned mail, behind the mail exchanger of the bounce domain; off by default.

It accepts mail to our return addresses only, at most 1 MiB and one recipient, and answers 250 once the notice is
stored. Otherwise it answers 451, and the sending server tries again later.
"""

import asyncio
from typing import Final

from aiosmtpd.lmtp import LMTP
from aiosmtpd.smtp import SMTP, Envelope, Session

from identity_service import clock, logs
from identity_service.database.failures import is_unavailable
from identity_service.database.transactions import Database
from identity_service.messages.inbound import feedback

MAXIMUM: Final = 1024 * 1024
_HOSTNAME: Final = "bounces"


class BounceServer:
    """The handler that aiosmtpd calls for each mail."""

    def __init__(self, database: Database) -> None:
        """Use `database` to store notices; its settings name the bounce domain."""
        self.database = database
        settings = database.settings
        self.domain = (settings.bounce_domain or settings.sender_domain).lower()

    async def handle_RCPT(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        """Accept one recipient, which must be one of our return addresses."""
        del server, session, options
        local, _, domain = address.lower().rpartition("@")
        if domain != self.domain or not local.startswith("b+"):
            return "550 5.1.1 no such return address"
        if envelope.rcpt_tos:
            return "452 4.5.3 one recipient at a time"
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 ok"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        """Store the notice and apply it; answer 451 if that fails."""
        del server, session
        raw = envelope.content if isinstance(envelope.content, bytes) else (envelope.content or "").encode()
        now = clock.utc_now()
        try:
            async with self.database.transaction() as transaction:
                notice = await feedback.read_mail(
                    transaction, raw, envelope_from=envelope.mail_from, envelope_to=envelope.rcpt_tos[0], now=now
                )
                result = await feedback.apply_notice(transaction, notice, via="smtp", now=now)
        except Exception as problem:  # noqa: BLE001
            # The sending server still has the mail: 451 makes it try again, any other answer could lose the notice.
            if is_unavailable(problem):
                logs.log.warning("bounce.database_unavailable", error=type(problem).__name__)
            else:
                logs.log.error("bounce.not_kept", exc_info=problem)
            return "451 4.3.0 try again later"
        logs.log.info("bounce.accepted", became=result, type=notice.type, message_id=str(notice.message_id))
        return "250 2.0.0 stored"


async def listen_for_bounces(database: Database, host: str, port: int, *, lmtp: bool = False) -> asyncio.Server:
    """Listen for returned mail on `host` and `port`, by SMTP or LMTP."""
    handler, protocol = BounceServer(database), LMTP if lmtp else SMTP
    return await asyncio.get_running_loop().create_server(
        lambda: protocol(handler, hostname=_HOSTNAME, ident="bounces", data_size_limit=MAXIMUM, timeout=60), host, port
    )
