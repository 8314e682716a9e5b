"""What a link in a letter does when its button is pressed: one table from a proof's purpose to the verb.

Opening a link spends nothing. Pressing its button sends the secret, which stands in the link's fragment; without
scripts the reader types the code instead. A used, expired, unknown or malformed one gets the same answer.
"""

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any, Final, NamedTuple

from identity_service.accounts import actions as accounts
from identity_service.accounts.rules import UnknownUserId
from identity_service.consents import actions as consents
from identity_service.database import AsyncSession, Database
from identity_service.life import actions, addresses, conversions, guarded, merging
from identity_service.proofs import actions as proofs
from identity_service.proofs import rules as proof_rules
from identity_service.proofs.actions import Found
from identity_service.proofs.rules import LinkDead
from identity_service.throttle import Throttle
from identity_service.user_ids import UserId


class Confirmation(NamedTuple):
    """What is asked before the button, what is said after it, and the verb between."""

    asks: str
    done: str
    verb: Callable[..., Awaitable[Any]]


CONFIRMATIONS: Final[dict[str, Confirmation]] = {
    "address": Confirmation(
        "Confirm that this mailbox is yours. Your User ID and this address then belong together.",
        "Your address is confirmed. Your User ID and this address belong together now.",
        actions.confirm_address,
    ),
    "consent": Confirmation(
        "Say yes to what the e-mail asks. You can withdraw it at any time, with one click and at once.",
        "You have said yes. An e-mail confirms it, with a link that withdraws it at once.",
        consents.confirm,
    ),
    "withdraw": Confirmation(
        "Withdraw your consent. It counts at once.",
        "Your consent is withdrawn. It counts from this moment on.",
        consents.withdraw_by_link,
    ),
    "business_undo": Confirmation(
        "Go back to being a private customer. Nothing that happened is lost.",
        "You are a private customer again. Nothing that happened is lost.",
        conversions.undo_by_link,
    ),
    "email_change": Confirmation(
        "Confirm that this mailbox is yours. Your account is then written to here.",
        "Your address is changed. An e-mail to the old one says so, and can undo it for seven days.",
        addresses.confirm,
    ),
    "email_undo": Confirmation(
        "Take the change of address back, and end every session.",
        "Your old address is back, and every session has ended.",
        addresses.undo_by_link,
    ),
    "merge": Confirmation(
        "Agree that your two accounts become one. Both User IDs then lead to it.",
        "You have agreed. When the other mailbox has agreed too, both User IDs lead to one account.",
        merging.confirm,
    ),
    "change": Confirmation(
        "Agree to what our desk has prepared for you, as the e-mail says.",
        "It is done.",
        guarded.confirm,
    ),
    "stop": Confirmation(
        "Stop the change that our desk has prepared.",
        "It is stopped; nothing was changed.",
        guarded.stop,
    ),
}
"""Every purpose whose link is confirmed by a button. Reset and sign-in have pages of their own."""

_UNKNOWN: Final = "Confirm what the e-mail is about."


async def described(session: AsyncSession, handle: str) -> str:
    """Return what pressing the button does; a general sentence for a handle that is not ours."""
    found = await proofs.named(session, handle)
    known = None if found is None else CONFIRMATIONS.get(found.proof.purpose)
    return _UNKNOWN if known is None else known.asks


def done(purpose: str) -> str:
    """Return what is said after it was done."""
    known = CONFIRMATIONS.get(purpose)
    return "Done." if known is None else known.done


async def confirm(database: Database, limits: Throttle, handle: str, *, link: str, code: str, now: datetime) -> str:
    """Do what the letter is about; return its purpose.

    Raises:
        LinkDead; proofs.rules.CodeWrong, CodeIsUserId; TooManyRequests; what the verb refuses
    """
    by = "link" if link else "code"
    if by == "code":
        await _count_code(database, limits, handle, code)
    async with database.transaction() as session:
        found = await (_by_link(session, link, handle) if link else _by_code(session, handle, code))
        valid_after = await _valid_after(session, found)
        proofs.check_alive(session, found, valid_after=valid_after, by=by, now=now)
        await CONFIRMATIONS[found.proof.purpose].verb(session, found, now=now)
        return found.proof.purpose


async def _by_link(session: AsyncSession, link: str, handle: str) -> Found:
    found = await proofs.by_link(session, tuple(CONFIRMATIONS), link)
    if found.proof.handle != handle:
        raise LinkDead
    return found


async def _by_code(session: AsyncSession, handle: str, code: str) -> Found:
    found = await _confirmable(session, handle)
    proofs.check_code(session, found.proof, proof_rules.read_code(code))
    return found


async def _confirmable(session: AsyncSession, handle: str) -> Found:
    found = await proofs.named(session, handle)
    if found is None or found.proof.purpose not in CONFIRMATIONS:
        raise LinkDead
    return found


async def _count_code(database: Database, limits: Throttle, handle: str, code: str) -> None:
    proof_rules.read_code(code)
    found = await database.short(lambda session: _confirmable(session, handle))
    await proofs.spend_try(database, limits, found.proof)


async def _valid_after(session: AsyncSession, found: Found) -> datetime | None:
    try:
        return (await accounts.find(session, UserId(found.proof.user_id or ""))).proofs_valid_after
    except UnknownUserId:
        raise LinkDead from None
