"""The pages of a reset: ask, watch the letter, choose a password by link or code.

Opening any of them changes nothing; scanners that follow the link and run its script find a form that wants a password
somebody typed. Fixed paths stand before `/reset/{handle}`.
"""

from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse, RedirectResponse, Response

from identity_service import doors, email_addresses, pages, user_ids
from identity_service.doors import Now, Session, Settings
from identity_service.errors import Problem, Unprocessable
from identity_service.forms import Form, PageDoor
from identity_service.passwords import strength
from identity_service.passwords.rules import WeakPassword
from identity_service.proofs import actions as proofs
from identity_service.proofs import watch
from identity_service.resets import actions, rules

router = APIRouter(prefix="/reset", route_class=PageDoor, include_in_schema=False)


class UserIdTyped(Unprocessable):
    """That is a User ID. Please type the e-mail address of your account."""


@router.get("")
async def show_ask(request: Request) -> Response:
    """Show the one field."""
    return pages.page(request, "resets/ask.html")


@router.post("", openapi_extra={"x-form": "resets/ask.html"})
async def ask(request: Request, form: Form, session: Session, settings: Settings, now: Now) -> Response:
    """Take an address; whoever it belongs to, the answer is the page that shows the letter's way."""
    (text,) = form.take("email")
    refuse_user_id(text)
    address = email_addresses.parse(text.strip(), special_use=settings.development)
    limits, network = request.app.state.throttle, doors.network_of(request)
    await limits.hit("reset-network", rules.PER_NETWORK, network)
    asked = await actions.ask_within_limit(
        session, limits, address, locale=pages.locale_of(request), where_from=actions.where_from(network),
        actor="customer", now=now,
    )  # fmt: skip
    limited = "" if asked.again_at is None else f"?again={asked.again_at:%H%M}"
    return RedirectResponse(f"/reset/{asked.handle}{limited}", 303)


@router.get("/choose")
async def show_choose(request: Request) -> Response:
    """Show the form of the link: the same page for everybody, its secret is in the fragment and never reaches us."""
    return pages.page(request, "resets/choose.html")


@router.post("/choose", openapi_extra={"x-form": "resets/choose.html"})
async def choose(request: Request, form: Form, now: Now) -> Response:
    """Set the password, if the link is good and alive: this spends it."""
    link, password = form.take("link", "password")
    state = request.app.state
    await actions.choose_by_link(state.database, state.hasher, link, password, now=now)
    # A fragment of its own: a browser would carry the link's one on (RFC 9110, 10.2.2).
    return RedirectResponse("/reset/done#main", 303)


@router.post("/opened")
async def note_opened(form: Form, session: Session, now: Now) -> Response:
    """Note that the page of the link was opened; its script says so."""
    (link,) = form.take("link")
    await actions.note_opened(session, link, now=now)
    return Response(status_code=204)


@router.post("/strength")
async def tell_strength(request: Request, form: Form, settings: Settings) -> Response:
    """Tell, while somebody types, what the rule will say; the same rule decides afterwards."""
    (password,) = form.take("password")
    await request.app.state.throttle.hit("strength", rules.JUDGED_PER_NETWORK, doors.network_of(request))
    typed, minimum = strength.normal(password), settings.password_minimum
    say = pages.say(request)
    try:
        await request.app.state.hasher.run(lambda: strength.check(typed, minimum=minimum, own_words=()))
    except WeakPassword as weak:
        return JSONResponse({"good": False, "sentence": weak.sentence(say)})
    return JSONResponse({"good": True, "sentence": say("This is a good password.")})


@router.get("/done")
async def show_done(request: Request) -> Response:
    """Say that the password was set, and that nobody is signed in by that."""
    return pages.page(request, "resets/done.html")


@router.get("/{handle}")
async def show_watch(
    request: Request,
    handle: str,
    session: Session,
    now: Now,
    again: Annotated[str, Query(pattern=r"^([0-9]{4})?$")] = "",
) -> Response:
    """Show where the letter is."""
    found = await proofs.followed(session, handle, actions.PURPOSE, now=now)
    watched = await watch.look(session, found, locale=pages.locale_of(request), now=now)
    again_at = f"{again[:2]}:{again[2:]}" if again else None
    return pages.page(request, "resets/watch.html", watched=watched, handle=handle, again_at=again_at)


@router.get("/{handle}/code")
async def show_code(request: Request, handle: str, session: Session, now: Now) -> Response:
    """Show the form for the code, for people who read mail on another device or use no scripts."""
    await proofs.followed(session, handle, actions.PURPOSE, now=now)
    return pages.page(request, "resets/code.html", handle=handle)


@router.post("/{handle}/code", openapi_extra={"x-form": "resets/code.html"})
async def choose_by_code(request: Request, handle: str, form: Form, now: Now) -> Response:
    """Set the password with the code from the letter."""
    code, password = form.take("code", "password")
    state = request.app.state
    await state.throttle.hit("strength", rules.JUDGED_PER_NETWORK, doors.network_of(request))
    await actions.choose_by_code(state.database, state.hasher, state.throttle, handle, code, password, now=now)
    return RedirectResponse("/reset/done", 303)


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
