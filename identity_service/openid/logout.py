"""Signing out at the wish of an application (OpenID Connect RP-Initiated Logout 1.0)."""

from collections.abc import Sequence
from typing import NamedTuple

import orjson
from cryptography.exceptions import InvalidTag
from sqlalchemy import select

from identity_service.clients import redirect_uris, registration
from identity_service.database.transactions import DatabaseSession
from identity_service.errors import Problem
from identity_service.keys import encoding, signing
from identity_service.keys.ring import KeyRing
from identity_service.openid import rules, tokens
from identity_service.openid.tables import ClientSession
from identity_service.sign_in.actions import SignedIn

_KNOWN = ("id_token_hint", "client_id", "post_logout_redirect_uri", "state")
_LABEL = "sign out"


class WrongLogoutRequest(Problem):
    """The website or app that sent you here to sign out sent something we can't use. You're still signed in here. Sign
    out with the button at the top.
    """


class LogoutRequest(NamedTuple):
    """A request to sign out that was checked: who asked, whose token came with it, and where to lead afterwards."""

    application: str | None
    sub: str | None
    sid: str | None
    destination: str | None

    @property
    def origin(self) -> str | None:
        """Return the origin of the destination."""
        return None if self.destination is None else redirect_uris.origin_of(self.destination)


async def read_request(session: DatabaseSession, pairs: Sequence[tuple[str, str]]) -> LogoutRequest:
    """Return a request whose hint is an ID token of ours, and whose address is registered by the client that it names.

    Raises:
        WrongLogoutRequest: nothing is done then (OID-35, OID-36).
    """
    known = [(name, value) for name, value in pairs if name in _KNOWN and value]
    given = dict(known)
    client_id, hint, uri = (given.get(name) for name in ("client_id", "id_token_hint", "post_logout_redirect_uri"))
    claims: dict[str, str] = {}
    if len(given) != len(known) or len(given.get("state", "")) > rules.LONGEST_STATE:
        raise WrongLogoutRequest
    if hint is not None:
        try:
            claims = tokens.verify_id_token(hint, client_id, session.settings, session.keys)
        except signing.InvalidToken as wrong:
            raise WrongLogoutRequest from wrong
    named = claims.get("aud", client_id)
    application = None if named is None else await registration.find_application(session, named)
    if uri is not None and (
        application is None
        or redirect_uris.find_registered(uri, application.logout_uris, native=application.native) is None
    ):
        raise WrongLogoutRequest
    if uri is not None and "state" in given:
        uri = redirect_uris.with_query(uri, {"state": given["state"]})
    return LogoutRequest(application and application.name, claims.get("sub"), claims.get("sid"), uri)


async def is_of_session(session: DatabaseSession, asked: LogoutRequest, customer: SignedIn) -> bool:
    """Return whether the hint is of this browser's session, so that no question is needed (OID-35)."""
    if asked.sub != tokens.show_sub(customer.account.user_id):
        return False
    mine = select(ClientSession.sid).where(ClientSession.session_id == customer.session.id)
    return asked.sid in {str(sid) for sid in (await session.scalars(mine)).all()}


def seal_request(keys: KeyRing, asked: LogoutRequest) -> str:
    """Return a checked request as a form's field that nobody else can make."""
    return encoding.base64url_encode(keys.seal(_LABEL, orjson.dumps(tuple(asked))))


def unseal_request(session: DatabaseSession, sealed: str) -> LogoutRequest:
    """Return the request of a form's field.

    Raises:
        WrongLogoutRequest
    """
    try:
        return LogoutRequest(*orjson.loads(session.keys.unseal(_LABEL, encoding.base64url_decode(sealed))))
    except (ValueError, InvalidTag) as wrong:
        raise WrongLogoutRequest from wrong
