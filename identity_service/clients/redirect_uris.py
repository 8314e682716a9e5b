"""Redirect URIs of clients: which may be registered, and which one a request means. Pure."""

import re
from collections.abc import Iterable, Mapping
from typing import Final
from urllib.parse import urlencode, urlsplit

from identity_service.errors import Unprocessable

LONGEST: Final = 1000
_LOOPBACK: Final = re.compile(r"http://(?:127\.0\.0\.1|\[::1\])(?::[1-9][0-9]{0,4})?(?=[/?]|$)")
_PORT: Final = re.compile(r"^(http://(?:127\.0\.0\.1|\[::1\])):[1-9][0-9]{0,4}(?=[/?]|$)")
_OWN_SCHEME: Final = re.compile(r"[a-z][a-z0-9+-]*(?:\.[a-z0-9+-]+)+:/[!-~]*")
_CHARACTERS: Final = re.compile(r"[A-Za-z0-9._~:/?@!$&'()+,;=%\[\]-]+")
_LABEL: Final = "[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_HOST: Final = re.compile(rf"(?=.{{1,253}}$)(?:{_LABEL}\.)*(?!0x[0-9a-f]*$|[0-9]+$){_LABEL}")
"""A name of labels; browsers read one whose last label is a number as an address."""
_DOTS: Final = re.compile(r"/\.{1,2}(?:/|;|$)|%2[ef]|%5c|//|;", re.IGNORECASE)


class MalformedRedirectUri(Unprocessable):
    """A redirect URI must be canonical and begin with https://. A native client may also register
    http://127.0.0.1/… or http://[::1]/…, with any port in requests, or a scheme of its own in reverse-domain form,
    like com.example.app:/….
    """


def check_registered(uri: str, *, native: bool, development: bool = False) -> None:
    """Raise MalformedRedirectUri unless a client may register this URI (OID-02; RFC 8252, 7).

    In development any client may be on this machine.
    """
    plain = len(uri) <= LONGEST and _CHARACTERS.fullmatch(uri) is not None and "*" not in uri and "#" not in uri
    if not plain:
        raise MalformedRedirectUri
    if native and _OWN_SCHEME.fullmatch(uri):
        return
    if (native or development) and _LOOPBACK.match(uri) and _is_canonical(uri):
        return
    if not uri.startswith("https://") or not _is_canonical(uri):
        raise MalformedRedirectUri


def find_registered(given: str, registered: Iterable[str], *, native: bool) -> str | None:
    """Return the given URI if it is one of the registered ones, as a string; None otherwise (OID-01).

    For a native client the port of a registered loopback address may be any (RFC 8252, 7.3).
    """
    known = set(registered)
    if given in known:
        return given
    if not native or len(given) > LONGEST:
        return None
    without = _PORT.sub(r"\1", given)
    local = {_PORT.sub(r"\1", uri) for uri in known if _LOOPBACK.match(uri)}
    return given if _LOOPBACK.match(given) and _is_canonical(given) and without in local else None


def with_query(uri: str, fields: Mapping[str, str]) -> str:
    """Return a URI with these parameters behind those that it was registered with."""
    return f"{uri}{'&' if '?' in uri else '?'}{urlencode(fields)}"


def origin_of(uri: str) -> str:
    """Return the origin of a URI for a content security policy, or its scheme if it is a client's own."""
    parts = urlsplit(uri)
    return f"{parts.scheme}://{parts.netloc}" if parts.scheme in ("http", "https") else f"{parts.scheme}:"


def _is_canonical(uri: str) -> bool:
    """Return whether a URI is written in the only way that browsers and servers agree upon."""
    try:
        parts = urlsplit(uri)
        port = parts.port
    except ValueError:
        return False
    host = parts.hostname or ""
    written = f"[{host}]" if ":" in host else host
    if parts.netloc != (written if port is None else f"{written}:{port}"):
        return False
    if port in (0, 443 if parts.scheme == "https" else 80):
        return False
    is_named = _HOST.fullmatch(host) is not None
    is_loopback = parts.scheme == "http" and host in ("127.0.0.1", "::1")
    return (is_named or is_loopback) and _DOTS.search(parts.path) is None
