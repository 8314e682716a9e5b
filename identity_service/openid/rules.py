"""What an authorization request must say, and what happens to it now. Pure.

`parse` refuses what is malformed (OpenID Connect Core 1.0, 3.1.2; RFC 7636; RFC 9700); `decide` compares a stored
request with the browser's session. Errors are those of RFC 6749, 4.1.2.1, and of Core, 3.1.2.6.
"""

import re
from collections.abc import Collection, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Final, Literal, NamedTuple

from identity_service.clients import redirect_uris
from identity_service.clients.rules import Application
from identity_service.sign_in import rules as sign_in_rules

PROMPTS: Final = ("none", "login", "consent", "select_account")
PASSWORD_LEVEL: Final = "urn:identity-service:acr:password"  # noqa: S105
TWO_FACTOR_LEVEL: Final = "urn:identity-service:acr:two-factor"
MAIL_LEVEL: Final = "0"
ALL_LEVELS: Final = (MAIL_LEVEL, PASSWORD_LEVEL, TWO_FACTOR_LEVEL)
"""`acr` by the strength of a sign-in (`sign_in.rules.strength_of`), the weakest first; a mailed code is below level 1
(Core, 2: "0")."""
_RANKS: Final = {level: rank for rank, level in enumerate(ALL_LEVELS)}
METHODS: Final = {
    "password": ("pwd",), "mail": ("otp",), "passkey": ("pop",), "verified_passkey": ("pop", "user"),
}  # fmt: skip
"""`amr` (RFC 8176) by the way of a sign-in; `amr_of` adds the second factor."""

LONGEST_PARAMETER: Final = 8192
LONGEST_STATE: Final = 1024
LONGEST_NONCE: Final = 256
REQUEST_LIFETIME: Final = timedelta(hours=1)
"""How long a browser may take from the first request to the answer, with a sign-in by mail or a reset on the way."""
CODE_LIFETIME: Final = timedelta(seconds=60)
PUSHED_LIFETIME: Final = timedelta(seconds=60)
ACCESS_LIFETIME: Final = timedelta(minutes=5)
ID_TOKEN_LIFETIME: Final = timedelta(minutes=10)
IDLE_GRANT: Final = timedelta(days=30)
LONGEST_GRANT: Final = timedelta(days=90)
"""How long access while the customer is away lasts: unused, and at most (ASVS 10.4.8)."""
GRACE: Final = timedelta(seconds=20)
"""How long the refresh token that was just replaced gives the same successor again, for an answer that was lost."""

_CHALLENGE: Final = re.compile(r"[A-Za-z0-9_-]{43}")
_SECONDS: Final = re.compile(r"[0-9]{1,9}")
_TAGS: Final = re.compile(r"[A-Za-z0-9 -]{1,200}")
KNOWN: Final = frozenset(
    "client_id redirect_uri response_type response_mode scope state nonce code_challenge code_challenge_method prompt "
    "max_age acr_values login_hint id_token_hint ui_locales display claims claims_locales request request_uri "
    "registration resource".split()
)


class Asked(NamedTuple):
    """An authorization request in order; `max_age` in seconds."""

    client_id: str
    redirect_uri: str
    scope: frozenset[str]
    state: str | None
    nonce: str | None
    code_challenge: str | None
    prompt: frozenset[str]
    max_age: int | None
    acr_values: tuple[str, ...]
    login_hint: str | None
    id_token_hint: str | None
    ui_locales: tuple[str, ...]


class RequestRefused(Exception):
    """A request that is refused: `error` and the sentence for its developer."""

    def __init__(self, error: str, description: str) -> None:
        """Take a code of RFC 6749, 4.1.2.1, and a sentence without quotation marks."""
        super().__init__(description)
        self.error, self.description = error, description


def take_once(pairs: Iterable[tuple[str, str]]) -> tuple[dict[str, str], str | None]:
    """Return the known parameters, and the name of one that came twice or is too long; unknown ones are ignored.

    An empty value is one that was left out (RFC 6749, 3.1). `resource` may come several times (RFC 8707, 2), and then
    stands there once, with blanks between.
    """
    found: dict[str, str] = {}
    wrong: str | None = None
    for name, value in pairs:
        if name not in KNOWN or not value:
            continue
        if (name in found and name != "resource") or len(value) > LONGEST_PARAMETER:
            wrong = wrong or name
        found[name] = f"{found[name]} {value}" if name == "resource" and name in found else value
    return found, wrong


