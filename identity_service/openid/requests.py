"""Stored authorization requests: kept when first seen, bound to the browser, answered once (OID-06, OID-07)."""

import hmac
import secrets
from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import delete, func, insert, update

from identity_service.clients import redirect_uris, registration
from identity_service.clients.rules import Application
from identity_service.database.transactions import DatabaseSession
from identity_service.errors import Problem
from identity_service.keys import hashing
from identity_service.openid import rules
from identity_service.openid.rules import Asked
from identity_service.openid.tables import AuthorizationRequest

URN = "urn:ietf:params:oauth:request_uri:"
PATH = "/oauth/authorize/"


class SignInEnded(Problem):
    """This sign-in has ended, or was begun in another browser. Go back to the website or app and sign in again."""

    status = 410


class Waiting(NamedTuple):
    """A stored request with the application that sent it, and when it came."""

    request_id: str
    asked: Asked
    application: Application
    requested_at: datetime


class Destination(NamedTuple):
    """Where a sign-in leads: the application's name and brand, the origin of its redirect URI, whom it expects, and
    in which languages."""

    application: str
    brand: str | None
    origin: str
    login_hint: str | None
    ui_locales: Sequence[str]


async def store_request(session: DatabaseSession, asked: Asked, *, browser: str | None, now: datetime) -> str:
    """Keep a request and return its id of 128 bits; without a browser it was pushed and is valid for a minute."""
    request_id = secrets.token_urlsafe(16)
    lifetime = rules.PUSHED_LIFETIME if browser is None else rules.REQUEST_LIFETIME
    row = {
        "id_hash": hashing.hash_secret(request_id), "client_id": asked.client_id, "parameters": _as_json(asked),
        "browser_hash": None if browser is None else hashing.hash_secret(browser), "requested_at": now,
        "expires_at": now + lifetime,
    }  # fmt: skip
    await session.execute(insert(AuthorizationRequest), row)
    return request_id


async def take_pushed(
    session: DatabaseSession, request_uri: str, client_id: str, *, browser: str, now: datetime
) -> str | None:
    """Bind a pushed request to the browser that brings it, once, and return its id; None if there is none."""
    request_id = request_uri.removeprefix(URN)
    mine = update(AuthorizationRequest).where(
        AuthorizationRequest.id_hash == hashing.hash_secret(request_id), AuthorizationRequest.client_id == client_id,
        AuthorizationRequest.browser_hash.is_(None), AuthorizationRequest.expires_at > now,
    )  # fmt: skip
    bound = {
        "browser_hash": hashing.hash_secret(browser),
        "requested_at": now,
        "expires_at": now + rules.REQUEST_LIFETIME,
    }
    taken = await session.scalar(mine.values(bound).returning(AuthorizationRequest.client_id))
    return None if taken is None else request_id


async def find_waiting(session: DatabaseSession, request_id: str, *, browser: str, now: datetime) -> Waiting:
    """Return a request that this browser began and that waits for its answer.

    Raises:
        SignInEnded
    """
    row = await session.get(AuthorizationRequest, hashing.hash_secret(request_id))
    is_mine = (
        row is not None and bool(browser) and hmac.compare_digest(row.browser_hash or b"", hashing.hash_secret(browser))
    )
    if row is None or not is_mine or row.expires_at <= now or row.answered_at is not None:
        raise SignInEnded
    application, asked = await registration.find_application(session, row.client_id), _from_json(row.parameters)
    # What was taken from the application meanwhile holds for requests on their way, too (OID-19).
    if application is None or not redirect_uris.find_registered(
        asked.redirect_uri, application.redirect_uris, native=application.native
    ):
        raise SignInEnded
    asked = asked._replace(scope=asked.scope & (application.scopes | {"openid"}))
    return Waiting(request_id, asked, application, row.requested_at)


async def find_destination(session: DatabaseSession, path: str, *, browser: str, now: datetime) -> Destination | None:
    """Return where the sign-in page leads when `path` is that of a request of this browser; None if it is over."""
    try:
        waiting = await find_waiting(session, path.removeprefix(PATH), browser=browser, now=now)
    except SignInEnded:
        return None
    asked, application = waiting.asked, waiting.application
    origin = redirect_uris.origin_of(asked.redirect_uri)
    return Destination(application.name, application.brand, origin, asked.login_hint, asked.ui_locales)


async def mark_answered(session: DatabaseSession, request_id: str, *, now: datetime) -> None:
    """Use a request up; of two answers at once one is refused.

    Raises:
        SignInEnded
    """
    mine = update(AuthorizationRequest).where(AuthorizationRequest.id_hash == hashing.hash_secret(request_id))
    waiting = mine.where(AuthorizationRequest.answered_at.is_(None)).values(answered_at=now)
    if await session.scalar(waiting.returning(AuthorizationRequest.client_id)) is None:
        raise SignInEnded


async def purge_requests(session: DatabaseSession) -> None:
    """Delete requests whose time is over."""
    await session.execute(delete(AuthorizationRequest).where(AuthorizationRequest.expires_at < func.now()))


def _as_json(asked: Asked) -> dict[str, Any]:
    return {name: sorted(value) if isinstance(value, frozenset) else value for name, value in asked._asdict().items()}


def _from_json(stored: dict[str, Any]) -> Asked:
    sets = {name: frozenset(stored[name]) for name in ("scope", "prompt")}
    return Asked(**{**stored, **sets})
