"""Response models of checkpoints and sealed events."""

from datetime import datetime

from identity_service.events.schemas import EventView
from identity_service.web.schemas import ResponseModel


class CheckpointView(ResponseModel):
    """A signed checkpoint of the sealed feed; keep `statement` elsewhere to detect a later rewrite."""

    position: int
    seal: str
    occurred_at: datetime
    statement: str


class CheckpointList(ResponseModel):
    """Checkpoints, newest first."""

    items: list[CheckpointView]
    next: str | None


class SealedEventView(ResponseModel):
    """A sealed event: recompute SHA-256(previous seal + canonical event) and compare."""

    position: int
    seal: str
    event: EventView


class SealedEventList(ResponseModel):
    """Sealed events by position."""

    items: list[SealedEventView]
    next: str | None
