"""Logout tokens on their way (OpenID Connect Back-Channel Logout 1.0): made when sent, tried again for a day.

A row waits for each client session that ended. Whoever sends one takes it first by moving its next attempt, so that no
two workers send it at once, and a worker that dies loses nothing.
"""

import asyncio
import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from sqlalchemy import func, or_, select, update

from identity_service import logs
from identity_service.clients import registration
from identity_service.clients.tables import Client
from identity_service.database.transactions import Database, DatabaseSession
from identity_service.keys import signing
from identity_service.openid import tokens
from identity_service.openid.tables import LogoutDelivery
from identity_service.settings import Settings
from identity_service.web import outbound

AT_ONCE: Final = 8
LEASE: Final = timedelta(seconds=60)
GIVE_UP: Final = timedelta(hours=24)
LIFETIME: Final = timedelta(minutes=2)
_PAUSES: Final = (2, 10, 30, 120, 600, 1800)
"""Seconds to the next attempt; the last one until it is given up."""


class Waiting(NamedTuple):
    """How many logout tokens are not delivered yet, and the age of the oldest in seconds, 0 if there is none."""

    tokens: int
    oldest_s: float


class Failed(NamedTuple):
    """A logout token that an application has not taken, and the application's name."""

    delivery: LogoutDelivery
    application: str


async def measure_waiting(session: DatabaseSession, *, now: datetime) -> Waiting:
    """Count the logout tokens that are not delivered yet."""
    waiting = select(func.count(), func.min(LogoutDelivery.created_at)).where(LogoutDelivery.done_at.is_(None))
    count, oldest = (await session.execute(waiting)).one()
    return Waiting(count, 0.0 if oldest is None else max(0.0, (now - oldest).total_seconds()))


async def list_failed(session: DatabaseSession, user_ids: Sequence[str]) -> list[Failed]:
    """Return the logout tokens of a customer that an application has not taken: those that failed and are tried again,
    and those that ended otherwise than told, newest first. Kept for a week."""
    failed = or_(LogoutDelivery.last_answer.is_not(None), LogoutDelivery.outcome.is_not(None))
    mine = LogoutDelivery.user_id.in_(user_ids), failed, LogoutDelivery.outcome.is_distinct_from("told")
    listed = select(LogoutDelivery, Client.name).join(Client, Client.id == LogoutDelivery.client_id).where(*mine)
    newest_first = listed.order_by(LogoutDelivery.created_at.desc(), LogoutDelivery.id)
    return [Failed(delivery, name) for delivery, name in (await session.execute(newest_first)).all()]


async def deliver_due(database: Database, *, now: datetime) -> int:
    """Send the logout tokens that are due, and return how many were taken."""
    taken = await database.in_transaction(lambda session: _take(session, now))
    await asyncio.gather(*(_deliver(database, delivery, now=now) for delivery in taken))
    return len(taken)


async def _take(session: DatabaseSession, now: datetime) -> list[LogoutDelivery]:
    due = (
        select(LogoutDelivery.id)
        .where(LogoutDelivery.done_at.is_(None), LogoutDelivery.next_attempt_at <= now)
        .order_by(LogoutDelivery.next_attempt_at)
        .limit(AT_ONCE)
        .with_for_update(skip_locked=True)
    )
    mine = update(LogoutDelivery).where(LogoutDelivery.id.in_(due))
    taking = mine.values(next_attempt_at=now + LEASE, attempts=LogoutDelivery.attempts + 1).returning(LogoutDelivery)
    return list((await session.scalars(taking)).all())


async def _deliver(database: Database, delivery: LogoutDelivery, *, now: datetime) -> None:
    async with database.transaction() as session:
        application = await registration.find_application(session, delivery.client_id)
        settings, keys = session.settings, session.keys
    outcome: str | None = "client_gone"
    answer = ""
    if application is not None and application.backchannel_logout_uri is not None:
        key = keys.id_token_key(application.id_token_alg, now)
        outcome, answer = None, "key_not_loaded"
        if key is not None:
            token = signing.sign(_claims(delivery, settings.issuer, now), key, typ=signing.LOGOUT_TOKEN_TYPE)
            outcome, answer = await _send(settings, application.backchannel_logout_uri, token)
    await database.in_transaction(lambda session: _record(session, delivery, outcome, answer, now=now))


async def _send(settings: Settings, url: str, token: str) -> tuple[str | None, str]:
    """Return `told` or `refused` if that is the end, else None; and what came back, in one word."""
    try:
        status = await outbound.post_form(settings, url, {"logout_token": token})
    except outbound.FAILURES as problem:
        return None, type(problem).__name__
    if status in (200, 204):
        return "told", str(status)
    # 2.8: the application understood us and will not act; trying again changes nothing.
    return ("refused" if status == 400 else None), str(status)


async def _record(
    session: DatabaseSession, delivery: LogoutDelivery, outcome: str | None, answer: str, *, now: datetime
) -> None:
    if outcome is None and now - delivery.created_at >= GIVE_UP:
        outcome = "given_up"
        logs.log.error("logout.given_up", client=delivery.client_id, attempts=delivery.attempts)
    pause = _PAUSES[min(delivery.attempts, len(_PAUSES)) - 1]
    values = {"last_answer": answer, "next_attempt_at": now + timedelta(seconds=pause)}
    if outcome is not None:
        values |= {"done_at": now, "outcome": outcome}
    await session.execute(update(LogoutDelivery).where(LogoutDelivery.id == delivery.id).values(values))


def _claims(delivery: LogoutDelivery, issuer: str, now: datetime) -> dict[str, object]:
    """Return the claims (2.4); `jti` is new for each attempt, because a receiver refuses one that it has seen."""
    issued = int(now.timestamp())
    return {
        "iss": issuer, "aud": delivery.client_id, "iat": issued, "exp": issued + int(LIFETIME.total_seconds()),
        "jti": secrets.token_urlsafe(16), "sub": tokens.show_sub(delivery.user_id), "sid": str(delivery.sid),
        "events": {"http://schemas.openid.net/event/backchannel-logout": {}},
    }  # fmt: skip
