"""The design system on a page: `/dev/design` for the pages of customers, `/dev/design/console` for those of the desk.

Both are made of the templates, macros and style sheets of the real pages; the tokens are read from the style sheets.
`?brand=` and `?language=` choose clothes and words, `?signed_in=yes` the navigation of somebody who is signed in.
"""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NamedTuple

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from identity_service.brands.rules import LEAST_CONTRAST, Colors, contrast
from identity_service.messages import copy, descriptions
from identity_service.one_time_tokens import tracking
from identity_service.one_time_tokens.tracking import TrackingEntry, TrackingView
from identity_service.second_factors import totp
from identity_service.values.user_ids import UserId
from identity_service.web import dependencies, forms, pages
from identity_service.web.user_id_card import user_id_card

_STATIC = Path(__file__).parent.parent / "static"
_CONTRAST_OF_LINES: Final = 3.0
"""WCAG 2.2, 1.4.11 (AA): what shows where a field begins."""
PAIRS: Final = (
    ("ink", "paper", "text", LEAST_CONTRAST), ("ink", "card", "text on panels", LEAST_CONTRAST),
    ("ink", "soft", "text in banners", LEAST_CONTRAST), ("quiet", "paper", "hints", LEAST_CONTRAST),
    ("quiet", "card", "hints on panels", LEAST_CONTRAST), ("accent", "paper", "links", LEAST_CONTRAST),
    ("accent", "card", "links on panels, good news", LEAST_CONTRAST), ("accent", "soft", "links", LEAST_CONTRAST),
    ("on-accent", "accent", "buttons", LEAST_CONTRAST), ("red", "card", "bad news", LEAST_CONTRAST),
    ("red", "red-paper", "refusals and warnings", LEAST_CONTRAST),
    ("card", "red", "buttons that destroy", LEAST_CONTRAST), ("quiet", "card", "edges of fields", _CONTRAST_OF_LINES),
)  # fmt: skip
"""Colours that stand on one another: front, ground, what for, and the least contrast."""
_SIZE = re.compile(r"([^{}\n]+) \{[^}]*?font(?:-size)?: (?:\d00 )?([\d.]+(?:px|rem)|clamp[^;]+)")
_ID = UserId("KQ7XM1C43W08")


class Tokens(NamedTuple):
    """What a style sheet is made of; each size and space with the number of its uses."""

    light: dict[str, str]
    dark: dict[str, str]
    sizes: dict[str, list[str]]
    spaces: dict[str, int]


def tokens(css: str) -> Tokens:
    """Return the colours of both schemes, the type sizes with their selectors, and the spaces of a style sheet."""
    light, dark = ({}, {}) if ":root" not in css else map(_colors, re.findall(r":root \{([^}]+)\}", css)[:2])
    sizes: dict[str, list[str]] = {}
    for selector, size in _SIZE.findall(css):
        sizes.setdefault(size, []).append(selector.strip())
    spaces: dict[str, int] = {}
    for value in re.findall(r"(?:margin|padding|gap)[\w-]*: ([^;}]+)", css):
        for space in re.findall(r"[\d.]+rem", value):
            spaces[space] = spaces.get(space, 0) + 1
    return Tokens(light, dark, sizes, dict(sorted(spaces.items(), key=lambda one: float(one[0][:-3]))))


def _colors(declarations: str) -> dict[str, str]:
    found = re.findall(r"--([\w-]+): #([0-9a-f]+)", declarations)
    return {name: f"#{value if len(value) == 6 else ''.join(2 * digit for digit in value)}" for name, value in found}


def style(name: str, colors: Colors | None = None) -> Tokens:
    """Return the tokens of one of our style sheets, in the colours of a brand."""
    found = tokens((_STATIC / name).read_text(encoding="utf-8"))
    if colors is not None:
        found.light["accent"], found.dark["accent"] = colors.accent, colors.accent_dark
    return found


class Pair(NamedTuple):
    """Two colours, one on the other, and their contrast in both schemes."""

    front: str
    ground: str
    use: str
    least: float
    light: float
    dark: float


def pairs(found: Tokens) -> list[Pair]:
    """Return the contrast of every pair."""
    return [
        Pair(front, ground, use, least, *(contrast(scheme[front], scheme[ground]) for scheme in found[:2]))
        for front, ground, use, least in PAIRS
    ]


def sample_email(state: str, last_class: str | None, say: Callable[[str], str]) -> TrackingView:
    """Return what a tracking page says of an email in a state, with a timeline of two attempts."""
    reply = "450 4.2.0 <j…@example.com>: Recipient address rejected: Greylisted for 5 minutes"
    return TrackingView(
        state=state, tone=tracking.TONES.get(state, "bad"), now_do=say(tracking.NOW_DO[state]),
        sentence=descriptions.describe_message(state, last_class, None, say),
        lines=[
            TrackingEntry(
                at, descriptions.describe_attempt(kind, "tried", "Postfix", None, say), said, kind == "unavailable"
            )
            for at, kind, said in (("14:02:07", "unavailable", None), ("14:04:11", "transient.greylist", reply))
        ],
        to="j…@example.com", sender="Example Shop <service@example.com>", subject=say(copy.SUBJECTS["reset"]),
        reference="K7QX-3W08", is_moving=False, is_taken=False, can_reroute=True, zone="UTC",
        is_coming=True, is_done=False, detail="",
        ends=say("The time limit for the link and code starts when our mail server accepts the email."),
    )  # fmt: skip


router = APIRouter(prefix="/dev/design", include_in_schema=False)


@router.get("")
async def show_design(request: Request, brand: str = "", language: str = "", signed_in: str = "") -> HTMLResponse:
    """Show the tokens, and every component of customers' pages in every state."""
    _dress(request, brand, language)
    say, worn = pages.translator(request), pages.brand_of(request)
    found = style("style.css", worn.colors)
    meant = "anna@example.com"
    return pages.render_page(
        request, "dev/design.html", signed_in=signed_in == "yes", brands=_brands(request), tokens=found,
        pairs=pairs(found), card=user_id_card(_ID, request), least=LEAST_CONTRAST,
        refusal=forms.MaybeMistyped(forms.MEANT, places={"meant": meant}, meant=meant),
        picture=totp.qr_code("otpauth://totp/sample"),
        waiting=sample_email("deferred", "transient.greylist", say),
        emails=[sample_email("delivered", None, say), sample_email("queued", None, say),
                sample_email("rejected", "permanent.address", say)],
    )  # fmt: skip


@router.get("/console")
async def show_console(request: Request, brand: str = "") -> HTMLResponse:
    """Show what the console has beyond the components of customers' pages."""
    _dress(request, brand, "en")
    return pages.render_page(
        request, "dev/design_console.html", staff={"name": "ada", "role": "lead"}, may=lambda *_: True,
        brands=_brands(request), tokens=style("console.css"), card=user_id_card(_ID, request),
        lines=sample_email("deferred", None, str).lines,
        picture=totp.qr_code("otpauth://totp/sample"),
    )  # fmt: skip


def _dress(request: Request, brand: str, language: str) -> None:
    """Let a parameter choose what a host and a cookie choose on real pages (BRD-06)."""
    request.state.brand = _brands(request).get(brand, pages.brand_of(request)).key
    if language:
        request.cookies[forms.LANGUAGE_COOKIE] = language


def _brands(request: Request) -> Any:  # noqa: ANN401
    return dependencies.database_of(request).settings.brands.by_key
