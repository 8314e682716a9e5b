"""Our OAuth 2.0 server on Authlib: authentication of clients, client credentials, introspection and revocation.

Authlib is synchronous, so it runs on our session through `session.run_sync`. Four of its defaults are tightened: a
scope that may not be granted is an error (Authlib drops it silently), an assertion names nobody but us as audience, it
is valid for at most ten minutes, and every failed authentication gets the same response, but for what the assertion
itself says wrong. `keys.signing` checks its signature: Authlib uses its own clock, and rejects EdDSA by default.
"""

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from authlib.oauth2.rfc6749 import AuthorizationServer, InvalidScopeError, OAuth2Error, OAuth2Request
from authlib.oauth2.rfc6749.errors import InvalidClientError
from authlib.oauth2.rfc6749.grants import ClientCredentialsGrant
from authlib.oauth2.rfc6749.requests import BasicOAuth2Payload
from authlib.oauth2.rfc6749.util import extract_basic_authorization
from authlib.oauth2.rfc7009 import RevocationEndpoint
from authlib.oauth2.rfc7523 import JWTBearerClientAssertion
from authlib.oauth2.rfc7523.client import ASSERTION_TYPE
from authlib.oauth2.rfc7662 import IntrospectionEndpoint
from joserfc.jwk import KeySet
from sqlalchemy import exists, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session as SyncSession

from identity_service import logs
from identity_service.clients import resource_servers, rules
from identity_service.clients.tables import Client, ClientSecret, OpenidClient, RevokedToken, UsedAssertion
from identity_service.keys import hashing, signing
from identity_service.keys.ring import TOKEN_LIFETIME, KeyRing
from identity_service.settings import Settings

METHODS = ["client_secret_basic", "client_secret_post", "private_key_jwt"]
PUBLIC_METHODS = [*METHODS, "none"]
"""Where applications without a secret come, too."""
INVALID_CLIENT = (401, {"error": "invalid_client"}, {"WWW-Authenticate": 'Basic realm="identity-service"'})


@dataclass(frozen=True, slots=True)
class TokenAnswer:
    """Status, JSON body and headers of a response."""

    status: int
    body: dict[str, Any]
    headers: dict[str, str]


