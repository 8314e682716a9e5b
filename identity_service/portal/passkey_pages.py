"""The page of a customer's own passkeys: list, add and remove. Each needs a sign-in of the last ten minutes that is as
strong as the account can, so that a password removes no passkey, and an emailed code adds none where there is a
password (PKY-07, PKY-09)."""

import uuid
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, RedirectResponse, Response

from identity_service.accounts import actions as accounts
from identity_service.credentials import actions as credentials
from identity_service.events.data_models import SessionsEndedReason
from identity_service.keys import encoding
from identity_service.passkeys import actions as passkeys
from identity_service.passkeys import responses, rules
from identity_service.resets import texts as reset_texts
from identity_service.sign_in import actions as sign_in
from identity_service.sign_in import dependencies as sign_in_dependencies
from identity_service.sign_in.dependencies import StrongestCustomer
from identity_service.web import dependencies, forms, pages
from identity_service.web.dependencies import Now, Session, Settings
from identity_service.web.forms import Form, FormRoute

router = APIRouter(prefix="/me/passkeys", route_class=FormRoute, include_in_schema=False)


@router.get("")
async def show_passkeys(
    request: Request, session: Session, customer: StrongestCustomer, settings: Settings, saved: str = ""
) -> Response:
    """List the passkeys, with a form for another one."""
    facts = await _describe(request, session, customer, settings)
    return pages.render_page(request, "portal/passkeys.html", **facts, saved=saved)


@router.post("/options")
async def begin(request: Request, session: Session, form: Form, customer: StrongestCustomer, now: Now) -> Response:
    """Return the options for `navigator.credentials.create()`, and the id that the response comes back with."""
    form.take()
    await request.app.state.throttle.hit_network(
        "passkey-options", rules.OPTIONS_PER_NETWORK, dependencies.client_network(request)
    )
    begun = await passkeys.begin_registration(session, customer.account, browser=forms.browser_cookie(request), now=now)
    return JSONResponse(begun._asdict(), headers={"Cache-Control": "no-store"})


@router.post("")
async def add(
    request: Request, session: Session, form: Form, customer: StrongestCustomer, settings: Settings, now: Now
) -> Response:
    """Add the passkey, tell every mailbox of the customer, and go on as signed in with it."""
    ceremony, response, name = form.take("ceremony", "response", "name")
    forms.redisplay_on(
        request, "portal/passkeys.html", **await _describe(request, session, customer, settings), saved=""
    )
    user_id = customer.account.user_id
    await reset_texts.check_changeable(session, user_id, now=now)
    new = await passkeys.read_registration(
        dependencies.database_of(request), user_id, ceremony, response, browser=forms.browser_cookie(request), now=now
    )
    made = await passkeys.add_passkey(session, new, name, now=now)
    await credentials.notify_mailboxes(
        session, "passkey_added", [user_id], cause="passkey.added", actor="customer", now=now
    )
    path = "/me/passkeys?saved=added#saved"
    if not made.verified:
        return RedirectResponse(path, 303)
    begun = await sign_in.begin_session(
        session, user_id, "verified_passkey", None, browser=customer.session.browser,
        replaces=request.cookies.get(forms.SESSION_COOKIE), now=now,
    )  # fmt: skip
    return sign_in_dependencies.begin_session(request, begun, path, settings.session_hours, now=now)


@router.post("/only")
async def require_passkey(
    request: Request, session: Session, form: Form, customer: StrongestCustomer, now: Now, settings: Settings
) -> Response:
    """Turn every other way of signing in off, end every other session, and tell every mailbox (PKY-15)."""
    form.take()
    forms.redisplay_on(
        request, "portal/passkeys.html", **await _describe(request, session, customer, settings), saved=""
    )
    await credentials.require_passkey(session, customer.account, now=now)
    return await _begin_again(request, session, customer, "/me/passkeys?saved=only#saved", settings, now=now)


@router.post("/only/end")
async def allow_other_ways(session: Session, form: Form, customer: StrongestCustomer, now: Now) -> Response:
    """Let other ways sign in again, and tell every mailbox."""
    form.take()
    await credentials.allow_other_ways(session, customer.account.user_id, actor="customer", now=now)
    return RedirectResponse("/me/passkeys?saved=ended#saved", 303)


@router.post("/{passkey_id}/remove")
async def remove(
    request: Request, passkey_id: uuid.UUID, session: Session, form: Form, customer: StrongestCustomer, now: Now,
    settings: Settings,
) -> Response:  # fmt: skip
    """Remove a passkey, end every other session, and tell every mailbox of the customer (PKY-08, OID-19)."""
    form.take()
    forms.redisplay_on(
        request, "portal/passkeys.html", **await _describe(request, session, customer, settings), saved=""
    )
    user_id = customer.account.user_id
    await reset_texts.check_changeable(session, user_id, now=now)
    await passkeys.remove_passkey(session, user_id, passkey_id, now=now)
    reason = SessionsEndedReason.PASSKEY_REMOVED
    await accounts.end_sessions(session, user_id, reason, actor="customer", now=now)
    await credentials.notify_mailboxes(
        session, "passkey_removed", [user_id], cause="passkey.removed", actor="customer", now=now
    )
    return await _begin_again(request, session, customer, "/me/passkeys?saved=removed#saved", settings, now=now)


async def _begin_again(
    request: Request, session: Session, customer: sign_in.SignedIn, path: str, settings: Settings, *, now: Now
) -> Response:
    """Go on in this browser after every session has ended."""
    new = await sign_in.continue_session(session, customer, forms.browser_cookie(request), now=now)
    return sign_in_dependencies.begin_session(request, new, path, settings.session_hours, now=now)


async def _describe(
    request: Request, session: Session, customer: sign_in.SignedIn, settings: Settings
) -> dict[str, Any]:
    """Return what the page shows, and what tells the browser which passkeys there are. These are values, not rows: a
    refused form is shown again after its transaction has ended."""
    found = await passkeys.list_passkeys(session, customer.account.user_id)
    own = [one for one in found if one.user_id == customer.account.user_id]
    names = ("id", "label", "created_at", "last_used_at", "backed_up", "went_back_at")
    return {
        "passkeys": [{name: getattr(one, name) for name in names} for one in found],
        "rp_id": responses.rp_id(settings),
        "ids": " ".join(encoding.base64url_encode(one.credential_id) for one in own),
        "handle": encoding.base64url_encode(own[0].user_handle) if own else "",
        "is_only": await passkeys.is_only_way(session, customer.account),
        "enough": passkeys.enough_for_only(found, now=dependencies.now_of(request)),
        "device": sign_in_dependencies.browser_of(request),
    }
