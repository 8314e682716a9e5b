"""The registration page, and the page that a link in a letter opens."""

from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response

from identity_service import doors, email_addresses, pages, user_ids
from identity_service.accounts import actions as accounts
from identity_service.accounts import rules as account_rules
from identity_service.doors import Now, Session, Settings
from identity_service.forms import Form, PageDoor
from identity_service.life import actions, confirmations
from identity_service.proofs import actions as proofs
from identity_service.proofs import watch
from identity_service.proofs.rules import UnknownTracking
from identity_service.resets.actions import where_from
from identity_service.resets.pages import refuse_user_id
from identity_service.user_ids import UserId

PER_NETWORK = "30/hour; 100/day"
PER_ADDRESS = "3/hour; 10/day"

router = APIRouter(route_class=PageDoor, include_in_schema=False)


@router.get("/")
async def show_home(request: Request) -> Response:
    """Show the one field, and the promise above it."""
    return pages.page(request, "life/home.html", promise=account_rules.PROMISE[pages.locale_of(request)])


@router.post("/", openapi_extra={"x-form": "life/home_again.html"})
async def get_id(request: Request, form: Form, session: Session, settings: Settings, now: Now) -> Response:
    """Issue a fresh User ID at once, whoever the address belongs to."""
    (text,) = form.take("email")
    refuse_user_id(text)
    address = email_addresses.parse(text.strip(), special_use=settings.development)
    limits, network = request.app.state.throttle, doors.network_of(request)
    await limits.hit("register-network", PER_NETWORK, network)
    await limits.hit("register-address", PER_ADDRESS, doors.keyring_of(request).address_hash(address.key).hex())
    started = await actions.register_publicly(
        session, address, locale=pages.locale_of(request), where_from=where_from(network), now=now
    )
    return RedirectResponse(f"/welcome/{started.handle}", 303)


@router.get("/welcome/{handle}")
async def show_welcome(request: Request, handle: str, session: Session, now: Now) -> Response:
    """Show the fresh User ID as a card, and where its letter is."""
    found = await proofs.followed(session, handle, now=now)
    if found.proof.purpose != "address" or found.proof.user_id is None:
        raise UnknownTracking
    locale = pages.locale_of(request)
    account = await accounts.find(session, UserId(found.proof.user_id))
    watched = await watch.look(session, found, locale=locale, now=now)
    return pages.page(
        request, "life/welcome.html", watched=watched, handle=handle, card=card(account.user_id, request),
        promise=account_rules.PROMISE[locale], confirm=f"/confirm/{found.proof.handle}",
    )  # fmt: skip


@router.get("/confirm/{handle}")
async def show_confirm(request: Request, handle: str, session: Session) -> Response:
    """Say what confirming does. Opening this changes nothing; the link's secret never reaches us by a GET."""
    what = await confirmations.described(session, handle)
    return pages.page(request, "life/confirm.html", handle=handle, what=what)


@router.post("/confirm/{handle}", openapi_extra={"x-form": "life/confirm_again.html"})
async def confirm(request: Request, handle: str, form: Form, now: Now) -> Response:
    """Do what the letter is about, with its link or its code."""
    link, code = form.take("link", "code")
    state = request.app.state
    purpose = await confirmations.confirm(state.database, state.throttle, handle, link=link, code=code, now=now)
    # A fragment of its own: a browser would carry the link's one on (RFC 9110, 10.2.2).
    return RedirectResponse(f"/confirmed/{purpose}#main", 303)


@router.get("/confirmed/{purpose}")
async def show_confirmed(request: Request, purpose: str) -> Response:
    """Say that it was done."""
    return pages.page(request, "life/confirmed.html", done=confirmations.done(purpose))


@router.get("/ended")
async def show_ended(request: Request) -> Response:
    """Say that the account has ended."""
    return pages.page(request, "life/ended.html")


def card(user_id: str, request: Request) -> dict[str, object]:
    """Return a User ID as its card shows it: grouped, and spelled in the reader's language."""
    spoken = user_ids.spell(UserId(user_id), pages.say(request)("as in"))
    groups = [spoken[start : start + user_ids.GROUP] for start in range(0, user_ids.LENGTH, user_ids.GROUP)]
    return {"user_id": user_ids.show(user_id), "groups": groups}
