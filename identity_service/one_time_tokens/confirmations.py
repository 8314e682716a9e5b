"""The pages behind mailed links: one table from token purpose to texts and action of the confirmation button.

A page shows what the button does: the addresses, User IDs, wording or company. It is found by the handle in the path
of the link, which only the message tells, and shows nothing that the message does not.
"""

from datetime import datetime
from typing import Any, Final, NamedTuple

from identity_service import entry_points
from identity_service.accounts import actions as accounts
from identity_service.accounts import ownership
from identity_service.accounts.rules import UnknownUserId
from identity_service.database.transactions import Database, DatabaseSession
from identity_service.one_time_tokens import actions, change_emails, rules
from identity_service.one_time_tokens.actions import TokenWithMessage
from identity_service.one_time_tokens.rules import LinkInvalid
from identity_service.values import user_ids
from identity_service.values.user_ids import UserId
from identity_service.web.rate_limits import RateLimiter


class Row(NamedTuple):
    """A fact on a page: its label, and its value; with `places` the value is a text to translate and fill in."""

    label: str
    value: str
    places: dict[str, str] | None = None


class Confirmation(NamedTuple):
    """The heading, the text before the button, the button, the text after it, and the action that the button runs.

    Some mail programs open links and press buttons. So what binds the reader has a box to tick, with `agrees` beside
    it; and what the link takes back is told to every mailbox of the customer, with the event `takes_back` as the cause.
    A link that outlives its mailbox's relation to the customer works only for a mailbox of theirs (`for_own_mailbox`).
    A link that proves a mailbox may make two accounts one, if another one has the address: `joins` names the function
    that returns both, and then the reader must tick a box that names them. `shows` names the function that returns what
    the page shows beside the facts of the message, as labels with values. With `chooses` the action is given which
    button was pressed, where there are several. `checks` names a function that refuses what may end before its link.
    """

    title: str
    asks: str
    button: str
    done: str
    action: str
    agrees: str | None = None
    takes_back: str | None = None
    for_own_mailbox: bool = False
    joins: str | None = None
    shows: str | None = None
    chooses: bool = False
    checks: str | None = None


BOTH_ARE_MINE: Final = "Yes, both accounts are mine, and I want to merge them."
"""What is beside the box of a link that makes two accounts one."""

