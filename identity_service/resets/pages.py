"""The pages of a reset: request it, track the email, choose a password by link or code.

A GET changes nothing: a mail scanner that follows the link and runs its script only gets a form that asks for a
password. Fixed paths are declared before `/reset/{handle}`.
"""

from collections.abc import Awaitable, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse, RedirectResponse, Response

from identity_service import translations
from identity_service.one_time_tokens import actions as one_time_tokens
from identity_service.one_time_tokens import elsewhere, tracking
from identity_service.one_time_tokens.rules import LinkIncomplete, LinkInvalid
from identity_service.passwords import strength
from identity_service.passwords.rules import WeakPassword
from identity_service.resets import actions, choosing, rules
from identity_service.web import dependencies, forms, known_browsers, networks, pages, typed
from identity_service.web.dependencies import Now, Session, Settings
from identity_service.web.forms import Form, FormRoute

_USED = "used"
"""The place at which a browser remembers the reset that it has used."""
router = APIRouter(prefix="/reset", route_class=FormRoute, include_in_schema=False)


@router.get("")
async def show_request_form(request: Request) -> Response:
    """Show the form with one field, the address."""
    return pages.render_page(request, "resets/request.html", values=typed.filled_in(request))


@router.post("", openapi_extra={"x-form": "resets/request.html"})
async def request_reset(request: Request, form: Form, session: Session, settings: Settings, now: Now) -> Response:
    """Request a reset for an address; the response is the tracking page, whether or not there is an account."""
    address = forms.take_address(form, settings)
    limits, network = request.app.state.throttle, dependencies.client_network(request)
    await limits.hit_network("reset-network", rules.PER_NETWORK, network)
    requested = await actions.request_reset_within_limit(
        session, limits, address, locale=pages.locale_of(request), where_from=networks.coarse_network(network),
        browser=known_browsers.browser_of(request), network=network, actor="customer", now=now,
    )  # fmt: skip
    limited = "" if requested.again_at is None else f"?again={requested.again_at:%H%M}"
    tracked = RedirectResponse(f"/reset/{requested.handle}{limited}", 303)
    return typed.remember_typed(tracked, requested.handle, address.shown)


@router.get("/choose")
async def show_choose(request: Request) -> Response:
    """Show the form behind the link: the same page for every link, whose secret is in the fragment and is not sent."""
    return pages.render_page(request, "resets/choose.html")


@router.post("/choose", openapi_extra={"x-form": "resets/choose.html"})
async def choose(request: Request, form: Form, now: Now) -> Response:
    """Set the password if the link is valid, and consume the link."""
    link, password, chosen, *keep = form.take("link", "password", "chosen", *rules.KEPT_FIELDS)
    return await _set_password(request, _by_link(request, link, password, _choice(chosen, keep), now=now), link=link)


@router.get("/choose/{handle}")
async def show_choose_or_code(request: Request, handle: str, session: Session, now: Now) -> Response:
    """Show the form behind a link with its field for the code, which works when the link came without its secret.

    Of a link that is not ours or can work no more the page says so before a password is invented.
    """
    described = await actions.describe_link(session, handle, now=now)
    template = "resets/ended.html" if described.has_ended else "resets/choose.html"
    return pages.render_page(request, template, handle=handle, **described._asdict())


@router.post("/choose/{handle}", openapi_extra={"x-form": "resets/choose.html"})
async def choose_by_link_or_code(request: Request, handle: str, form: Form, now: Now) -> Response:
    """Set the password if the link, or the code from the same email, is valid, and consume their token."""
    link, code, password, chosen, *keep = form.take("link", "code", "password", "chosen", *rules.KEPT_FIELDS)
    described = await request.app.state.database.in_transaction(partial(actions.describe_link, handle=handle, now=now))
    forms.redisplay_on(request, "resets/choose.html", address=described.address)
    by_code, choice = code and not link, _choice(chosen, keep)
    choosing = (
        _by_code(request, code, password, choice, sent=handle, now=now)
        if by_code
        else _by_link(request, link, password, choice, sent=handle, now=now)
    )
    return await _set_password(request, choosing, link=link, code=code)


