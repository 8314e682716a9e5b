"""The console's ways in, the one field that finds, and contacts."""

from typing import Any

import segno
from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response

from identity_service import doors, email_addresses, forms, pages, user_ids
from identity_service.console import access, actions, finding, rules
from identity_service.console.access import Server, Staff
from identity_service.contacts import actions as contacts
from identity_service.contacts import checks
from identity_service.contacts import rules as contact_rules
from identity_service.doors import Now, Session, Settings
from identity_service.events import access as events_access
from identity_service.events import rules as event_rules
from identity_service.forms import Form, PageDoor
from identity_service.life import actions as life

router = APIRouter(prefix="/console", route_class=PageDoor, include_in_schema=False)


@router.get("/signin")
async def show_sign_in(request: Request) -> Response:
    """Show the three fields."""
    return pages.page(request, "console/signin.html")


@router.post("/signin", openapi_extra={"x-form": "console/signin.html"})
async def sign_in(request: Request, form: Form, now: Now) -> Response:
    """Sign in with name, password and one-time code."""
    name, password, code = form.take("name", "password", "code")
    state = request.app.state
    await state.throttle.hit("staff-network", rules.PER_NETWORK, doors.network_of(request))
    await state.throttle.hit("staff-name", rules.PER_NAME, name.strip().lower()[:60])
    cookie = await actions.sign_in(state.database, state.hasher, name, password[:1024], code, now=now)
    return access.begin(RedirectResponse("/console", 303), cookie)


@router.post("/signout")
async def sign_out(session: Session, form: Form, staff: Staff, now: Now) -> Response:
    """End this session."""
    form.take()
    await actions.sign_out(session, staff, now=now)
    return access.forget(RedirectResponse("/console/signin", 303))


@router.get("/enrol")
async def show_enrol(request: Request) -> Response:
    """Show the first step of enrolling; the link's secret is in the fragment."""
    return pages.page(request, "console/enrol.html")


@router.post("/enrol", openapi_extra={"x-form": "console/enrol.html"})
async def begin_enrolling(request: Request, form: Form, settings: Settings, now: Now) -> Response:
    """Show the seed for the authenticator, as a picture and as text; the link stays valid."""
    (link,) = form.take("link")
    return pages.page(request, "console/enrolling.html", **await _enrolling(request, link, settings, now=now))


@router.post("/enrolled", openapi_extra={"x-form": "console/enrol.html"})
async def enrol(request: Request, form: Form, settings: Settings, now: Now) -> Response:
    """Set password and authenticator, and show the recovery codes once.

    A wrong code or a weak password comes back on the same page, so the authenticator need not be set up again.
    """
    link, password, code = form.take("link", "password", "code")
    forms.come_back_on(request, "console/enrolling.html", **await _enrolling(request, link, settings, now=now))
    state = request.app.state
    codes = await actions.enrol(state.database, state.hasher, link, password, code.replace(" ", ""), now=now)
    return pages.page(request, "console/enrolled.html", codes=codes)


async def _enrolling(request: Request, link: str, settings: Settings, *, now: Now) -> dict[str, Any]:
    """Return what the page with the seed shows, for a link that is still valid."""
    found = await doors.database_of(request).short(lambda session: actions.enrolling(session, link, now=now))
    picture = segno.make(found.uri, micro=False).svg_data_uri(scale=4, border=2)
    return {
        "name": found.staff.name, "seed": found.seed, "picture": picture, "link": link,
        "minimum": settings.password_minimum,
    }  # fmt: skip


@router.get("")
async def show_console(request: Request, session: Session, staff: Staff, settings: Settings) -> Response:
    """Show the one field, and what is waiting at each desk."""
    waiting = {desk: await contacts.listing(session, desk=desk, limit=20) for desk in settings.desks}
    return console_page(request, "console/home.html", staff, waiting=waiting, searched=None, typed="")


