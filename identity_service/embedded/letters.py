"""Every letter in every language, to look at while writing: `/dev/letters`."""

from collections.abc import Callable
from typing import Final

from fastapi import APIRouter
from fastapi.responses import HTMLResponse
from starlette.exceptions import HTTPException

from identity_service import pages
from identity_service.accounts.rules import LANGUAGES
from identity_service.life import letter as life
from identity_service.mail import letters
from identity_service.mail.letters import Letter

_ID, _NAME, _SIGNED = "KQ7XM1C43W08", "Anna Schmidt", "Example Shop"

PREVIEWS: Final[dict[str, Callable[[str], Letter]]] = {
    "welcome": lambda locale: life.words(_ID, _NAME, locale, _SIGNED),
    "test": lambda locale: letters.render("test", locale, signed=_SIGNED),
}
"""A sample of each kind of letter."""

router = APIRouter(prefix="/dev/letters", include_in_schema=False)


@router.get("")
async def show_letters() -> HTMLResponse:
    """Show every letter in every language."""
    shown = [(kind, locale, make(locale)) for kind, make in PREVIEWS.items() for locale in LANGUAGES]
    policy = "default-src 'none'; style-src 'self'; frame-src 'self'; frame-ancestors 'none'; base-uri 'none'"
    return HTMLResponse(pages.render("dev/letters.html", letters=shown), headers={"Content-Security-Policy": policy})


@router.get("/{kind}/{locale}")
async def show_letter(kind: str, locale: str) -> HTMLResponse:
    """Show the HTML of one letter, with nothing of ours around it."""
    if kind not in PREVIEWS or locale not in LANGUAGES:
        raise HTTPException(404)
    policy = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'self'; sandbox"
    return HTMLResponse(PREVIEWS[kind](locale).html, headers={"Content-Security-Policy": policy})
