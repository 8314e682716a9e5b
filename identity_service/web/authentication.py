"""The caller of a request: the access token, verified without the database and cached until it expires.

Cached tokens are re-checked against closed and changed clients and revoked tokens, which every process reloads every
5 s, so a revoked token, or one with a scope or source that its client lost, stops working in every process within ten
seconds (OAU-10).
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

from fastapi import Depends, Header, Request, Security
from fastapi.security import OAuth2, SecurityScopes

from identity_service import logs
from identity_service.database.transactions import Database, DatabaseSession
from identity_service.errors import Problem, Unprocessable
from identity_service.keys import signing
from identity_service.keys.ring import KeyRing
from identity_service.keys.signing import InvalidToken
from identity_service.web import dependencies
from identity_service.web import scopes as web_scopes
from identity_service.web.rules import ClientStates

RELOAD_EVERY = 5.0
_MAXIMUM_CACHED = 10_000
_SCHEME = OAuth2(
    flows={"clientCredentials": {"tokenUrl": "/oauth/token", "scopes": dict(web_scopes.SCOPES)}},
    scheme_name="clientCredentials",
    auto_error=False,
)


class MissingToken(InvalidToken):
    """This endpoint needs an access token in the Authorization header."""

    headers = {"WWW-Authenticate": "Bearer"}  # noqa: RUF012


class MissingScope(Problem):
    """The access token lacks a scope that this endpoint needs."""

    status = 403


class MissingClerk(Unprocessable):
    """Name the acting person in the header X-Clerk-ID, in printable ASCII without blanks: a desk tool always, and every
    client in contacts and caller checks."""


AUTH_ERRORS: tuple[type[Problem], ...] = (MissingToken, InvalidToken, MissingScope)
"""The errors of every endpoint that needs an access token."""
PERSON_ERRORS: tuple[type[Problem], ...] = (MissingClerk, *AUTH_ERRORS)
"""The errors of an endpoint by which a desk changes something, and so must name who does it."""


@dataclass(frozen=True, slots=True)
class Client:
    """The client that sent a request."""

    client_id: str
    scopes: frozenset[str]
    source: str
    desk: bool = False

    @property
    def actor(self) -> str:
        """Return the name of this client in events."""
        return f"client:{self.client_id}"


class TokenVerifier:
    """Token cache of one process: signing keys, closed clients, revoked tokens, verified tokens."""

    def __init__(
        self,
        database: Database,
        clock: Callable[[], datetime],
        *,
        load_clients: Callable[[DatabaseSession, datetime], Awaitable[ClientStates]],
        load_keys: Callable[[DatabaseSession], Awaitable[KeyRing]],
    ) -> None:
        """Start with an empty cache; `reload` must run before the first request."""
        self._database, self._clock = database, clock
        self._load_clients, self._load_keys = load_clients, load_keys
        self._cached: dict[str, signing.AccessToken] = {}
        self._clients = ClientStates({}, frozenset(), frozenset())
        self._published: list[str] = []

    async def reload(self) -> None:
        """Load the keys, the clients and the revoked tokens; empty the cache if the published keys changed."""
        async with self._database.transaction() as session:
            # Revocations first: after `keys rewrap` a running process cannot open the ring and keeps its old keys until
            # it restarts, but it must still learn which clients were closed or changed.
            self._clients = await self._load_clients(session, self._clock())
            ring = await self._load_keys(session)
        self._database.keys = ring
        published = sorted(ring.verifying(self._clock()))
        if published != self._published:
            self._published = published
            self._cached.clear()

    async def keep_fresh(self, pause: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        """Reload every 5 s until cancelled; a failed reload is logged and retried."""
        while True:
            await pause(RELOAD_EVERY)
            try:
                await self.reload()
            except Exception as problem:  # noqa: BLE001
                # Revocation depends on this loop, so no failure may end it.
                logs.log.warning("auth.reload_failed", error=type(problem).__name__)

    def check(self, token: str) -> signing.AccessToken:
        """Return the verified claims of a token; raise `InvalidToken` if it is invalid, expired or revoked."""
        now = self._clock()
        known = self._cached.get(token)
        if known is None:
            ring: KeyRing = self._database.keys
            settings = self._database.settings
            known = signing.verify_access_token(
                token, ring.verifying(now), issuer=settings.issuer, audience=settings.audience, now=now
            )
            if len(self._cached) >= _MAXIMUM_CACHED:
                self._cached.clear()
            self._cached[token] = known
        elif known.expires_at <= now.timestamp():
            del self._cached[token]
            raise InvalidToken
        clients, registration = self._clients, self._clients.open.get(known.client_id)
        if known.client_id in clients.closed or known.jti in clients.revoked:
            raise InvalidToken
        if registration is not None and registration.outdates(known):
            raise InvalidToken
        return known

    def reads_answers(self, origin: str) -> bool:
        """Return whether an application in a browser has this origin."""
        return origin in self._clients.origins

    def brand_of(self, client_id: str) -> str | None:
        """Return the brand of a client; None if it has none of its own."""
        known = self._clients.open.get(client_id)
        return known and known.brand


def requires(*scopes: str) -> Any:  # noqa: ANN401
    """Return a dependency for `dependencies=[…]` that requires these scopes of the caller's token."""
    return Security(_client, scopes=list(scopes))


