"""Scopes, names and keys of clients, and the checks of a client assertion. Pure."""

import math
import re
import unicodedata
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

from identity_service.clients import redirect_uris
from identity_service.errors import Conflict, Problem
from identity_service.web import scopes as web_scopes

GRANT: Final = "client_credentials"
REFRESH_TOKEN: Final = "rt_"  # noqa: S105
"""How the refresh tokens of customers' sign-ins begin."""
ASSERTION_LIFETIME: Final = timedelta(minutes=10)
ASSERTION_LEEWAY: Final = timedelta(seconds=30)
ASSERTION_TYPES: Final = ("jwt", "client-authentication+jwt")
"""What `typ` may be: what nearly every library writes, and the type of its own; neither fits a token of ours."""
ASSERTION_HEADER: Final = frozenset({"alg", "kid", "typ", "x5t", "x5t#S256"})
"""The header members that libraries write; thumbprints of certificates are ignored, and keys are refused."""
SECRET_OVERLAP: Final = timedelta(days=7)
"""How long the previous secret stays valid after a rotation."""

CLIENT_ID: Final = re.compile(r"cli_[A-Za-z0-9_-]{1,60}")
"""The form of a client id, which no User ID can have (RFC 9700, 2.6; OAU-11)."""

KINDS: Final = ("confidential", "public", "native")
"""Of applications that sign customers in: with a secret on a server, in a browser, and installed on a device."""
ID_TOKEN_ALGORITHMS: Final = ("ES256", "RS256")
RESPONSE_MODES: Final = ("query", "form_post")
WRONG_TARGET: Final = "resource must be one registered API of which this client has a scope, or be left out."
SIGN_IN_SCOPES: Final = {
    "openid": "your User ID",
    "profile": "your name, your language, and whether your account is private or a business",
    "email": "your email address",
    "offline_access": "access while you're away, for up to 90 days",
}
"""What an application may ask for when it signs customers in, and what a customer reads of it."""


class Application(NamedTuple):
    """A client that signs customers in, as it is registered; `apis` are those of its scopes that belong to another
    service's API, by audience."""

    client_id: str
    name: str
    brand: str | None
    kind: str
    first_party: bool
    id_token_alg: str
    response_mode: str
    needs_pkce: bool
    needs_par: bool
    scopes: frozenset[str]
    redirect_uris: frozenset[str]
    logout_uris: frozenset[str]
    backchannel_logout_uri: str | None
    apis: Mapping[str, frozenset[str]]

    @property
    def native(self) -> bool:
        """Return whether it is installed on the customer's device."""
        return self.kind == "native"


_NAME = re.compile(r"[\w .,()/-]{1,80}")
_SOURCE = re.compile(r"[a-z][a-z0-9_]{0,39}")
_RESERVED_SOURCES: Final = ("console",)


class UnknownScope(Problem):
    """There is no scope of this name."""


class UnknownClient(Problem):
    """There is no such client, or it is closed."""

    status = 404


class ClientHasNoSecret(Conflict):
    """This client has no secret: it authenticates with its own key, or is public."""


class MalformedClientName(Problem):
    """A client's name must be 1 to 80 letters, digits, blanks or signs of `_ . , ( ) / -`."""


class MalformedSource(Problem):
    """A source must be 1 to 40 lower-case letters, digits or underscores, beginning with a letter; `console` is taken.

    Name one with --source.
    """


class UnknownBrand(Problem):
    """There is no brand of this name; the brands are the folders below IDENTITY_BRANDS_DIR, and `default`."""


class WrongSignInSettings(Problem):
    """These settings do not fit together; see "How to sign customers in"."""


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


def check_scopes(scopes: Iterable[str], of_apis: Iterable[str]) -> None:
    """Raise UnknownScope unless every scope is one of ours or of a registered API."""
    known = {*web_scopes.SCOPES, *of_apis}
    for scope in scopes:
        if scope not in known:
            raise UnknownScope(f"There is no scope {scope[:40]!r}; the scopes are: {', '.join(sorted(known))}.")


