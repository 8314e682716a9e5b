"""The route by which services register customers."""

from fastapi import APIRouter, Request, Response

from identity_service import translations
from identity_service.accounts import rules
from identity_service.accounts import views as account_views
from identity_service.registration import actions
from identity_service.registration.schemas import EmailHint, KnownAccount, NewAccount, RegisteredAccount
from identity_service.values import email_addresses, user_ids
from identity_service.values.email_addresses import EmailAddress, MalformedEmailAddress
from identity_service.web import authentication, dependencies, idempotency, problems
from identity_service.web.authentication import Caller, Person
from identity_service.web.dependencies import Now, Session
from identity_service.web.routing import StrictRoute

_REPEATABLE = (idempotency.RequestInProgress, idempotency.IdempotencyKeyReused, idempotency.MalformedIdempotencyKey)

router = APIRouter(prefix="/v1", route_class=StrictRoute, tags=["accounts"])


@router.post(
    "/accounts",
    status_code=201,
    dependencies=[authentication.requires("accounts:write"), idempotency.Repeatable],
    responses={
        **problems.error_responses(
            MalformedEmailAddress,
            rules.ExternalRefTaken,
            rules.AccountClosed,
            *_REPEATABLE,
            *authentication.PERSON_ERRORS,
        ),
        201: {"model": RegisteredAccount, "description": "A new account"},
        200: {
            "model": RegisteredAccount | KnownAccount,
            "description": "The address or your reference already has this account; whole only with `accounts:read`",
        },
    },
)
async def register_account(
    request: Request, body: NewAccount, session: Session, caller: Caller, person: Person, now: Now, response: Response
) -> RegisteredAccount | KnownAccount:
    """Register a customer by email, or with no data at all. The same address again returns the same account, or the one
    that it was merged into."""
    address = _parse(request, body.email)
    locale = body.locale or session.default_language
    account, is_new = await actions.register_account(
        session, address, display_name=body.display_name, locale=locale, external_ref=body.external_ref,
        source=caller.source, actor=person, now=now,
    )  # fmt: skip
    response.status_code = 201 if is_new else 200
    response.headers["Location"] = f"/v1/accounts/{user_ids.show(account.user_id)}"
    response.headers["ETag"] = account_views.etag(account)
    if is_new:
        fields = account_views.new_account_fields(session, account, caller, body.external_ref)
    else:
        fields = await account_views.account_fields(session, account, caller)
    if is_new or account_views.may_read(caller):
        return RegisteredAccount(**fields, **_promise(account.locale), hints=_hints(address))
    return KnownAccount(**fields, **_promise(locale), hints=_hints(address))


def _promise(locale: str) -> dict[str, str]:
    return {"promise": translations.catalogue(locale).gettext(rules.PROMISE)}


def _parse(request: Request, email: str | None) -> EmailAddress | None:
    if email is None:
        return None
    return email_addresses.parse_pasted(email, special_use=dependencies.database_of(request).settings.development)


def _hints(address: EmailAddress | None) -> list[EmailHint]:
    similar = email_addresses.similar_domain(address) if address is not None else None
    return [] if similar is None else [EmailHint(code="similar_domain", detail=f"Was {similar} meant?")]
