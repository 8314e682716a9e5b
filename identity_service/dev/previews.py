"""Previews of every email in every language, for their authors: `/dev/messages`."""

from collections.abc import Callable
from functools import partial
from typing import Any, Final

from fastapi import APIRouter
from fastapi.responses import HTMLResponse
from starlette.exceptions import HTTPException

from identity_service import translations
from identity_service.accounts.rules import LANGUAGES, PROMISE
from identity_service.consents import wordings
from identity_service.messages import rendering
from identity_service.messages.kinds import KINDS
from identity_service.messages.rendering import RenderedEmail
from identity_service.one_time_tokens import change_emails
from identity_service.one_time_tokens.tracking import SUBJECTS
from identity_service.registration import emails as registration_emails
from identity_service.values.user_ids import show
from identity_service.web import pages

_ID, _OTHER, _NAME, _SIGNED = "KQ7XM1C43W08", "3W08K7QXM1C4", "Anna Schmidt", "Example Shop"

_FRAGMENT = "v1.Jc3nq0ZbQm2v7h0fWc1r5w.Q2xvY2tzIHRlbGwgdGltZSwgYnV0IG5vdCB0aGlzIG9uZQ"
_FACTS: Final = {
    "user_id": show(_ID),
    "known_id": show(_ID),
    "requested_at": "2026-11-25 14:02 UTC",
    "changed_at": "2026-11-25 14:09 UTC",
    "link": f"https://id.example.com/reset/choose/{_FRAGMENT.split('.')[1]}#{_FRAGMENT}",
    "link_until": "2026-11-25 14:32 UTC",
    "code": "K7QXM-1C43W",
    "code_minutes": 10,
    "phrase": "Martha Victoria",
    "contact": "204-118",
    "purpose": "marketing by email",
    "signed": _SIGNED,
    "is_closed": False,
}


def _sample(kind: str, locale: str) -> RenderedEmail:
    if kind == "welcome":
        return registration_emails.render_welcome(_ID, _NAME, locale, _SIGNED, "https://id.example.com/receipt")
    if kind in change_emails.EMAIL_COPY:
        facts = {
            "verb": "withdraw" if kind == "taken_back" else "email",
            "target": "j…@example.com",
            "other": show(_OTHER),
            "survivor": show(_ID),
        }
        with_link = {"link": str(_FACTS["link"])} if change_emails.EMAIL_COPY[kind].link else {}
        if kind not in ("taken_back", "company_changed", "account_reopened"):
            with_link["code"] = str(_FACTS["code"])
        return change_emails.render_change_email(kind, locale, _ID, facts, _SIGNED, **with_link)
    subject = translations.catalogue(locale).gettext(_SUBJECTS.get(kind, ""))
    network = translations.catalogue(locale).gettext("from a network that begins with %(network)s")
    where_from = network.replace("%(network)s", "198.51.…")
    shown: dict[str, Any] = {
        **_FACTS,
        "where_from": where_from,
        "wording": wordings.newest_wording("email", locale).text,
    }
    if kind == "caller_check":
        shown["code"] = "417 305"
    return rendering.render_email(kind, locale, **shown, subject=subject, promise=PROMISE[locale])


_SUBJECTS: Final = {
    "reset": SUBJECTS["reset"],
    "no_account": SUBJECTS["reset"],
    "signin_code": SUBJECTS["signin"],
    "no_account_signin": SUBJECTS["signin"],
    "address_check": SUBJECTS["address"],
    "address_taken": SUBJECTS["address"],
}
PREVIEWS: Final[dict[str, Callable[[str], RenderedEmail]]] = {kind: partial(_sample, kind) for kind in KINDS}
"""By message kind: a function that renders a sample in a locale."""

router = APIRouter(prefix="/dev/messages", include_in_schema=False)


@router.get("")
async def show_previews() -> HTMLResponse:
    """Show every email in every language."""
    samples = [(kind, locale, make(locale)) for kind, make in PREVIEWS.items() for locale in LANGUAGES]
    policy = f"{pages.LOCAL_POLICY}; frame-src 'self'"
    return HTMLResponse(pages.render("dev/messages.html", letters=samples), headers={"Content-Security-Policy": policy})


@router.get("/{kind}/{locale}")
async def show_preview(kind: str, locale: str) -> HTMLResponse:
    """Show the HTML of one email, without our page around it."""
    if kind not in PREVIEWS or locale not in LANGUAGES:
        raise HTTPException(404)
    policy = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'self'; sandbox"
    return HTMLResponse(PREVIEWS[kind](locale).html, headers={"Content-Security-Policy": policy})