def check_sign_in(application: Application, *, development: bool) -> None:
    """Raise unless an application may be registered so (OID-02, OID-08, OID-30).

    Raises:
        WrongSignInSettings, redirect_uris.MalformedRedirectUri
    """
    faults = {
        f"The kind must be one of {', '.join(KINDS)}.": application.kind not in KINDS,
        f"The algorithm must be one of {', '.join(ID_TOKEN_ALGORITHMS)}.": (
            application.id_token_alg not in ID_TOKEN_ALGORITHMS
        ),
        "Give at least one redirect URI.": not application.redirect_uris,
        f"The scopes of a sign-in are {', '.join(SIGN_IN_SCOPES)}, and those of registered APIs.": not (
            application.scopes <= SIGN_IN_SCOPES.keys() | {scope for of in application.apis.values() for scope in of}
        ),
        "Only a confidential application may go without PKCE.": (
            not application.needs_pkce and application.kind != "confidential"
        ),
    }
    for sentence, is_wrong in faults.items():
        if is_wrong:
            raise WrongSignInSettings(sentence)
    for uri in application.redirect_uris | application.logout_uris:
        redirect_uris.check_registered(uri, native=application.native, development=development)
    if application.backchannel_logout_uri is not None:
        redirect_uris.check_registered(application.backchannel_logout_uri, native=False, development=development)


def check_brand(brand: str | None, known: Iterable[str]) -> None:
    """Raise UnknownBrand unless the brand exists; none is right, too."""
    if brand is not None and brand not in known:
        raise UnknownBrand(f"There is no brand {brand[:40]!r}; the brands are: {', '.join(sorted(known))}.")


def granted(requested: str | None, registered: Iterable[str]) -> str | None:
    """Return the scopes to grant, by default all registered; None if one may not be granted (RFC 6749, 3.3; OAU-07)."""
    allowed = sorted(registered)
    if requested is None:
        return " ".join(allowed)
    wanted = [scope for scope in requested.split(" ") if scope]
    if not wanted or not set(wanted) <= set(allowed):
        return None
    return " ".join(sorted(set(wanted)))


def why_refused(requested: str, registered: Iterable[str]) -> str:
    """Return the sentence for scopes that are not granted; it repeats only names that exist."""
    wanted = {scope for scope in requested.split(" ") if scope}
    known = web_scopes.SCOPES.keys() | set(registered)
    if not wanted or not wanted <= known:
        return f"Separate scopes by blanks; the scopes are: {', '.join(sorted(known))}."
    return f"Not granted to this client: {', '.join(sorted(wanted - set(registered)))}."


def why_assertion_refused(
    header: Mapping[str, Any], claims: Mapping[str, Any], audiences: Iterable[str], now: datetime
) -> str | None:
    """Return the sentence that refuses a client assertion, or None; the signature is checked separately (OAU-15…18).

    It depends on the assertion and the clock alone, so it may be told to anybody. Authlib is less strict.
    """
    return _why_header_refused(header) or _why_names_refused(claims, audiences) or _why_times_refused(claims, now)


def _why_header_refused(header: Mapping[str, Any]) -> str | None:
    typ = header.get("typ", "JWT")
    if not isinstance(typ, str) or typ.lower() not in ASSERTION_TYPES:
        return f"The header typ must be one of {', '.join(ASSERTION_TYPES)}, or be left out."
    if not set(header) <= ASSERTION_HEADER:
        return f"The header may contain {', '.join(sorted(ASSERTION_HEADER))} only; keys come from the registration."
    return None


def _why_names_refused(claims: Mapping[str, Any], audiences: Iterable[str]) -> str | None:
    ours, aud, jti = tuple(audiences), claims.get("aud"), claims.get("jti")
    named = aud if isinstance(aud, list) else [aud]
    if not named or any(name not in ours for name in named):
        return f"The claim aud must be {' or '.join(ours)}, alone or in a list of these."
    if not isinstance(claims.get("sub"), str) or claims.get("iss") != claims["sub"]:
        return "The claims iss and sub must both be the client id."
    if not isinstance(jti, str) or not 1 <= len(jti) <= 255 or not jti.isprintable():
        return "The claim jti must be 1 to 255 printable characters, new for each assertion."
    return None


def _why_times_refused(claims: Mapping[str, Any], now: datetime) -> str | None:
    seconds, leeway = now.timestamp(), ASSERTION_LEEWAY.total_seconds()
    times = {name: claims[name] for name in ("exp", "iat", "nbf") if name in claims}
    if "exp" not in times or not all(type(time) in (int, float) and math.isfinite(time) for time in times.values()):
        return "The claim exp, and iat and nbf if they are there, must be seconds since 1970 as numbers."
    if times["exp"] <= seconds:
        return "The assertion has expired; compare the clocks."
    if times["exp"] > seconds + ASSERTION_LIFETIME.total_seconds() + leeway:
        return f"The claim exp may be at most {ASSERTION_LIFETIME // timedelta(minutes=1)} minutes ahead."
    if any(times.get(name, seconds) > seconds + leeway for name in ("iat", "nbf")):
        return f"The claims iat and nbf may be at most {leeway:.0f} seconds ahead; compare the clocks."
    return None
