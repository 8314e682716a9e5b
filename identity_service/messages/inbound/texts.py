"""What carriers report of texts, and who wants no more of them: applied once, and forward only (TXT-09, TXT-10)."""

from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import select

from identity_service.carriers import Carrier
from identity_service.database.transactions import DatabaseSession
from identity_service.errors import NotFound
from identity_service.messages import suppressions
from identity_service.messages.carriers.interface import Report, Stop
from identity_service.messages.inbound import feedback
from identity_service.messages.inbound.dsn import Notice
from identity_service.messages.tables import Attempt, Message
from identity_service.settings import Settings
from identity_service.values import phone_numbers

MAXIMUM: Final = 64 * 1024
REPORTED_FOR: Final = timedelta(days=3)
"""How long after it was enqueued something may be reported of a text; some carriers sign no time."""


class UnknownCarrier(NotFound):
    """No carrier of text messages has this name."""


def find_carrier(settings: Settings, name: str) -> Carrier:
    """Return a carrier of the settings.

    Raises:
        UnknownCarrier
    """
    found = next((one for one in settings.carriers if one.name == name), None)
    if found is None:
        raise UnknownCarrier
    return found


async def apply_report(session: DatabaseSession, report: Report, carrier: str, *, now: datetime) -> str:
    """Apply what a carrier reports of a text that it was handed; return as `feedback.apply_notice`.

    A text that it was not handed, or that is old, is not touched, and nothing is stored. A report lifts no suppression
    and proves no possession of the number.
    """
    message = await session.get(Message, report.message_id)
    handed = select(Attempt.attempt_no).where(Attempt.message_id == report.message_id, Attempt.relay == carrier)
    if (
        message is None or message.channel != "text" or message.created_at < now - REPORTED_FOR
        or await session.scalar(handed.limit(1)) is None
    ):  # fmt: skip
        return "unmatched"
    notice = Notice(
        type=report.kind,
        source=carrier,
        source_event_id=report.event_id,
        occurred_at=now,
        message_id=report.message_id,
        enhanced=GONE if report.is_gone else None,
        words=report.words,
        permanent=report.is_gone,
        detail={"matched_by": "carrier", "words": report.words},
    )
    return await feedback.apply_notice(session, notice, via=carrier, now=now)


GONE: Final = "5.1.1"
"""The status code of a recipient that does not exist (RFC 3463), as for emails."""


async def apply_stop(session: DatabaseSession, stop: Stop, *, now: datetime) -> bool:
    """Suppress the number of whoever answered STOP; return whether it is one that we have written to."""
    try:
        number = phone_numbers.of_e164(stop.number if stop.number.startswith("+") else f"+{stop.number}")
    except ValueError:
        return False
    return await suppressions.stop_number(session, session.keys.address_hash(number.key), now=now)
