"""The number of messages per purpose and day: signed and public.

A CHECK constraint allows no message with the purpose marketing, so that number is always 0; the signed statement
includes the newest checkpoint of the feed (NOM-04).
"""

from datetime import UTC, datetime, timedelta
from typing import Any, Final

from sqlalchemy import text

from identity_service.audit import actions as audit
from identity_service.database.transactions import DatabaseSession
from identity_service.keys import signing
from identity_service.messages import kinds

TYPE: Final = "mail-transparency+jwt"
DAYS: Final = 90


async def count_messages(session: DatabaseSession, *, now: datetime) -> dict[str, Any]:
    """Return the messages enqueued per day (UTC) and purpose, the newest seal, and a signature over both.

    Every day is listed, also those without a message, so that a missing day would be noticed (NOM-04).
    """
    today = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    first = today - timedelta(days=DAYS - 1)
    dates = [str((first + timedelta(days=number)).date()) for number in range(DAYS)]
    days: dict[str, dict[str, Any]] = {
        day: {"day": day, **dict.fromkeys((*kinds.PURPOSES, "marketing"), 0)} for day in dates
    }
    for day, purpose, count in await session.execute(_COUNT, {"first": first, "end": first + timedelta(days=DAYS)}):
        days[str(day)][purpose] = count
    newest = next(iter(await audit.list_checkpoints(session, None, limit=1)), None)
    claims = {
        "iss": session.settings.issuer,
        "iat": int(now.timestamp()),
        "days": list(days.values()),
        "head": None if newest is None else {"position": newest.position, "seal": newest.seal},
    }
    signed = signing.sign(claims, session.keys.signing(now), typ=TYPE)
    return {"days": claims["days"], "head": claims["head"], "counted_at": now, "statement": signed}


_COUNT = text(
    """
    SELECT (created_at AT TIME ZONE 'UTC')::date AS day, purpose, count(*) FROM message
    WHERE created_at >= :first AND created_at < :end GROUP BY 1, 2 ORDER BY 1, 2
    """
)
