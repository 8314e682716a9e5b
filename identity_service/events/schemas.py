"""Response models of events."""

from datetime import datetime
from typing import Any, Literal

from pydantic import Field
from sqlalchemy import Row

from identity_service.settings import Settings
from identity_service.values import user_ids
from identity_service.web.schemas import ResponseModel


class EventView(ResponseModel):
    """One event in the format of CloudEvents 1.0; `sequence` is its position in the sealed order."""

    specversion: Literal["1.0"]
    id: str
    type: str = Field(examples=["account.registered"])
    source: str
    subject: str | None = Field(description="the User ID that the event is about, if any")
    time: datetime
    sequence: int
    actor: str
    data: dict[str, Any]


class EventList(ResponseModel):
    """A page of the feed. `next` continues from here, even when there is nothing new yet."""

    items: list[EventView]
    next: str | None


def event_view(event: Row[Any], settings: Settings) -> EventView:
    """Return a sealed event in the format of the API."""
    return EventView(
        specversion="1.0",
        id=str(event.id),
        type=event.name,
        source=settings.public_url,
        subject=None if event.user_id is None else user_ids.show(event.user_id),
        time=event.occurred_at,
        sequence=event.position,
        actor=event.actor,
        data=event.data,
    )
