"""The door that shows what waits for a mailbox, a second person or time; approving is done in the console alone."""

import uuid
from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Query

from identity_service import problems, tokens, user_ids
from identity_service.clients import access
from identity_service.doors import Door, Keys, Session, View
from identity_service.life import guarded
from identity_service.life.tables import PendingChange

router = APIRouter(prefix="/v1", route_class=Door, tags=["life"])


class ApprovalView(View):
    """A guarded change that a desk asked for and that has not ended. `reason` is why the mailbox cannot be asked."""

    id: uuid.UUID
    user_id: str
    verb: str
    reason: str | None
    asked_by: str
    asked_at: datetime
    waits_for: Literal["mailbox", "second_person", "time"]
    approved_by: str | None
    due_at: datetime | None


class ApprovalsView(View):
    """Changes that wait, oldest first."""

    items: list[ApprovalView]
    next: str | None


@router.get(
    "/approvals",
    dependencies=[access.requires("audit:read")],
    responses=problems.documented(tokens.InvalidCursor, *access.REFUSALS),
)
async def list_approvals(
    session: Session,
    keys: Keys,
    after: Annotated[str | None, Query(max_length=200)] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> ApprovalsView:
    """Read what desks have asked for and nobody has confirmed, carried out or stopped yet, with who asked and why."""
    behind = None
    if after is not None:
        at, change_id = tokens.read_cursor(keys.internal(), "approvals", after)
        behind = (datetime.fromisoformat(at), uuid.UUID(change_id))
    found = await guarded.open_changes(session, after=behind, limit=limit + 1)
    shown, more = found[:limit], None
    if len(found) > limit:
        more = tokens.make_cursor(keys.internal(), "approvals", shown[-1].asked_at.isoformat(), str(shown[-1].id))
    return ApprovalsView(items=[_view(change) for change in shown], next=more)


def _view(change: PendingChange) -> ApprovalView:
    return ApprovalView(
        id=change.id, user_id=user_ids.show(change.user_id), verb=change.verb, reason=change.reason,
        asked_by=change.asked_by, asked_at=change.asked_at, approved_by=change.approved_by, due_at=change.due_at,
        waits_for="time" if change.due_at else "mailbox" if change.proof_id else "second_person",
    )  # fmt: skip
