"""How long a check is valid, how its code and phrase are derived, and which desk to suggest. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from functools import cache
from typing import Final, Literal

from zxcvbn.frequency_lists import FREQUENCY_LISTS

from identity_service.errors import Conflict, Forbidden, NotFound, Problem, Unprocessable
from identity_service.keys import hashing
from identity_service.values import currencies, secret_codes

DIGITS: Final = 6
TRIES: Final = 3
HOLDS: Final = timedelta(minutes=15)
"""How long a matched check verifies the caller (PHN-08)."""
WARN_AT: Final = 2
NUMBER_LENGTH: Final = 6
ENTRY_KINDS: Final = ("opened", "note", "handed_over", "picked_up", "verified", "not_verified", "did", "closed")
PURPOSES: Final = ("identify", "reset", "business", "receipt")
"""What a check is for; it is valid for nothing else. `identify` covers the whole call."""
NAMES: Final = 2048

Method = Literal["email", "text", "support_code", "on_screen"]
METHODS: Final = ("email", "text", "support_code", "on_screen")
"""A code emailed or texted and read back, a code that the signed-in customer reads out, an answer on their screen."""
OFFERED: Final[tuple[Method, ...]] = ("email", "text", "support_code", "on_screen")
"""What a desk can start."""
Warned = Literal["check_failed", "call_denied", "unexpected_call"]
SENT: Final = ("email", "text")
STRONG: Final = ("support_code", "on_screen")
SUPPORT_CODE_LIFETIME: Final = timedelta(minutes=10)
ASK_LIFETIME: Final = timedelta(minutes=2)
SUPPORT_TRIES_PER_ACCOUNT: Final = 5
"""Wrong support codes of an account in a day, whoever typed them (SUP-02)."""
SUPPORT_TRIES_PER_CLERK: Final = "20/hour"
SUPPORT_TRIES_PER_CLIENT: Final = "200/hour"
ASKS_PER_CONTACT: Final = 2
ASKS_PER_DAY: Final = 4
"""Asks on a customer's screen (SUP-08)."""
PAUSE: Final = timedelta(hours=1)
"""How long nothing is asked on screen after a "no", a wrong number or two asks without an answer."""
DAY: Final = timedelta(hours=24)
"""How long desks verify nobody after "not me", a failed check stays in sight, and its weaker successor needs a lead."""
UNEXPECTED_FOR: Final = timedelta(hours=1)
"""How long no code is made after a customer said that somebody called them."""
FAILURES_ALARM: Final = 3
ACCOUNTS_ALARM: Final = 5
"""Failed checks of an account in a day, and accounts with one of a clerk in an hour, that raise an alarm (SUP-11)."""
ANSWERING: Final = frozenset({"password", "passkey", "verified_passkey"})
"""How a customer must have signed in to answer on screen: by a factor, so not by an emailed code alone (SUP-09)."""
SCREEN_DIGITS: Final = 3

CHECKS_PER_CLERK: Final = "30/hour"
CHECKS_PER_ACCOUNT: Final = 6
COUNTED_FOR: Final = timedelta(hours=1)
"""The limit of an account counts the checks of all clerks: at most 18 guesses an hour at six digits."""

MESSAGE_WENT_THERE: Final = "A message went to the address that the caller gave. It names the User ID, if there is one."
"""The note of a contact when a User ID was to be issued for an address that an account has."""


def read_method(text: str) -> Method:
    """Return the method of a form: email for none."""
    return next((method for method in OFFERED if method == text), "email")


class UnknownContact(NotFound):
    """No contact has this number."""


class ContactClosed(Conflict):
    """This contact is closed. Open a new one."""


class ContactOfOtherCustomer(Conflict):
    """This contact and its notes are about another customer. Open a new contact."""


class UnknownDesk(Unprocessable):
    """This desk doesn't exist. Use one of those listed in `known`."""


class AlreadyAtDesk(Conflict):
    """This contact is already at that desk. Hand it over to another desk, or add a note."""


class UnknownCheck(NotFound):
    """We can't find this caller check. It may belong to another staff member or another contact."""


class CheckEnded(Conflict):
    """This check is over. It was answered, has no tries left or is too old. Start a new one."""


class ChecksDenied(Forbidden):
    """The customer said that a call wasn't theirs, so nobody can be verified for this account for 24 hours."""


class CallerMethodRefused(Forbidden):
    """The customer chose to be verified by support code or on their screen only. Use one of these methods."""


class NoNumber(Conflict):
    """This account has no telephone number that can be sent a code. Use another method."""


class WeakerMethod(Forbidden):
    """A check of this account failed in the past 24 hours. A lead can start one by a weaker method."""


class AskPaused(Problem):
    """This customer can't be asked on screen right now: twice in a contact, four times a day, and not for an hour after
    a no. Use another method."""

    status = 429


