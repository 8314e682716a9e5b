"""Where mail is, for services and support: messages with their whole timeline, relays, health, suppressions.

Bodies, links and codes stand in none of these answers; they stand nowhere. Without `accounts:read_personal` an address
is masked, in replies that quote it too.
"""

import asyncio
import uuid
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from fastapi.responses import StreamingResponse
from pydantic import Field

from identity_service import doors, email_addresses, idempotency, keyring, problems, throttle, tokens, user_ids
from identity_service.accounts import merges
from identity_service.clients import access
from identity_service.clients.access import Caller
from identity_service.database import AsyncSession
from identity_service.doors import Door, Moment, Now, Session, Shape, View
from identity_service.email_addresses import MalformedEmailAddress
from identity_service.errors import Problem
from identity_service.mail import actions, rules, suppressions, words
from identity_service.user_ids import MalformedUserId

State = Literal[
    "queued", "sending", "deferred", "accepted", "delivered", "unconfirmed", "rejected", "bounced", "expired",
    "suppressed", "cancelled", "failed",
]  # fmt: skip
SEARCHES = "600/minute"
STREAM_SECONDS = 300
LOOK_EVERY = 0.5

router = APIRouter(prefix="/v1", route_class=Door, tags=["mail"])


class TimelineEntry(View):
    """One thing that happened to a message; `reply` is what a mail server said, word for word."""

    at: datetime
    what: str
    sentence: str
    attempt: int | None = None
    relay: str | None = None
    phase: str | None = None
    code: int | None = None
    enhanced: str | None = None
    reply: str | None = None
    duration_ms: int | None = None
    reconnected: bool | None = None
    source: str | None = None


class MessageView(View):
    """One letter: its state in a sentence, and when it is tried again."""

    id: uuid.UUID
    kind: str
    user_id: str | None
    to: str | None
    state: State
    sentence: str
    created_at: datetime
    state_changed_at: datetime
    next_attempt_at: datetime | None
    deadline_at: datetime
    attempts: int
    accepted_at: datetime | None
    accepted_relay: str | None
    relay_queue_id: str | None
    may_arrive_twice: bool
    delayed_since: datetime | None
    resend_of: uuid.UUID | None


class MessageWithTimeline(MessageView):
    """One letter with everything that happened to it, in order."""

    timeline: list[TimelineEntry]


class MessagesView(View):
    """Messages, newest first."""

    items: list[MessageView]
    next: str | None


class AddressSearch(Shape):
    """An address, in the body: it stands in no path and no query."""

    email: Annotated[str, Field(max_length=320)]


class SendAgain(Shape):
    """Which relay to begin with, if it matters."""

    relay: Annotated[str, Field(max_length=32)] | None = None


class WorkerView(View):
    """What one worker last saw of a relay."""

    worker: str
    breaker: Literal["closed", "open", "half_open"]
    opened_until: datetime | None
    faults_in_a_row: int
    last_reply: str | None
    last_attempt_at: datetime | None
    updated_at: datetime


class RelayView(View):
    """A relay, in order of preference."""

    name: str
    host: str
    port: int
    tls: Literal["implicit", "starttls", "none"]
    connections: int
    workers: list[WorkerView]


class RelaysView(View):
    """The relays."""

    items: list[RelayView]
    next: str | None


class DomainHealth(View):
    """How mail to one domain fared within the last hour; seconds from commit to the relay's 250."""

    domain: str
    letters: int
    waiting: int
    p50_s: float | None
    p95_s: float | None
    failed_share: float


class HealthView(View):
    """How the outbox is."""

    waiting: int
    sending: int
    due: int
    oldest_s: float | None
    domains: list[DomainHealth]


class SuppressionView(View):
    """An address that is left alone until a moment; it is told by its domain and the message that showed it."""

    id: uuid.UUID
    scope: Literal["asks", "other"]
    reason: Literal["hard_bounce", "complaint", "manual"]
    domain: str | None
    message_id: uuid.UUID | None
    created_at: datetime
    until: datetime


class SuppressionsView(View):
    """Suppressions that hold now."""

    items: list[SuppressionView]
    next: str | None


