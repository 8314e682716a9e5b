"""Pages: one Jinja2 environment for all HTML. Pages work without scripts and load nothing from other hosts.

Language and brand are found here (`locale_of`, `brand_of`). Every form contains a CSRF token bound to this
browser's cookie (`forms.py`).
"""

import copy
import hashlib
import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from functools import cache, partial
from typing import Any
from urllib.parse import urlencode

from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, PackageLoader, StrictUndefined

from identity_service import translations
from identity_service.brands.rules import Brand
from identity_service.values import currencies
from identity_service.values.company_numbers import COUNTRIES
from identity_service.web import api_documentation, dependencies, forms

LOCAL_POLICY = "default-src 'none'; style-src 'self'; img-src 'self'; frame-ancestors 'none'; base-uri 'none'"
"""Content security policy of development pages: our own styles and images, no script."""
_PAGES = Environment(loader=PackageLoader("identity_service"), undefined=StrictUndefined, autoescape=True)
_KEPT = frozenset({"next", "typed", "again", "saved", "signed_out"})
_IN_QUERY = re.compile(r"/?[\w-]+(/[\w-]+)*", re.ASCII)
"""Names and values of a query's parameters that a page names again: a word, a handle or a path of ours. What else
stands in an address, newsletters and attackers have added."""
_PAGES.filters["moment"] = datetime.fromisoformat


def share(**names: Any) -> None:  # noqa: ANN401
    """Give every template these names; for functions and words that a part of the pages has in common."""
    _PAGES.globals.update(names)


def render_page(request: Request, template: str, *, status: int = 200, **facts: Any) -> HTMLResponse:  # noqa: ANN401
    """Return a page in the reader's language, with a CSRF token for its forms."""
    tag, brand = locale_of(request), brand_of(request)
    token, cookie = forms.csrf_token(request)
    defaults: dict[str, Any] = {
        "problem": None,
        "destination": None,
        "sign_in_query": "",
        "values": {},
        "form_token": token,
        "path": request.url.path,
        "back": _address_of(request),
        "signed_in": forms.SESSION_COOKIE in request.cookies and not getattr(request.state, "signed_out", False),
        **_of_reader(tag),
        "brand": brand,
        "colors": colors_of(brand),
        "settings": dependencies.database_of(request).settings,
        **getattr(request.state, "page_facts", {}),
    }
    html = _PAGES.get_template(template).render(**{**defaults, **_translation_functions(tag, brand.time_zone), **facts})
    response = HTMLResponse(html, status)
    if cookie is not None:
        forms.set_cookie(response, forms.COOKIE, cookie, same_site="strict")
    return response


def _address_of(request: Request) -> str:
    """Return where the reader finds this page again, in another language: its path, with whatever handle or page of
    ours the query names; "/" for one that only a form leads to. A link's secret is in the fragment, which `link.js`
    adds.
    """
    methods: set[str] = request.scope.get("methods", {}).get(getattr(request.scope.get("route"), "path", None), set())
    if request.method != "GET" and "GET" not in methods:
        return "/"
    kept = [
        (name, value)
        for name, value in request.query_params.multi_items()
        if name in _KEPT and _IN_QUERY.fullmatch(value)
    ]
    return f"{request.url.path}?{urlencode(kept, safe='/')}" if kept else request.url.path


def render(template: str, **facts: Any) -> str:  # noqa: ANN401
    """Return the HTML of a template of ours, in English: what developers read, without a brand."""
    return _PAGES.get_template(template).render(
        **{**_of_reader(translations.SOURCE), **_translation_functions(translations.SOURCE), **facts}
    )


def _of_reader(tag: str) -> Mapping[str, Any]:
    """Return what templates need of the language: its tag, its direction, and the names of all."""
    return {
        "locale": translations.find_language(tag), "direction": translations.direction(tag),
        "language_name": translations.name_of,
    }  # fmt: skip


def locale_of(request: Request) -> str:
    """Return the language tag: the one that was chosen on a page, the signed-in account's, or else the best match of
    the brand's languages for the browser's Accept-Language.
    """
    offered = brand_of(request).offered
    chosen = request.cookies.get(forms.LANGUAGE_COOKIE)
    if chosen in offered:
        return chosen
    stored: str | None = getattr(request.state, "locale", None)
    if stored is not None:
        return stored
    accepted = ",".join(request.headers.getlist("accept-language"))[:1000]
    return translations.choose_locale(accepted, offered)


def prefer_languages(request: Request, tags: Sequence[str]) -> None:
    """Show this page in the best of these languages, before those of the browser; what was chosen on a page counts."""
    if tags:
        accepted = ",".join((*tags, *request.headers.getlist("accept-language")))[:1000]
        request.state.locale = translations.choose_locale(accepted, brand_of(request).offered)


def brand_of(request: Request) -> Brand:
    """Return the brand of a page: that of its host, of what it shows, or of the signed-in account; never one that a
    parameter names (BRD-06).
    """
    state = request.state
    key = getattr(state, "brand", None) or getattr(state, "shown_brand", None)
    return dependencies.database_of(request).settings.brands.find(key)


def colors_of(brand: Brand) -> str:
    """Return the address of a brand's colours; it changes with them, because browsers keep what is there."""
    mark = hashlib.sha256(brand.colors.model_dump_json().encode()).hexdigest()[:12]
    return f"/brand/{brand.key}/{mark}/colors.css"


def translator(request: Request) -> Callable[[str], str]:
    """Return the function that translates a sentence into the reader's language."""
    return translations.catalogue(locale_of(request)).gettext


def wants_page(request: Request) -> bool:
    """Return whether the client accepts HTML, as browsers do and programs do not."""
    return "text/html" in request.headers.get("accept", "")


def documentation(openapi: dict[str, Any]) -> str:
    """Return the HTML of the API documentation, rendered from the OpenAPI document."""
    return render("docs.html", api=openapi, **api_documentation.facts(openapi))


def _translation_functions(tag: str, zone: str = "UTC") -> Mapping[str, Any]:
    catalogue = translations.catalogue(tag)
    return {
        "_": catalogue.gettext, "ngettext": catalogue.ngettext,
        "countries": partial(_countries, tag),
        "money": partial(_format_money, tag=tag),
        "time": partial(translations.format_time, tag=tag, zone=zone),
        "date": partial(translations.format_date, tag=tag, zone=zone),
        "clock": partial(translations.format_clock, tag=tag, zone=zone),
        "second": partial(translations.format_second, tag=tag, zone=zone),
    }  # fmt: skip


def _format_money(value: Decimal, currency: str, tag: str) -> str:
    """Return an amount in the reader's way, with the decimals of ISO 4217; Babel would take those of CLDR."""
    known = translations.formats(tag)
    pattern = copy.copy(known.currency_formats["standard"])
    pattern.frac_prec = (currencies.decimals_of(currency),) * 2
    return str(pattern.apply(value, known, currency=currency, currency_digits=False))


@cache
def _countries(tag: str) -> list[tuple[str, str]]:
    """Return the codes (ISO 3166-1 alpha-2) and names of countries, in the order of the reader's alphabet."""
    names = translations.formats(translations.find_language(tag)).territories
    found = [(code, names.get(code, code)) for code in COUNTRIES]
    return sorted(found, key=lambda one: unicodedata.normalize("NFKD", one[1]).casefold())
