"""How clients sign customers in: register, change and find the settings."""

from collections.abc import Collection
from datetime import datetime
from typing import Any

from sqlalchemy import delete, select
from sqlalchemy.dialects.postgresql import insert

from identity_service import entry_points
from identity_service.clients import actions, resource_servers, rules
from identity_service.clients.rules import Application
from identity_service.clients.tables import Client, OpenidClient, RedirectUri
from identity_service.database.transactions import DatabaseSession
from identity_service.events import actions as events

_DEFAULTS: dict[str, Any] = {
    "kind": "confidential", "first_party": True, "id_token_alg": "ES256", "response_mode": "query", "needs_pkce": True,
    "needs_par": False, "scopes": frozenset(rules.SIGN_IN_SCOPES), "redirect_uris": frozenset(),
    "logout_uris": frozenset(), "backchannel_logout_uri": None,
}  # fmt: skip


async def set_sign_in(
    session: DatabaseSession, client_id: str, *, now: datetime, **given: bool | str | Collection[str] | None
) -> Application:
    """Register how a client signs customers in, or change it; what is `None` or not given stays as it was.

    `given` are fields of `Application`. At first they are those of our own application on a server. Its kind stays:
    a secret cannot come to what has none.

    Raises:
        rules.UnknownClient, rules.WrongSignInSettings, redirect_uris.MalformedRedirectUri
    """
    client = await actions.find_open(session, client_id)
    before = await find_application(session, client_id)
    wanted = {name: value for name, value in given.items() if value is not None}
    named = {"client_id": client_id, "name": client.name, "brand": client.brand}
    values = {**(_DEFAULTS if before is None else before._asdict()), **wanted, **named}
    application = Application(**{**values, "apis": await _apis_of(session, values["scopes"])})
    if before is not None and before.kind != application.kind:
        raise rules.WrongSignInSettings("The kind of an application stays. Add another client.")
    if application.kind != "confidential" and (client.scopes or client.jwks or client.jwks_uri):
        raise rules.WrongSignInSettings("A public or native application has no secret, key or scope of the API.")
    rules.check_sign_in(application, development=session.settings.development)
    await _store(session, application)
    if before is not None and (before.scopes - application.scopes or before.redirect_uris - application.redirect_uris):
        await entry_points.load("openid.ending:end_for_client")(session, client_id, why="client_changed", now=now)
    if before != application:
        fields = sorted(name for name in wanted if before is None or getattr(before, name) != wanted[name])
        data = {"client_id": client_id, "fields": fields, "first_party": application.first_party}
        data["pkce"] = application.needs_pkce
        await events.record_event(session, "client.sign_in_changed", actor=actions.OPERATOR, data=data, now=now)
    return application


async def find_application(session: DatabaseSession, client_id: str) -> Application | None:
    """Return how an open client signs customers in; None if it does not, or does not exist."""
    mine = select(OpenidClient, Client).join(Client, Client.id == OpenidClient.client_id)
    row = (await session.execute(mine.where(Client.id == client_id, Client.closed_at.is_(None)))).one_or_none()
    if row is None:
        return None
    uris = (await session.scalars(select(RedirectUri).where(RedirectUri.client_id == client_id))).all()
    openid, client = row
    apis = await _apis_of(session, openid.scopes)
    # What an API lost, an application may not ask for any more.
    scopes = frozenset(openid.scopes) & frozenset(rules.SIGN_IN_SCOPES).union(*apis.values())
    return Application(
        client_id, client.name, client.brand, openid.kind, openid.first_party, openid.id_token_alg,
        openid.response_mode, openid.needs_pkce, openid.needs_par, scopes,
        frozenset(uri.uri for uri in uris if uri.use == "redirect"),
        frozenset(uri.uri for uri in uris if uri.use == "logout"), openid.backchannel_logout_uri,
        apis,
    )  # fmt: skip


async def _apis_of(session: DatabaseSession, scopes: Collection[str]) -> dict[str, frozenset[str]]:
    """Return those of the scopes that belong to other services' APIs, by audience."""
    found: dict[str, frozenset[str]] = {}
    for scope, audience in await session.execute(resource_servers.with_audience(scopes)):
        found[audience] = found.get(audience, frozenset()) | {scope}
    return found


async def _store(session: DatabaseSession, application: Application) -> None:
    columns = {column.name for column in OpenidClient.__table__.columns}
    row = {name: value for name, value in application._asdict().items() if name in columns}
    row["scopes"] = sorted(application.scopes | {"openid"})
    new = insert(OpenidClient).values(row)
    await session.execute(new.on_conflict_do_update(index_elements=["client_id"], set_=row))
    await session.execute(delete(RedirectUri).where(RedirectUri.client_id == application.client_id))
    for use, uris in (("redirect", application.redirect_uris), ("logout", application.logout_uris)):
        for uri in sorted(uris):
            await session.execute(insert(RedirectUri), {"client_id": application.client_id, "use": use, "uri": uri})
