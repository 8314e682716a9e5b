"""Who holds the page of an account that was issued a moment ago without an address: a sealed field of that page says
which account it is, and works in the same browser alone (PKY-07, REC-28)."""

from datetime import datetime, timedelta
from typing import Any, Final

import orjson
from cryptography.exceptions import InvalidTag

from identity_service.accounts import actions as accounts
from identity_service.accounts.tables import Account
from identity_service.database.transactions import DatabaseSession
from identity_service.events import actions as events
from identity_service.keys import encoding, hashing
from identity_service.passkeys.rules import PasskeyNotAdded
from identity_service.values.user_ids import UserId

LIFETIME: Final = timedelta(minutes=30)
_LABEL: Final = "new account"
_OWN: Final = (
    "account.registered", "recovery_code.created", "recovery.began", "support_code.created", "contact.opened",
    "account.opened_by_staff", "caller.check_requested", "caller.checked",
)  # fmt: skip
"""What the holder of the page, and a clerk to whom they talk, may do without ending it."""


class NoLongerNew(PasskeyNotAdded):
    """You can do this only just after you got the User ID, in the same browser. Get another User ID, or give us an
    email address at the desk.
    """


def seal_account(session: DatabaseSession, user_id: str, *, browser: str, now: datetime) -> str:
    """Return the field for the page of an account that is new; `browser` is the cookie of whoever gets the page."""
    said = [user_id, hashing.hash_secret(browser).hex(), int((now + LIFETIME).timestamp())]
    return encoding.base64url_encode(session.keys.seal(_LABEL, orjson.dumps(said)))


async def find_new_account(session: DatabaseSession, sealed: str, *, browser: str, now: datetime) -> Account:
    """Return the account of a sealed field, locked, to which nothing has happened since it was issued.

    Raises:
        NoLongerNew
    """
    try:
        said: Any = orjson.loads(session.keys.unseal(_LABEL, encoding.base64url_decode(sealed)))
    except (ValueError, InvalidTag) as wrong:
        raise NoLongerNew from wrong
    user_id, mark, until = said
    account = await accounts.find_account(session, UserId(user_id), lock=True)
    is_new = account.state == "active" and account.email is None
    if not is_new or mark != hashing.hash_secret(browser).hex() or now.timestamp() >= until:
        raise NoLongerNew
    if await events.has_events_besides(session, account.user_id, _OWN):
        raise NoLongerNew
    return account
