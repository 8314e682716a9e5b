"""Codes of six digits in texts: for what they confirm alone, and for the newest few texts to a number (TXT-07)."""

from datetime import datetime

from sqlalchemy import select

from identity_service.database.transactions import DatabaseSession
from identity_service.messages import actions as messages
from identity_service.one_time_tokens import actions, rules
from identity_service.one_time_tokens.actions import TokenWithMessage
from identity_service.one_time_tokens.tables import OneTimeToken


def digits_of(session: DatabaseSession, token: OneTimeToken) -> str:
    """Return the six digits of a token, derived from its nonce."""
    return rules.derive_digits(session.keys.link_key(token.key_id)[1], token.purpose, token.nonce)


async def was_used(session: DatabaseSession, purpose: str, user_id: str, *, since: datetime) -> bool:
    """Return whether a token of this purpose of an account was used since a moment."""
    used = select(OneTimeToken.id).where(
        OneTimeToken.user_id == user_id, OneTimeToken.purpose == purpose, OneTimeToken.used_at > since
    )
    return await session.scalar(used.limit(1)) is not None


async def valid_tokens(
    session: DatabaseSession,
    purpose: str,
    user_id: str,
    recipient_hash: bytes,
    *,
    most: int,
    since: datetime,
    now: datetime,
) -> list[TokenWithMessage]:
    """Return those of the newest tokens of this purpose, sent to a recipient for an account since a moment, whose code
    may work."""
    mine = select(OneTimeToken).where(
        OneTimeToken.purpose == purpose, OneTimeToken.user_id == user_id, OneTimeToken.used_at.is_(None),
        OneTimeToken.recipient_hash == recipient_hash, OneTimeToken.requested_at >= since,
    )  # fmt: skip
    newest = (await session.scalars(mine.order_by(OneTimeToken.requested_at.desc()).limit(most))).all()
    found = [TokenWithMessage(one, await messages.newest_message(session, one.message_id)) for one in newest]
    return [one for one in found if now < actions.ends_at(session, one, by="code")]