def _fields(message: Any, *, whole: bool) -> dict[str, Any]:  # noqa: ANN401
    return {
        "id": message.id,
        "kind": message.kind,
        "user_id": None if message.user_id is None else user_ids.show(message.user_id),
        "to": message.to_addr if whole or message.to_addr is None else email_addresses.mask(message.to_addr),
        "state": message.state,
        "sentence": words.of_message(message.state, message.last_class, message.next_attempt_at),
        "created_at": message.created_at,
        "state_changed_at": message.state_changed_at,
        "next_attempt_at": message.next_attempt_at,
        "deadline_at": message.deadline_at,
        "attempts": message.attempts,
        "accepted_at": message.accepted_at,
        "accepted_relay": message.accepted_relay,
        "relay_queue_id": message.relay_queue_id,
        "may_arrive_twice": message.maybe_sent,
        "delayed_since": message.delayed_since,
        "resend_of": message.resend_of,
    }


def message_view(fate: actions.Fate, caller: access.Access) -> MessageWithTimeline:
    """Return a message with its timeline as this caller may see it."""
    whole = "accounts:read_personal" in caller.scopes
    entries = words.timeline(fate.message, fate.attempts, fate.feedback)
    if not whole:
        for entry in entries:
            entry["reply"] = email_addresses.mask_all(entry.get("reply"))
    timeline = [TimelineEntry(**entry) for entry in entries]
    return MessageWithTimeline(**_fields(fate.message, whole=whole), timeline=timeline)


async def _page(
    session: AsyncSession,
    caller: access.Access,
    after: str | None,
    limit: int,
    **wanted: Any,  # noqa: ANN401
) -> MessagesView:
    before = _read_place(session, "messages", after)
    found = list(await actions.listing(session, before=before, limit=limit + 1, **wanted))
    last = found[limit - 1] if len(found) > limit else None
    whole = "accounts:read_personal" in caller.scopes
    items = [MessageView(**_fields(m, whole=whole)) for m in found[:limit]]
    return MessagesView(items=items, next=_place(session, "messages", last))


def _place(session: AsyncSession, of: str, last: Any) -> str | None:  # noqa: ANN401
    """Return the cursor behind the last row of a page; None where nothing follows."""
    if last is None:
        return None
    return tokens.make_cursor(keyring.of(session).internal(), of, last.created_at.isoformat(), str(last.id))


def _read_place(session: AsyncSession, of: str, after: str | None) -> tuple[datetime, uuid.UUID] | None:
    if after is None:
        return None
    at, row_id = tokens.read_cursor(keyring.of(session).internal(), of, after)
    return datetime.fromisoformat(at), uuid.UUID(row_id)


@router.get(
    "/messages",
    dependencies=[access.requires("messages:read")],
    responses=problems.documented(MalformedUserId, tokens.InvalidCursor, *access.REFUSALS),
)
async def list_messages(
    session: Session,
    caller: Caller,
    user_id: Annotated[str | None, Query(max_length=40)] = None,
    state: State | None = None,
    kind: Annotated[str | None, Query(max_length=40)] = None,
    since: Moment | None = None,
    after: Annotated[str | None, Query(max_length=300)] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> MessagesView:
    """List messages, newest first: of one customer, in one state, since a moment."""
    ids = None if user_id is None else await merges.every_id(session, user_ids.parse(user_id))
    return await _page(session, caller, after, limit, user_ids=ids, state=state, kind=kind, since=since)


@router.post(
    "/messages/search",
    dependencies=[access.requires("messages:read")],
    responses=problems.documented(
        MalformedEmailAddress, tokens.InvalidCursor, throttle.TooManyRequests, *access.REFUSALS
    ),
)
async def search_messages(
    request: Request,
    body: AddressSearch,
    session: Session,
    caller: Caller,
    settings: doors.Settings,
    after: Annotated[str | None, Query(max_length=300)] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> MessagesView:
    """Find the messages to one address, newest first."""
    await request.app.state.throttle.hit("message-search", SEARCHES, caller.client_id)
    address = email_addresses.parse(body.email, special_use=settings.development)
    to_hash = keyring.of(session).address_hash(address.key)
    return await _page(session, caller, after, limit, to_hash=to_hash)


@router.get(
    "/messages/{message_id}",
    dependencies=[access.requires("messages:read")],
    responses=problems.documented(rules.UnknownMessage, *access.REFUSALS),
)
async def read_message(message_id: uuid.UUID, session: Session, caller: Caller) -> MessageWithTimeline:
    """Read one message with its whole timeline: every try, every reply, everything that came back."""
    return message_view(await actions.fate(session, message_id), caller)


@router.get(
    "/messages/{message_id}/stream",
    dependencies=[access.requires("messages:read")],
    responses={
        **problems.documented(rules.UnknownMessage, *access.REFUSALS),
        200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}, "description": "Server-sent events"},
    },
    response_class=StreamingResponse,
)
async def stream_message(request: Request, message_id: uuid.UUID, caller: Caller) -> StreamingResponse:
    """Follow one message live, an event `message` per change, until it is final, its token dies or 5 minutes end."""
    database = doors.database_of(request)
    first = await database.short(lambda session: actions.fate(session, message_id))

    async def changes() -> AsyncIterator[bytes]:
        fate, told, loop = first, b"", asyncio.get_running_loop()
        until = loop.time() + STREAM_SECONDS
        while True:
            now_said = message_view(fate, caller).model_dump_json().encode()
            if now_said != told:
                told = now_said
                yield b"event: message\ndata: " + told + b"\n\n"
            if words.is_final(fate.message.state) or loop.time() > until or await request.is_disconnected():
                return
            await asyncio.sleep(LOOK_EVERY)
            try:
                access.authenticate(request, ["messages:read"])
            except Problem:
                return
            fate = await database.short(lambda session: actions.fate(session, message_id))

    return StreamingResponse(changes(), media_type="text/event-stream")


