"""Codes and tokens: answer a request with a code, redeem it, refresh, revoke, and read who a token is about."""

import secrets
import uuid
from datetime import datetime
from typing import Any, Final, NamedTuple

from authlib.oauth2.rfc7636 import create_s256_code_challenge
from sqlalchemy import select, update
from sqlalchemy.dialects.postgresql import insert

from identity_service.accounts.tables import Account
from identity_service.clients import registration
from identity_service.clients.oauth import TokenAnswer
from identity_service.clients.rules import SIGN_IN_SCOPES, WRONG_TARGET, Application
from identity_service.clients.tables import Client, RevokedToken
from identity_service.database.transactions import DatabaseSession
from identity_service.events import actions as events
from identity_service.keys import hashing, signing
from identity_service.openid import ending, rules, tokens
from identity_service.openid.rules import Asked
from identity_service.openid.tables import ClientSession, GrantedScope, OauthGrant
from identity_service.sign_in.actions import SignedIn

_NOT_ALLOWED: Final = TokenAnswer(
    400, {"error": "unauthorized_client", "error_description": "This client does not sign customers in."}, {}
)
_VERIFIER: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~"


async def issue_code(
    session: DatabaseSession, asked: Asked, application: Application, customer: SignedIn, *, now: datetime
) -> str:
    """Return a new code for this request: 256 bits, valid for a minute, once (OID-11)."""
    code, account, signed_in = secrets.token_urlsafe(32), customer.account, customer.session
    offline = "offline_access" in asked.scope
    row = {
        "id": uuid.uuid4(), "client_id": application.client_id, "user_id": account.user_id,
        "sid": await _client_session(session, application, customer, now=now), "scope": sorted(asked.scope),
        "method": signed_in.method, "second_factor": signed_in.second_factor, "signed_in_at": signed_in.proven_at,
        "nonce": asked.nonce,
        "redirect_uri": asked.redirect_uri, "code_challenge": asked.code_challenge,
        "code_hash": hashing.hash_secret(code), "code_expires_at": now + rules.CODE_LIFETIME, "granted_at": now,
        "key_id": session.keys.link_key()[0],
        "expires_at": now + rules.IDLE_GRANT if offline else signed_in.expires_at,
    }  # fmt: skip
    await session.execute(insert(OauthGrant), row)
    data = {"client_id": application.client_id, "scopes": sorted(asked.scope)}
    await events.record_event(
        session, "application.signed_in", user_id=account.user_id, actor="customer", data=data, now=now
    )
    return code


async def redeem_code(session: DatabaseSession, client_id: str, form: dict[str, str], *, now: datetime) -> TokenAnswer:
    """Answer a token request with a code. Whatever else is wrong, the code is used up by its client's first try; a
    second one ends what came of the first (OID-11, OID-12)."""
    if await registration.find_application(session, client_id) is None:
        return _NOT_ALLOWED
    hashed = hashing.hash_secret(form.get("code", ""))
    mine = update(OauthGrant).where(OauthGrant.code_hash == hashed, OauthGrant.client_id == client_id)
    unused = mine.where(OauthGrant.code_used_at.is_(None), OauthGrant.code_expires_at > now)
    grant = await session.scalar(unused.values(code_used_at=now, last_used_at=now).returning(OauthGrant))
    if grant is None:
        used = await session.scalar(select(OauthGrant).where(OauthGrant.code_hash == hashed))
        if used is not None and used.client_id == client_id and used.code_used_at is not None:
            await ending.end_grant(session, used, why="code_reused", now=now)
        return _refused("The code is unknown, expired or used.")
    if form.get("redirect_uri") != grant.redirect_uri:
        return _refused("redirect_uri is not that of the authorization request.")
    if not _is_verified(form.get("code_verifier"), grant.code_challenge):
        return _refused("code_verifier does not fit the code_challenge of the authorization request.")
    if not await is_alive(session, grant, now=now):
        return _refused("The sign-in has ended.")
    target = await _target(session, grant, None, form.get("resource"))
    return target if isinstance(target, TokenAnswer) else await _answer(session, grant, target, now=now)


async def refresh(session: DatabaseSession, client_id: str, form: dict[str, str], *, now: datetime) -> TokenAnswer:
    """Answer a token request with a refresh token by new tokens; reuse ends the family (OID-16, OID-17)."""
    if await registration.find_application(session, client_id) is None:
        return _NOT_ALLOWED
    presented = tokens.read_refresh_token(form.get("refresh_token", ""))
    grant = None
    if presented is not None:
        mine = select(OauthGrant).where(OauthGrant.id == presented.grant_id, OauthGrant.client_id == client_id)
        grant = await session.scalar(mine.with_for_update())
    if presented is None or grant is None or not tokens.is_genuine(presented, grant, session.keys):
        return _refused("The refresh token is unknown.")
    target = await _target(session, grant, form.get("scope"), form.get("resource"))
    if isinstance(target, TokenAnswer):
        return target
    if not await is_alive(session, grant, now=now):
        return _refused("The sign-in has ended.")
    if presented.generation == grant.generation:
        await _rotate(session, grant, now=now)
    elif not _is_lost_answer(presented.generation, grant, now):
        await ending.end_grant(session, grant, why="refresh_reused", now=now)
        return _refused("The refresh token was used before, so the sign-in has ended.")
    return await _answer(session, grant, target, now=now)


