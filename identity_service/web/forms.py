"""Forms: strict parsing, and protection against cross-site request forgery (CSRF).

`FormRoute` is the route class of every page. It reads a form once and strictly: one media type, one value per field, no
unknown field, at most 16 KiB. Each POST must contain the token derived from this browser's cookie (the session cookie
if signed in), which a page of another site cannot know (ASVS 3.5.1). A `Sec-Fetch-Site` or `Origin` of another site is
refused too. A refused form is shown again, filled in, below the error; passwords and secrets are never shown again. So
is one whose session or cookie has ended meanwhile, unless another site may have sent it.
"""

import hmac
import secrets
from collections.abc import Awaitable, Callable
from typing import Annotated, Literal
from urllib.parse import parse_qsl

from fastapi import Depends, Request
from fastapi.responses import Response
from fastapi.routing import APIRoute

from identity_service.errors import Forbidden, Problem, Unprocessable
from identity_service.keys import encoding, hashing
from identity_service.settings import Settings
from identity_service.values import email_addresses, user_ids
from identity_service.values.email_addresses import EmailAddress
from identity_service.web import dependencies, routing

COOKIE = "__Host-form"
LANGUAGE_COOKIE = "__Host-language"
SESSION_COOKIE = "__Host-session"
STAFF_COOKIE = "__Host-staff"
SECOND_FACTOR_COOKIE = "__Host-second-factor"
RECEIPT_COOKIE = "__Host-receipt"
RETURN_COOKIE = "__Host-return"
AUTHORIZE_COOKIE = "__Host-authorize"
RECOVERY_COOKIE = "__Host-recovery"
FORM_LIMIT = 16 * 1024
_FIELDS = 20
_HIDDEN = ("password", "code", "secret", "link", "seed", "ceremony", "response", "account", "form_token")


class InvalidCsrfToken(Forbidden):
    """This page was open for too long, or you've signed out since. Send the form again."""


class UnreadableForm(Problem):
    """This form is malformed or has a field twice. Open the page again."""


class UnknownField(Unprocessable):
    """The form has a field that this page doesn't know. Open the page again."""


class FormRoute(APIRoute):
    """A route for people. `openapi_extra={"x-form": template}` names the page that shows a refused form again."""

    def get_route_handler(self) -> Callable[[Request], Awaitable[Response]]:  # type: ignore[override]
        """Wrap FastAPI's handler: read the form and check its origin first."""
        inner = super().get_route_handler()
        known = routing.query_names(self)
        template: str | None = (self.openapi_extra or {}).get("x-form")

        async def handle(request: Request) -> Response:
            routing.check_query(request, known, ignore_unknown=True)
            if request.method != "POST":
                return await routing.answer_and_commit(request, inner)
            request.state.form = await _read(request)
            request.state.form_template, request.state.may_redisplay = template, _is_same_origin(request)
            _check_origin(request)
            request.state.may_redisplay = True
            return await routing.answer_and_commit(request, inner)

        return handle


def redisplay_on(request: Request, template: str, **facts: object) -> None:
    """Set the template that shows a refused form again, and the values it needs besides the fields."""
    request.state.form_template, request.state.form_facts = template, facts


class FormData:
    """The fields of a submitted form."""

    def __init__(self, values: dict[str, str]) -> None:
        """Take the parsed fields."""
        self._values = values

    def take(self, *names: str) -> tuple[str, ...]:
        """Return the values of exactly these fields, "" for a missing one.

        Raises:
            UnknownField: the form has other fields.
        """
        if set(self._values) - {*names, "form_token"}:
            raise UnknownField
        return tuple(self._values.get(name, "") for name in names)

    def kept(self) -> dict[str, str]:
        """Return the fields of a form that can be sent again as a whole, or none if it had a password or secret."""
        has_secret = any(self._values.get(name) for name in _HIDDEN if name != "form_token")
        return {} if has_secret else self.shown()

    def shown(self) -> dict[str, str]:
        """Return the fields that may be shown again: no passwords or secrets; a code, which one may have mistyped."""
        return {name: value for name, value in self._values.items() if name not in _HIDDEN or name == "code"}


def _fields(request: Request) -> FormData:
    return FormData(request.state.form)


Form = Annotated[FormData, Depends(_fields)]


def csrf_token(request: Request) -> tuple[str, str | None]:
    """Return the CSRF token for this browser's forms, and the value of a new cookie if it has none yet."""
    own = STAFF_COOKIE if request.url.path.startswith("/console") else SESSION_COOKIE
    cookie = request.cookies.get(own) or request.cookies.get(COOKIE)
    if getattr(request.state, "signed_out", False):
        cookie = request.cookies.get(COOKIE)
    new_cookie = None if cookie else secrets.token_urlsafe(16)
    return _token(request, cookie or new_cookie or ""), new_cookie


