"""Resets for services and desks: ask, and read how far one has come."""

import uuid
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Request
from pydantic import Field, model_validator

from identity_service import email_addresses, idempotency, problems, throttle, user_ids
from identity_service.accounts import rules as account_rules
from identity_service.accounts.api import Locale
from identity_service.clients import access
from identity_service.clients.access import Caller
from identity_service.doors import Door, Now, Session, Settings, Shape, View
from identity_service.email_addresses import MalformedEmailAddress
from identity_service.mail import actions as mail
from identity_service.mail.api import MessageWithTimeline, message_view
from identity_service.proofs import actions as proofs
from identity_service.resets import actions, rules
from identity_service.user_ids import MalformedUserId

router = APIRouter(prefix="/v1", route_class=Door, tags=["resets"])


class NewReset(Shape):
    """Exactly one of address and User ID. `locale` is the letter's language where an address is given."""

    email: Annotated[str, Field(max_length=320, json_schema_extra={"format": "email"})] | None = None
    user_id: Annotated[str, Field(max_length=40)] | None = None
    locale: Locale = "en"

    @model_validator(mode="after")
    def _one(self) -> "NewReset":
        if (self.email is None) == (self.user_id is None):
            raise ValueError("exactly one of email and user_id is needed")
        return self


class AskedView(View):
    """A reset that was asked for; hand `tracking_url` on to the customer. The same for unknown addresses."""

    reset_id: uuid.UUID
    tracking_url: str = Field(description="the page that shows the letter's way, and takes its code")


class ResetView(View):
    """How far a reset has come, with the whole timeline of its letter."""

    reset_id: uuid.UUID
    state: rules.State
    reference: str = Field(description="short; the customer can read it out on the phone")
    user_id: str | None
    asked_at: datetime
    opened_at: datetime | None
    used_at: datetime | None
    link_until: datetime
    code_until: datetime
    message: MessageWithTimeline


@router.post(
    "/resets",
    status_code=202,
    dependencies=[access.requires("resets:create"), idempotency.Repeatable],
    responses=problems.documented(
        MalformedEmailAddress, MalformedUserId, account_rules.UnknownUserId, account_rules.NoEmail,
        rules.AccountClosed, *throttle.REFUSALS, *idempotency.REFUSALS, *access.REFUSALS,
    ),
)  # fmt: skip
async def ask_for_reset(
    request: Request, body: NewReset, session: Session, caller: Caller, settings: Settings, now: Now
) -> AskedView:
    """Ask for a new password: a letter goes to the address on file, or, where there is no account, to the one given."""
    limits = request.app.state.throttle
    await limits.hit("reset-client", rules.PER_CLIENT, caller.client_id)
    if body.user_id is not None:
        asked = await actions.ask_for(
            session, user_ids.parse(body.user_id), where_from=None, actor=caller.actor, now=now
        )
    else:
        address = email_addresses.parse(body.email or "", special_use=settings.development)
        asked = await actions.ask_within_limit(
            session, limits, address, locale=body.locale, where_from=None, actor=caller.actor, now=now
        )
    return AskedView(reset_id=asked.proof.id, tracking_url=f"{settings.public_url}/reset/{asked.handle}")


@router.get(
    "/resets/{reset_id}",
    dependencies=[access.requires("messages:read")],
    responses=problems.documented(rules.UnknownReset, *access.REFUSALS),
)
async def read_reset(reset_id: uuid.UUID, session: Session, caller: Caller, now: Now) -> ResetView:
    """Read a reset: asked, mailed, opened, used or expired, and everything that happened to its letter."""
    proof, message = found = await actions.find(session, reset_id)
    ends = proofs.ends_at(session, found)
    return ResetView(
        reset_id=proof.id,
        state=rules.state(
            opened_at=proof.opened_at, used_at=proof.used_at, accepted_at=message.accepted_at, ends_at=ends, now=now
        ),
        reference=f"{proof.reference[:4]}-{proof.reference[4:]}",
        user_id=None if proof.user_id is None else user_ids.show(proof.user_id),
        asked_at=proof.asked_at,
        opened_at=proof.opened_at,
        used_at=proof.used_at,
        link_until=ends,
        code_until=proofs.ends_at(session, found, by="code"),
        message=message_view(await mail.fate(session, message.id), caller),
    )
