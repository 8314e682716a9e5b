"""Answer marketing systems: which accounts may be contacted for a purpose; each question is kept."""

import uuid
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import text

from identity_service.consents import actions
from identity_service.database.transactions import DatabaseSession


class PermissionAnswers(NamedTuple):
    """Which of the accounts may be contacted, in the order of the question, and their addresses if requested."""

    allowed: list[str]
    addresses: dict[str, str]


class PermissionQuestion(NamedTuple):
    """How often marketing systems asked about a customer, and how often the answer was yes."""

    times: int
    allowed: int


async def check_permissions(
    session: DatabaseSession, purpose: str, user_ids: Sequence[str], *, client_id: str, addresses: bool, now: datetime
) -> PermissionAnswers:
    """Return which accounts may be contacted for a purpose; reads the primary, and stores the question as one row
    (NOM-06). Addresses are returned only for allowed accounts, and only if the caller may have them (NOM-05).

    Raises:
        rules.UnknownPurpose
    """
    actions.require_known_purpose(session, purpose)
    ids = " ".join(user_ids)
    rows = await session.execute(_ALLOWED, {"ids": ids, "purpose": purpose})
    allowed = {row.user_id: row.email for row in rows}
    shown = {user_id: email for user_id, email in allowed.items() if addresses and email is not None}
    row = {
        "id": uuid.uuid4(), "client_id": client_id, "purpose": purpose, "occurred_at": now, "ids": ids,
        "allowed": " ".join("t" if user_id in allowed else "f" for user_id in user_ids), "with_addresses": len(shown),
    }  # fmt: skip
    await session.execute(_KEEP, row)
    return PermissionAnswers([user_id for user_id in user_ids if user_id in allowed], shown)


# Up to 10,000 User IDs go to the database as one text: the driver would encode a list item by item, which takes longer
_ALLOWED = text(
    """
    SELECT a.user_id, a.email FROM consent_state s JOIN account a ON a.user_id = s.user_id
    WHERE s.user_id = ANY(string_to_array(:ids, ' ')) AND s.purpose = :purpose AND s.decision = 'granted'
        AND a.state = 'active'
    """
)
_KEEP = text(
    """
    INSERT INTO permission_check (id, client_id, purpose, occurred_at, user_ids, allowed, with_addresses)
    VALUES (:id, :client_id, :purpose, :occurred_at, string_to_array(:ids, ' '),
        CAST(string_to_array(:allowed, ' ') AS boolean[]), :with_addresses)
    """
)


async def list_questions(session: DatabaseSession, user_ids: Sequence[str], *, since: datetime) -> PermissionQuestion:
    """Return how often marketing systems asked about a customer since a time, and how often the answer was yes."""
    row = (await session.execute(_QUESTIONS, {"ids": list(user_ids), "since": since})).one()
    return PermissionQuestion(row.times, row.allowed)


_QUESTIONS = text(
    """
    SELECT count(DISTINCT c.id) AS times, count(DISTINCT c.id) FILTER (WHERE answer) AS allowed
    FROM permission_check c, unnest(c.user_ids, c.allowed) AS one(user_id, answer)
    WHERE c.user_ids && CAST(:ids AS text[]) AND c.occurred_at >= :since AND one.user_id = ANY(:ids)
    """
)


def start_of_year(now: datetime) -> datetime:
    """Return the start of the 365 days over which questions about a customer are counted."""
    return now - timedelta(days=365)
