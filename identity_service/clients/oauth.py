"""Our OAuth 2.0 server on Authlib: client credentials, introspection and revocation, and nothing else.

Authlib is synchronous, so it runs on our session through `session.run_sync`. Four of its defaults are tightened: a
scope that may not be granted is an error (it would be dropped silently), the assertion's audience is ours alone, an
assertion lives five minutes at most, and every failed authentication reads the same. The signature of an assertion is
checked by `tokens`: the library looks at its own clock, and knows EdDSA no more unless it is told.
"""

import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from authlib.oauth2.rfc6749 import AuthorizationServer, InvalidScopeError, OAuth2Request
from authlib.oauth2.rfc6749.errors import InvalidClientError
from authlib.oauth2.rfc6749.grants import ClientCredentialsGrant
from authlib.oauth2.rfc6749.requests import BasicOAuth2Payload
from authlib.oauth2.rfc6749.util import extract_basic_authorization
from authlib.oauth2.rfc7009 import RevocationEndpoint
from authlib.oauth2.rfc7523 import JWTBearerClientAssertion
from authlib.oauth2.rfc7662 import IntrospectionEndpoint
from joserfc.jwk import KeySet
from sqlalchemy import exists, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session as SyncSession

from identity_service import logs, tokens
from identity_service.clients import actions, rules
from identity_service.clients.tables import Client, ClientSecret, RevokedToken, UsedAssertion
from identity_service.keyring import TOKEN_LIFE, Keyring
from identity_service.settings import Settings

METHODS = ["client_secret_basic", "client_secret_post", "private_key_jwt"]
INVALID_CLIENT = (401, {"error": "invalid_client"}, {"WWW-Authenticate": 'Basic realm="identity-service"'})


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes out."""

    status: int
    body: dict[str, Any]
    headers: dict[str, str]


class Server(AuthorizationServer):  # type: ignore[misc]
    """One request's authorization server: a database session, the key ring, a moment."""

    def __init__(self, db: SyncSession, settings: Settings, keyring: Keyring, now: datetime) -> None:
        """Register the one grant, the three ways to authenticate and the two endpoints."""
        super().__init__(scopes_supported=None)
        self.db, self.settings, self.keyring, self.now = db, settings, keyring, now
        self.register_grant(_Grant)
        self.register_token_generator("default", self._token)
        self.register_client_auth_method("private_key_jwt", _Assertion(self))
        self.register_endpoint(_Introspection)
        self.register_endpoint(_Revocation)

    def token(self, headers: dict[str, str], form: dict[str, str]) -> Answer:
        """Answer a token request (RFC 6749, 4.4)."""
        if "grant_type" not in form:
            return Answer(400, {"error": "invalid_request", "error_description": "grant_type is missing."}, {})
        answer: Answer = self.create_token_response(_request("/oauth/token", headers, form))
        return answer

    def endpoint(self, name: str, headers: dict[str, str], form: dict[str, str]) -> Answer:
        """Answer an introspection (RFC 7662) or revocation (RFC 7009) request."""
        # A hint is to be ignored where it helps nothing (RFC 7009, 2.2); the library refuses one it does not know.
        asked = {field: value for field, value in form.items() if field != "token_type_hint"}
        answer: Answer = self.create_endpoint_response(name, _request(f"/oauth/{name}", headers, asked))
        return answer

    def use_up(self, client_id: str, jti: str, *, expires: float) -> bool:
        """Use an assertion's `jti`; False if it was used before, by whatever process (OAU-19)."""
        until = datetime.fromtimestamp(expires, UTC) + rules.ASSERTION_LEEWAY * 2
        new = insert(UsedAssertion).on_conflict_do_nothing().returning(UsedAssertion.jti)
        return self.db.scalar(new, {"client_id": client_id, "jti": jti, "until": until}) is not None

    def query_client(self, client_id: str) -> "_Client | None":
        """Return a live client."""
        row = self.db.scalar(select(Client).where(Client.id == client_id, Client.closed_at.is_(None)))
        return None if row is None else _Client(row, self.db, self.now)

    def save_token(self, token: dict[str, Any], request: OAuth2Request) -> None:  # noqa: ARG002
        """Keep no token; note at most once an hour that the client is in use."""
        used, hour = Client.last_used_at, self.now.replace(minute=0, second=0, microsecond=0)
        idle = or_(used.is_(None), used < hour)
        self.db.execute(update(Client).where(Client.id == request.client.row.id, idle).values(last_used_at=self.now))

    def send_signal(self, name: str, *args: object, **kwargs: object) -> None:
        """Tell nobody; what happens is logged at the door."""

    def create_oauth2_request(self, request: OAuth2Request) -> OAuth2Request:
        """Return the request, which is made already."""
        return request

    def handle_response(self, status: int, body: Any, headers: Any) -> Answer:  # noqa: ANN401
        """Return the answer with the headers that RFC 6749, 5.1 asks for."""
        if status != 200 and isinstance(body, dict) and body.get("error") == "invalid_client":
            return Answer(*INVALID_CLIENT)
        wanted = {name: value for name, value in headers if name.lower() in ("www-authenticate",)}
        return Answer(status, dict(body), {**wanted, "Pragma": "no-cache"})

    def _token(self, *, client: "_Client", scope: str, **_: object) -> dict[str, Any]:
        issued = int(self.now.timestamp())
        claims = {
            "iss": self.settings.issuer,
            "aud": self.settings.audience,
            "sub": client.row.id,
            "client_id": client.row.id,
            "iat": issued,
            "exp": issued + int(TOKEN_LIFE.total_seconds()),
            "jti": secrets.token_urlsafe(16),
            "scope": scope,
            "desk": client.row.desk,
        }
        token = tokens.sign(claims, self.keyring.signing(self.now), typ=tokens.ACCESS_TOKEN_TYPE)
        return {
            "access_token": token,
            "token_type": "Bearer",
            "expires_in": int(TOKEN_LIFE.total_seconds()),
            "scope": scope,
        }


