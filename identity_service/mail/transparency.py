"""How many letters of which class left on which day: counted, signed, and open to everybody.

The class of a letter is held by a CHECK that knows no marketing, so that count is 0 by construction; the statement
says so over a signature, beside the head of the sealed feed (NOM-04).
"""

from datetime import UTC, datetime, timedelta
from typing import Any, Final

from sqlalchemy import text

from identity_service import keyring, tokens
from identity_service.database import AsyncSession, settings_of
from identity_service.events import audit
from identity_service.mail import rules

TYPE: Final = "mail-transparency+jwt"
DAYS: Final = 90


async def count(session: AsyncSession, *, now: datetime) -> dict[str, Any]:
    """Return the letters put into the outbox per day (UTC) and class, the newest seal, and a signature over both.

    Every day is named, those without a letter too: one that is missing was left out (NOM-04).
    """
    today = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    first = today - timedelta(days=DAYS - 1)
    named = [str((first + timedelta(days=number)).date()) for number in range(DAYS)]
    days: dict[str, dict[str, Any]] = {
        day: {"day": day, **dict.fromkeys((*rules.PURPOSES, "marketing"), 0)} for day in named
    }
    for day, purpose, letters in await session.execute(_COUNT, {"first": first, "end": first + timedelta(days=DAYS)}):
        days[str(day)][purpose] = letters
    newest = next(iter(await audit.heads(session, None, limit=1)), None)
    claims = {
        "iss": settings_of(session).issuer,
        "iat": int(now.timestamp()),
        "days": list(days.values()),
        "head": None if newest is None else {"position": newest.position, "seal": newest.seal},
    }
    signed = tokens.sign(claims, keyring.of(session).signing(now), typ=TYPE)
    return {"days": claims["days"], "head": claims["head"], "counted_at": now, "statement": signed}


_COUNT = text(
    """
    SELECT (created_at AT TIME ZONE 'UTC')::date AS day, purpose, count(*) FROM message
    WHERE created_at >= :first AND created_at < :end GROUP BY 1, 2 ORDER BY 1, 2
    """
)
