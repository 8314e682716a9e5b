"""Console pages: sign-in, enrolment, search and contacts."""

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response

from identity_service import translations
from identity_service.account_access import dependencies as access_dependencies
from identity_service.account_access import rules as access_rules
from identity_service.console import actions, opened, rules, search, views
from identity_service.console import dependencies as console_dependencies
from identity_service.console.dependencies import AnyStaff, DeskStaff, Staff, Wanted
from identity_service.contacts import actions as contacts
from identity_service.contacts import checks
from identity_service.contacts import rules as contact_rules
from identity_service.messages import descriptions
from identity_service.registration import actions as registration
from identity_service.second_factors import totp
from identity_service.values import pasted, user_ids
from identity_service.web import dependencies, forms, pages
from identity_service.web.dependencies import Now, Session, Settings
from identity_service.web.forms import Form, FormRoute

router = APIRouter(prefix="/console", route_class=FormRoute, include_in_schema=False)


@router.get("/signin")
async def show_sign_in(request: Request, wanted: Wanted) -> Response:  # noqa: ARG001 (it is in the forms' query)
    """Show the form for name, password and one-time code, and the button for a passkey."""
    return pages.render_page(request, "console/signin.html")


@router.post("/signin", openapi_extra={"x-form": "console/signin.html"})
async def sign_in(request: Request, form: Form, now: Now, wanted: Wanted) -> Response:
    """Sign in with name, password and one-time code."""
    name, password, code = form.take("name", "password", "code")
    state = request.app.state
    network, known = dependencies.client_network(request), name.strip().lower()[:60]
    await state.throttle.hit_network("staff-network", rules.PER_NETWORK, network)
    await state.throttle.hit_network("staff-name-network", rules.PER_NAME_AND_NETWORK, network, known)
    await state.throttle.hit("staff-name", rules.PER_NAME, known)
    cookie = await actions.sign_in_staff(state.database, state.hasher, name, password[:1024], code, now=now)
    return console_dependencies.set_staff_cookie(RedirectResponse(wanted, 303), cookie)


@router.post("/signout")
async def sign_out(session: Session, form: Form, staff: AnyStaff, now: Now) -> Response:
    """End the session, and delete its cookie."""
    form.take()
    await actions.sign_out_staff(session, staff, now=now)
    return console_dependencies.delete_staff_cookie(RedirectResponse("/console/signin", 303))


@router.get("/enrol")
async def show_enrol(request: Request) -> Response:
    """Show the first step of enrolment; the link's secret is in the URL fragment."""
    return pages.render_page(request, "console/enrol.html")


@router.post("/enrol", openapi_extra={"x-form": "console/enrol.html"})
async def begin_enrolment(request: Request, form: Form, settings: Settings, now: Now) -> Response:
    """Show a new seed for the authenticator, as QR code and text, without consuming the link."""
    (link,) = form.take("link")
    return pages.render_page(request, "console/set_up.html", **await _enrolling(request, link, settings, now=now))


@router.post("/enrolled", openapi_extra={"x-form": "console/enrol.html"})
async def enrol(request: Request, form: Form, settings: Settings, now: Now) -> Response:
    """Set password and authenticator, and show the recovery codes once.

    After a wrong code or a weak password, the same page is shown again with the same seed.
    """
    link, seed, password, code = form.take("link", "seed", "password", "code")
    forms.redisplay_on(request, "console/set_up.html", **await _enrolling(request, link, settings, seed, now=now))
    state = request.app.state
    codes = await actions.enrol_staff(state.database, state.hasher, link, seed, password, code, now=now)
    return pages.render_page(request, "console/enrolled.html", codes=codes)


async def _enrolling(
    request: Request, link: str, settings: Settings, sealed_seed: str | None = None, *, now: Now
) -> dict[str, Any]:
    """Return the facts of the page with the seed, for a link that is still valid."""
    found = await dependencies.database_of(request).in_transaction(
        lambda session: actions.find_enrolment(session, link, sealed_seed, now=now)
    )
    qr_code = totp.qr_code(found.uri)
    return {
        "name": found.staff.name, "seed": found.seed, "sealed_seed": found.sealed_seed, "picture": qr_code,
        "link": link, "minimum": settings.password_minimum,
    }  # fmt: skip


@router.get("")
async def show_console(request: Request, session: Session, staff: Staff, settings: Settings) -> Response:
    """Show the search field, and the open contacts of each desk."""
    waiting = {desk: await contacts.list_contacts(session, desk=desk, limit=20) for desk in settings.desks}
    return views.console_page(request, "console/home.html", staff, waiting=waiting, searched=None, typed="")


@router.get("/find")
async def return_to_search(staff: Staff) -> Response:  # noqa: ARG001 (whoever is not signed in is led to the form)
    """Lead a bookmarked search to the console: what was typed is in no address."""
    return RedirectResponse("/console", 303)


