"""The pages behind mailed links: one table from token purpose to texts and action of the confirmation button."""

from datetime import datetime
from typing import Any, Final, NamedTuple

from identity_service import entry_points
from identity_service.accounts import actions as accounts
from identity_service.accounts import ownership
from identity_service.accounts.rules import UnknownUserId
from identity_service.database.transactions import Database, DatabaseSession
from identity_service.one_time_tokens import actions, rules
from identity_service.one_time_tokens.actions import TokenWithMessage
from identity_service.one_time_tokens.rules import LinkInvalid
from identity_service.values import user_ids
from identity_service.values.user_ids import UserId
from identity_service.web.rate_limits import RateLimiter


class Confirmation(NamedTuple):
    """The text before the button, the text after it, and the action that the button runs.

    Some mail programs open links and press buttons. So what binds the reader has a box to tick, with `agrees` beside
    it; and what the link takes back is told to every mailbox of the customer, with the event `takes_back` as the cause.
    A link that outlives its mailbox's relation to the customer works only for a mailbox of theirs (`for_own_mailbox`).
    A link that proves a mailbox may make two accounts one, if another one has the address: `joins` names the function
    that returns both, and then the reader must tick a box that names them.
    """

    asks: str
    done: str
    action: str
    agrees: str | None = None
    takes_back: str | None = None
    for_own_mailbox: bool = False
    joins: str | None = None


BOTH_ARE_MINE: Final = "Yes, both accounts are mine, and they become one."
"""What is beside the box of a link that makes two accounts one."""

CONFIRMATIONS: Final[dict[str, Confirmation]] = {
    "address": Confirmation(
        "Confirm that this mailbox is yours. Your User ID and this address then belong together.",
        "Your address is confirmed. Your User ID and this address belong together now.",
        "registration.actions:confirm_address",
        joins="registration.actions:find_joined",
    ),
    "consent": Confirmation(
        "Say yes to what the email asks. You can withdraw it at any time, with one click and at once.",
        "You have said yes. An email confirms it, with a link that withdraws it at once.",
        "consents.actions:confirm_consent",
        agrees="Yes, I agree to what the email asks.",
    ),
    "withdraw": Confirmation(
        "Withdraw your consent. It counts at once.",
        "Your consent is withdrawn. It counts from this moment on.",
        "consents.actions:withdraw_by_link",
        takes_back="consent.withdrawn",
    ),
    "business_undo": Confirmation(
        "Go back to being a private customer. Nothing that happened is lost.",
        "You are a private customer again. Nothing that happened is lost.",
        "business.actions:undo_conversion",
        takes_back="account.became_consumer",
        for_own_mailbox=True,
    ),
    "email_change": Confirmation(
        "Confirm that this mailbox is yours. Your account is then written to here.",
        "Your address is changed. An email to the old one says so, and can undo it for seven days.",
        "addresses.actions:confirm_email_change",
        joins="addresses.actions:find_joined",
    ),
    "email_undo": Confirmation(
        "Take the change of address back, and end every session.",
        "Your old address is back, and every session has ended.",
        "addresses.actions:undo_email_change",
        takes_back="account.email_changed",
        for_own_mailbox=True,
    ),
    "merge": Confirmation(
        "Agree that your two accounts become one. Both User IDs then belong to it.",
        "You have agreed. When the other mailbox has agreed too, both User IDs belong to one account.",
        "merges.actions:confirm_merge",
        agrees=BOTH_ARE_MINE,
    ),
    "change": Confirmation(
        "Agree to what our desk has prepared for you, as the email says.",
        "It is done.",
        "approvals.actions:confirm_change",
        agrees="Yes, I want what the email says.",
    ),
    "stop": Confirmation(
        "Stop the change that our desk has prepared.",
        "It is stopped; nothing was changed.",
        "approvals.actions:stop_change",
        takes_back="account.change_stopped",
        for_own_mailbox=True,
    ),
}
"""Every purpose whose link is confirmed by a button. Resets and sign-in have pages of their own."""

_NOTIFY: Final = "credentials.actions:notify_mailboxes"
_JOINS: Final = (
    "This address has an account already: {kept} and {joined} would become one, with the history of both. If both are "
    "yours, tick the box and press the button again. If you do not know one of them, do not tick it."
)
_UNKNOWN: Final = Confirmation("Confirm what the email is about.", "Done.", "")