CONFIRMATIONS: Final[dict[str, Confirmation]] = {
    "address": Confirmation(
        "Is this your email address?",
        "Confirm that this is your email address. We'll then link it to your User ID.",
        "Confirm this address",
        "Your email address is confirmed. It's now linked to your User ID.",
        "registration.actions:confirm_address",
        joins="registration.actions:find_joined",
        chooses=True,
    ),
    "consent": Confirmation(
        "Do you agree?",
        "Read the text below. If you agree, you can withdraw your consent at any time with one click. That takes "
        "effect straight away.",
        "Yes, I agree",
        "Thank you, you've agreed. We're emailing you a confirmation. With the link in it, you can withdraw your "
        "consent straight away.",
        "consents.actions:confirm_consent",
        agrees="Yes, I agree to the text above.",
        shows="consents.emails:show_wording",
    ),
    "withdraw": Confirmation(
        "Withdraw your consent",
        "Here you can withdraw your consent. It takes effect straight away.",
        "Withdraw consent",
        "You've withdrawn your consent. This takes effect from now on.",
        "consents.actions:withdraw_by_link",
        takes_back="consent.withdrawn",
        shows="consents.emails:show_wording",
    ),
    "business_undo": Confirmation(
        "Change back to a private account",
        "This changes your account back to a private account. You'll keep your history.",
        "Change back to a private account",
        "Your account is a private account again. You've kept your history.",
        "business.actions:undo_conversion",
        takes_back="account.became_consumer",
        for_own_mailbox=True,
    ),
    "email_change": Confirmation(
        "Is this your new email address?",
        "Confirm that this is your new email address. We'll then write to you here about your account.",
        "Use this address",
        "We've changed your email address. We're also emailing your old address. That email can undo the change "
        "for seven days.",
        "addresses.actions:confirm_email_change",
        joins="addresses.actions:find_joined",
        shows="addresses.actions:show_change",
        checks="addresses.waiting:check_waits",
    ),
    "email_undo": Confirmation(
        "Undo the change of email address",
        "This brings back your old email address and signs you out everywhere. Your password will stop working.",
        "Undo the change",
        "Your old email address is back, and you've been signed out everywhere. Your password no longer works. We've "
        "emailed you a link to set a new one.",
        "addresses.undo:undo_email_change",
        shows="addresses.actions:show_change",
        takes_back="account.email_changed",
        for_own_mailbox=True,
    ),
    "further_address": Confirmation(
        "Is this another email address of yours?",
        "Confirm that this is your email address. We'll then link it to your account.",
        "Confirm this address",
        "This address is confirmed. It's now one of your email addresses.",
        "addresses.further:confirm_address",
        joins="addresses.further:find_joined",
        shows="addresses.further:show_address",
        checks="addresses.further:check_waits",
    ),
    "address_undo": Confirmation(
        "Undo the change of your email addresses",
        "This brings your email addresses back as they were before and signs you out everywhere. Your password will "
        "stop working.",
        "Undo the change",
        "Your email addresses are as they were before, and you've been signed out everywhere. Your password no longer "
        "works. We've emailed you a link to set a new one.",
        "addresses.undo:undo_further_change",
        shows="addresses.further:show_address",
        takes_back="account.email_changed",
        for_own_mailbox=True,
    ),
    "merge": Confirmation(
        "Merge your two accounts",
        "Agree to merge your two accounts. Both User IDs will then lead to the same account.",
        "Agree",
        "You've agreed. When the other mailbox has agreed too, both User IDs will lead to one account.",
        "merges.actions:confirm_merge",
        agrees=BOTH_ARE_MINE,
    ),
    "change": Confirmation(
        "Approve this change",
        "Check the change that our support team has prepared for you. If you want it, approve it here.",
        "Approve this change",
        "Thank you. The change has been made.",
        "approvals.actions:confirm_change",
        agrees="Yes, I want this change.",
    ),
    "reopen": Confirmation(
        "Reopen your account",
        "Your account is closed. You can reopen it as it was, with the same User ID, password and history.",
        "Reopen the account",
        "Your account is open again. You can sign in as before.",
        "privacy.closing:reopen_by_link",
        for_own_mailbox=True,
    ),
    "stop": Confirmation(
        "Stop this change",
        "You can stop the change that our support team has prepared.",
        "Stop this change",
        "You've stopped the change. Your account stays as it is.",
        "approvals.actions:stop_change",
        takes_back="account.change_stopped",
        for_own_mailbox=True,
        checks="approvals.actions:check_stoppable",
    ),
    "keep_factor": Confirmation(
        "Keep the authenticator app",
        "This stops the removal of the authenticator app. We'll go on asking for its codes.",
        "Keep the app",
        "The authenticator app stays. If you didn't ask us to remove it, set a new password, too.",
        "second_factors.removal:stop_by_link",
        takes_back="second_factor.removal_stopped",
        for_own_mailbox=True,
        checks="second_factors.removal:check_waits",
    ),
}
"""Every purpose whose link is confirmed by a button. Resets and sign-in have pages of their own."""

_NOTIFY: Final = "credentials.actions:notify_mailboxes"
JOINS: Final = (
    "This address already has an account. {kept} and {joined} would become one account, with the history of both."
    " If both are yours, tick the box and press the button again. If one isn't yours, don't tick it."
)
_UNKNOWN: Final = Confirmation("Confirm", "Confirm what we asked you in the email.", "Confirm", "Done.", "")


LABELS: Final = {"survivor": "User ID that stays", "other": "The other User ID", "company": "Company"}
"""How facts of a message are called on its page."""
AFTER: Final = {
    "address_known": CONFIRMATIONS["address"].done,
    "reopened": CONFIRMATIONS["reopen"].done,
    "merge": "You've agreed, and your two accounts are now one. Both User IDs lead to it.",
    "merge_waits": "You've agreed. When the other mailbox has agreed too, both User IDs will lead to one account.",
    "change_merge": (
        "You've approved it, but it isn't finished yet. We've emailed the mailboxes of both accounts,"
        " and both must agree."
    ),
    "change_email": (
        "You've approved it, but it isn't finished yet. We've emailed the new address, and it must be confirmed there."
    ),
}
"""What is said after an action whose result differs from case to case; its function returns which."""


