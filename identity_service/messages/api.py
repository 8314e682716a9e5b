"""Message endpoints for services and support: messages with their timelines, relays, health, suppressions.

No response contains a body, link or code; none of them is stored. Without `accounts:read_personal` addresses are
masked, also in replies that quote them.
"""

import uuid
from datetime import datetime
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import StreamingResponse

from identity_service.account_access import dependencies as access_dependencies
from identity_service.accounts import ownership
from identity_service.database.transactions import DatabaseSession
from identity_service.messages import actions, descriptions, retries, rules, suppressions, views
from identity_service.messages import dependencies as messages_dependencies
from identity_service.messages.schemas import (
    MessageList,
    MessageRetry,
    MessageSearch,
    MessageView,
    MessageWithTimeline,
    OutboxHealth,
    RelayList,
    RelayView,
    State,
    SuppressionList,
    SuppressionView,
    WorkerRelayState,
)
from identity_service.values import email_addresses, user_ids
from identity_service.values.email_addresses import MalformedEmailAddress
from identity_service.values.user_ids import MalformedUserId
from identity_service.web import authentication, dependencies, idempotency, pagination, problems, rate_limits, streams
from identity_service.web.authentication import Caller, Person
from identity_service.web.dependencies import Now, Session
from identity_service.web.routing import StrictRoute
from identity_service.web.schemas import ResponseModel, Timestamp

SEARCHES = "600/minute"

router = APIRouter(prefix="/v1", route_class=StrictRoute, tags=["mail"])


async def _page(
    session: DatabaseSession,
    caller: authentication.Client,
    after: str | None,
    limit: int,
    *,
    person: str,
    now: datetime,
    **wanted: Any,  # noqa: ANN401
) -> MessageList:
    before = pagination.read_row_cursor(session.keys.internal(), "messages", after)
    found = list(await actions.list_messages(session, before=before, limit=limit + 1, **wanted))
    last = found[limit - 1] if len(found) > limit else None
    # A list of everybody's messages would be a list of everybody's addresses (NOM-05).
    whole = views.sees_addresses(caller) and (
        wanted.get("user_ids") is not None or wanted.get("recipient_hash") is not None
    )
    items = [MessageView(**views._fields(m, whole=whole)) for m in found[:limit]]
    if whole:
        await actions.record_reading(session, {m.user_id for m in found[:limit]}, actor=person, now=now)
    return MessageList(items=items, next=_cursor(session, "messages", last))


def _cursor(session: DatabaseSession, of: str, last: Any) -> str | None:  # noqa: ANN401
    """Return the cursor after the last row of a page, or None for the last page."""
    if last is None:
        return None
    return pagination.make_row_cursor(session.keys.internal(), of, last.created_at, last.id)


@router.get(
    "/messages",
    dependencies=[authentication.requires("messages:read")],
    responses=problems.error_responses(
        MalformedUserId, pagination.InvalidCursor, *access_dependencies.ACCESS_ERRORS, *authentication.AUTH_ERRORS
    ),
)
async def list_messages(
    session: Session,
    caller: Caller,
    person: Person,
    now: Now,
    user_id: Annotated[str | None, Query(max_length=40)] = None,
    state: State | None = None,
    kind: Annotated[str | None, Query(max_length=40)] = None,
    since: Timestamp | None = None,
    after: Annotated[str | None, Query(max_length=300)] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    x_contact: access_dependencies.InContact = None,
) -> MessageList:
    """List messages, newest first; filter by customer, state, kind or creation time.

    Whole addresses need `accounts:read_personal` and one customer; the customer's export says who read them. A desk
    reads the messages of an account that it has opened in a contact.
    """
    wanted = None if user_id is None else user_ids.parse(user_id)
    await messages_dependencies.check_desk(session, caller, person, wanted, x_contact, now=now)
    ids = None if wanted is None else await ownership.user_ids_or_self(session, wanted)
    filters = {"user_ids": ids, "state": state, "kind": kind, "since": since}
    return await _page(session, caller, after, limit, person=person, now=now, **filters)