async def revoke(session: DatabaseSession, client_id: str, form: dict[str, str], *, now: datetime) -> TokenAnswer:
    """End the family of a refresh token, or an access token alone; one that is not this client's is left alone, and
    told nobody (OID-20)."""
    presented = tokens.read_refresh_token(form.get("token", ""))
    if presented is None:
        await _revoke_access_token(session, client_id, form.get("token", ""), now=now)
    else:
        mine = select(OauthGrant).where(OauthGrant.id == presented.grant_id, OauthGrant.client_id == client_id)
        grant = await session.scalar(mine)
        if grant is not None and tokens.is_genuine(presented, grant, session.keys):
            await ending.end_grant(session, grant, why="revoked", now=now)
    return TokenAnswer(200, {}, {})


async def _revoke_access_token(session: DatabaseSession, client_id: str, token: str, *, now: datetime) -> None:
    try:
        claims = tokens.verify_customer_token(token, session.settings, session.keys, now, audience=None)
    except signing.InvalidToken:
        return
    if claims["client_id"] == client_id:
        until = datetime.fromtimestamp(claims["exp"], now.tzinfo)
        row = {"jti": claims["jti"], "client_id": client_id, "expires_at": until}
        await session.execute(insert(RevokedToken).on_conflict_do_nothing(), row)


async def read_userinfo(session: DatabaseSession, access_token: str, *, now: datetime) -> dict[str, Any]:
    """Return the claims that an access token may read.

    Raises:
        signing.InvalidToken: also when it was revoked, or the sign-in that it came of has ended.
    """
    audience = tokens.userinfo_of(session.settings)
    claims = tokens.verify_customer_token(access_token, session.settings, session.keys, now, audience=audience)
    grant = await session.get(OauthGrant, uuid.UUID(claims["grant"]))
    is_revoked = await session.get(RevokedToken, claims["jti"]) is not None
    if grant is None or is_revoked or not await is_alive(session, grant, now=now):
        raise signing.InvalidToken
    account = await session.get(Account, grant.user_id)
    assert account is not None  # noqa: S101
    return tokens.claims_about(account, frozenset(claims["scope"].split()))


async def granted_scopes(session: DatabaseSession, user_id: str, client_id: str) -> frozenset[str]:
    """Return what a customer has allowed an application on a page."""
    mine = GrantedScope.user_id == user_id, GrantedScope.client_id == client_id
    return frozenset((await session.scalars(select(GrantedScope.scope).where(*mine))).all())


async def grant_scopes(
    session: DatabaseSession, user_id: str, application: Application, scopes: frozenset[str], *, now: datetime
) -> None:
    """Record what a customer allows an application."""
    named = {"user_id": user_id, "client_id": application.client_id, "granted_at": now}
    rows = [{**named, "scope": scope} for scope in sorted(scopes)]
    await session.execute(insert(GrantedScope).on_conflict_do_nothing(), rows)
    data = {"client_id": application.client_id, "scopes": sorted(scopes)}
    await events.record_event(session, "application.granted", user_id=user_id, actor="customer", data=data, now=now)


class Access(NamedTuple):
    """What an application has of a customer: the scopes, since when, and when it was last used."""

    client_id: str
    name: str
    scopes: list[str]
    granted_at: datetime
    last_used_at: datetime | None


async def list_access(session: DatabaseSession, user_id: str, *, now: datetime) -> list[Access]:
    """Return the applications that have access to a customer's data now, by name (OID-31)."""
    alive = OauthGrant.user_id == user_id, OauthGrant.ended_at.is_(None), OauthGrant.expires_at > now
    redeemed = OauthGrant.code_used_at.is_not(None)
    mine = select(OauthGrant, Client.name).join(Client, Client.id == OauthGrant.client_id).where(*alive, redeemed)
    found: dict[str, Access] = {}
    for grant, name in (await session.execute(mine.order_by(Client.name, OauthGrant.granted_at))).all():
        known = found.get(grant.client_id)
        scopes = sorted({*grant.scope, *(known.scopes if known else ())})
        since = known.granted_at if known else grant.granted_at
        found[grant.client_id] = Access(grant.client_id, name, scopes, since, grant.last_used_at)
    return list(found.values())