class OAuthServer(AuthorizationServer):  # type: ignore[misc]
    """The authorization server for one request, with its database session, key ring and time."""

    def __init__(self, db: SyncSession, settings: Settings, keys: KeyRing, now: datetime) -> None:
        """Register the grant, the three ways to authenticate and the two endpoints."""
        super().__init__(scopes_supported=None)
        self.db, self.settings, self.keys, self.now = db, settings, keys, now
        self.audience = settings.audience
        self.register_grant(_Grant)
        self.register_token_generator("default", self._token)
        self.register_client_auth_method("private_key_jwt", _Assertion(self))
        self.register_endpoint(_Introspection)
        self.register_endpoint(_Revocation)

    def token(self, headers: dict[str, str], form: dict[str, str]) -> TokenAnswer:
        """Answer a token request (RFC 6749, 4.4)."""
        if "grant_type" not in form:
            return TokenAnswer(400, {"error": "invalid_request", "error_description": "grant_type is missing."}, {})
        answer: TokenAnswer = self.create_token_response(_request("/oauth/token", headers, form))
        return answer

    def authenticate(self, path: str, headers: dict[str, str], form: dict[str, str]) -> "str | TokenAnswer":
        """Return the id of the client that sent a request, or the answer that refuses it (OID-13)."""
        try:
            client = self.authenticate_client(_request(path, headers, form), PUBLIC_METHODS, path.rpartition("/")[2])
        except OAuth2Error as refused:
            answer: TokenAnswer = self.handle_error_response(None, refused)
            return answer
        return str(client.row.id)

    def endpoint(self, headers: dict[str, str], form: dict[str, str], *, name: str) -> TokenAnswer:
        """Answer an introspection (RFC 7662) or revocation (RFC 7009) request."""
        # A useless hint must be ignored (RFC 7009, 2.2), but Authlib refuses an unknown one.
        parameters = {field: value for field, value in form.items() if field != "token_type_hint"}
        answer: TokenAnswer = self.create_endpoint_response(name, _request(f"/oauth/{name}", headers, parameters))
        return answer

    def consume_assertion(self, client_id: str, jti: str, *, expires: float) -> bool:
        """Record an assertion's `jti` as used; False if it was used before, in any process (OAU-19)."""
        until = datetime.fromtimestamp(expires, UTC) + rules.ASSERTION_LEEWAY * 2
        new = insert(UsedAssertion).on_conflict_do_nothing().returning(UsedAssertion.jti)
        return self.db.scalar(new, {"client_id": client_id, "jti": jti, "expires_at": until}) is not None

    def query_client(self, client_id: str) -> "_Client | None":
        """Return the client, None if it does not exist or is closed."""
        row = self.db.scalar(select(Client).where(Client.id == client_id, Client.closed_at.is_(None)))
        return None if row is None else _Client(row, self.db, self.now)

    def save_token(self, token: dict[str, Any], request: OAuth2Request) -> None:  # noqa: ARG002
        """Store no token; update the client's `last_used_at`, at most once an hour."""
        used, hour = Client.last_used_at, self.now.replace(minute=0, second=0, microsecond=0)
        idle = or_(used.is_(None), used < hour)
        self.db.execute(update(Client).where(Client.id == request.client.row.id, idle).values(last_used_at=self.now))

    def send_signal(self, name: str, *args: object, **kwargs: object) -> None:
        """Ignore Authlib's signals; the access log records every request."""

    def create_oauth2_request(self, request: OAuth2Request) -> OAuth2Request:
        """Return the request unchanged: `_request` has made it already."""
        return request

    def handle_response(self, status: int, body: Any, headers: Any) -> TokenAnswer:  # noqa: ANN401
        """Return the response with the headers of RFC 6749, 5.1; every failed authentication gets the same one."""
        if status != 200 and isinstance(body, dict) and body.get("error") == "invalid_client":
            return TokenAnswer(*INVALID_CLIENT)
        wanted = {name: value for name, value in headers if name.lower() in ("www-authenticate",)}
        return TokenAnswer(status, dict(body), {**wanted, "Pragma": "no-cache"})

    def _token(self, *, client: "_Client", scope: str, **_: object) -> dict[str, Any]:
        issued = int(self.now.timestamp())
        claims = {
            "iss": self.settings.issuer,
            "aud": self.audience,
            "sub": client.row.id,
            "client_id": client.row.id,
            "iat": issued,
            "exp": issued + int(TOKEN_LIFETIME.total_seconds()),
            "jti": secrets.token_urlsafe(16),
            "scope": scope,
            "desk": client.row.desk,
            "source": client.row.source,
        }
        token = signing.sign(claims, self.keys.signing(self.now), typ=signing.ACCESS_TOKEN_TYPE)
        return {
            "access_token": token,
            "token_type": "Bearer",
            "expires_in": int(TOKEN_LIFETIME.total_seconds()),
            "scope": scope,
        }


class _Client:
    """Adapter from a client row to Authlib's client interface."""

    def __init__(self, row: Client, db: SyncSession, now: datetime) -> None:
        self.row, self._db, self._now = row, db, now

    def check_client_secret(self, secret: str) -> bool:
        # The lookup is by hash of a 256-bit secret, so no comparison here depends on the secret (timing).
        valid = or_(ClientSecret.expires_at.is_(None), ClientSecret.expires_at > self._now)
        mine = (ClientSecret.client_id == self.row.id) & (ClientSecret.secret_hash == hashing.hash_secret(secret))
        return bool(self._db.scalar(select(exists().where(mine, valid))))

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        if method == "none":
            return self._is_public() and endpoint != "introspect"
        has_keys = self.row.jwks is not None or self.row.jwks_uri is not None
        return (method == "private_key_jwt") == has_keys and method in METHODS

    def _is_public(self) -> bool:
        kind = self._db.scalar(select(OpenidClient.kind).where(OpenidClient.client_id == self.row.id))
        return kind in ("public", "native")

    def check_grant_type(self, grant_type: str) -> bool:
        return grant_type == rules.GRANT