@router.post(
    "/messages/search",
    dependencies=[authentication.requires("messages:read")],
    responses=problems.error_responses(
        MalformedEmailAddress,
        pagination.InvalidCursor,
        rate_limits.TooManyRequests,
        *access_dependencies.ACCESS_ERRORS,
        *authentication.AUTH_ERRORS,
    ),
)
async def search_messages(
    request: Request,
    body: MessageSearch,
    session: Session,
    caller: Caller,
    person: Person,
    now: Now,
    settings: dependencies.Settings,
    after: Annotated[str | None, Query(max_length=300)] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    x_contact: access_dependencies.InContact = None,
) -> MessageList:
    """Find the messages to one address, newest first; a desk: if it has opened the account of that address."""
    await request.app.state.throttle.hit("message-search", SEARCHES, caller.client_id)
    address = email_addresses.parse_pasted(body.email, special_use=settings.development)
    owner = await ownership.active_user_id(session, address) if caller.desk else None
    await messages_dependencies.check_desk(session, caller, person, owner, x_contact, now=now)
    recipient_hash = session.keys.address_hash(address.key)
    return await _page(session, caller, after, limit, person=person, now=now, recipient_hash=recipient_hash)


@router.get(
    "/messages/{message_id}",
    dependencies=[authentication.requires("messages:read")],
    responses=problems.error_responses(
        rules.UnknownMessage, *access_dependencies.ACCESS_ERRORS, *authentication.AUTH_ERRORS
    ),
)
async def read_message(
    message_id: uuid.UUID,
    session: Session,
    caller: Caller,
    person: Person,
    now: Now,
    x_contact: access_dependencies.InContact = None,
) -> MessageWithTimeline:
    """Read one message with its whole timeline: every attempt, every reply, all feedback."""
    loaded = await messages_dependencies.open_message(session, message_id, caller, person, x_contact, now=now)
    return views.message_view(loaded, caller)


# One event, as OpenAPI 3.2 writes streams; tools of 3.1 pass over the keyword.
_EVENT = {
    "type": "object",
    "properties": {
        "id": {"type": "string"},
        "event": {"const": "message"},
        "data": {
            "type": "string",
            "contentMediaType": "application/json",
            "contentSchema": {"$ref": "#/components/schemas/MessageWithTimeline"},
        },
    },
    "required": ["id", "event", "data"],
}


@router.get(
    "/messages/{message_id}/stream",
    dependencies=[authentication.requires("messages:read")],
    responses={
        **problems.error_responses(
            rules.UnknownMessage,
            rate_limits.TooManyRequests,
            *access_dependencies.ACCESS_ERRORS,
            *authentication.AUTH_ERRORS,
        ),
        200: {"content": {"text/event-stream": {"itemSchema": _EVENT}}, "description": "Server-sent events"},
        204: {"description": "Nothing more can come after the event named in Last-Event-ID"},
    },
    response_class=StreamingResponse,
)
async def stream_message(
    request: Request,
    message_id: uuid.UUID,
    caller: Caller,
    person: Person,
    now: Now,
    x_contact: access_dependencies.InContact = None,
) -> Response:
    """Stream a `message` event for every change, until nothing more can come; after 5 minutes, reconnect.

    The stream also ends with the token. Send the newest id as Last-Event-ID, as every EventSource does.
    """
    database = dependencies.database_of(request)
    await database.in_transaction(
        lambda session: messages_dependencies.open_message(session, message_id, caller, person, x_contact, now=now)
    )
    load = partial(_load_snapshot, request, message_id, caller)
    return await streams.stream_changes(request, str(message_id), "message", load)


async def _load_snapshot(request: Request, message_id: uuid.UUID, caller: Caller) -> streams.Snapshot:
    authentication.authenticate(request, ["messages:read"])
    database, read_at = dependencies.database_of(request), dependencies.now_of(request)
    timeline = await database.in_transaction(lambda session: actions.load_timeline(session, message_id))
    message = timeline.message
    data = views.message_view(timeline, caller).model_dump_json().encode()
    ended = not rules.may_change(message.state, message.accepted_at or message.created_at, read_at)
    return streams.Snapshot(data, ended, is_slow=descriptions.is_final(message.state))