class _Client:
    """A client row in the words Authlib asks with."""

    def __init__(self, row: Client, db: SyncSession, now: datetime) -> None:
        self.row, self._db, self._now = row, db, now

    def check_client_secret(self, secret: str) -> bool:
        # The hash of a 256-bit secret is looked up, so there is nothing to compare and nothing to time.
        live = or_(ClientSecret.ends_at.is_(None), ClientSecret.ends_at > self._now)
        mine = (ClientSecret.client_id == self.row.id) & (ClientSecret.secret_hash == actions.hash_secret(secret))
        return bool(self._db.scalar(select(exists().where(mine, live))))

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:  # noqa: ARG002
        return (method == "private_key_jwt") == (self.row.jwks is not None) and method in METHODS

    def check_grant_type(self, grant_type: str) -> bool:
        return grant_type == rules.GRANT


class _Grant(ClientCredentialsGrant):  # type: ignore[misc]
    TOKEN_ENDPOINT_AUTH_METHODS = METHODS

    def validate_requested_scope(self) -> None:
        asked, registered = self.request.payload.scope, self.request.client.row.scopes
        scope = rules.granted(asked, registered)
        if scope is None:
            raise InvalidScopeError(rules.why_refused(asked, registered))
        self.request.payload.data["scope"] = scope


class _Assertion(JWTBearerClientAssertion):  # type: ignore[misc]
    CLIENT_AUTH_METHOD = "private_key_jwt"

    def __init__(self, server: Server) -> None:
        super().__init__(validate_jti=False)
        self._server = server

    def resolve_client_public_key(self, client: _Client) -> KeySet:
        if client.row.jwks is None:
            raise InvalidClientError
        return KeySet.import_key_set(client.row.jwks)  # type: ignore[arg-type]

    def extract_assertion(self, assertion: str) -> tuple[dict[str, Any], dict[str, Any]]:
        return tokens.unverified(assertion)

    def process_assertion_claims(self, assertion: str, resolve_key: KeySet) -> None:
        server, (header, claims) = self._server, self.extract_assertion(assertion)
        if not rules.assertion_is_acceptable(header, claims, server.settings.issuer, server.now):
            raise InvalidClientError
        keys = {key.kid: key for key in resolve_key.keys}
        named = header.get("kid") if "kid" in header or len(keys) != 1 else next(iter(keys))
        key = keys.get(named) if isinstance(named, str) else None
        if not isinstance(key, tokens.PublicKey):
            raise InvalidClientError
        try:
            tokens.check_signature(assertion, header, key)
        except tokens.InvalidToken as wrong:
            raise InvalidClientError from wrong
        # In the transaction of this request, so it is used up with whatever answer, and holds up nothing else.
        if not server.use_up(claims["sub"], claims["jti"], expires=claims["exp"]):
            # Signed by the client and sent before: by a client that is broken, or by whoever overheard it.
            logs.log.warning("client.assertion_replayed", client=claims["sub"])
            raise InvalidClientError