def browser_cookie(request: Request) -> str:
    """Return the cookie that this browser's forms are bound to, "" without one; a form that was checked has it."""
    own = STAFF_COOKIE if request.url.path.startswith("/console") else SESSION_COOKIE
    return request.cookies.get(own) or request.cookies.get(COOKIE) or ""


def set_cookie(
    response: Response, name: str, value: str, *, same_site: Literal["strict", "lax"], seconds: int | None = None
) -> None:
    """Set a `__Host-` cookie: Secure, HttpOnly, for this host alone (SES-02)."""
    response.set_cookie(name, value, max_age=seconds, path="/", secure=True, httponly=True, samesite=same_site)


def _token(request: Request, cookie: str) -> str:
    key = dependencies.database_of(request).keys.internal()
    return encoding.base64url_encode(hashing.keyed_hash(key, "form", cookie.encode())[:16])


async def _read(request: Request) -> dict[str, str]:
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/x-www-form-urlencoded" or len(request.headers.getlist("content-type")) > 1:
        raise routing.UnsupportedMediaType("Send application/x-www-form-urlencoded.")
    body = await routing.read_body(request, FORM_LIMIT)
    try:
        pairs = parse_qsl(
            body.decode("ascii"), keep_blank_values=True, encoding="utf-8", errors="strict", max_num_fields=_FIELDS
        )
    except ValueError as refused:
        raise UnreadableForm from refused
    values = dict(pairs)
    if len(values) != len(pairs) or any("\0" in name + value for name, value in pairs):
        raise UnreadableForm
    return values


def _is_same_origin(request: Request) -> bool:
    """Return whether the browser says that the form came from a page of ours (Fetch Metadata; no script can set it)."""
    return request.headers.get("sec-fetch-site") == "same-origin"


def _check_origin(request: Request) -> None:
    site = request.headers.get("sec-fetch-site", "same-origin")
    origin = request.headers.get("origin", "null")
    # Our pages have the policy no-referrer, so browsers send `Origin: null` with their forms; the token decides then.
    ours = {dependencies.database_of(request).settings.public_url, "null"}
    own = STAFF_COOKIE if request.url.path.startswith("/console") else SESSION_COOKIE
    token = request.state.form.get("form_token", "").encode()
    cookies = [request.cookies[name] for name in (own, COOKIE) if request.cookies.get(name)]
    matches = any(hmac.compare_digest(token, _token(request, cookie).encode()) for cookie in cookies)
    if site != "same-origin" or origin not in ours or not matches:
        raise InvalidCsrfToken


class UserIdTyped(Unprocessable):
    """That's a User ID. Enter the email address of your account."""


class MaybeMistyped(Unprocessable):
    """Check this address. It looks like a typing mistake."""


MEANT = "Did you mean {meant}? Choose it, or confirm that the address is correct as you typed it."


ANSWERS = ("asked", "meant", "as_typed")
"""The fields that answer the question about an address: which one, and the value of the button that was pressed."""


def take_address(form: FormData, settings: Settings, *unused: str) -> EmailAddress:
    """Return the address of a form of customers that sends an email; it may have the `unused` fields, too.

    Raises:
        UserIdTyped, UnknownField, MaybeMistyped, values.email_addresses.MalformedEmailAddress
    """
    text, asked, meant, as_typed = form.take("email", *ANSWERS, *unused)[:4]
    refuse_user_id(text)
    return read_address(settings, text, asked, meant, as_typed)


def take_other_address(form: FormData, settings: Settings) -> EmailAddress:
    """Return what a customer typed as another way to reach them, in the field `address`.

    Raises:
        UserIdTyped, UnknownField, values.email_addresses.MalformedEmailAddress
    """
    (text,) = form.take("address")
    refuse_user_id(text)
    return email_addresses.parse_pasted(text, special_use=settings.development)


def read_address(settings: Settings, text: str, asked: str, meant: str, as_typed: str) -> EmailAddress:
    """Return the address that was typed, or the one that the answer (`ANSWERS`) says. No answer is one for another.

    Raises:
        MaybeMistyped: its domain is one letter away from a common one, and nobody has said that it is right.
        values.email_addresses.MalformedEmailAddress
    """
    if text != asked:
        meant = as_typed = ""
    address = email_addresses.parse_pasted(meant or text, special_use=settings.development)
    similar = None if meant or as_typed else email_addresses.similar_domain(address)
    if similar is not None:
        suggestion = f"{address.shown.rpartition('@')[0]}@{similar}"
        raise MaybeMistyped(MEANT, places={"meant": suggestion}, meant=suggestion)
    return address


def refuse_user_id(text: str) -> None:
    """Refuse a User ID where an address belongs, before any query (RST-17).

    Raises:
        UserIdTyped
    """
    try:
        user_ids.parse(text)
    except Problem:
        return
    raise UserIdTyped
