"""Routes by which a service adds, moves and removes its own references of a customer."""

from fastapi import APIRouter, Response

from identity_service.accounts import references, rules, views
from identity_service.accounts.schemas import ExternalRef, ExternalRefPlacement
from identity_service.values import user_ids
from identity_service.web import authentication, idempotency, problems
from identity_service.web.authentication import Caller, Person
from identity_service.web.dependencies import Now, Session
from identity_service.web.routing import StrictRoute

router = APIRouter(prefix="/v1", route_class=StrictRoute, tags=["accounts"])


@router.put(
    "/accounts/{user_id}/external-refs",
    dependencies=[authentication.requires("accounts:write"), views.VersionChecked],
    responses=problems.error_responses(
        *rules.ACCOUNT_ERRORS, rules.AccountMoved, rules.AccountClosed, rules.ExternalRefTaken, rules.StaleVersion,
        *authentication.PERSON_ERRORS,
    ),
)  # fmt: skip
async def put_external_ref(
    user_id: str, body: ExternalRefPlacement, session: Session, caller: Caller, person: Person, now: Now,
    response: Response,
) -> views.AccountAnswer:  # fmt: skip
    """Let a reference of your source name this customer: add it, or with `moved_from` move it from another account."""
    account = await references.put_reference(
        session, user_ids.parse(user_id), caller.source, body.external_ref,
        moved_from=None if body.moved_from is None else user_ids.parse(body.moved_from), actor=person, now=now,
    )  # fmt: skip
    response.headers["ETag"] = views.etag(account)
    return await views.account_view(session, account, caller)


@router.post(
    "/accounts/{user_id}/external-refs/remove",
    dependencies=[authentication.requires("accounts:write"), idempotency.Repeatable, views.VersionChecked],
    responses=problems.error_responses(
        *rules.ACCOUNT_ERRORS,
        rules.AccountMoved,
        rules.UnknownExternalRef,
        rules.StaleVersion,
        *idempotency.IDEMPOTENCY_ERRORS,
        *authentication.PERSON_ERRORS,
    ),
)
async def remove_external_ref(
    user_id: str, body: ExternalRef, session: Session, caller: Caller, person: Person, now: Now, response: Response
) -> views.AccountAnswer:
    """Remove a reference of your source from this customer; it may then name another one.

    The reference is in the body, so that it appears in no path, query or access log.
    """
    account = await references.remove_reference(
        session, user_ids.parse(user_id), caller.source, body.external_ref, actor=person, now=now
    )
    response.headers["ETag"] = views.etag(account)
    return await views.account_view(session, account, caller)