class _Grant(ClientCredentialsGrant):  # type: ignore[misc]
    TOKEN_ENDPOINT_AUTH_METHODS = METHODS

    def validate_requested_scope(self) -> None:
        registered = self._scopes_at(self.request.payload.data.get("resource") or self.server.audience)
        requested = self.request.payload.scope
        scope = rules.granted(requested, registered)
        if scope is None:
            raise InvalidScopeError(rules.why_refused(requested, registered))
        self.request.payload.data["scope"] = scope

    def _scopes_at(self, audience: str) -> list[str]:
        """Return what the client may do at the API that the token is for: ours, or a registered one (RFC 8707)."""
        server, scopes = self.server, self.request.client.row.scopes
        foreign = dict(server.db.execute(resource_servers.with_audience(scopes)).all())
        if audience == server.settings.audience:
            return [scope for scope in scopes if scope not in foreign]
        server.audience = audience
        there = [scope for scope in scopes if foreign.get(scope) == audience]
        if not there:
            raise _InvalidTarget(f"{rules.WRONG_TARGET} Without it a token is for {server.settings.audience}.")
        return there


class _InvalidTarget(OAuth2Error):  # type: ignore[misc]
    """RFC 8707, 2."""

    error = "invalid_target"


class _Assertion(JWTBearerClientAssertion):  # type: ignore[misc]
    CLIENT_AUTH_METHOD = "private_key_jwt"

    def __init__(self, server: AuthorizationServer) -> None:
        super().__init__(validate_jti=False)
        self._server = server

    def __call__(self, query_client: Callable[[str], _Client | None], request: OAuth2Request) -> _Client | None:
        def find_client(client_id: str) -> _Client:
            found = query_client(client_id)
            if found is None:
                raise _refused_assertion({"sub": client_id}, "unknown_client")
            return found

        client: _Client | None = super().__call__(find_client, request)
        return client

    def resolve_client_public_key(self, client: _Client) -> KeySet:
        if client.row.jwks is None:
            raise _refused_assertion({"sub": client.row.id}, "client_has_no_key")
        return KeySet.import_key_set(client.row.jwks)  # type: ignore[arg-type]

    def extract_assertion(self, assertion: str) -> tuple[dict[str, Any], dict[str, Any]]:
        return signing.unverified(assertion)

    def process_assertion_claims(self, assertion: str, resolve_key: KeySet) -> None:
        server, (header, claims) = self._server, self.extract_assertion(assertion)
        keys = {key.kid: key for key in resolve_key.keys}
        kid = header.get("kid") if "kid" in header or len(keys) != 1 else next(iter(keys))
        key = keys.get(kid) if isinstance(kid, str) else None
        if not isinstance(key, signing.PublicKey):
            raise _refused_assertion(claims, "unknown_key")
        try:
            signing.check_signature(assertion, header, key)
        except signing.InvalidToken as wrong:
            raise _refused_assertion(claims, "wrong_signature") from wrong
        # Recorded in the transaction of this request, so no other connection is needed.
        if not server.consume_assertion(claims["sub"], claims["jti"], expires=claims["exp"]):
            # A valid signature, but a replay: the client is faulty, or the assertion was intercepted.
            logs.log.warning("client.assertion_replayed", client=claims["sub"])
            raise InvalidClientError


def _refused_assertion(claims: dict[str, Any], reason: str) -> InvalidClientError:
    # Only the log tells the reason: the answer is the same for clients that exist and others (OAU-05).
    logs.log.warning("client.assertion_refused", claimed=claims["sub"], reason=reason)
    return InvalidClientError()


class _Token:
    """Adapter from an access token to Authlib's token interface."""

    def __init__(
        self, token: signing.AccessToken, claims: dict[str, Any], *, revoked: bool, introspects: str | None
    ) -> None:
        self.token, self.claims, self._revoked, self.introspects = token, claims, revoked, introspects

    def check_client(self, client: _Client) -> bool:
        return self.token.client_id == client.row.id

    def is_expired(self) -> bool:
        return False

    def is_revoked(self) -> bool:
        return self._revoked


def _query_token(server: AuthorizationServer, text: str) -> _Token | None:
    keys = server.keys.verifying(server.now)
    settings = server.settings
    try:
        claims = signing.verify(text, keys, typ=signing.ACCESS_TOKEN_TYPE)
        audience = claims.get("aud")
        introspects = None
        if audience != settings.audience:
            # For another API: it must be registered still, and its service may introspect (RFC 8707).
            introspects = server.db.execute(resource_servers.service_of(str(audience))).one_or_none()
            if introspects is None:
                return None
        token = signing.verify_access_token(text, keys, issuer=settings.issuer, audience=str(audience), now=server.now)
    except signing.InvalidToken:
        return None
    revoked = bool(server.db.scalar(select(exists().where(RevokedToken.jti == token.jti))))
    return _Token(token, claims, revoked=revoked, introspects=introspects and introspects[0])


