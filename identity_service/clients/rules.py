"""Scopes, names and keys of clients, and the checks of a client assertion. Pure."""

import re
import unicodedata
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from identity_service.errors import Conflict, Problem
from identity_service.web import scopes as web_scopes

GRANT: Final = "client_credentials"
ASSERTION_LIFETIME: Final = timedelta(minutes=5)
ASSERTION_LEEWAY: Final = timedelta(seconds=30)
ASSERTION_TYPES: Final = ("client-authentication+jwt", None)
SECRET_OVERLAP: Final = timedelta(days=7)
"""How long the previous secret stays valid after a rotation."""

CLIENT_ID: Final = re.compile(r"cli_[A-Za-z0-9_-]{1,60}")
"""The form of a client id, which no User ID can have (RFC 9700, 2.6; OAU-11)."""

_NAME = re.compile(r"[\w .,()/-]{1,80}")
_SOURCE = re.compile(r"[a-z][a-z0-9_]{0,39}")
_RESERVED_SOURCES: Final = ("console",)


class UnknownScope(Problem):
    """There is no scope of this name."""


class UnknownClient(Problem):
    """There is no such client, or it is closed."""

    status = 404


class ClientHasNoSecret(Conflict):
    """This client authenticates with its own key and has no secret."""


class MalformedClientName(Problem):
    """A client's name must be 1 to 80 letters, digits, blanks or signs of `_ . , ( ) / -`."""


class MalformedSource(Problem):
    """A source must be 1 to 40 lower-case letters, digits or underscores, beginning with a letter; `console` is taken.

    Name one with --source.
    """


class SourceTaken(Conflict):
    """There is a source of this name already; name it with --source to share it, or name another one."""


class MalformedKeySet(Problem):
    """This is not a JSON Web Key Set of public keys (ES256 or EdDSA) with different ids and no private members."""


def check_name(name: str) -> None:
    """Raise MalformedClientName unless a client may have this name."""
    if not _NAME.fullmatch(name):
        raise MalformedClientName


def check_source_name(name: str) -> None:
    """Raise MalformedSource unless a source may have this name."""
    if not _SOURCE.fullmatch(name) or name in _RESERVED_SOURCES:
        raise MalformedSource


def source_from(client_name: str) -> str:
    """Return the source that a client of this name gets: `Web Shop (DE)` becomes `web_shop_de`.

    Raises:
        MalformedSource: nothing of the name is left in letters from a to z.
    """
    ascii_name = unicodedata.normalize("NFKD", client_name).encode("ascii", "ignore").decode().lower()
    name = re.sub(r"[^a-z0-9]+", "_", ascii_name)[:40].strip("_")
    if not _SOURCE.fullmatch(name):
        raise MalformedSource(f"No source can be named after {client_name[:80]!r}; name one with --source.")
    return name


def check_scopes(scopes: Iterable[str]) -> None:
    """Raise UnknownScope unless every scope exists."""
    for scope in scopes:
        if scope not in web_scopes.SCOPES:
            raise UnknownScope(
                f"There is no scope {scope[:40]!r}; the scopes are: {', '.join(sorted(web_scopes.SCOPES))}."
            )


def granted(requested: str | None, registered: Iterable[str]) -> str | None:
    """Return the scopes to grant, by default all registered; None if one may not be granted (RFC 6749, 3.3; OAU-07)."""
    allowed = sorted(registered)
    if requested is None:
        return " ".join(allowed)
    wanted = requested.split(" ")
    if not all(wanted) or not set(wanted) <= set(allowed):
        return None
    return " ".join(sorted(set(wanted)))


def why_refused(requested: str, registered: Iterable[str]) -> str:
    """Return the sentence for scopes that are not granted; it repeats only names that exist."""
    wanted = set(requested.split(" "))
    if not wanted <= web_scopes.SCOPES.keys():
        return f"Separate scopes by one blank; the scopes are: {', '.join(sorted(web_scopes.SCOPES))}."
    return f"Not granted to this client: {', '.join(sorted(wanted - set(registered)))}."


def assertion_is_acceptable(header: Mapping[str, Any], claims: Mapping[str, Any], issuer: str, now: datetime) -> bool:
    """Return whether a client assertion has the required header and claims; the signature is checked separately.

    `aud` is our issuer as the sole value (RFC 10070), `exp` at most 5 minutes ahead, `iat` and `nbf` at most 30 s,
    `iss` equals `sub`, `typ` is right, and the header contains no key (OAU-15…18). Authlib is less strict.
    """
    seconds, leeway = now.timestamp(), ASSERTION_LEEWAY.total_seconds()
    times = {name: claims[name] for name in ("exp", "iat", "nbf") if name in claims}
    if not all(type(time) in (int, float) for time in times.values()) or "exp" not in times:
        return False
    typ = header.get("typ")
    return (
        claims.get("aud") in (issuer, [issuer])
        and seconds < times["exp"] <= seconds + ASSERTION_LIFETIME.total_seconds() + leeway
        and all(times.get(name, seconds) <= seconds + leeway for name in ("iat", "nbf"))
        and isinstance(claims.get("jti"), str)
        and 1 <= len(claims["jti"]) <= 255
        and claims["jti"].isprintable()
        and isinstance(claims.get("iss"), str)
        and claims["iss"] == claims.get("sub")
        and (typ is None or (isinstance(typ, str) and typ.lower() in ASSERTION_TYPES))
        and set(header) <= {"alg", "kid", "typ"}
    )