class UnexpectedCall(Conflict):
    """You told us that somebody called you. For an hour there is no code. Hang up, and call us yourself."""


class CannotAnswer(Forbidden):
    """To answer a clerk here, you need to be signed in with a password or passkey."""


class AnsweredOnScreen(Conflict):
    """The customer answers this check on their screen. Wait for that, or start another one."""


class NothingAsked(Conflict):
    """Nobody asks any more. The question is open for two minutes."""


class NotVerified(Problem):
    """The caller hasn't been verified in this contact in the last 15 minutes. Start a caller check."""

    status = 403


def digits(key: bytes, nonce: bytes) -> str:
    """Return the code of a check: six digits, derived like every secret in an email, and never stored (PHN-05)."""
    number = int.from_bytes(hashing.keyed_hash(key, "digits", b"caller_check", nonce), "big") % 10**DIGITS
    return f"{number:0{DIGITS}d}"


def support_code(key: bytes, nonce: bytes) -> str:
    """Return a support code: six random symbols and two check symbols (SUP-01)."""
    return secret_codes.derive(
        lambda attempt: hashing.keyed_hash(key, "support code", bytes([attempt]), nonce), secret_codes.SUPPORT
    )


def screen_digits(key: bytes, nonce: bytes) -> str:
    """Return the three digits that the clerk reads out and the customer types (SUP-08)."""
    number = int.from_bytes(hashing.keyed_hash(key, "digits", b"on_screen", nonce), "big") % 10**SCREEN_DIGITS
    return f"{number:0{SCREEN_DIGITS}d}"


def phrase(key: bytes, nonce: bytes, label: str = "caller_check") -> str:
    """Return the two words that the clerk reads out and the customer sees: first names, 22 bits. They are derived under
    another label than the code, so they reveal nothing about it (PHN-07, SUP-06)."""
    number = int.from_bytes(hashing.keyed_hash(key, "phrase", label.encode(), nonce), "big")
    names = _names()
    return f"{names[number % NAMES].capitalize()} {names[number // NAMES % NAMES].capitalize()}"


def waited(seconds: int, since: datetime | None, now: datetime) -> int:
    """Return the seconds that a caller has waited in all: `seconds` from earlier waits, and the wait since `since`."""
    return seconds if since is None else seconds + max(0, int((now - since).total_seconds()))


def holds(answered_at: datetime | None, now: datetime) -> bool:
    """Return whether a match at `answered_at` still verifies the caller."""
    return answered_at is not None and now - answered_at <= HOLDS


@cache
def _names() -> list[str]:
    return sorted(name for name in list(FREQUENCY_LISTS["female_names"])[: NAMES + 400] if len(name) >= 3)[:NAMES]


Desk = Literal["consumer", "business"]
_FREE_MAIL: Final = (
    "gmail.com googlemail.com yahoo.com yahoo.de hotmail.com hotmail.de outlook.com outlook.de live.com icloud.com "
    "me.com aol.com gmx.de gmx.net gmx.at gmx.ch web.de t-online.de freenet.de proton.me protonmail.com mail.com "
    "posteo.de mailbox.org orange.fr free.fr laposte.net libero.it bluewin.ch comcast.net"
)
FREE_MAIL: Final = frozenset(_FREE_MAIL.split())


@dataclass(frozen=True, slots=True)
class DeskSuggestion:
    """Which desk is best, which may serve, and why; no customer is excluded for being a consumer."""

    desk: Desk
    may_serve: tuple[Desk, ...]
    reasons: tuple[str, ...]
    offer_conversion: bool


def suggest_desk(
    *,
    kind: str,
    email_domain: str | None,
    orders: int,
    totals: Mapping[str, Decimal],
    many_orders: int,
    large_amount: int,
) -> DeskSuggestion:
    """Return the desk for a customer, with the reasons: business by kind, or by orders. A domain of their own may be a
    company's or a family's, so it only adds a question.

    `totals` are orders less refunds, by currency. `many_orders` and `large_amount` (of one currency) are the thresholds
    of the settings.
    """
    if kind == "business":
        return DeskSuggestion("business", ("business", "consumer"), ("has a business account",), offer_conversion=False)
    reasons = []
    if orders >= many_orders:
        reasons.append(f"has placed {orders} orders")
    currency, largest = max(totals.items(), key=lambda total: total[1], default=("", Decimal(0)))
    if largest >= large_amount:
        reasons.append(f"has bought for {currency} {currencies.write_amount(largest, currency, grouped=True)}")
    is_own = email_domain is not None and email_domain not in FREE_MAIL
    asks = (f"writes from {email_domain}: is that a company?",) if is_own else ()
    if not reasons:
        said = ("has a private account", *asks)
        return DeskSuggestion("consumer", ("consumer", "business"), said, offer_conversion=False)
    return DeskSuggestion("business", ("business", "consumer"), (*reasons, *asks), offer_conversion=True)
