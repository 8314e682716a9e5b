"""Previews of every email in every language, for their authors: `/dev/messages`; `?brand=` shows another brand's.

The values are samples, never a customer's (BRD-11).
"""

from datetime import UTC, datetime
from typing import Any, Final

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse
from starlette.exceptions import HTTPException

from identity_service import translations
from identity_service.brands.rules import Brand
from identity_service.consents import wordings
from identity_service.messages import rendering
from identity_service.messages.copy import COPY
from identity_service.messages.rendering import RenderedEmail
from identity_service.one_time_tokens import change_emails
from identity_service.values import user_ids
from identity_service.values.user_ids import UserId
from identity_service.web import dependencies, pages

_ID, _OTHER, _AT = UserId("KQ7XM1C43W08"), UserId("3W08K7QXM1C4"), datetime(2026, 11, 25, 14, 2, tzinfo=UTC)
_FRAGMENT = "v1.Jc3nq0ZbQm2v7h0fWc1r5w.Q2xvY2tzIHRlbGwgdGltZSwgYnV0IG5vdCB0aGlzIG9uZQ"
_VERBS: Final = {"taken_back": "withdraw"}


def sample(words: str, locale: str, brand: Brand, *, verb: str = "email") -> RenderedEmail:
    """Return an email with sample values, in these words of `messages.copy` and in the clothes of a brand."""
    return rendering.render_email(words, locale, brand, **sample_facts(words, locale, brand, verb=verb))


def sample_facts(words: str, locale: str, brand: Brand, *, verb: str = "email") -> dict[str, Any]:
    """Return the sample values of an email."""
    say = translations.catalogue(locale).gettext
    at = translations.format_time(_AT, locale, brand.time_zone)
    parts = {part.shows for part in COPY[words].parts}
    base = f"https://{brand.host or 'id.example.com'}"
    return {
        "user_id": user_ids.show(_ID), "known_id": user_ids.show(_ID), "survivor": user_ids.show(_ID),
        "other": user_ids.show(_OTHER), "requested_at": at, "changed_at": at, "link_until": at, "code_minutes": 10,
        "link": f"{base}/confirm/{_FRAGMENT.split('.')[1]}#{_FRAGMENT}" if "link" in parts else None,
        "code": ("417 305" if words == "caller_check" else "K7QXM-1C43W") if "code" in parts else None,
        "address": "j…@example.com",
        "phrase": "Martha Victoria", "contact": "204-118", "customer": "Anna Schmidt" if words == "welcome" else None,
        "spoken": user_ids.spell_groups(_ID, say),
        "wording": wordings.newest_wording("email", locale).text,
        "where_from": say("from a network that begins with {network}").format(network="198.51"),
        "what": say(change_emails.VERB_DESCRIPTIONS[_VERBS.get(words, verb)]).format(target="j…@example.com"),
    }  # fmt: skip


router = APIRouter(prefix="/dev/messages", include_in_schema=False)


@router.get("")
async def show_previews(request: Request, brand: str = "", language: str = "") -> HTMLResponse:
    """Show every email in one language."""
    brands = dependencies.database_of(request).settings.brands
    shown, tag = brands.find(brand), translations.find_language(language)
    samples = [(words, tag, sample(words, tag, shown)) for words in COPY]
    policy = f"{pages.LOCAL_POLICY}; frame-src 'self'"
    page = pages.render(
        "dev/messages.html", letters=samples, brand=shown, colors=pages.colors_of(shown), brands=brands.by_key,
        languages=translations.languages(), language=tag,
    )  # fmt: skip
    return HTMLResponse(page, headers={"Content-Security-Policy": policy})


@router.get("/{words}/{locale}")
async def show_preview(request: Request, words: str, locale: str, brand: str = "") -> HTMLResponse:
    """Show the HTML of one email, without our page around it."""
    if words not in COPY or locale not in translations.languages():
        raise HTTPException(404)
    shown = dependencies.database_of(request).settings.brands.find(brand)
    policy = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'self'; sandbox"
    return HTMLResponse(sample(words, locale, shown).html, headers={"Content-Security-Policy": policy})
