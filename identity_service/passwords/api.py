"""Password checks, for services with a sign-in form of their own."""

from fastapi import APIRouter, Request

from identity_service.passwords import actions, rules
from identity_service.passwords.schemas import PasswordCheck, PasswordCheckResult
from identity_service.values import email_addresses, user_ids
from identity_service.values.email_addresses import MalformedEmailAddress
from identity_service.values.user_ids import MalformedUserId
from identity_service.web import authentication, problems, rate_limits
from identity_service.web.authentication import Caller
from identity_service.web.dependencies import Now, Settings
from identity_service.web.routing import StrictRoute

CHECKS = "600/minute"
PER_NETWORK = "60/minute; 600/hour"
"""As at our own sign-in page: what one network at a service's form may try."""

router = APIRouter(prefix="/v1", route_class=StrictRoute, tags=["passwords"])


@router.post(
    "/password-checks",
    dependencies=[authentication.requires("passwords:check")],
    responses=problems.error_responses(
        MalformedEmailAddress,
        MalformedUserId,
        rules.HashingBusy,
        *rate_limits.RATE_LIMIT_ERRORS,
        *authentication.AUTH_ERRORS,
    ),
)
async def check_password(
    request: Request, body: PasswordCheck, caller: Caller, settings: Settings, now: Now
) -> PasswordCheckResult:
    """Check a password. Work, time and response are equal for unknown accounts, closed ones and those without one.

    An account with a second factor never gets `match`: the customer signs in at our page.

    For services that still have a sign-in form of their own while they move: the service sees the password, and every
    session it opens is its own to end. To sign customers in otherwise, use OpenID Connect (`/oauth/authorize`).
    """
    state = request.app.state
    if body.network is not None:
        await state.throttle.hit_network("password-check-network", PER_NETWORK, body.network, caller.client_id)
    await state.throttle.hit("password-check", CHECKS, caller.client_id)
    who = (
        user_ids.parse(body.user_id)
        if body.user_id is not None
        else email_addresses.parse_pasted(body.email or "", special_use=settings.development)
    )
    checked = await actions.check_password_alone(
        state.database, state.hasher, who, body.password, actor=caller.actor, now=now
    )
    shown = None if checked.user_id is None else user_ids.show(checked.user_id)
    return PasswordCheckResult(result=checked.result, user_id=shown, retry_after=checked.retry_after, checked_at=now)
