"""The list of guarded changes that wait; approving is possible only in the console."""

import uuid
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query

from identity_service.approvals import actions
from identity_service.approvals.schemas import ApprovalList, ApprovalView
from identity_service.approvals.tables import PendingChange
from identity_service.values import user_ids
from identity_service.web import authentication, pagination, problems
from identity_service.web.dependencies import Keys, Session
from identity_service.web.routing import StrictRoute

router = APIRouter(prefix="/v1", route_class=StrictRoute, tags=["approvals"])


@router.get(
    "/approvals",
    dependencies=[authentication.requires("audit:read")],
    responses=problems.error_responses(pagination.InvalidCursor, *authentication.AUTH_ERRORS),
)
async def list_approvals(
    session: Session,
    keys: Keys,
    after: Annotated[str | None, Query(max_length=200)] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> ApprovalList:
    """List the guarded changes that desks requested and that are not yet carried out or stopped, oldest first."""
    position = None
    if after is not None:
        at, change_id = pagination.read_cursor(keys.internal(), "approvals", after)
        position = (datetime.fromisoformat(at), uuid.UUID(change_id))
    found = await actions.list_open_changes(session, after=position, limit=limit + 1)
    shown, cursor = found[:limit], None
    if len(found) > limit:
        cursor = pagination.make_cursor(
            keys.internal(), "approvals", shown[-1].requested_at.isoformat(), str(shown[-1].id)
        )
    return ApprovalList(items=[_approval(change) for change in shown], next=cursor)


def _approval(change: PendingChange) -> ApprovalView:
    return ApprovalView(
        id=change.id, user_id=user_ids.show(change.user_id), verb=change.verb, reason=change.reason,
        requested_by=change.requested_by, requested_at=change.requested_at, approved_by=change.approved_by,
        due_at=change.due_at,
        waits_for="time" if change.due_at else "mailbox" if change.token_id else "second_person",
    )  # fmt: skip