@router.post("/find")
async def find_customer(
    request: Request, form: Form, session: Session, staff: DeskStaff, settings: Settings, now: Now
) -> Response:
    """Find a customer by what the caller knows."""
    (typed,) = form.take("typed")
    await request.app.state.throttle.hit("staff-search", access_rules.SEARCHES, staff.staff.name)
    searched = await search.search_customers(session, typed)
    await access_dependencies.count_search(request, staff.actor, now=now)
    if searched.contact is not None:
        return RedirectResponse(f"/console/contacts/{searched.contact}", 303)
    waiting = {desk: await contacts.list_contacts(session, desk=desk, limit=20) for desk in settings.desks}
    return views.console_page(
        request, "console/home.html", staff, waiting=waiting, searched=searched, typed=typed,
        words=descriptions,
    )  # fmt: skip


@router.post("/contacts")
async def open_contact(session: Session, form: Form, staff: DeskStaff, now: Now) -> Response:
    """Open a contact with a caller, with or without a User ID."""
    desk, typed, note = form.take("desk", "user_id", "note")
    user_id = user_ids.parse(typed) if pasted.trim_ends(typed) else None
    contact = await contacts.open_contact(
        session, user_id, desk=desk, note=note.strip()[:2000] or None, actor=staff.actor, now=now
    )
    return RedirectResponse(f"/console/contacts/{contact.number}", 303)


@router.get("/contacts/{number}")
async def show_contact(
    request: Request, number: str, session: Session, staff: DeskStaff, settings: Settings, now: Now
) -> Response:
    """Show a contact with all entries, to staff of any desk."""
    contact, entries = await contacts.load_contact(session, number)
    match, language = None, await opened.language_of(session, contact.user_id)
    if contact.user_id is not None:
        match = await checks.find_verification(session, contact, contact.user_id, now=now)
    return views.console_page(
        request, "console/contact.html", staff, contact=contact, entries=entries, match=match, desks=settings.desks,
        spelled=contact.user_id and views.spelled(contact.user_id, language), language=language,
        is_open=await opened.is_opened(session, staff, contact, now=now),
        warn=contact.hand_overs >= contact_rules.WARN_AT,
        waited_s=contact_rules.waited(contact.waited_s, contact.waiting_since, now),
        until=None if match is None or match.answered_at is None else match.answered_at + contact_rules.HOLDS,
    )  # fmt: skip


@router.post("/contacts/{number}/notes")
async def add_note(number: str, session: Session, form: Form, staff: DeskStaff, now: Now) -> Response:
    """Add a note to a contact."""
    (note,) = form.take("note")
    if note.strip():
        await contacts.add_note(session, number, note.strip()[:2000], actor=staff.actor, now=now)
    return RedirectResponse(f"/console/contacts/{number}", 303)


@router.post("/contacts/{number}/hand-over")
async def hand_over(number: str, session: Session, form: Form, staff: DeskStaff, now: Now) -> Response:
    """Hand the contact over to another desk."""
    desk, note = form.take("desk", "note")
    await contacts.hand_over(session, number, desk, note.strip()[:2000] or None, actor=staff.actor, now=now)
    return RedirectResponse(f"/console/contacts/{number}", 303)


@router.post("/contacts/{number}/pick-up")
async def pick_up(number: str, session: Session, form: Form, staff: DeskStaff, now: Now) -> Response:
    """Pick up a contact that was handed over."""
    form.take()
    await contacts.pick_up(session, number, actor=staff.actor, now=now)
    return RedirectResponse(f"/console/contacts/{number}", 303)


@router.post("/contacts/{number}/close")
async def close_contact(number: str, session: Session, form: Form, staff: DeskStaff, now: Now) -> Response:
    """Close a contact, with an optional note."""
    (note,) = form.take("note")
    await contacts.close_contact(session, number, note.strip()[:2000] or None, actor=staff.actor, now=now)
    return RedirectResponse("/console", 303)


@router.post("/contacts/{number}/issue")
async def issue_id(
    request: Request, number: str, session: Session, form: Form, staff: DeskStaff, settings: Settings, now: Now
) -> Response:
    """Issue a User ID to a caller who has none, with or without an address.

    With an address it counts as a search, because it could tell who has an account. If somebody has the address, their
    User ID goes to that mailbox, and the contact says no more than that a message went there.
    """
    text, language, *answers = form.take("email", "language", *forms.ANSWERS)
    address = forms.read_address(settings, text, *answers) if pasted.trim_ends(text) else None
    if address is not None:
        await request.app.state.throttle.hit("staff-search", access_rules.SEARCHES, staff.staff.name)
        await access_dependencies.count_search(request, staff.actor, now=now)
    issued = await registration.issue_at_desk(
        session, address, locale=translations.find_language(language), actor=staff.actor, now=now
    )
    if issued is None:
        await contacts.add_note(session, number, contact_rules.MESSAGE_WENT_THERE, actor=staff.actor, now=now)
    else:
        await contacts.attach_account(session, number, user_ids.UserId(issued.user_id), actor=staff.actor, now=now)
    return RedirectResponse(f"/console/contacts/{number}", 303)
