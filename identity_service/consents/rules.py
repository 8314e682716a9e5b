"""What a decision means, whose word counts, and what is refused. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal, Protocol

from identity_service.errors import NotFound, Unprocessable

Decision = Literal["proposed", "granted", "withdrawn"]
DECISIONS: Final = ("proposed", "granted", "withdrawn")
Permission = Literal["never", "allowed"]
CHANNELS: Final = ("page", "letter", "app", "phone", "paper", "desk", "import", "merge")
MAIN_PURPOSE: Final = "email"
"""The purpose that verify answers speak of."""

PURPOSES: Final = {
    "email": "marketing by e-mail",
    "phone": "marketing by phone",
    "post": "marketing by post",
}
"""The purposes there always are, in words; a setting adds others."""

ASKED_AT_MOST: Final = 10_000
STATEMENT_LIFE_S: Final = 3600


class UnknownPurpose(NotFound):
    """There is no such purpose."""


class UnknownWording(Unprocessable):
    """There is no such wording for this purpose; the known ones are listed in `known`."""


@dataclass(frozen=True, slots=True)
class LastWord:
    """The newest grant or withdrawal of one account for one purpose; `decision` None: silence."""

    decision: str | None
    at: datetime | None
    entry_id: int | None = None


PROPOSED_FOR: Final = timedelta(days=7)
"""How long a proposal waits for the mailbox; as long as the link in its letter is good."""


class Entry(Protocol):
    """What a rule needs to know of an entry in the ledger."""

    decision: str
    wording_id: str | None
    language: str | None
    at: datetime


def is_the_same_proposal(
    newest: Entry, wording_id: str, language: str, *, valid_after: datetime | None, now: datetime
) -> bool:
    """Tell whether proposing this wording only repeats a proposal whose letter can still be answered.

    `valid_after` is the account's `proofs_valid_after`: the links of letters from before are dead.
    """
    said = (newest.decision, newest.wording_id, newest.language)
    is_good = now - newest.at < PROPOSED_FOR and (valid_after is None or newest.at > valid_after)
    return said == ("proposed", wording_id, language) and is_good


def permission(decision: str | None) -> Permission:
    """Return what follows from a decision: only a grant allows; silence, proposed and withdrawn do not (PRV-01)."""
    return "allowed" if decision == "granted" else "never"


def sentence(allowed: list[str]) -> str:
    """Return what a clerk reads out about marketing."""
    if not allowed:
        return "We do not send you any marketing. Only what concerns your account."
    return f"You have allowed: {', '.join(PURPOSES.get(purpose, purpose) for purpose in allowed)}. Nothing else."


def strictest(own: LastWord, others: Iterable[tuple[LastWord, datetime]]) -> LastWord:
    """Return the word that counts for an account that others were merged into, each with the moment of its merge.

    What the customer said after a merge counts alone; otherwise the stricter word wins: withdrawn before silence, and
    silence before a grant.
    """
    words = [own]
    words += [word for word, merged_at in others if own.at is None or own.at <= merged_at]
    order = {"withdrawn": 0, None: 1, "granted": 2}
    return min(words, key=lambda word: order[word.decision])
