"""What a decision means, which one counts, and the errors. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal, Protocol

from identity_service.accounts.rules import Permission as Permission  # noqa: PLC0414 (schemas of consents use it)
from identity_service.errors import NotFound, Unprocessable

Decision = Literal["proposed", "granted", "withdrawn"]
DECISIONS: Final = ("proposed", "granted", "withdrawn")

CHANNELS: Final = ("page", "email_link", "app", "phone", "paper", "desk", "import", "merge")
MAIN_PURPOSE: Final = "email"
"""The purpose whose permission the answers of verify contain."""

PURPOSES: Final = {
    "email": "marketing by email",
    "phone": "marketing by phone",
    "post": "marketing by post",
}
"""The purposes that always exist, with their description; a setting adds others."""

ASKED_AT_MOST: Final = 10_000
STATEMENT_LIFE_S: Final = 3600


class UnknownPurpose(NotFound):
    """We don't know this purpose. Check its name."""


class WordingNotFound(NotFound):
    """No wording has this id. `GET /v1/wordings` lists them all."""


class UnknownWording(Unprocessable):
    """This purpose has no such wording. Use one of those listed in `known`."""


@dataclass(frozen=True, slots=True)
class LastDecision:
    """The newest grant or withdrawal of one account for one purpose; `decision` is None without one."""

    decision: str | None
    occurred_at: datetime | None
    entry_id: int | None = None


PROPOSED_FOR: Final = timedelta(days=7)
"""How long a proposal waits for the mailbox: as long as the link in its email is valid."""


class Entry(Protocol):
    """The fields of a ledger entry that rules need."""

    decision: str
    wording_id: str | None
    language: str | None
    occurred_at: datetime


def is_the_same_proposal(
    newest: Entry, wording_id: str, language: str, *, valid_after: datetime | None, now: datetime
) -> bool:
    """Return whether proposing this wording only repeats a proposal whose link is still valid.

    `valid_after` is the account's `tokens_valid_after`: links from before are invalid.
    """
    known = (newest.decision, newest.wording_id, newest.language)
    is_valid = now - newest.occurred_at < PROPOSED_FOR and (valid_after is None or newest.occurred_at > valid_after)
    return known == ("proposed", wording_id, language) and is_valid


def describe_permission(allowed: list[str]) -> str:
    """Return the sentence that tells a clerk what marketing a customer has allowed."""
    if not allowed:
        return "This customer gets no marketing from us, only emails about their account."
    names = ", ".join(PURPOSES.get(purpose, purpose) for purpose in allowed)
    return f"This customer has allowed {names}, and nothing else."


def strictest(own: LastDecision, others: Iterable[tuple[LastDecision, datetime]]) -> LastDecision:
    """Return the decision that counts for an account that others were merged into, each with the time of its merge.

    A decision after a merge overrides the merged account's; otherwise the strictest counts: withdrawn before silence,
    and silence before granted.
    """
    decisions = [own]
    decisions += [last for last, merged_at in others if own.occurred_at is None or own.occurred_at <= merged_at]
    order = {"withdrawn": 0, None: 1, "granted": 2}
    return min(decisions, key=lambda last: order[last.decision])
