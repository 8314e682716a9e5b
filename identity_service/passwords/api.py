"""Checking a password, for services with a sign-in form of their own."""

from typing import Annotated

from fastapi import APIRouter, Request
from pydantic import Field, model_validator

from identity_service import email_addresses, problems, throttle, user_ids
from identity_service.clients import access
from identity_service.clients.access import Caller
from identity_service.doors import Door, Now, Settings, Shape, View
from identity_service.email_addresses import MalformedEmailAddress
from identity_service.passwords import actions, rules
from identity_service.user_ids import MalformedUserId

CHECKS = "600/minute"

router = APIRouter(prefix="/v1", route_class=Door, tags=["passwords"])


class PasswordCheck(Shape):
    """Who, by exactly one of address and User ID, and the password as it was typed."""

    email: Annotated[str, Field(max_length=320, json_schema_extra={"format": "email"})] | None = None
    user_id: Annotated[str, Field(max_length=40)] | None = None
    password: Annotated[str, Field(max_length=2000)]

    @model_validator(mode="after")
    def _one(self) -> "PasswordCheck":
        if (self.email is None) == (self.user_id is None):
            raise ValueError("exactly one of email and user_id is needed")
        return self


class CheckedView(View):
    """`wait`: the try was not evaluated; another makes sense after `retry_after` seconds. `change_required`: it
    fits, but became known; do not sign the customer in, ask for a reset and hand its page on."""

    result: rules.Result
    user_id: str | None
    retry_after: int | None


@router.post(
    "/password-checks",
    dependencies=[access.requires("passwords:check")],
    responses=problems.documented(
        MalformedEmailAddress, MalformedUserId, rules.HashingBusy, *throttle.REFUSALS, *access.REFUSALS
    ),
)
async def check_password(
    request: Request, body: PasswordCheck, caller: Caller, settings: Settings, now: Now
) -> CheckedView:
    """Check a password: the same work, time and answer for unknown accounts, closed ones and those without one."""
    state = request.app.state
    await state.throttle.hit("password-check", CHECKS, caller.client_id)
    who = (
        user_ids.parse(body.user_id)
        if body.user_id is not None
        else email_addresses.parse(body.email or "", special_use=settings.development)
    )
    checked = await actions.check(state.database, state.hasher, who, body.password, actor=caller.actor, now=now)
    shown = None if checked.user_id is None else user_ids.show(checked.user_id)
    return CheckedView(result=checked.result, user_id=shown, retry_after=checked.retry_after)