async def _client_session(
    session: DatabaseSession, application: Application, customer: SignedIn, *, now: datetime
) -> uuid.UUID:
    """Return the `sid` of this browser's session at the application, a new one if it has none."""
    mine = select(ClientSession.sid).where(
        ClientSession.session_id == customer.session.id, ClientSession.client_id == application.client_id,
        ClientSession.ended_at.is_(None),
    )  # fmt: skip
    new = {
        "sid": uuid.uuid4(), "session_id": customer.session.id, "client_id": application.client_id,
        "user_id": customer.account.user_id, "started_at": now,
    }  # fmt: skip
    await session.execute(insert(ClientSession).on_conflict_do_nothing(), new)
    return (await session.scalars(mine)).one()


async def is_alive(session: DatabaseSession, grant: OauthGrant, *, now: datetime) -> bool:
    """Return whether what came of an answer still holds; causes end it at once (`ending`), this is the second lock."""
    account = await session.get(Account, grant.user_id)
    if grant.ended_at is not None or grant.expires_at <= now or account is None or account.state != "active":
        return False
    return account.sessions_valid_after is None or grant.granted_at >= account.sessions_valid_after


async def _rotate(session: DatabaseSession, grant: OauthGrant, *, now: datetime) -> None:
    values: dict[str, Any] = {"generation": grant.generation + 1, "rotated_at": now, "last_used_at": now}
    if "offline_access" in grant.scope:
        values["expires_at"] = min(now + rules.IDLE_GRANT, grant.granted_at + rules.LONGEST_GRANT)
    await session.execute(update(OauthGrant).where(OauthGrant.id == grant.id).values(values))
    await session.refresh(grant)


def _is_lost_answer(generation: int, grant: OauthGrant, now: datetime) -> bool:
    """Return whether this is the token that was just replaced, and its successor was never used."""
    was_replaced = generation == grant.generation - 1
    return was_replaced and grant.rotated_at is not None and now - grant.rotated_at <= rules.GRACE


class _Target(NamedTuple):
    """What an access token is for."""

    audience: str
    scope: frozenset[str]


async def _target(
    session: DatabaseSession, grant: OauthGrant, scope: str | None, resource: str | None
) -> _Target | TokenAnswer:
    """Return the one audience of a token with those of the scopes that belong there (RFC 8707, 2.2), or the refusal.

    Without `resource` it is our userinfo endpoint, without `scope` all that was granted there.
    """
    application = await registration.find_application(session, grant.client_id)
    assert application is not None  # noqa: S101
    granted, userinfo = frozenset(grant.scope), tokens.userinfo_of(session.settings)
    wanted = granted if scope is None else frozenset(scope.split())
    apis = {**application.apis, userinfo: frozenset(SIGN_IN_SCOPES)}
    there = apis.get(resource or userinfo, frozenset()) & granted
    error, description = "invalid_scope", None
    if not wanted <= granted:
        description = "The scope may not grow; leave it out, or ask for less."
    elif not there:
        error, description = "invalid_target", WRONG_TARGET
    elif not there & wanted:
        description = f"scope has none of those of the resource: {', '.join(sorted(there))}."
    if description is not None:
        return TokenAnswer(400, {"error": error, "error_description": description}, {})
    return _Target(resource or userinfo, there & wanted)


async def _answer(session: DatabaseSession, grant: OauthGrant, target: _Target, *, now: datetime) -> TokenAnswer:
    application = await registration.find_application(session, grant.client_id)
    assert application is not None  # noqa: S101
    settings, keys = session.settings, session.keys
    access_token = tokens.make_access_token(grant, target.scope, target.audience, settings, keys, now)
    body = {
        "access_token": access_token,
        "token_type": "Bearer",
        "expires_in": int(rules.ACCESS_LIFETIME.total_seconds()),
        "scope": " ".join(sorted(target.scope)),
        "id_token": tokens.make_id_token(grant, access_token, application.id_token_alg, settings, keys, now),
        "refresh_token": tokens.make_refresh_token(grant, keys),
    }
    return TokenAnswer(200, body, {"Pragma": "no-cache"})


def _is_verified(verifier: str | None, challenge: str | None) -> bool:
    """Return whether the verifier fits; one without a challenge is refused, too (OID-08; RFC 9700, 2.1.1)."""
    if challenge is None or verifier is None:
        return challenge is None and verifier is None
    is_well_formed = 43 <= len(verifier) <= 128 and set(verifier) <= set(_VERIFIER)
    return is_well_formed and secrets.compare_digest(create_s256_code_challenge(verifier), challenge)


def _refused(description: str) -> TokenAnswer:
    return TokenAnswer(400, {"error": "invalid_grant", "error_description": description}, {})
