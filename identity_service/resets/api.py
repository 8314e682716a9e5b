"""Resets for services and desks: request a reset and read its state."""

import uuid

from fastapi import APIRouter, Request

from identity_service.account_access import dependencies as access_dependencies
from identity_service.accounts import rules as account_rules
from identity_service.messages import dependencies as messages_dependencies
from identity_service.messages.views import message_view
from identity_service.one_time_tokens import actions as one_time_tokens
from identity_service.resets import actions, rules
from identity_service.resets.schemas import NewReset, ResetRequested, ResetView
from identity_service.values import email_addresses, user_ids
from identity_service.values.email_addresses import MalformedEmailAddress
from identity_service.web import authentication, idempotency, problems, rate_limits
from identity_service.web.authentication import Caller, Person
from identity_service.web.dependencies import Now, Session, Settings
from identity_service.web.routing import StrictRoute

router = APIRouter(prefix="/v1", route_class=StrictRoute, tags=["resets"])


@router.post(
    "/resets",
    status_code=202,
    dependencies=[authentication.requires("resets:create"), idempotency.Repeatable],
    responses=problems.error_responses(
        MalformedEmailAddress, *account_rules.CONTACT_ERRORS, *rate_limits.RATE_LIMIT_ERRORS,
        *idempotency.IDEMPOTENCY_ERRORS, *authentication.PERSON_ERRORS,
    ),
)  # fmt: skip
async def request_reset(
    request: Request, body: NewReset, session: Session, caller: Caller, person: Person, settings: Settings, now: Now
) -> ResetRequested:
    """Request a reset: an email goes to the address on file, or to the given address if it has no account."""
    limits = request.app.state.throttle
    await limits.hit("reset-client", rules.PER_CLIENT, caller.client_id)
    if body.user_id is not None:
        requested = await actions.request_reset_for_account(
            session, user_ids.parse(body.user_id), where_from=None, actor=person, now=now
        )
    else:
        locale = body.locale or session.default_language
        address = email_addresses.parse_pasted(body.email or "", special_use=settings.development)
        requested = await actions.request_reset_within_limit(
            session, limits, address, locale=locale, where_from=None, actor=person, now=now
        )
    return ResetRequested(reset_id=requested.token.id, tracking_url=f"{settings.public_url}/reset/{requested.handle}")


@router.get(
    "/resets/{reset_id}",
    dependencies=[authentication.requires("messages:read")],
    responses=problems.error_responses(
        rules.UnknownReset, *access_dependencies.ACCESS_ERRORS, *authentication.AUTH_ERRORS
    ),
)
async def read_reset(
    reset_id: uuid.UUID,
    session: Session,
    caller: Caller,
    person: Person,
    now: Now,
    x_contact: access_dependencies.InContact = None,
) -> ResetView:
    """Read a reset: its state and the timeline of its message; a desk: of an account that it has opened."""
    token, message = found = await actions.find_reset(session, reset_id)
    loaded = await messages_dependencies.open_message(session, message.id, caller, person, x_contact, now=now)
    ends = one_time_tokens.ends_at(session, found)
    return ResetView(
        reset_id=token.id,
        state=rules.state(
            opened_at=token.opened_at, used_at=token.used_at, accepted_at=message.accepted_at, ends_at=ends, now=now
        ),
        reference=f"{token.reference[:4]}-{token.reference[4:]}",
        user_id=None if token.user_id is None else user_ids.show(token.user_id),
        requested_at=token.requested_at,
        opened_at=token.opened_at,
        used_at=token.used_at,
        link_until=ends,
        code_until=one_time_tokens.ends_at(session, found, by="code"),
        message=message_view(loaded, caller),
    )
