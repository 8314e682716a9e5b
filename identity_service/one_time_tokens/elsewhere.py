"""The way on when a message does not come: the same to another address of the customer, who types it.

What is typed is used only if it belongs to the account that the first request was about (ADR-09). Otherwise the same
rows are written for nobody, and the worker cancels their message. Its page shows nothing of the delivery, so that it
tells nobody which addresses belong together.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from identity_service.accounts import ownership
from identity_service.database.transactions import DatabaseSession
from identity_service.one_time_tokens import actions
from identity_service.one_time_tokens.actions import TokenWithMessage
from identity_service.values.email_addresses import EmailAddress

PER_NETWORK: Final = "10/hour; 30/day"
_FACT: Final = "elsewhere"


async def send_elsewhere(
    session: DatabaseSession,
    first: TokenWithMessage,
    address: EmailAddress,
    *,
    purpose: str,
    kind: str,
    locale: str,
    facts: Mapping[str, Any],
    cause: str,
    now: datetime,
) -> str:
    """Send a message of this kind to an address that its customer has typed on the page of the `first` one; return the
    handle of its own page. The same statements run whether the address belongs to the account or not."""
    found = await ownership.owner_of_address(session, address, recovers_at=now, hold=True)
    asked_about = await ownership.active_user_id(session, first.token.user_id or "")
    is_theirs = found.active is not None and found.active == asked_about
    token = await actions.send_token(
        session, purpose, kind=kind, to=found.address if is_theirs else address,
        user_id=found.active if is_theirs else None, locale=found.language(locale), facts={**facts, _FACT: True},
        cause=cause, actor="customer", now=now,
    )  # fmt: skip
    return await actions.create_tracking_link(session, token.id, now=now)


def is_for_nobody(user_id: str | None, facts: Mapping[str, Any]) -> bool:
    """Return whether a message was asked for at an address that does not belong to the account: it is not sent."""
    return user_id is None and bool(facts.get(_FACT))
