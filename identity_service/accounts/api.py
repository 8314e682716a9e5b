"""Account routes for services: read, search, change, list events. Registering is in `registration/`."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import JSONResponse

from identity_service.account_access import dependencies as access_dependencies
from identity_service.account_access import rules as access_rules
from identity_service.accounts import actions, ownership, rules, views
from identity_service.accounts.schemas import AccountList, AccountSearch, AccountUpdate, AccountView
from identity_service.events import actions as events
from identity_service.events import views as event_views
from identity_service.events.schemas import EventList
from identity_service.values import email_addresses
from identity_service.values import user_ids as values_user_ids
from identity_service.values.email_addresses import MalformedEmailAddress
from identity_service.web import authentication, dependencies, pagination, problems, rate_limits
from identity_service.web.authentication import Caller, MissingClerk, Person
from identity_service.web.dependencies import Now, Session
from identity_service.web.routing import StrictRoute

SEARCHES = "600/minute"

router = APIRouter(prefix="/v1", route_class=StrictRoute, tags=["accounts"])


@router.get(
    "/accounts/{user_id}",
    dependencies=[authentication.requires("accounts:read")],
    responses=problems.error_responses(*rules.ACCOUNT_ERRORS, *authentication.AUTH_ERRORS),
)
async def read_account(user_id: str, session: Session, caller: Caller, response: Response) -> AccountView:
    """Read one account. A merged one has `moved_to`, the account that answers now.

    An ID with wrong check symbols is refused with suggestions.
    """
    account = await actions.find_account(session, values_user_ids.parse(user_id))
    response.headers["ETag"] = views.etag(account)
    return AccountView(**await views.account_fields(session, account, caller))


@router.patch(
    "/accounts/{user_id}",
    dependencies=[authentication.requires("accounts:write"), views.VersionChecked],
    responses=problems.error_responses(
        *rules.ACCOUNT_ERRORS,
        rules.AccountMoved,
        rules.AccountClosed,
        rules.StaleVersion,
        *authentication.PERSON_ERRORS,
    ),
)
async def change_account(
    user_id: str,
    body: AccountUpdate,
    session: Session,
    caller: Caller,
    person: Person,
    now: Now,
    response: Response,
) -> views.AccountAnswer:
    """Change display name or locale; with `If-Match`, only if the account is unchanged since you read it.

    The answer is the account to a client that has `accounts:read`, else its User ID, version and your references alone.
    """
    changes = {
        name: getattr(body, name) for name in body.model_fields_set if name != "locale" or body.locale is not None
    }
    account = await actions.update_account(
        session,
        values_user_ids.parse(user_id),
        changes,
        actor=person,
        now=now,
    )
    response.headers["ETag"] = views.etag(account)
    return await views.account_view(session, account, caller)


@router.post(
    "/accounts/search",
    dependencies=[authentication.requires("accounts:read")],
    responses=problems.error_responses(
        MalformedEmailAddress, MissingClerk, *rate_limits.RATE_LIMIT_ERRORS, *authentication.AUTH_ERRORS
    ),
)
async def search_accounts(
    request: Request,
    body: AccountSearch,
    session: Session,
    caller: Caller,
    person: Person,
    settings: dependencies.Settings,
    now: Now,
) -> AccountList:
    """Find the account of an address or of your own reference. Only exact matches; a merged account is resolved.

    The address is in the body, so that it appears in no path, query or access log.
    """
    await request.app.state.throttle.hit("account-search", SEARCHES, caller.client_id)
    if caller.desk:
        await request.app.state.throttle.hit("staff-search", access_rules.SEARCHES, person)
        await access_dependencies.count_search(request, person, now=now)
    if body.email is not None:
        address = email_addresses.parse_pasted(body.email, special_use=settings.development)
        found = await actions.find_by_email(session, address)
    else:
        found = await actions.find_by_reference(session, caller.source, body.external_ref or "")
    if found is not None:
        found = await actions.find_active_account(session, values_user_ids.UserId(found.user_id))
    items = [] if found is None else [AccountView(**await views.account_fields(session, found, caller))]
    return AccountList(items=items, next=None)


@router.get(
    "/accounts/{user_id}/events",
    response_model=EventList,
    dependencies=[authentication.requires("events:read"), access_dependencies.AccountOpened],
    responses=problems.error_responses(
        *rules.ACCOUNT_ERRORS,
        pagination.InvalidCursor,
        events.FeedRestored,
        *access_dependencies.ACCESS_ERRORS,
        *authentication.AUTH_ERRORS,
    ),
)
async def list_account_events(
    user_id: str,
    session: Session,
    caller: Caller,
    settings: dependencies.Settings,
    after: Annotated[str | None, Query(max_length=200)] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 100,
) -> JSONResponse:
    """Read the events of one customer, merged User IDs included, oldest first."""
    ids = await ownership.user_ids_of(session, values_user_ids.parse(user_id))
    hidden = event_views.hidden_types(caller.scopes)
    page = await events.list_account_events(session, ids, after, hidden=hidden, limit=limit)
    return event_views.event_list(page, settings, caller.scopes)
