"""Pages: one Jinja2 environment for all HTML. Pages work without scripts and load nothing from other hosts.

The language is that of the signed-in account, or else the browser's. Every form contains a CSRF token bound to this
browser's cookie (`forms.py`).
"""

import copy
from collections.abc import Callable, Mapping
from decimal import Decimal
from functools import partial
from typing import Any

from babel.core import Locale
from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, PackageLoader, StrictUndefined

from identity_service import translations
from identity_service.values import currencies
from identity_service.web import dependencies, forms

LANGUAGES = ("en", "de")
LOCAL_POLICY = "default-src 'none'; style-src 'self'; img-src 'self'; frame-ancestors 'none'; base-uri 'none'"
"""Content security policy of development pages: our own styles and images, no script."""
_PAGES = Environment(loader=PackageLoader("identity_service"), undefined=StrictUndefined, autoescape=True)


def render_page(request: Request, template: str, *, status: int = 200, **facts: Any) -> HTMLResponse:  # noqa: ANN401
    """Return a page in the reader's language, with a CSRF token for its forms."""
    locale = locale_of(request)
    token, cookie = forms.csrf_token(request)
    defaults: dict[str, Any] = {
        "problem": None,
        "values": {},
        "form_token": token,
        "path": request.url.path,
        "locale": locale,
        "settings": dependencies.database_of(request).settings,
    }
    html = render(template, **{**defaults, **_translation_functions(locale), **facts})
    response = HTMLResponse(html, status)
    if cookie is not None:
        forms.set_cookie(response, forms.COOKIE, cookie, same_site="strict")
    return response


def render(template: str, **facts: Any) -> str:  # noqa: ANN401
    """Return the HTML of a template, in English unless `facts` name another locale and its functions."""
    return _PAGES.get_template(template).render(**{"locale": "en", **_translation_functions("en"), **facts})


def locale_of(request: Request) -> str:
    """Return the locale: the signed-in account's, or else the best match for the browser's Accept-Language."""
    chosen: str | None = getattr(request.state, "locale", None)
    if chosen is not None:
        return chosen
    accepted = ",".join(request.headers.getlist("accept-language"))[:1000]
    return translations.choose_locale(accepted, LANGUAGES)


def translator(request: Request) -> Callable[[str], str]:
    """Return the function that translates a sentence into the reader's language."""
    return translations.catalogue(locale_of(request)).gettext


def wants_page(request: Request) -> bool:
    """Return whether the client accepts HTML, as browsers do and programs do not."""
    return "text/html" in request.headers.get("accept", "")


def documentation(openapi: dict[str, Any]) -> str:
    """Return the HTML of the API documentation, rendered from the OpenAPI document."""

    def resolve(reference: str) -> Any:  # noqa: ANN401
        kind, name = reference.split("/")[-2:]
        return openapi["components"][kind][name]

    return render("docs.html", api=openapi, resolve=resolve)


def _translation_functions(locale: str) -> Mapping[str, Any]:
    catalogue = translations.catalogue(locale)
    return {"_": catalogue.gettext, "ngettext": catalogue.ngettext, "money": partial(_format_money, locale=locale)}


def _format_money(value: Decimal, currency: str, *, locale: str) -> str:
    """Return an amount in the reader's language, with the decimals of ISO 4217; Babel would take those of CLDR."""
    known = Locale.parse(locale)
    pattern = copy.copy(known.currency_formats["standard"])
    pattern.frac_prec = (currencies.decimals_of(currency),) * 2
    return str(pattern.apply(value, known, currency=currency, currency_digits=False))
