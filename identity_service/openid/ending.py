"""What ends a sign-in at an application: one place, in the transaction of its cause (OID-18, OID-19).

Ended with it are the client session, its codes and refresh tokens; an application that registered for it gets a logout
token. Nothing ended comes back: after the undo of a merge the customer signs in again.
"""

import uuid
from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, delete, func, insert, select, true, update
from sqlalchemy.orm import InstrumentedAttribute

from identity_service.clients.tables import OpenidClient
from identity_service.database.transactions import DatabaseSession
from identity_service.events import actions as events
from identity_service.openid import rules
from identity_service.openid.tables import ClientSession, GrantedScope, LogoutDelivery, OauthGrant


async def end_for_customer(session: DatabaseSession, user_id: str, *, why: str, now: datetime) -> None:
    """End every sign-in of a customer, also what was granted for times when they are away."""
    await _end(session, ClientSession.user_id == user_id, OauthGrant.user_id == user_id, why=why, now=now)


async def end_for_client(session: DatabaseSession, client_id: str, *, why: str, now: datetime) -> None:
    """End every sign-in at an application that was closed, or lost a scope or redirect URI."""
    await _end(session, ClientSession.client_id == client_id, OauthGrant.client_id == client_id, why=why, now=now)


async def end_for_session(session: DatabaseSession, session_id: uuid.UUID, *, why: str, now: datetime) -> None:
    """End the sign-ins of a browser's session; what was granted for times when the customer is away goes on."""
    sids = select(ClientSession.sid).where(ClientSession.session_id == session_id)
    present = OauthGrant.sid.in_(sids) & ~OauthGrant.scope.contains(["offline_access"])
    await _end(session, ClientSession.session_id == session_id, present, why=why, now=now)


async def end_everything(session: DatabaseSession, *, now: datetime) -> None:
    """End every sign-in of everybody: after a restore, those that ended since the backup would hold again."""
    await _end(session, true(), true(), why="restored", now=now)


async def move_sessions(session: DatabaseSession, before: uuid.UUID, after: uuid.UUID) -> None:
    """Keep the sign-ins of a customer who signed in again in the same browser: they belong to the new session."""
    mine = update(ClientSession).where(ClientSession.session_id == before, ClientSession.ended_at.is_(None))
    await session.execute(mine.values(session_id=after))


async def withdraw_application(
    session: DatabaseSession, user_id: str, client_id: str, *, actor: str, now: datetime
) -> None:
    """Take an application's access away: what it has ends, and it has to ask again (OID-31)."""
    mine = ClientSession.user_id == user_id, ClientSession.client_id == client_id
    grants = (OauthGrant.user_id == user_id) & (OauthGrant.client_id == client_id)
    await _end(session, mine[0] & mine[1], grants, why="withdrawn", actor=actor, now=now)
    await session.execute(
        delete(GrantedScope).where(GrantedScope.user_id == user_id, GrantedScope.client_id == client_id)
    )


async def end_grant(session: DatabaseSession, grant: OauthGrant, *, why: str, now: datetime) -> None:
    """End what came of one answer: its refresh tokens, and its access tokens at our userinfo."""
    await _end(session, None, OauthGrant.id == grant.id, why=why, now=now)


async def _end(
    session: DatabaseSession,
    sessions: ColumnElement[bool] | None,
    grants: ColumnElement[bool],
    *,
    why: str,
    actor: str = "service",
    now: datetime,
) -> None:
    open_grants = update(OauthGrant).where(grants, OauthGrant.ended_at.is_(None), OauthGrant.expires_at > now)
    returned: tuple[InstrumentedAttribute[Any], ...] = (OauthGrant.user_id, OauthGrant.client_id)
    ended = (await session.execute(open_grants.values(ended_at=now, ended_why=why).returning(*returned))).all()
    for user_id, client_id in sorted({(row[0], row[1]) for row in ended}):
        data = {"client_id": client_id, "why": why}
        await events.record_event(session, "application.ended", user_id=user_id, actor=actor, data=data, now=now)
    if sessions is not None:
        await _end_sessions(session, sessions, now=now)


async def _end_sessions(session: DatabaseSession, which: ColumnElement[bool], *, now: datetime) -> None:
    open_ones = update(ClientSession).where(which, ClientSession.ended_at.is_(None)).values(ended_at=now)
    told = select(OpenidClient.client_id).where(OpenidClient.backchannel_logout_uri.is_not(None))
    ended: Collection[ClientSession] = (await session.scalars(open_ones.returning(ClientSession))).all()
    listening = set((await session.scalars(told)).all()) if ended else set()
    rows = [
        {
            "id": uuid.uuid4(), "client_id": one.client_id, "user_id": one.user_id, "sid": one.sid, "created_at": now,
            "next_attempt_at": now,
        }
        for one in ended
        if one.client_id in listening
    ]  # fmt: skip
    if rows:
        await session.execute(insert(LogoutDelivery), rows)


async def purge_ended(session: DatabaseSession) -> None:
    """Delete grants, client sessions and logout tokens a week after their end."""
    week = func.now() - timedelta(days=7)
    await session.execute(delete(OauthGrant).where((OauthGrant.expires_at < week) | (OauthGrant.ended_at < week)))
    old = ClientSession.started_at < func.now() - rules.LONGEST_GRANT
    await session.execute(delete(ClientSession).where((ClientSession.ended_at < week) | old))
    await session.execute(delete(LogoutDelivery).where(LogoutDelivery.done_at < week))
