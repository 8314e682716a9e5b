"""Scopes, and what a client assertion must say. Pure."""

import re
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from identity_service.errors import Conflict, Problem

SCOPES: Final[Mapping[str, str]] = {
    "accounts:convert": "make a consumer a business, and back",
    "accounts:erase": "close and erase accounts",
    "accounts:merge": "ask for two accounts to become one, and undo it",
    "accounts:read": "read one account, its address masked; look one up by address or reference",
    "accounts:read_personal": "see whole addresses",
    "accounts:verify": "ask whether User IDs are right, up to 1,000 at once; sees no address",
    "accounts:write": "register customers, change display name and locale",
    "audit:read": "read the sealed feed with its seals, and what staff did",
    "callers:check": "check a caller by a code that is mailed to the address on file",
    "contacts:read": "read contacts, with what is known and verified",
    "contacts:write": "open contacts, write into them, hand them on and close them",
    "consents:read": "read what a customer has allowed, with its ledger and the signed receipt",
    "consents:write": "withdraw a consent, or propose one, which the customer's mailbox then confirms",
    "events:read": "read the feed of everything that happened",
    "history:read": "read what happened to a customer anywhere, and the summary",
    "history:write": "add what happened at your service to a customer's history",
    "mail:operate": "see relays and the health of mail, lift suppressions",
    "marketing:addresses": "with marketing:check: get the addresses of those who allow it",
    "marketing:check": "ask whom of a list you may contact for a purpose",
    "messages:read": "see where mail is, with every try and reply",
    "messages:send": "ask for another try of a letter",
    "passwords:check": "check a customer's password, for a service with a sign-in form of its own",
    "resets:create": "ask for a new password for a customer",
}
"""Every scope there is, and what it allows."""

GRANT: Final = "client_credentials"
ASSERTION_LIFE: Final = timedelta(minutes=5)
ASSERTION_LEEWAY: Final = timedelta(seconds=30)
ASSERTION_TYPES: Final = ("client-authentication+jwt", None)
SECRET_OVERLAP: Final = timedelta(days=7)
"""How long the older secret goes on after a rotation."""

CLIENT_ID: Final = re.compile(r"cli_[A-Za-z0-9_-]{1,60}")
"""What a client id looks like: never like a User ID (RFC 9700, 2.6; OAU-11)."""

_NAME = re.compile(r"[\w .,()/-]{1,80}")


class UnknownScope(Problem):
    """There is no such scope."""


class UnknownClient(Problem):
    """There is no such client, or it is closed."""

    status = 404


class SignsItself(Conflict):
    """This client signs with its own key; it has no secret."""


class MalformedClientName(Problem):
    """A client's name is 1 to 80 letters, digits, blanks and simple signs."""


class MalformedKeySet(Problem):
    """This is not a set of public keys (ES256 or EdDSA), each with a name of its own and without private members."""


def check_new(name: str, scopes: Iterable[str]) -> None:
    """Refuse a name or scopes that cannot be."""
    if not _NAME.fullmatch(name):
        raise MalformedClientName
    for scope in scopes:
        if scope not in SCOPES:
            raise UnknownScope(f"There is no scope {scope[:40]!r}; there are: {', '.join(sorted(SCOPES))}.")


def granted(asked: str | None, registered: Iterable[str]) -> str | None:
    """Return the scopes to grant, or None where one that was asked for may not be (RFC 6749, 3.3; OAU-07)."""
    allowed = sorted(registered)
    if asked is None:
        return " ".join(allowed)
    wanted = asked.split(" ")
    if not all(wanted) or not set(wanted) <= set(allowed):
        return None
    return " ".join(sorted(set(wanted)))


def why_refused(asked: str, registered: Iterable[str]) -> str:
    """Return the sentence for scopes that are not granted: it names them, and never what somebody made up."""
    wanted = set(asked.split(" "))
    if not wanted <= SCOPES.keys():
        return f"Scopes stand with one blank between them; there are: {', '.join(sorted(SCOPES))}."
    return f"Not granted to this client: {', '.join(sorted(wanted - set(registered)))}."


def assertion_is_acceptable(header: Mapping[str, Any], claims: Mapping[str, Any], issuer: str, now: datetime) -> bool:
    """Tell whether a client assertion says what it must, its signature aside.

    `aud` is our issuer as the sole value (RFC 10070), `exp` at most 5 minutes ahead, `iat` and `nbf` at most 30 s,
    `iss` equals `sub`, the type is right, and the header names no key of its own (OAU-15…18). The library is laxer.
    """
    moment, leeway = now.timestamp(), ASSERTION_LEEWAY.total_seconds()
    times = {name: claims[name] for name in ("exp", "iat", "nbf") if name in claims}
    if not all(type(time) in (int, float) for time in times.values()) or "exp" not in times:
        return False
    typ = header.get("typ")
    return (
        claims.get("aud") in (issuer, [issuer])
        and moment < times["exp"] <= moment + ASSERTION_LIFE.total_seconds() + leeway
        and all(times.get(name, moment) <= moment + leeway for name in ("iat", "nbf"))
        and isinstance(claims.get("jti"), str)
        and 1 <= len(claims["jti"]) <= 255
        and claims["jti"].isprintable()
        and isinstance(claims.get("iss"), str)
        and claims["iss"] == claims.get("sub")
        and (typ is None or (isinstance(typ, str) and typ.lower() in ASSERTION_TYPES))
        and set(header) <= {"alg", "kid", "typ"}
    )
