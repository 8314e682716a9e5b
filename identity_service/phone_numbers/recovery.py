"""Whether a number recovers an account: the same statement for every account and number (ADR-09)."""

from datetime import datetime
from typing import NamedTuple

from sqlalchemy import text

from identity_service.database.transactions import DatabaseSession
from identity_service.messages.inbound import texts as text_reports
from identity_service.phone_numbers import rules
from identity_service.values.phone_numbers import PhoneNumber


class Recovered(NamedTuple):
    """The account that a number recovers and its language; both None if it does not."""

    user_id: str | None
    locale: str | None


async def find_number(
    session: DatabaseSession, user_id: str | None, number: PhoneNumber, *, now: datetime
) -> Recovered:
    """Return the account if this number counts for its recovery now: confirmed there, old enough, known to the carrier,
    not stopped. None does for an account with a passkey that asks for a PIN or fingerprint, or with an authenticator
    app: a number alone is too weak for it (TXT-08).
    """
    values = {
        "user_id": user_id or "", "number": number.e164, "hash": session.keys.address_hash(number.key), "now": now,
        "since": now - rules.CONFIRMED_FOR, "gone": text_reports.GONE, "most": rules.MOST_UNKNOWN,
    }  # fmt: skip
    row = (await session.execute(_FIND, values)).one()
    return Recovered(row.user_id, row.locale)


# Plain SQL, one row in every case.
_FIND = text(
    """
    SELECT found.user_id, found.locale FROM (VALUES (1)) AS one (row) LEFT JOIN LATERAL (
        SELECT a.user_id, a.locale FROM phone_number n JOIN account a ON a.user_id = n.user_id
        WHERE n.user_id = :user_id AND n.number = :number AND a.state = 'active'
        AND n.recovers_from <= :now AND n.confirmed_at > :since
        AND NOT EXISTS (SELECT 1 FROM passkey p WHERE p.user_id = a.user_id AND p.verified)
        AND NOT EXISTS (SELECT 1 FROM second_factor f WHERE f.user_id = a.user_id)
        AND NOT EXISTS (SELECT 1 FROM suppression s
            WHERE s.recipient_hash = :hash AND s.reason = 'stop' AND s.lifted_at IS NULL)
        AND (SELECT count(*) FROM message m WHERE m.recipient_hash = :hash AND m.channel = 'text'
            AND m.created_at >= n.confirmed_at AND (
                EXISTS (SELECT 1 FROM attempt t
                    WHERE t.message_id = m.id AND t.reply_class = 'permanent.address')
                OR EXISTS (SELECT 1 FROM feedback f WHERE f.message_id = m.id AND f.enhanced = :gone)
            )) < :most
    ) AS found ON true
    """
)