def check_destination(given: Mapping[str, str], client: Application) -> None:
    """Refuse a request without a registered redirect URI, before anything else is looked at (OID-01).

    Raises:
        RequestRefused: nothing may be sent there.
    """
    uri = given.get("redirect_uri", "")
    if redirect_uris.find_registered(uri, client.redirect_uris, native=client.native) is None:
        raise RequestRefused("invalid_request", "redirect_uri is missing or is not registered for this client.")


def parse(given: Mapping[str, str], client: Application, *, repeated: str | None = None) -> Asked:
    """Return a request in order, whose redirect URI was checked.

    Raises:
        RequestRefused: to be told at the redirect URI.
    """
    if repeated is not None:
        raise RequestRefused("invalid_request", f"{repeated} is there twice, or is too long.")
    _check_kind(given, client)
    state, nonce = given.get("state"), given.get("nonce")
    if len(state or "") > LONGEST_STATE or len(nonce or "") > LONGEST_NONCE:
        raise RequestRefused("invalid_request", f"state may have {LONGEST_STATE} characters, nonce {LONGEST_NONCE}.")
    languages, levels = given.get("ui_locales", ""), given.get("acr_values", "").split()
    return Asked(
        client_id=client.client_id, redirect_uri=given["redirect_uri"], scope=_scope(given, client), state=state,
        nonce=nonce, code_challenge=_challenge(given, client), prompt=_prompt(given), max_age=_max_age(given),
        acr_values=tuple(level for level in _RANKS if level in levels),
        login_hint=(given.get("login_hint") or "")[:320] or None, id_token_hint=given.get("id_token_hint"),
        ui_locales=tuple(languages.split()[:10]) if _TAGS.fullmatch(languages) else (),
    )  # fmt: skip


def _check_kind(given: Mapping[str, str], client: Application) -> None:
    for name in ("request", "request_uri", "registration"):
        if name in given:
            raise RequestRefused(f"{name}_not_supported", f"{name} is not supported; send plain parameters.")
    if "response_type" not in given:
        raise RequestRefused("invalid_request", "response_type is missing; it must be code.")
    if given["response_type"] != "code":
        raise RequestRefused("unsupported_response_type", "response_type must be code.")
    if given.get("response_mode", client.response_mode) != client.response_mode:
        raise RequestRefused("invalid_request", f"response_mode must be {client.response_mode} for this client.")


def _scope(given: Mapping[str, str], client: Application) -> frozenset[str]:
    wanted = frozenset(given.get("scope", "").split(" ")) - {""}
    if "openid" not in wanted:
        raise RequestRefused("invalid_scope", "scope must contain openid.")
    # Core, 3.1.2.1: unknown scopes are ignored; so are those that this client may not ask for.
    wanted &= client.scopes | {"openid"}
    if "resource" not in given:
        return wanted
    named = given["resource"].split(" ")
    if not client.apis.keys() >= set(named):
        raise RequestRefused("invalid_target", "resource must be a registered API of which this client has a scope.")
    for audience in named:
        if not wanted & client.apis[audience]:
            scopes = ", ".join(sorted(client.apis[audience]))
            raise RequestRefused("invalid_scope", f"scope has none of those of the resource: {scopes}.")
    # RFC 8707, 2.1: what is asked for is meant for the resources that are named.
    return wanted - {scope for audience, of in client.apis.items() if audience not in named for scope in of}


def _challenge(given: Mapping[str, str], client: Application) -> str | None:
    """Return the code challenge: S256 alone, of every client but an excepted confidential one (OID-08)."""
    challenge = given.get("code_challenge")
    if challenge is None:
        if client.needs_pkce or "code_challenge_method" in given:
            raise RequestRefused("invalid_request", "code_challenge is missing (PKCE, RFC 7636).")
        return None
    if given.get("code_challenge_method") != "S256":
        raise RequestRefused("invalid_request", "code_challenge_method must be S256.")
    if not _CHALLENGE.fullmatch(challenge):
        raise RequestRefused("invalid_request", "code_challenge must be 43 characters of base64url.")
    return challenge


