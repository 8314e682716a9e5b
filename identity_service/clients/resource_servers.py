"""Other services' APIs that take our access tokens: their audience, their scopes, and who introspects (RFC 8707).

A scope belongs to one API, so the scopes of a client or grant say for which APIs it may have tokens.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Final, NamedTuple

from sqlalchemy import Select, delete, select
from sqlalchemy.dialects.postgresql import insert

from identity_service.clients import actions, redirect_uris, rules
from identity_service.clients.tables import ResourceScope, ResourceServer
from identity_service.database.transactions import DatabaseSession
from identity_service.errors import Conflict, Problem
from identity_service.events import actions as events
from identity_service.web import scopes as web_scopes

_SCOPE: Final = re.compile(r"[a-z][a-z0-9_-]*(?:[.:/][a-z0-9_-]+)*")
_RESERVED: Final = frozenset({*rules.SIGN_IN_SCOPES, *web_scopes.SCOPES, "address", "phone"})
LONGEST_SCOPE: Final = 60
LONGEST_DESCRIPTION: Final = 200


class WrongResourceServer(Problem):
    """An API is registered by its audience, a name, and at least one scope with what it allows in words."""


class UnknownResourceServer(Problem):
    """There is no API of this audience; `api list` shows all."""

    status = 404


class ScopeTaken(Conflict):
    """This scope belongs to another API already."""


class Api(NamedTuple):
    """An API of another service: `scopes` are what each allows in words, `client_id` is the service that introspects
    tokens for it."""

    audience: str
    name: str
    client_id: str | None
    scopes: Mapping[str, str]


def check_audience(audience: str, issuer: str, *, development: bool) -> None:
    """Raise unless an API may have this audience: an https URI like its address, and none of ours (OID-15).

    Raises:
        WrongResourceServer
    """
    try:
        redirect_uris.check_registered(audience, native=False, development=development)
    except redirect_uris.MalformedRedirectUri as wrong:
        raise WrongResourceServer("The audience must be a canonical URI that begins with https://.") from wrong
    if redirect_uris.origin_of(audience) == redirect_uris.origin_of(issuer):
        raise WrongResourceServer("The audience must not be an address of this service.")


def check_scopes(scopes: Mapping[str, str]) -> None:
    """Raise unless these scopes may be registered, each with what it allows.

    Raises:
        WrongResourceServer
    """
    for scope, description in scopes.items():
        if not _SCOPE.fullmatch(scope) or len(scope) > LONGEST_SCOPE or scope in _RESERVED:
            raise WrongResourceServer(
                f"{scope[:LONGEST_SCOPE]!r} is no scope of an API. Write up to {LONGEST_SCOPE} lower-case letters, "
                "digits and signs of _ - . : /, like orders:read, and take none of ours."
            )
        if not description.isprintable() or not 1 <= len(description.strip()) <= LONGEST_DESCRIPTION:
            raise WrongResourceServer(f"Say what {scope} allows, in up to {LONGEST_DESCRIPTION} characters.")


async def set_api(
    session: DatabaseSession,
    audience: str,
    *,
    name: str | None,
    client_id: str | None,
    scopes: Mapping[str, str],
    now: datetime,
) -> Api:
    """Register an API, or change it; what is None or empty stays. Tokens with a scope that it lost end by themselves.

    Raises:
        WrongResourceServer, ScopeTaken, rules.UnknownClient, rules.MalformedClientName
    """
    before = await find_api(session, audience)
    api = Api(
        audience, name or (before.name if before else ""), client_id or (before and before.client_id),
        dict(scopes) or (before.scopes if before else {}),
    )  # fmt: skip
    check_audience(audience, session.settings.issuer, development=session.settings.development)
    check_scopes(api.scopes)
    if not api.name or not api.scopes:
        raise WrongResourceServer
    rules.check_name(api.name)
    if api.client_id is not None:
        await actions.find_open(session, api.client_id)
    if api == before:
        return api
    row = {"audience": audience, "name": api.name, "client_id": api.client_id}
    new = insert(ResourceServer).values(**row, created_at=now)
    await session.execute(new.on_conflict_do_update(index_elements=["audience"], set_=row))
    await session.execute(delete(ResourceScope).where(ResourceScope.audience == audience))
    for scope, description in api.scopes.items():
        values = {"scope": scope, "audience": audience, "description": description}
        added = insert(ResourceScope).on_conflict_do_nothing().returning(ResourceScope.scope)
        if await session.scalar(added, values) is None:
            raise ScopeTaken(f"The scope {scope} belongs to another API already.")
    data = {"audience": audience, "scopes": sorted(api.scopes), "client_id": api.client_id}
    await events.record_event(session, "resource_server.set", actor=actions.OPERATOR, data=data, now=now)
    return api


async def remove_api(session: DatabaseSession, audience: str, *, now: datetime) -> None:
    """Remove an API: no token for it is issued from now on, and none is active in introspection.

    Raises:
        UnknownResourceServer
    """
    await session.execute(delete(ResourceScope).where(ResourceScope.audience == audience))
    gone = delete(ResourceServer).where(ResourceServer.audience == audience).returning(ResourceServer.audience)
    if await session.scalar(gone) is None:
        raise UnknownResourceServer
    data = {"audience": audience}
    await events.record_event(session, "resource_server.removed", actor=actions.OPERATOR, data=data, now=now)


async def find_api(session: DatabaseSession, audience: str) -> Api | None:
    """Return the API of an audience, None if there is none."""
    row = await session.get(ResourceServer, audience)
    return None if row is None else Api(row.audience, row.name, row.client_id, await _scopes_of(session, audience))


async def list_apis(session: DatabaseSession) -> Sequence[Api]:
    """Return every API, by audience."""
    rows = (await session.scalars(select(ResourceServer).order_by(ResourceServer.audience))).all()
    return [Api(row.audience, row.name, row.client_id, await _scopes_of(session, row.audience)) for row in rows]


async def describe_scopes(session: DatabaseSession, scopes: Collection[str]) -> dict[str, str]:
    """Return what these scopes of APIs allow, in the operator's words with the name of the API; ours are left out."""
    mine = select(ResourceScope, ResourceServer.name).join(ResourceServer).where(ResourceScope.scope.in_(scopes))
    rows = await session.execute(mine.order_by(ResourceScope.audience, ResourceScope.scope))
    return {row.scope: f"{name}: {row.description}" for row, name in rows}


def with_audience(scopes: Collection[str]) -> Select[str, str]:
    """Return the query for the audiences of those of the scopes that belong to APIs, as pairs of scope and audience."""
    return select(ResourceScope.scope, ResourceScope.audience).where(ResourceScope.scope.in_(scopes))


def service_of(audience: str) -> Select[str | None]:
    """Return the query for the client that introspects tokens for an audience; no row if there is no such API."""
    return select(ResourceServer.client_id).where(ResourceServer.audience == audience)


async def _scopes_of(session: DatabaseSession, audience: str) -> dict[str, str]:
    mine = select(ResourceScope.scope, ResourceScope.description).where(ResourceScope.audience == audience)
    return dict((await session.execute(mine.order_by(ResourceScope.scope))).all())
