"""Forms: how what people send is read, and how it is known that they sent it from our page.

`PageDoor` is the route class of every page. It reads a form once and strictly: one media type, one value per field, no
unknown field, small. Each POST must carry the value that fits this browser's cookie (the session's where somebody is
signed in): a page of another site cannot know it (CSRF; ASVS 3.5.1). Browsers also say where a request comes from
(`Sec-Fetch-Site`); what comes from elsewhere is refused before anything else. A refused form comes back filled in, with
the sentence above it; passwords and codes are never shown again.
"""

import hmac
import secrets
from collections.abc import Awaitable, Callable
from typing import Annotated, Literal
from urllib.parse import parse_qsl

from fastapi import Depends, Request
from fastapi.responses import Response
from fastapi.routing import APIRoute

from identity_service import doors, tokens
from identity_service.errors import Forbidden, Problem, Unprocessable

COOKIE = "__Host-form"
SESSION_COOKIE = "__Host-session"
STAFF_COOKIE = "__Host-staff"
FORM_LIMIT = 16 * 1024
_FIELDS = 20
_HIDDEN = ("password", "code", "secret", "link", "form_token")


class ForeignForm(Forbidden):
    """This form did not come from our page, or the page is too old; please open it again."""


class UnreadableForm(Problem):
    """This form cannot be read in one way only."""


class UnknownField(Unprocessable):
    """There is no such field here."""


class PageDoor(APIRoute):
    """A route for people. `openapi_extra={"x-form": template}` names the page that a refused form comes back on."""

    def get_route_handler(self) -> Callable[[Request], Awaitable[Response]]:  # type: ignore[override]
        """Wrap FastAPI's handler: read the form and check where it comes from, then hand on."""
        inner = super().get_route_handler()
        known = doors.query_names(self)
        template: str | None = (self.openapi_extra or {}).get("x-form")

        async def door(request: Request) -> Response:
            doors.check_query(request, known)
            if request.method != "POST":
                return await doors.answer_and_commit(request, inner)
            request.state.form = await _read(request)
            _check_origin(request)
            request.state.form_template = template
            return await doors.answer_and_commit(request, inner)

        return door


def come_back_on(request: Request, template: str, **facts: object) -> None:
    """Name the page that a refused form comes back on, with what that page shows beside the fields."""
    request.state.form_template, request.state.form_facts = template, facts


class Fields:
    """The fields of a form."""

    def __init__(self, values: dict[str, str]) -> None:
        """Take what was read."""
        self._values = values

    def take(self, *names: str) -> tuple[str, ...]:
        """Return the values of exactly these fields, blank where one is missing.

        Raises:
            UnknownField: there are others.
        """
        if set(self._values) - {*names, "form_token"}:
            raise UnknownField
        return tuple(self._values.get(name, "") for name in names)

    def shown(self) -> dict[str, str]:
        """Return what may be shown again: no password, no code."""
        return {name: value for name, value in self._values.items() if name not in _HIDDEN}


def _fields(request: Request) -> Fields:
    return Fields(request.state.form)


Form = Annotated[Fields, Depends(_fields)]


def bind(request: Request) -> tuple[str, str | None]:
    """Return the value for this browser's forms, and a new cookie where it has none that could bind it."""
    own = STAFF_COOKIE if request.url.path.startswith("/console") else SESSION_COOKIE
    held = request.cookies.get(own) or request.cookies.get(COOKIE)
    if getattr(request.state, "signed_out", False):
        held = request.cookies.get(COOKIE)
    fresh = None if held else secrets.token_urlsafe(16)
    return _token(request, held or fresh or ""), fresh


def set_cookie(
    response: Response, name: str, value: str, *, same_site: Literal["strict", "lax"], seconds: int | None = None
) -> None:
    """Set a `__Host-` cookie: Secure, HttpOnly, for this host alone (SES-02)."""
    response.set_cookie(name, value, max_age=seconds, path="/", secure=True, httponly=True, samesite=same_site)


def _token(request: Request, cookie: str) -> str:
    key = doors.database_of(request).info["keyring"].internal()
    return tokens.encode(tokens.keyed_hash(key, "form", cookie.encode())[:16])


async def _read(request: Request) -> dict[str, str]:
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/x-www-form-urlencoded" or len(request.headers.getlist("content-type")) > 1:
        raise doors.UnsupportedMediaType("Send application/x-www-form-urlencoded.")
    body = await doors.read_body(request, FORM_LIMIT)
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


def _check_origin(request: Request) -> None:
    site = request.headers.get("sec-fetch-site", "same-origin")
    origin = request.headers.get("origin", "null")
    # A page that sends no referrer sends the origin `null` with its own forms; what counts then is the value.
    ours = {doors.database_of(request).settings.public_url, "null"}
    own = STAFF_COOKIE if request.url.path.startswith("/console") else SESSION_COOKIE
    given = request.state.form.get("form_token", "").encode()
    held = [request.cookies[name] for name in (own, COOKIE) if request.cookies.get(name)]
    fits = any(hmac.compare_digest(given, _token(request, cookie).encode()) for cookie in held)
    if site != "same-origin" or origin not in ours or not fits:
        raise ForeignForm