@router.post(
    "/messages/{message_id}/retry",
    status_code=202,
    dependencies=[authentication.requires("messages:send"), idempotency.Repeatable],
    responses=problems.error_responses(
        rules.UnknownMessage,
        rules.UnknownRelay,
        rules.CannotRetry,
        rules.TokenEnded,
        rules.AddressSuppressed,
        rate_limits.TooManyRequests,
        *idempotency.IDEMPOTENCY_ERRORS,
        *authentication.PERSON_ERRORS,
    ),
)
async def retry_message(
    message_id: uuid.UUID, body: MessageRetry, session: Session, caller: Caller, person: Person, now: Now
) -> MessageWithTimeline:
    """Retry a pending message now, first at the relay named; send a final one again as a new message, and return it.

    A message whose link has ended is not sent again; neither is one to a suppressed address, except by a caller that
    has `mail:operate` as well. One message is sent again at most three times an hour.
    """
    successor = await retries.retry_message(
        session, message_id, relay=body.relay, despite_suppression="mail:operate" in caller.scopes, actor=person,
        now=now,
    )  # fmt: skip
    return views.message_view(await actions.load_timeline(session, successor), caller)


@router.get(
    "/relays",
    dependencies=[authentication.requires("mail:operate")],
    responses=problems.error_responses(*authentication.AUTH_ERRORS),
)
async def list_relays(session: Session, settings: dependencies.Settings) -> RelayList:
    """List the relays in order of preference, with their state as each worker sees it."""
    states = await actions.relay_states(session)
    items = [
        RelayView(
            **_columns(relay, RelayView, "workers"),
            workers=[
                WorkerRelayState(
                    **{**_columns(seen, WorkerRelayState), "last_reply": email_addresses.mask_all(seen.last_reply)}
                )
                for seen in states
                if seen.relay == relay.name
            ],
        )
        for relay in settings.relays
    ]
    return RelayList(items=items, next=None)


@router.get(
    "/mail/health",
    dependencies=[authentication.requires("mail:operate")],
    responses=problems.error_responses(*authentication.AUTH_ERRORS),
)
async def read_mail_health(session: Session, now: Now) -> OutboxHealth:
    """Read depth and age of the outbox, and delivery statistics per recipient domain of the last hour."""
    return OutboxHealth(**await actions.outbox_health(session, now=now))


@router.get(
    "/suppressions",
    dependencies=[authentication.requires("mail:operate")],
    responses=problems.error_responses(pagination.InvalidCursor, *authentication.AUTH_ERRORS),
)
async def list_suppressions(
    session: Session,
    now: Now,
    after: Annotated[str | None, Query(max_length=300)] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 100,
) -> SuppressionList:
    """List active suppressions, newest first; each names the domain of its address only."""
    before = pagination.read_row_cursor(session.keys.internal(), "suppressions", after)
    rows = await suppressions.list_suppressions(session, before=before, now=now, limit=limit + 1)
    last = rows[limit - 1][0] if len(rows) > limit else None
    items = [_suppression(suppression, domain) for suppression, domain in rows[:limit]]
    return SuppressionList(items=items, next=_cursor(session, "suppressions", last))


@router.post(
    "/suppressions/{suppression_id}/lift",
    dependencies=[authentication.requires("mail:operate"), idempotency.Repeatable],
    responses=problems.error_responses(
        rules.UnknownSuppression, *idempotency.IDEMPOTENCY_ERRORS, *authentication.PERSON_ERRORS
    ),
)
async def lift_suppression(suppression_id: uuid.UUID, session: Session, person: Person, now: Now) -> SuppressionView:
    """Lift a suppression, so that messages are sent to its address again."""
    return _suppression(*await suppressions.lift_suppression(session, suppression_id, by=person, now=now))


def _suppression(suppression: Any, domain: str | None) -> SuppressionView:  # noqa: ANN401
    return SuppressionView(**_columns(suppression, SuppressionView, "domain"), domain=domain)


def _columns(row: Any, view: type[ResponseModel], *others: str) -> dict[str, Any]:  # noqa: ANN401
    """Return the fields of a response model that the row has under the same name."""
    return {name: getattr(row, name) for name in view.model_fields if name not in others}