def authenticate(request: Request, scopes: list[str]) -> Client:
    """Return the client that sent a request; 401 without a valid token, 403 without the scopes (RFC 6750)."""
    values = request.headers.getlist("authorization")
    if not values:
        raise MissingToken
    scheme, _, token = values[0].partition(" ")
    token = token.strip(" ")
    if len(values) > 1 or scheme.lower() != "bearer" or not token or " " in token:
        raise InvalidToken
    verifier: TokenVerifier = request.app.state.gate
    found = verifier.check(token)
    request.state.client_id, request.state.scopes = found.client_id, found.scopes
    request.scope["log_fields"] = {"client": found.client_id}
    for scope in scopes:
        if scope not in found.scopes:
            refusal = MissingScope(f"This endpoint needs the scope {scope}.", scope=scope)
            refusal.headers = {"WWW-Authenticate": f'Bearer error="insufficient_scope", scope="{scope}"'}  # type: ignore[misc]
            raise refusal
    dependencies.set_brand(request, verifier.brand_of(found.client_id))
    return Client(found.client_id, found.scopes, found.source, found.desk)


async def _client(
    request: Request,
    required: SecurityScopes,
    documented: Annotated[str | None, Depends(_SCHEME)],  # noqa: ARG001
) -> Client:
    return authenticate(request, list(required.scopes))


Caller = Annotated[Client, Depends(_client)]


async def _clerk(
    caller: Caller,
    x_clerk_id: Annotated[
        str | None,
        Header(
            alias="X-Clerk-ID",
            max_length=64,
            description="required of everybody: the acting person; opaque, not verified",
        ),
    ] = None,
) -> str:
    if not x_clerk_id or not x_clerk_id.isascii() or not x_clerk_id.isprintable() or " " in x_clerk_id:
        raise MissingClerk
    return f"{caller.actor}/{x_clerk_id}"


Clerk = Annotated[str, Depends(_clerk)]
"""The person whom a desk tool names in X-Clerk-ID, as `client:…/person`; not verified."""


async def _person(
    caller: Caller,
    x_clerk_id: Annotated[
        str | None,
        Header(
            alias="X-Clerk-ID", max_length=64, description="required of a desk tool: the acting person; not verified"
        ),
    ] = None,
) -> str:
    return await _clerk(caller, x_clerk_id) if caller.desk else caller.actor


Person = Annotated[str, Depends(_person)]
"""The actor for events: the person whom a desk tool names, or else the service itself."""