@router.post("/opened")
async def note_opened(form: Form, session: Session, now: Now) -> Response:
    """Record that the page of the link was opened, as its script reports."""
    (link,) = form.take("link")
    await actions.note_opened(session, link, now=now)
    return Response(status_code=204)


@router.post("/strength")
async def check_strength(request: Request, form: Form, settings: Settings) -> Response:
    """Check a password while it is typed, with the rule that is applied when it is set."""
    (password,) = form.take("password")
    await request.app.state.throttle.hit_network(
        "strength", rules.JUDGED_PER_NETWORK, dependencies.client_network(request)
    )
    typed, minimum = strength.normalise(password), settings.password_minimum
    say = pages.translator(request)
    try:
        await request.app.state.hasher.judge(lambda: strength.check_guessable(typed, minimum=minimum, own_words=()))
    except WeakPassword as weak:
        return JSONResponse({"good": False, "sentence": weak.sentence(say)})
    return JSONResponse({"good": True, "sentence": say("This is a good password.")})


@router.get("/done")
async def show_done(request: Request) -> Response:
    """Show that the password was set; this does not sign in."""
    return pages.render_page(request, "resets/done.html")


@router.get("/{handle}")
async def show_tracking(
    request: Request,
    handle: str,
    session: Session,
    now: Now,
    again: Annotated[str, Query(pattern=r"^([0-9]{4})?$")] = "",
) -> Response:
    """Show the tracking page; `again` is the time (HHMM) from which the address may ask again."""
    found = await one_time_tokens.find_by_tracking(session, handle, actions.PURPOSE, now=now)
    request.state.shown_brand = found.message.brand
    if found.token.purpose != "reset":
        return pages.render_page(request, "resets/elsewhere.html", handle=handle)
    watched = await tracking.tracking_view(session, found, locale=pages.locale_of(request), now=now)
    again_at = _again_at(request, again, now) if again else None
    return pages.render_page(
        request, "resets/tracking.html", watched=watched, handle=handle, again_at=again_at,
        typed=typed.find_typed(request, handle), is_done=typed.find_typed(request, _USED) == found.token.handle,
    )  # fmt: skip


@router.get("/{handle}/elsewhere")
async def show_other_ways(request: Request, handle: str, session: Session, now: Now) -> Response:
    """Show the form for another address, on a page that does not reload itself, and the other ways."""
    await one_time_tokens.find_by_tracking(session, handle, ("reset",), now=now)
    return pages.render_page(request, "resets/other_ways.html", handle=handle)


@router.post("/{handle}/elsewhere", openapi_extra={"x-form": "resets/other_ways.html"})
async def request_elsewhere(
    request: Request, handle: str, form: Form, session: Session, settings: Settings, now: Now
) -> Response:
    """Send the reset to another address or number of the customer; the response is the same if it is none of theirs."""
    forms.redisplay_on(request, "resets/other_ways.html", handle=handle)
    network, number = dependencies.client_network(request), _number(form, settings)
    address = None if number else forms.take_other_address(form, settings)
    # Looked up before it is counted, so that a stranger's handle makes no counter.
    await dependencies.database_of(request).in_transaction(
        partial(one_time_tokens.find_by_tracking, handle=handle, purposes=("reset",), now=now)
    )
    await request.app.state.throttle.hit_network("elsewhere", elsewhere.PER_NETWORK, network)
    if address is None:
        asked = await actions.request_text(
            session, handle, number, locale=pages.locale_of(request), network=network, now=now
        )
        return RedirectResponse(f"/reset/{asked}/code", 303)
    other = await actions.request_elsewhere(
        session, handle, address, locale=pages.locale_of(request), where_from=networks.coarse_network(network), now=now
    )
    return RedirectResponse(f"/reset/{other}", 303)


@router.get("/{handle}/code")
async def show_code(request: Request, handle: str, session: Session, now: Now) -> Response:
    """Show the form for the code, for people who read email on another device or use no scripts."""
    found = await one_time_tokens.find_by_tracking(session, handle, actions.BY_CODE, now=now)
    is_text = found.token.purpose not in actions.PURPOSE
    address = typed.find_typed(request, handle)
    return pages.render_page(request, "resets/code.html", handle=handle, address=address, is_text=is_text)


