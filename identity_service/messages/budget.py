"""The budget of a mailbox: how many messages it gets within an hour and a day, whoever caused them (R15).

Counted on rows of the outbox, so that no way to cause a message has a count of its own. All spellings of one mailbox
count together: `anna+a@` and `anna+b@`, and at providers that ignore dots `an.na@`. Each group of kinds has a share of
its own: addresses that somebody typed use up nothing of resets and sign-in codes, what strangers ask for nothing of
what is sent about an account, and no kind of notice anything of another one, so that nobody silences the notice of a
take-over by causing many of something else.
"""

from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

from sqlalchemy import ARRAY, Integer, ScalarSelect, String, any_, bindparam, func, or_, select

from identity_service.database.transactions import DatabaseSession
from identity_service.messages import kinds
from identity_service.messages.tables import Message
from identity_service.values import email_addresses
from identity_service.values.email_addresses import EmailAddress

HOUR, DAY = timedelta(hours=1), timedelta(days=1)


class Share(NamedTuple):
    """How many messages of a group of kinds one mailbox gets."""

    per_hour: int
    per_day: int


SHARES: Final = {
    "typed_address": Share(10, 40),
    "asked_for": Share(20, 100),
    "about_account": Share(20, 60),
    "notice": Share(20, 60),
}
"""By group of kinds; each kind of notice is a group of its own. The limits of each way to ask are lower."""


def group_of(kind: str) -> str:
    """Return the group of a message kind: to a `typed_address`, `asked_for` by anybody, `about_account`, or `notice` of
    a security change."""
    known = kinds.KINDS[kind]
    if known.typed_address:
        return "typed_address"
    if known.asked_for:
        return "asked_for"
    return "notice" if known.is_notice else "about_account"


def mailbox_hash(session: DatabaseSession, address: EmailAddress) -> bytes:
    """Return the keyed hash by which all spellings of one mailbox are counted together."""
    return session.keys.address_hash(email_addresses.mailbox_key(address))


def budget_values(kind: str, mailbox: bytes, *, now: datetime) -> dict[str, Any]:
    """Return the parameters of `IS_EXHAUSTED` for a message of this kind to this mailbox."""
    group = group_of(kind)
    share = SHARES[group]
    return {
        "budget_mailbox": mailbox,
        "budget_kinds": [kind] if group == "notice" else [name for name in kinds.KINDS if group_of(name) == group],
        "budget_hour": now - HOUR,
        "budget_day": now - DAY,
        "budget_per_hour": share.per_hour,
        "budget_per_day": share.per_day,
    }


def _sent_since(moment: str) -> ScalarSelect[int]:
    sent = select(func.count()).where(
        Message.mailbox_hash == bindparam("budget_mailbox"),
        Message.kind == any_(bindparam("budget_kinds", type_=ARRAY(String))),
        Message.state != "limited",
        Message.created_at > bindparam(moment, type_=Message.created_at.type),
    )
    return sent.correlate(None).scalar_subquery()


IS_EXHAUSTED: Final = or_(
    _sent_since("budget_hour") >= bindparam("budget_per_hour", type_=Integer),
    _sent_since("budget_day") >= bindparam("budget_per_day", type_=Integer),
)
"""Whether a mailbox has had its share, for use in other statements; `budget_values` returns its parameters."""