@router.post(
    "/messages/{message_id}/send-again",
    status_code=202,
    dependencies=[access.requires("messages:send"), idempotency.Repeatable],
    responses=problems.documented(
        rules.UnknownMessage, rules.UnknownRelay, rules.CannotSendAgain, *idempotency.REFUSALS, *access.REFUSALS
    ),
)
async def send_message_again(
    message_id: uuid.UUID, body: SendAgain, session: Session, caller: Caller, now: Now
) -> MessageWithTimeline:
    """Try a pending message now, by the relay named if one is; an ended one gets a successor, which is answered."""
    successor = await actions.send_again(session, message_id, relay=body.relay, actor=caller.actor, now=now)
    return message_view(await actions.fate(session, successor), caller)


@router.get("/relays", dependencies=[access.requires("mail:operate")], responses=problems.documented(*access.REFUSALS))
async def list_relays(session: Session, settings: doors.Settings) -> RelaysView:
    """List the relays in order of preference, and what each worker thinks of them."""
    states = await actions.relay_states(session)
    items = [
        RelayView(
            **_columns(relay, RelayView, "workers"),
            workers=[
                WorkerView(**{**_columns(seen, WorkerView), "last_reply": email_addresses.mask_all(seen.last_reply)})
                for seen in states
                if seen.relay == relay.name
            ],
        )
        for relay in settings.relays
    ]
    return RelaysView(items=items, next=None)


@router.get(
    "/mail/health", dependencies=[access.requires("mail:operate")], responses=problems.documented(*access.REFUSALS)
)
async def read_mail_health(session: Session, now: Now) -> HealthView:
    """Read how the outbox is, and how mail to each domain fared within the last hour."""
    return HealthView(**await actions.health(session, now=now))


@router.get(
    "/suppressions",
    dependencies=[access.requires("mail:operate")],
    responses=problems.documented(tokens.InvalidCursor, *access.REFUSALS),
)
async def list_suppressions(
    session: Session,
    now: Now,
    after: Annotated[str | None, Query(max_length=300)] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 100,
) -> SuppressionsView:
    """List the addresses that are left alone now, newest first, by their domain."""
    before = _read_place(session, "suppressions", after)
    rows = await suppressions.listing(session, before=before, now=now, limit=limit + 1)
    last = rows[limit - 1][0] if len(rows) > limit else None
    items = [_suppression(suppression, domain) for suppression, domain in rows[:limit]]
    return SuppressionsView(items=items, next=_place(session, "suppressions", last))


@router.post(
    "/suppressions/{suppression_id}/lift",
    dependencies=[access.requires("mail:operate"), idempotency.Repeatable],
    responses=problems.documented(rules.UnknownSuppression, *idempotency.REFUSALS, *access.REFUSALS),
)
async def lift_suppression(suppression_id: uuid.UUID, session: Session, caller: Caller, now: Now) -> SuppressionView:
    """Allow an address again."""
    return _suppression(*await suppressions.lift(session, suppression_id, by=caller.actor, now=now))


def _suppression(suppression: Any, domain: str | None) -> SuppressionView:  # noqa: ANN401
    return SuppressionView(**_columns(suppression, SuppressionView, "domain"), domain=domain)


def _columns(row: Any, view: type[View], *others: str) -> dict[str, Any]:  # noqa: ANN401
    """Return the fields of a view that stand in a row under the same name."""
    return {name: getattr(row, name) for name in view.model_fields if name not in others}