class _Token:
    """An access token in the words Authlib asks with."""

    def __init__(self, token: tokens.AccessToken, claims: dict[str, Any], *, revoked: bool) -> None:
        self.token, self.claims, self._revoked = token, claims, revoked

    def check_client(self, client: _Client) -> bool:
        return self.token.client_id == client.row.id

    def is_expired(self) -> bool:
        return False

    def is_revoked(self) -> bool:
        return self._revoked


def _query_token(server: Server, text: str) -> _Token | None:
    keys = server.keyring.verifying(server.now)
    settings = server.settings
    try:
        token = tokens.verify_access_token(
            text, keys, issuer=settings.issuer, audience=settings.audience, now=server.now
        )
    except tokens.InvalidToken:
        return None
    revoked = bool(server.db.scalar(select(exists().where(RevokedToken.jti == token.jti))))
    claims = tokens.verify(text, keys, typ=tokens.ACCESS_TOKEN_TYPE)
    return _Token(token, claims, revoked=revoked)


class _Introspection(IntrospectionEndpoint):  # type: ignore[misc]
    ENDPOINT_NAME = "introspect"
    CLIENT_AUTH_METHODS = METHODS

    def query_token(self, token: str, hint: str | None) -> _Token | None:  # noqa: ARG002
        return _query_token(self.server, token)

    def check_permission(self, token: _Token, client: _Client, request: OAuth2Request) -> bool:  # noqa: ARG002
        # Our tokens are for our own audience; a client learns about its own and of nobody else's (OAU-29).
        return token.check_client(client)

    def introspect_token(self, token: _Token) -> dict[str, Any]:
        return {"active": True, "token_type": "Bearer", **token.claims}


class _Revocation(RevocationEndpoint):  # type: ignore[misc]
    ENDPOINT_NAME = "revoke"
    CLIENT_AUTH_METHODS = METHODS

    def query_token(self, token: str, hint: str | None) -> _Token | None:  # noqa: ARG002
        found = _query_token(self.server, token)
        # Another client's token is answered like an unknown one: nothing is said of it, and nothing happens.
        return found if found is not None and self.server.owns(found) else None

    def authenticate_endpoint_client(self, request: OAuth2Request) -> Any:  # noqa: ANN401
        client = super().authenticate_endpoint_client(request)
        self.server.owns = lambda token: token.check_client(client)
        return client

    def revoke_token(self, token: _Token, request: OAuth2Request) -> None:  # noqa: ARG002
        until = datetime.fromtimestamp(token.token.expires_at, self.server.now.tzinfo)
        row = {"jti": token.token.jti, "client_id": token.token.client_id, "until": until}
        self.server.db.execute(insert(RevokedToken).on_conflict_do_nothing(), row)


def claimed_by(headers: dict[str, str], form: dict[str, str]) -> str | None:
    """Return the client that a request says it comes from; None where that cannot be read or cannot be one."""
    given: object = form.get("client_id")
    try:
        if headers:
            given, _ = extract_basic_authorization(headers)
        elif "client_assertion" in form:
            given = tokens.unverified(form["client_assertion"])[1].get("sub")
    except (ValueError, tokens.InvalidToken):
        return None
    return given if isinstance(given, str) and rules.CLIENT_ID.fullmatch(given) else None


def _request(path: str, headers: dict[str, str], form: dict[str, str]) -> OAuth2Request:
    # Authlib refuses http; what scheme a proxy speaks to us is not what it means to check, so the URI is a plain name.
    request = _FormRequest("POST", f"https://identity-service{path}", headers=headers)
    request.payload = BasicOAuth2Payload(form)
    return request


class _FormRequest(OAuth2Request):  # type: ignore[misc]
    @property
    def form(self) -> dict[str, str]:
        form: dict[str, str] = self.payload.data
        return form