@router.post("/{handle}/code", openapi_extra={"x-form": "resets/code.html"})
async def choose_by_code(request: Request, handle: str, form: Form, now: Now) -> Response:
    """Set the password with the code from the email or the text, and consume its token."""
    code, password, chosen, *keep = form.take("code", "password", "chosen", *rules.KEPT_FIELDS)
    shown = {"address": typed.find_typed(request, handle)}
    forms.redisplay_on(request, "resets/code.html", **shown, is_text=False)
    found = await dependencies.database_of(request).in_transaction(
        partial(one_time_tokens.find_by_tracking, handle=handle, purposes=actions.BY_CODE, now=now)
    )
    is_text = found.token.purpose not in actions.PURPOSE
    forms.redisplay_on(request, "resets/code.html", **shown, is_text=is_text)
    choosing = _by_code(request, code, password, _choice(chosen, keep), tracked=handle, now=now)
    return await _set_password(request, choosing, code=code)


def _choice(chosen: str, keep: Sequence[str]) -> choosing.Choice | None:
    """Return what the page of passkeys sent back, None if it was not shown yet."""
    return choosing.Choice(chosen, frozenset(filter(None, keep))) if chosen else None


async def _set_password(
    request: Request, choosing: Awaitable[choosing.Outcome], *, link: str = "", code: str = ""
) -> Response:
    """Return the page that says it is done; this browser's tracking page says so, too, and nobody else's does.

    Where there are passkeys, the page that lists them comes before: only as the answer to a form with a valid link or
    code, so that no address opens it. A form whose link or code can work no more is not shown again.
    """
    try:
        used = await choosing
    except LinkIncomplete:
        raise
    except LinkInvalid as refused:
        forms.redisplay_on(request, "resets/ended.html", used_at=refused.used_at, is_known=refused.used_at is not None)
        raise
    if used.passkeys:
        listed = used.passkeys[: rules.MOST_KEPT]
        return pages.render_page(
            request, "resets/passkeys.html", listed=listed, chosen=used.sealed, link=link, code="" if link else code
        )
    # The redirect needs a fragment of its own: browsers would keep the one with the secret (RFC 9110, 10.2.2).
    return typed.remember_typed(RedirectResponse("/reset/done#main", 303), _USED, used.handle)


async def _by_link(
    request: Request, link: str, password: str, choice: choosing.Choice | None, *, sent: str | None = None,
    now: datetime,
) -> choosing.Outcome:  # fmt: skip
    state = request.app.state
    return await choosing.choose_by_link(
        state.database, state.hasher, link, password, sent=sent, choice=choice, now=now
    )


async def _by_code(
    request: Request,
    code: str,
    password: str,
    choice: choosing.Choice | None,
    *,
    tracked: str | None = None,
    sent: str = "",
    now: datetime,
) -> choosing.Outcome:
    state = request.app.state
    await state.throttle.hit_network("strength", rules.JUDGED_PER_NETWORK, dependencies.client_network(request))
    return await choosing.choose_by_code(
        state.database, state.hasher, state.throttle, code, password, tracked=tracked, sent=sent,
        browser=known_browsers.browser_of(request), choice=choice, now=now,
    )  # fmt: skip


def _number(form: forms.FormData, settings: Settings) -> str:
    """Return what was typed if it can only be a telephone number, and numbers get texts; else nothing."""
    (text,) = form.take("address")
    return "" if "@" in text or not settings.text_regions else text


def _again_at(request: Request, again: str, now: datetime) -> str:
    """Return the time HHMM (UTC), today or tomorrow, as the reader writes it."""
    at = now.replace(hour=int(again[:2]) % 24, minute=int(again[2:]) % 60)
    at += timedelta(days=1) if at < now - timedelta(minutes=1) else timedelta()
    return translations.format_clock(at, pages.locale_of(request), pages.brand_of(request).time_zone)