class _Introspection(IntrospectionEndpoint):  # type: ignore[misc]
    ENDPOINT_NAME = "introspect"
    CLIENT_AUTH_METHODS = METHODS

    def query_token(self, token: str, hint: str | None) -> _Token | None:  # noqa: ARG002
        return _query_token(self.server, token)

    def check_permission(self, token: _Token, client: _Client, request: OAuth2Request) -> bool:  # noqa: ARG002
        # A client may introspect its own tokens (OAU-29), and an API's service those that are for that API and still
        # hold: the client is open, and has every scope of the token.
        if token.check_client(client):
            return True
        issued_to = self.server.query_client(token.token.client_id)
        holds = issued_to is not None and set(token.claims["scope"].split()) <= set(issued_to.row.scopes)
        return token.introspects == client.row.id and holds

    def introspect_token(self, token: _Token) -> dict[str, Any]:
        return {"active": True, "token_type": "Bearer", **token.claims}


class _Revocation(RevocationEndpoint):  # type: ignore[misc]
    ENDPOINT_NAME = "revoke"
    CLIENT_AUTH_METHODS = PUBLIC_METHODS

    def query_token(self, token: str, hint: str | None) -> _Token | None:  # noqa: ARG002
        found = _query_token(self.server, token)
        # Another client's token gets the response of an unknown one, and is not revoked.
        return found if found is not None and self.server.owns(found) else None

    def authenticate_endpoint_client(self, request: OAuth2Request) -> Any:  # noqa: ANN401
        client = super().authenticate_endpoint_client(request)
        self.server.owns = lambda token: token.check_client(client)
        return client

    def revoke_token(self, token: _Token, request: OAuth2Request) -> None:  # noqa: ARG002
        until = datetime.fromtimestamp(token.token.expires_at, self.server.now.tzinfo)
        row = {"jti": token.token.jti, "client_id": token.token.client_id, "expires_at": until}
        self.server.db.execute(insert(RevokedToken).on_conflict_do_nothing(), row)


def claimed_by(headers: dict[str, str], form: dict[str, str]) -> str | None:
    """Return the client id that a request claims, before authentication; None if it is missing or malformed."""
    claimed: object = form.get("client_id")
    try:
        if headers:
            claimed, _ = extract_basic_authorization(headers)
        elif "client_assertion" in form:
            claimed = signing.unverified(form["client_assertion"])[1].get("sub")
    except (ValueError, signing.InvalidToken):
        return None
    return claimed if isinstance(claimed, str) and rules.CLIENT_ID.fullmatch(claimed) else None


def why_assertion_refused(form: dict[str, str], settings: Settings, path: str, now: datetime) -> str | None:
    """Return the sentence that refuses the form's assertion for what it says, None if it says nothing wrong or is none.

    Our audiences are the issuer, and the URLs of the token endpoint and of the endpoint that is called.
    """
    text = form.get("client_assertion")
    if text is None:
        return None
    if form.get("client_assertion_type") != ASSERTION_TYPE:
        return f"The client_assertion_type must be {ASSERTION_TYPE}."
    audiences = dict.fromkeys([settings.issuer, f"{settings.issuer}/oauth/token", f"{settings.issuer}{path}"])
    try:
        header, claims = signing.unverified(text)
    except signing.InvalidToken:
        return "The client_assertion is not a signed JWT of three parts, or has a member twice."
    return rules.why_assertion_refused(header, claims, audiences, now)


def refuse_assertion(description: str) -> TokenAnswer:
    """Return the answer for an assertion that says something wrong: `invalid_client` and the sentence."""
    status, body, headers = INVALID_CLIENT
    return TokenAnswer(status, {**body, "error_description": description}, headers)


def _request(path: str, headers: dict[str, str], form: dict[str, str]) -> OAuth2Request:
    # Authlib refuses http, but a proxy in front of us may end TLS; so the URI always has the scheme https.
    request = _FormRequest("POST", f"https://identity-service{path}", headers=headers)
    request.payload = BasicOAuth2Payload(form)
    return request


class _FormRequest(OAuth2Request):  # type: ignore[misc]
    @property
    def form(self) -> dict[str, str]:
        form: dict[str, str] = self.payload.data
        return form