async def describe_confirmation(session: DatabaseSession, handle: str) -> dict[str, Any]:
    """Return what the page says: what the button does, and the sentence beside the box; for an unknown handle a general
    sentence and no box."""
    found = await actions.find_by_handle(session, handle)
    known = _UNKNOWN if found is None else CONFIRMATIONS.get(found.token.purpose, _UNKNOWN)
    return {"what": known.asks, "agrees": known.agrees, "agrees_if_joined": known.joins and BOTH_ARE_MINE}


def describe_result(purpose: str) -> str:
    """Return the sentence that is shown after the action succeeded."""
    return CONFIRMATIONS.get(purpose, _UNKNOWN).done


async def confirm_token(
    database: Database, limits: RateLimiter, handle: str, *, link: str, code: str, agreed: bool, now: datetime
) -> str:
    """Run the action of a token, proven by its link or its code; return the token's purpose.

    Raises:
        rules.NotAgreed, rules.LinkInvalid, rules.CodeWrong, rules.CodeIsUserId, rate_limits.TooManyRequests; the
            action's own errors
    """
    by = "link" if link else "code"
    if by == "code":
        await _count_code(database, limits, handle, code)
    async with database.transaction() as session:
        found = await (_by_link(session, link, handle) if link else _by_code(session, handle, code))
        valid_after = await _valid_after(session, found)
        actions.check_valid(session, found, valid_after=valid_after, by=by, now=now)
        confirmation = CONFIRMATIONS[found.token.purpose]
        if confirmation.for_own_mailbox and not await _is_own_mailbox(session, found):
            raise LinkInvalid
        if not agreed:
            await _require_agreement(session, confirmation, found)
        await entry_points.load(confirmation.action)(session, found, now=now)
        if confirmation.takes_back is not None:
            await entry_points.load(_NOTIFY)(
                session, "taken_back", [found.token.user_id or ""], facts={"verb": found.token.purpose},
                cause=confirmation.takes_back, actor="customer", now=now,
            )  # fmt: skip
        return found.token.purpose


async def _require_agreement(session: DatabaseSession, confirmation: Confirmation, found: TokenWithMessage) -> None:
    """Raise `NotAgreed` if the box must be ticked: always, or because the press would make two accounts one."""
    if confirmation.agrees is not None:
        raise rules.NotAgreed
    joined = None if confirmation.joins is None else await entry_points.load(confirmation.joins)(session, found)
    if joined is not None:
        kept, other = (user_ids.show(user_id) for user_id in joined)
        raise rules.NotAgreed(_JOINS, places={"kept": kept, "joined": other})


async def _by_link(session: DatabaseSession, link: str, handle: str) -> TokenWithMessage:
    found = await actions.verify_link(session, tuple(CONFIRMATIONS), link)
    if found.token.handle != handle:
        raise LinkInvalid
    return found


async def _by_code(session: DatabaseSession, handle: str, code: str) -> TokenWithMessage:
    found = await _confirmable(session, handle)
    actions.check_code(session, found.token, rules.read_code(code))
    return found


async def _confirmable(session: DatabaseSession, handle: str) -> TokenWithMessage:
    found = await actions.find_by_handle(session, handle)
    if found is None or found.token.purpose not in CONFIRMATIONS:
        raise LinkInvalid
    return found


async def _count_code(database: Database, limits: RateLimiter, handle: str, code: str) -> None:
    rules.read_code(code)
    found = await database.in_transaction(lambda session: _confirmable(session, handle))
    await actions.count_code_attempt(database, limits, found.token)


async def _is_own_mailbox(session: DatabaseSession, found: TokenWithMessage) -> bool:
    """Return whether the mailbox that got the link is the customer's, or was until the change that it tells of."""
    token = found.token
    own = await ownership.mailbox_hashes_of(session, token.user_id or "", recent_at=token.requested_at)
    return token.recipient_hash in own


async def _valid_after(session: DatabaseSession, found: TokenWithMessage) -> datetime | None:
    try:
        return (await accounts.find_account(session, UserId(found.token.user_id or ""))).tokens_valid_after
    except UnknownUserId:
        raise LinkInvalid from None
