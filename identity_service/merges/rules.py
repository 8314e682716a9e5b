"""Which accounts may be merged, and for how long a merge can be undone. Pure."""

from datetime import datetime, timedelta
from typing import Any, Final

from identity_service.errors import Conflict, Forbidden, NotFound

MERGE_UNDO: Final = timedelta(days=30)


class CannotMerge(Conflict):
    """These two accounts can't be merged."""


class MailboxMissing(Forbidden):
    """One of these accounts has no mailbox that can agree. Add one, have a second person approve the merge in the
    console, or have a service ask whose own external references have named both for a week or from the beginning.
    """


class NothingToUndo(NotFound):
    """This account has no merge that you can still undo. You can undo a merge for 30 days."""


def check_mergeable(survivor: Any, duplicate: Any) -> None:  # noqa: ANN401
    """Refuse to merge an account with itself, or accounts of which one is merged, closed or erased.

    Raises:
        CannotMerge: with a detail that names the reason.
    """
    if survivor.user_id == duplicate.user_id:
        raise CannotMerge("An account cannot be merged with itself.")
    for account in (survivor, duplicate):
        if account.state == "merged":
            raise CannotMerge("One of the accounts is already merged; use the User ID that it resolves to.")
        if account.state != "active":
            raise CannotMerge("One of the accounts is closed.")


def may_undo(merged_at: datetime | None, now: datetime) -> bool:
    """Return whether a merge is at most `MERGE_UNDO` old; false without a merge."""
    return merged_at is not None and now - merged_at <= MERGE_UNDO
