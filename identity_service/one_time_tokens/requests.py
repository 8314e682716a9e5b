"""How often a message with a link or code may be requested for one mailbox, without shutting its owner out.

A request beyond the limit sends nothing new: it follows the newest message to the address, as long as that one works.
When it has expired, one new message an hour is sent, so that a stranger who uses up the limit keeps nobody waiting.
A browser that has signed in to the account before has limits of its own. What one network may cause for one mailbox, in
any spelling of its address, is far less than the mailbox gets (`messages.budget`).
"""

from datetime import datetime, timedelta
from typing import Final, NamedTuple

from identity_service.accounts import ownership
from identity_service.database.transactions import DatabaseSession
from identity_service.keys.known_browsers import KnownBrowser
from identity_service.messages import budget
from identity_service.one_time_tokens import actions
from identity_service.one_time_tokens.tables import OneTimeToken
from identity_service.values.email_addresses import EmailAddress
from identity_service.web.rate_limits import RateLimiter

RENEWED: Final = "1/hour"
PER_NETWORK_AND_MAILBOX: Final = "8/hour; 20/day"
"""Resets and sign-in codes that one network may cause for one mailbox. `anna+a@` and `anna+b@` are one."""


class Followed(NamedTuple):
    """The token whose message is followed instead of a new one, and when a new one may be requested."""

    token: OneTimeToken
    again_at: datetime


async def count_request(
    session: DatabaseSession,
    limits: RateLimiter,
    purpose: str,
    address: EmailAddress,
    rates: str,
    *,
    browser: KnownBrowser | None,
    network: str | None,
    now: datetime,
) -> Followed | None:
    """Count a request for a message to an address; return the token to follow instead, or `None` to send a new one.

    `network` is that of the customer's browser, `None` for a service. The same statements run for known and unknown
    addresses (ATT-18, ATT-21).

    Raises:
        rate_limits.TooManyRequests: this network has caused enough for this mailbox, and none of it can be followed.
    """
    user_id = await ownership.active_user_id(session, address, recovers_at=now)
    valid_after = await ownership.sessions_valid_after(session, user_id)
    known = None if browser is None else browser.name_for(user_id, valid_after)
    # The key of the counter is that of the message to follow: other spellings of a mailbox have other messages.
    asked = session.keys.address_hash(address.key).hex()
    wait = await limits.wait(f"{purpose}-address", rates, asked, known or "")
    newest = await actions.latest_message(session, purpose, address) if wait else None
    if newest is not None:
        found = await actions.find_token(session, newest.id)
        works = found is not None and found.token.used_at is None and now < actions.ends_at(session, found)
        if works or await limits.wait(f"{purpose}-renewed", RENEWED, asked, known or ""):
            return Followed(newest, now + timedelta(seconds=wait))
    if network is not None and known is None:
        mailbox = budget.mailbox_hash(session, address).hex()
        await limits.hit_network("mailbox-network", PER_NETWORK_AND_MAILBOX, network, mailbox)
    return None