def _prompt(given: Mapping[str, str]) -> frozenset[str]:
    prompt = frozenset(given.get("prompt", "").split(" ")) - {""}
    if not prompt <= set(PROMPTS) or ("none" in prompt and len(prompt) > 1):
        raise RequestRefused("invalid_request", f"prompt must be of {', '.join(PROMPTS)}; none stands alone.")
    return prompt


def _max_age(given: Mapping[str, str]) -> int | None:
    if "max_age" not in given:
        return None
    if not _SECONDS.fullmatch(given["max_age"]):
        raise RequestRefused("invalid_request", "max_age must be a whole number of seconds.")
    return int(given["max_age"])


def acr_of(method: str, second_factor: str | None) -> str:
    """Return how strong a sign-in was, as a name of `ALL_LEVELS`."""
    return ALL_LEVELS[sign_in_rules.strength_of(method, second_factor)]


def amr_of(method: str, second_factor: str | None) -> list[str]:
    """Return what was proven at a sign-in (RFC 8176): `otp` for a code, `mfa` for two factors."""
    said = [*METHODS[method], *(["otp"] if second_factor is not None else [])]
    if acr_of(method, second_factor) == TWO_FACTOR_LEVEL:
        said.append("mfa")
    return list(dict.fromkeys(said))


class Browser(NamedTuple):
    """Who is signed in there, how strongly and when, as far as an answer depends on it; `set_up` says that they must
    set up a second factor before anything else."""

    user_id: str
    acr: str
    signed_in_at: datetime
    set_up: bool = False


class Next(NamedTuple):
    """What happens to a request: `issue` a code, show the page to `sign_in`, to `set_up` a second factor or to `grant`,
    or answer with an `error`."""

    step: Literal["issue", "sign_in", "set_up", "grant", "error"]
    error: RequestRefused | None = None


def decide(
    asked: Asked,
    browser: Browser | None,
    *,
    client: Application,
    hinted: str | None,
    granted: Collection[str],
    asked_at: datetime,
    now: datetime,
) -> Next:
    """Return what happens to a request now (OID-22…25, 30).

    `hinted` is the User ID of the ID token hint, `granted` what the customer allowed this client before. A sign-in
    newer than the request satisfies `prompt=login` and any `max_age`: so neither asks for ever.
    """
    if browser is not None and hinted not in (None, browser.user_id) and browser.signed_in_at >= asked_at:
        return Next("error", RequestRefused("login_required", "Another customer signed in than the one expected."))
    step: Literal["sign_in", "set_up", "grant"]
    if browser is None or _needs_sign_in(asked, browser, hinted, asked_at, now):
        step = "sign_in"
    elif browser.set_up:
        step = "set_up"
    elif _needs_page(asked, client, granted):
        step = "grant"
    else:
        return Next("issue")
    return Next("error", RequestRefused(*_SILENT[step])) if "none" in asked.prompt else Next(step)


_SILENT: Final = {
    "sign_in": ("login_required", "The customer has to sign in."),
    "set_up": ("interaction_required", "The customer has to set up a second factor."),
    "grant": ("consent_required", "The customer has to allow this on a page."),
}
"""What a client that wants no page is told instead of each (Core, 3.1.2.6)."""


def _needs_sign_in(asked: Asked, browser: Browser, hinted: str | None, asked_at: datetime, now: datetime) -> bool:
    is_new = browser.signed_in_at >= asked_at
    if hinted is not None and hinted != browser.user_id:
        return True
    if asked.prompt & {"login", "select_account"} and not is_new:
        return True
    if asked.max_age is not None and not is_new and now - browser.signed_in_at > timedelta(seconds=asked.max_age):
        return True
    # A session that is too weak is asked for more; whoever has just signed in has shown what they can (OID-24).
    wanted = [_RANKS[level] for level in asked.acr_values]
    return bool(wanted) and _RANKS[browser.acr] < min(wanted) and not is_new


def _needs_page(asked: Asked, client: Application, granted: Collection[str]) -> bool:
    """Return whether a page must ask: a third party for what it was not granted yet, and always for what is asked
    anew, goes to an address of the customer's own machine, or lasts without them (OID-30; RFC 8252, 8.6)."""
    if "consent" in asked.prompt or ("offline_access" in asked.scope and "offline_access" not in granted):
        return True
    if not asked.redirect_uri.startswith("https://"):
        return True
    return not client.first_party and not asked.scope <= set(granted)