@router.post("/find", openapi_extra={"x-form": "console/home_again.html"})
async def find(request: Request, form: Form, session: Session, staff: Server, settings: Settings, now: Now) -> Response:
    """Find a customer by whatever the caller knows."""
    (typed,) = form.take("typed")
    await request.app.state.throttle.hit("staff-search", event_rules.SEARCHES, staff.staff.name)
    searched = await finding.search(session, typed)
    await events_access.searched(request, staff.actor, now=now)
    if searched.contact is not None:
        return RedirectResponse(f"/console/contacts/{searched.contact}", 303)
    waiting = {desk: await contacts.listing(session, desk=desk, limit=20) for desk in settings.desks}
    return console_page(request, "console/home.html", staff, waiting=waiting, searched=searched, typed=typed)


@router.post("/contacts", openapi_extra={"x-form": "console/home_again.html"})
async def open_contact(session: Session, form: Form, staff: Server, now: Now) -> Response:
    """Open a contact with a caller, known or not."""
    desk, typed, note = form.take("desk", "user_id", "note")
    user_id = user_ids.parse(typed) if typed.strip() else None
    contact = await contacts.begin(
        session, user_id, desk=desk, words=note.strip()[:2000] or None, by=staff.actor, now=now
    )
    return RedirectResponse(f"/console/contacts/{contact.number}", 303)


@router.get("/contacts/{number}")
async def show_contact(
    request: Request, number: str, session: Session, staff: Server, settings: Settings, now: Now
) -> Response:
    """Show a contact with all that is known, to whichever desk it is at."""
    contact, entries = await contacts.whole(session, number)
    match = None
    if contact.user_id is not None:
        match = await checks.verified(session, contact, contact.user_id, now=now)
    return console_page(
        request, "console/contact.html", staff, contact=contact, entries=entries, match=match, desks=settings.desks,
        warn=contact.hand_overs >= contact_rules.WARN_AT,
        waited_s=contact_rules.waited(contact.waited_s, contact.waiting_since, now),
        until=None if match is None or match.answered_at is None else match.answered_at + contact_rules.HOLDS,
    )  # fmt: skip


@router.post("/contacts/{number}/notes")
async def add_note(number: str, session: Session, form: Form, staff: Server, now: Now) -> Response:
    """Write down what was said."""
    (note,) = form.take("note")
    if note.strip():
        await contacts.note(session, number, note.strip()[:2000], by=staff.actor, now=now)
    return RedirectResponse(f"/console/contacts/{number}", 303)


@router.post("/contacts/{number}/hand-over")
async def hand_over(number: str, session: Session, form: Form, staff: Server, now: Now) -> Response:
    """Hand the caller to another desk, with everything."""
    desk, note = form.take("desk", "note")
    await contacts.hand_over(session, number, desk, note.strip()[:2000] or None, by=staff.actor, now=now)
    return RedirectResponse(f"/console/contacts/{number}", 303)


@router.post("/contacts/{number}/pick-up")
async def pick_up(number: str, session: Session, form: Form, staff: Server, now: Now) -> Response:
    """Take up a contact that was handed over."""
    form.take()
    await contacts.pick_up(session, number, by=staff.actor, now=now)
    return RedirectResponse(f"/console/contacts/{number}", 303)


@router.post("/contacts/{number}/close")
async def close_contact(number: str, session: Session, form: Form, staff: Server, now: Now) -> Response:
    """Close the contact."""
    (note,) = form.take("note")
    await contacts.close(session, number, note.strip()[:2000] or None, by=staff.actor, now=now)
    return RedirectResponse("/console", 303)


@router.post("/contacts/{number}/issue")
async def issue_id(number: str, session: Session, form: Form, staff: Server, settings: Settings, now: Now) -> Response:
    """Issue a User ID to a caller who has none, from an address or from nothing, in the same screen."""
    (text,) = form.take("email")
    address = email_addresses.parse(text.strip(), special_use=settings.development) if text.strip() else None
    registered = await life.register(
        session, address, display_name=None, locale="en", external_ref=None, client_id="console", now=now
    )
    await contacts.attach(session, number, user_ids.UserId(registered.account.user_id), by=staff.actor, now=now)
    return RedirectResponse(f"/console/contacts/{number}", 303)


def console_page(request: Request, template: str, staff: actions.SignedIn, **facts: Any) -> Response:  # noqa: ANN401
    """Return a page of the console."""
    return pages.page(
        request, template, staff=staff.staff, may=rules.may, show=user_ids.show, mask=email_addresses.mask, **facts
    )
