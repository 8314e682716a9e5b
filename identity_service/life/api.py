"""Registering, for services."""

from typing import Annotated, Literal

from fastapi import APIRouter, Request, Response
from pydantic import Field

from identity_service import doors, email_addresses, idempotency, problems, user_ids
from identity_service.accounts import api as accounts
from identity_service.accounts import rules
from identity_service.accounts.api import AccountView, Locale
from identity_service.clients import access
from identity_service.clients.access import Caller
from identity_service.doors import Door, Line, Now, Session, Shape, View
from identity_service.email_addresses import EmailAddress, MalformedEmailAddress
from identity_service.life import actions

Email = Annotated[str, Field(max_length=320, examples=["anna@example.com"], json_schema_extra={"format": "email"})]
_REPEATABLE = (idempotency.RequestInProgress, idempotency.KeyReused, idempotency.MalformedKey)

router = APIRouter(prefix="/v1", route_class=Door, tags=["accounts"])


class NewAccount(Shape):
    """Everything may be left out: a caller who gives nothing still gets an ID."""

    email: Email | None = None
    display_name: Line | None = None
    locale: Locale = "en"
    external_ref: Annotated[Line, Field(description="what your service calls this customer; unique for you")] | None = (
        None
    )


class NewEmail(Shape):
    """Another address, or the first one."""

    email: Email


class Hint(View):
    """Something worth asking the customer about; nothing was refused for it."""

    code: Literal["similar_domain"]
    detail: str


class RegisteredView(AccountView):
    """The account, what the customer was promised, and hints."""

    promise: str
    hints: list[Hint]


@router.post(
    "/accounts",
    status_code=201,
    dependencies=[access.requires("accounts:write"), idempotency.Repeatable],
    responses={
        **problems.documented(MalformedEmailAddress, rules.ExternalRefTaken, *_REPEATABLE, *access.REFUSALS),
        200: {"model": RegisteredView, "description": "The address, or your reference, has this account already"},
    },
)
async def register_account(
    request: Request, body: NewAccount, session: Session, caller: Caller, now: Now, response: Response
) -> RegisteredView:
    """Register a customer by e-mail alone, or by nothing. The same address again is answered with the same account."""
    address = _parse(request, body.email)
    registered = await actions.register(
        session, address, display_name=body.display_name, locale=body.locale, external_ref=body.external_ref,
        client_id=caller.client_id, now=now,
    )  # fmt: skip
    account = registered.account
    response.status_code = 201 if registered.is_new else 200
    response.headers["Location"] = f"/v1/accounts/{user_ids.show(account.user_id)}"
    response.headers["ETag"] = accounts.etag(account)
    fields = (
        accounts.new_fields(session, account, caller, body.external_ref)
        if registered.is_new
        else await accounts.fields(session, account, caller)
    )
    return RegisteredView(**fields, promise=rules.PROMISE[account.locale], hints=_hints(address))


def _parse(request: Request, email: str | None) -> EmailAddress | None:
    if email is None:
        return None
    return email_addresses.parse(email, special_use=doors.database_of(request).settings.development)


def _hints(address: EmailAddress | None) -> list[Hint]:
    similar = email_addresses.similar_domain(address) if address is not None else None
    return [] if similar is None else [Hint(code="similar_domain", detail=f"Was {similar} meant?")]
