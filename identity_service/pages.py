"""Pages: one Jinja2 environment for everything people look at. Works without scripts; nothing comes from elsewhere.

A page speaks the language of the account where somebody is signed in, else the browser's. Every form carries a value
that only this browser's cookie fits (`forms.py`), so no other site can send it.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from babel.core import negotiate_locale
from babel.numbers import format_currency
from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, PackageLoader, StrictUndefined

from identity_service import doors, forms, languages

LANGUAGES = ("en", "de")
LOCAL_POLICY = "default-src 'none'; style-src 'self'; img-src 'self'; frame-ancestors 'none'; base-uri 'none'"
"""For pages of the development machine: our own style and icon, no script."""
_PAGES = Environment(loader=PackageLoader("identity_service"), undefined=StrictUndefined, autoescape=True)


def page(request: Request, template: str, *, status: int = 200, **facts: Any) -> HTMLResponse:  # noqa: ANN401
    """Return a page in the reader's language, its forms bound to his browser."""
    locale = locale_of(request)
    token, cookie = forms.bind(request)
    around: dict[str, Any] = {
        "problem": None,
        "values": {},
        "form_token": token,
        "path": request.url.path,
        "locale": locale,
        "settings": doors.database_of(request).settings,
    }
    shown = render(template, **{**around, **_words(locale), **facts})
    response = HTMLResponse(shown, status)
    if cookie is not None:
        forms.set_cookie(response, forms.COOKIE, cookie, same_site="strict")
    return response


def render(template: str, **facts: Any) -> str:  # noqa: ANN401
    """Return a page."""
    return _PAGES.get_template(template).render(**{"locale": "en", **_words("en"), **facts})


def locale_of(request: Request) -> str:
    """Return the reader's language: the account's where somebody is signed in, else the best the browser asks for."""
    chosen: str | None = getattr(request.state, "locale", None)
    if chosen is not None:
        return chosen
    asked = [part.partition(";")[0].strip().replace("-", "_") for part in _accepted(request)]
    return (negotiate_locale(asked, LANGUAGES) or "en")[:2]


def say(request: Request) -> Callable[[str], str]:
    """Return what puts a sentence into the reader's language."""
    return languages.catalogue(locale_of(request)).gettext


def wants_page(request: Request) -> bool:
    """Tell whether a person is looking: a browser asks for HTML, a program does not."""
    return "text/html" in request.headers.get("accept", "")


def documentation(openapi: dict[str, Any]) -> str:
    """Return the page that explains the API, made from its OpenAPI document."""
    return render(
        "docs.html", api=openapi, resolve=lambda ref: openapi["components"]["schemas"][ref.rsplit("/", 1)[-1]]
    )


def _accepted(request: Request) -> list[str]:
    return request.headers.get("accept-language", "")[:200].split(",")[:10]


def _words(locale: str) -> Mapping[str, Any]:
    catalogue = languages.catalogue(locale)
    return {"_": catalogue.gettext, "ngettext": catalogue.ngettext, "money": partial(format_currency, locale=locale)}
