"""Request and response models of messages, relays and suppressions."""

import uuid
from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from identity_service.messages.kinds import CHANNELS, KINDS
from identity_service.messages.rules import FeedbackType, MessageState, Outcome, Phase
from identity_service.web.schemas import RequestModel, ResponseModel, values_of


class DailyMessageCount(ResponseModel):
    """Messages of each purpose that were enqueued on one day; marketing is always 0."""

    day: str
    security: int
    account: int
    privacy: int
    marketing: int


class PublishedCheckpoint(ResponseModel):
    """The newest published checkpoint."""

    position: int
    seal: str


class MailTransparency(ResponseModel):
    """Messages per day and purpose; `statement` is a JWS over the same numbers."""

    days: list[DailyMessageCount]
    head: PublishedCheckpoint | None
    counted_at: datetime
    statement: str


State = Literal[
    "queued", "sending", "deferred", "accepted", "delivered", "unconfirmed", "rejected", "bounced", "expired",
    "suppressed", "limited", "cancelled", "failed",
]  # fmt: skip


class TimelineEntry(ResponseModel):
    """One entry of a message's timeline; `reply` is the mail server's reply, verbatim."""

    occurred_at: datetime
    kind: Annotated[str, values_of(dict.fromkeys(("sending", *MessageState, *Outcome, *FeedbackType)))]
    sentence: str
    attempt: int | None = None
    relay: str | None = None
    phase: Annotated[str, values_of(Phase)] | None = None
    code: int | None = None
    enhanced: str | None = None
    reply: str | None = None
    duration_ms: int | None = None
    reconnected: bool | None = None
    source: str | None = None


class MessageView(ResponseModel):
    """One message: its state, also as a sentence, and when it is tried again."""

    id: uuid.UUID
    kind: Annotated[str, values_of(KINDS)]
    user_id: str | None
    channel: Annotated[str, values_of(CHANNELS)]
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
    """One message with its timeline, in order."""

    timeline: list[TimelineEntry]


class MessageList(ResponseModel):
    """Messages, newest first."""

    items: list[MessageView]
    next: str | None


class MessageSearch(RequestModel):
    """The address to search for; it is in the body so that no path and no query contains it."""

    email: Annotated[str, Field(max_length=320)]


class MessageRetry(RequestModel):
    """The relay to try first; without one, the usual order applies."""

    relay: Annotated[str, Field(max_length=32)] | None = None


class WorkerRelayState(ResponseModel):
    """The state of a relay as one worker last saw it."""

    worker: str
    breaker: Literal["closed", "open", "half_open"]
    opened_until: datetime | None
    faults_in_a_row: int
    last_reply: str | None
    last_attempt_at: datetime | None
    updated_at: datetime


class RelayView(ResponseModel):
    """A relay and its state as each worker sees it."""

    name: str
    host: str
    port: int
    tls: Literal["implicit", "starttls", "none"]
    connections: int
    workers: list[WorkerRelayState]


class RelayList(ResponseModel):
    """The relays, in order of preference."""

    items: list[RelayView]
    next: str | None


class DomainHealth(ResponseModel):
    """Delivery statistics of one recipient domain for the last hour; seconds from commit to the relay's 250."""

    domain: str
    messages: int
    waiting: int
    p50_s: float | None
    p95_s: float | None
    failed_share: float


class OutboxHealth(ResponseModel):
    """Depth and age of the outbox, and delivery statistics per recipient domain."""

    waiting: int
    sending: int
    due: int
    oldest_s: float | None
    domains: list[DomainHealth]


class SuppressionView(ResponseModel):
    """A suppressed address, identified by its domain and by the message that was refused."""

    id: uuid.UUID
    scope: Literal["asks", "other"]
    reason: Literal["hard_bounce", "complaint", "manual", "stop"]
    domain: str | None
    message_id: uuid.UUID | None
    created_at: datetime
    suppressed_until: datetime


class SuppressionList(ResponseModel):
    """Active suppressions, newest first."""

    items: list[SuppressionView]
    next: str | None