async def describe_confirmation(session: DatabaseSession, handle: str, *, now: datetime) -> dict[str, Any]:
    """Return what the page says: heading, sentence, button, the sentence beside the box, and rows of what it is about.

    `proven` is the address that the button confirms. `ended` is `used` if the button was pressed before, `over` if the
    link can do nothing any more. An unknown handle gets a general page, like any other text.
    """
    found = await actions.find_by_handle(session, handle)
    known = _UNKNOWN if found is None else CONFIRMATIONS.get(found.token.purpose, _UNKNOWN)
    described: dict[str, Any] = {
        "title": known.title, "what": known.asks, "button": known.button, "agrees": known.agrees,
        "agrees_if_joined": known.joins and BOTH_ARE_MINE, "rows": [], "ended": None, "done": known.done,
        "message_brand": None if found is None else found.message.brand, "proven": "",
    }  # fmt: skip
    if found is None or known is _UNKNOWN:
        return described
    described["rows"] = _rows_of(found)
    described["proven"] = found.message.recipient if found.token.purpose == "address" else ""
    if known.shows is not None:
        described["rows"] += await entry_points.load(known.shows)(session, found)
    try:
        actions.check_valid(session, found, valid_after=await _valid_after(session, found), now=now)
        if known.checks is not None:
            await entry_points.load(known.checks)(session, found)
    except rules.JustUsed:
        described["ended"] = "used"
    except LinkInvalid:
        described["ended"] = "used" if found.token.used_at is not None else "over"
    return described


def _rows_of(found: TokenWithMessage) -> list[Row]:
    """Return what a message says of itself, the User ID first."""
    token, message = found
    facts = message.facts
    rows = [Row("User ID", user_ids.show(token.user_id))] if token.user_id and token.purpose != "merge" else []
    if token.purpose == "address" and message.recipient is not None:
        rows.append(Row("Email address", message.recipient))
    if facts.get("verb") in change_emails.VERB_DESCRIPTIONS:
        target = {"target": str(facts.get("target", ""))}
        rows.append(Row("Change", change_emails.VERB_DESCRIPTIONS[facts["verb"]], target))
    named = dict(facts)
    if token.purpose == "merge" and token.user_id and facts.get("other") == facts.get("survivor"):
        # The message calls `other` what is not its reader's own; here it is the one that does not stay.
        named["other"] = user_ids.show(token.user_id)
    return rows + [Row(label, str(named[name])) for name, label in LABELS.items() if named.get(name)]


def describe_result(result: str) -> str:
    """Return the sentence that is shown after the action succeeded, by what `confirm_token` returned."""
    return AFTER.get(result) or CONFIRMATIONS.get(result, _UNKNOWN).done


async def confirm_token(
    database: Database, limits: RateLimiter, handle: str, *, link: str, code: str, answer: str, now: datetime
) -> str:
    """Run the action of a token, proven by its link or its code; return its purpose, or a key of `AFTER`. `answer` is
    the value of the ticked box or of the pressed button, "" for none.

    Raises:
        rules.NotAgreed, rules.ChooseAccount, rules.LinkInvalid, rules.CodeWrong, rules.CodeIsUserId,
        rate_limits.TooManyRequests; the action's own errors
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
        if answer != "yes":
            await _require_agreement(session, confirmation, found)
        chosen = {"choice": answer} if confirmation.chooses else {}
        result = await entry_points.load(confirmation.action)(session, found, **chosen, now=now)
        if confirmation.takes_back is not None:
            await entry_points.load(_NOTIFY)(
                session, "taken_back", [found.token.user_id or ""], facts={"verb": found.token.purpose},
                cause=confirmation.takes_back, actor="customer", now=now,
            )  # fmt: skip
        return result if result in AFTER else found.token.purpose


async def _require_agreement(session: DatabaseSession, confirmation: Confirmation, found: TokenWithMessage) -> None:
    """Raise `NotAgreed` if the box must be ticked: always, or because the press would make two accounts one."""
    if confirmation.agrees is not None:
        raise rules.NotAgreed
    joined = None if confirmation.joins is None else await entry_points.load(confirmation.joins)(session, found)
    if joined is not None:
        kept, other = (user_ids.show(user_id) for user_id in joined)
        raise rules.NotAgreed(JOINS, places={"kept": kept, "joined": other})


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
