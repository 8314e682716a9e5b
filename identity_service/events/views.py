"""Show events as a caller may see them: without `audit:read`, nothing tells what which person of the staff did.

Data is sent as it was sealed, not read through the models of `data.py`: an event may have been recorded when its type
had other members, and whoever recomputes the seals needs it unchanged.
"""

from collections.abc import Collection
from datetime import UTC
from typing import Any, Final

from fastapi.responses import JSONResponse
from sqlalchemy import Row

from identity_service.events import rules
from identity_service.events.actions import Page
from identity_service.events.data import hide_people
from identity_service.settings import Settings
from identity_service.values import user_ids

SEES_STAFF: Final = "audit:read"
"""The scope with which a reader sees what staff and administrators did, and the names of staff."""


def hidden_types(scopes: Collection[str]) -> frozenset[str]:
    """Return the types of events that a caller with these scopes does not see."""
    return frozenset() if SEES_STAFF in scopes else rules.AUDIT_ONLY


def event_list(page: Page, settings: Settings, scopes: Collection[str]) -> JSONResponse:
    """Return a page in the format of `schemas.EventList`."""
    items = [event_members(event, settings, scopes) for event in page.events]
    return JSONResponse({"items": items, "next": page.cursor, "epoch": page.epoch})


def event_members(event: Row[Any], settings: Settings, scopes: Collection[str]) -> dict[str, Any]:
    """Return a sealed event in the format of `schemas.EventView`."""
    sees_staff = SEES_STAFF in scopes
    return {
        "specversion": "1.0",
        "id": str(event.public_id),
        "type": event.name,
        "source": settings.public_url,
        "subject": None if event.user_id is None else user_ids.show(event.user_id),
        "time": event.occurred_at.astimezone(UTC).isoformat().replace("+00:00", "Z"),
        "sequence": event.position,
        "actor": event.actor if sees_staff else rules.hide_person(event.actor),
        "data": event.data if sees_staff else hide_people(event.name, event.data),
    }
