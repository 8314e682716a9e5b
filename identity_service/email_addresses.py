"""E-mail addresses: the one parser, and the one key per mailbox. Pure.

`email-validator` reads the syntax and IDNA 2008 (Python's own `idna` codec would make strasse.de of straße.de: another
domain). On top stands a stricter profile, because what the library accepts, relays and address books read in other
ways: encoded words (`=?…?=`), source routes (`%`, `!`), quoted local parts and letters that only look like ASCII have
each carried a take-over elsewhere. What `parse` returns is what is stored, compared and mailed; nothing else is.
"""

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import idna
from email_validator import EmailNotValidError, validate_email

from identity_service.errors import Unprocessable

MAXIMUM = 254
_ADDRESS = re.compile(r"[^\s<>()\[\]\"',:;=]+@[^\s<>()\[\]\"',:;]+")
_LOCAL_PART = re.compile(r"[A-Za-z0-9_+.'&=~#$*/?^{}-]{1,64}", re.ASCII)
_SPECIAL_USE = ("test", "example", "invalid", "localhost", "local", "onion", "arpa", "alt", "internal")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_SCRIPTS_TOGETHER = ({"LATIN", "CJK", "HIRAGANA", "KATAKANA"}, {"LATIN", "CJK", "HANGUL"}, {"LATIN", "CJK", "BOPOMOFO"})
# The length and the iteration mark: their names do not begin with a script, but ラーメン and 佐々木 are plain Japanese.
_SHARED_LETTERS = {"KATAKANA-HIRAGANA": "KATAKANA", "IDEOGRAPHIC": "CJK"}
_COMMON_DOMAINS = (
    "gmail.com googlemail.com yahoo.com yahoo.de hotmail.com hotmail.de outlook.com outlook.de live.com icloud.com "
    "aol.com gmx.de gmx.net gmx.at gmx.ch web.de t-online.de freenet.de proton.me protonmail.com mail.com "
    "posteo.de mailbox.org orange.fr free.fr laposte.net libero.it bluewin.ch comcast.net"
).split()
# One letter from a common domain, and real all the same. (me.com is not called common: nearly all its neighbours are.)
_REAL_NEIGHBOURS = "ymail.com email.com love.com aon.com".split()


class MalformedEmailAddress(Unprocessable):
    """This is not an e-mail address that mail can safely be sent to."""


@dataclass(frozen=True, slots=True)
class EmailAddress:
    """One mailbox: `shown` as its owner writes it, `ascii` as relays are told it, `key` as it is compared."""

    shown: str
    ascii: str
    key: str

    @property
    def domain(self) -> str:
        """Return the domain as a lower-case A-label (RFC 5890)."""
        return self.key.rpartition("@")[2]


class Domain(NamedTuple):
    """A domain as relays are told it (lower-case A-labels, RFC 5890), and as people read it."""

    ascii: str
    shown: str


def parse(text: str, *, special_use: bool = False, read: Callable[[str], Domain] | None = None) -> EmailAddress:
    """Return the one mailbox that `text` names (RFC 5321 in the profile EML-01; at most 254 characters).

    `special_use` lets reserved top-level domains pass (RFC 6761: test, example, …), for development and tests.
    The key is the ASCII-lowered local part at the lower A-label; dots and plus-tags stay: they are other mailboxes.
    `read` stands for `read_domain`, where somebody remembers what it said: a million addresses have few domains.

    Raises:
        MalformedEmailAddress: with a sentence that says which rule; the input is never repeated.
    """
    if len(text) > MAXIMUM:
        raise MalformedEmailAddress(f"An e-mail address has at most {MAXIMUM} characters.")
    local, at, domain = text.rpartition("@")
    if not at or not domain:
        raise MalformedEmailAddress("An e-mail address is one mailbox, an @ and a domain.")
    _check_local_part(local)
    found = read_domain(domain, special_use=special_use) if read is None else read(domain)
    ascii_address = f"{local}@{found.ascii}"
    if len(ascii_address) > MAXIMUM:
        raise MalformedEmailAddress(f"An e-mail address has at most {MAXIMUM} characters.")
    return EmailAddress(shown=f"{local}@{found.shown}", ascii=ascii_address, key=ascii_address.lower())


def read_domain(text: str, *, special_use: bool = False) -> Domain:
    """Return the domain that stands behind an @.

    Raises:
        MalformedEmailAddress: as in `parse`.
    """
    try:
        read = validate_email(
            f"a@{text}", check_deliverability=False, allow_smtputf8=True, test_environment=True,
            globally_deliverable=False,
        )  # fmt: skip
    except (EmailNotValidError, ValueError) as refused:
        raise MalformedEmailAddress("The domain of this e-mail address is not valid.") from refused
    ascii_domain = read.ascii_domain.lower()
    _check_domain(ascii_domain, special_use=special_use)
    return Domain(ascii_domain, idna.decode(ascii_domain))


def mask(shown: str) -> str:
    """Return enough of an address to recognise one's own, and no more: `j…@example.com`."""
    local, _, domain = shown.rpartition("@")
    return f"{local[:1]}…@{domain}"


def mask_all(text: str | None) -> str | None:
    """Return text in which whatever looks like an address is masked: mail servers quote the recipient's in their
    replies, and the one that his mail is led to."""
    return None if text is None else _ADDRESS.sub(lambda found: mask(found[0]), text)


def similar_domain(address: EmailAddress) -> str | None:
    """Return the common domain that this one looks like a slip of (gmial.com), else None. A hint, never a refusal."""
    typed = address.shown.rpartition("@")[2]
    if typed in _COMMON_DOMAINS or typed in _REAL_NEIGHBOURS:
        return None
    plain = unicodedata.normalize("NFKD", typed).replace("ı", "i").encode("ascii", "ignore").decode()
    return next((known for known in _COMMON_DOMAINS if _one_slip_apart(plain, known)), None)


def _check_local_part(local: str) -> None:
    if not _LOCAL_PART.fullmatch(local):
        raise MalformedEmailAddress("Before the @ stand 1 to 64 ASCII letters, digits or signs; this has others.")
    if local[0] in "-." or local[-1] == "." or ".." in local or "=?" in local:
        raise MalformedEmailAddress("Before the @ no hyphen or dot leads, no dot ends, no two dots meet.")


def _check_domain(domain: str, *, special_use: bool) -> None:
    labels = domain.split(".")
    if len(labels) < 2 or _NUMBER.fullmatch(labels[-1]):
        raise MalformedEmailAddress("The domain of an e-mail address has at least two parts and is no network address.")
    if not special_use and labels[-1] in _SPECIAL_USE:
        raise MalformedEmailAddress("This top-level domain is reserved and receives no mail (RFC 6761).")
    for label in labels:
        if label.startswith("xn--"):
            _check_international(label)


def _check_international(label: str) -> None:
    """Refuse a label that does not survive a round trip, or mixes scripts as look-alikes do (UTS 39, section 5)."""
    try:
        shown = idna.decode(label)
        same = idna.encode(shown).decode() == label
    except idna.IDNAError as refused:
        raise MalformedEmailAddress("The domain of this e-mail address is not valid.") from refused
    names = {unicodedata.name(letter, "").split(" ")[0] for letter in shown if letter.isalpha()}
    scripts = {_SHARED_LETTERS.get(name, name) for name in names}
    if not same or (len(scripts) > 1 and not any(scripts <= together for together in _SCRIPTS_TOGETHER)):
        raise MalformedEmailAddress("The domain of this e-mail address mixes scripts, as look-alikes do.")


def _one_slip_apart(typed: str, known: str) -> bool:
    """Tell whether one letter was changed, left out, doubled, or swapped with its neighbour."""
    if typed == known:
        return True
    if abs(len(typed) - len(known)) > 1 or _of_another_country(typed, known):
        return False
    start = next((i for i, (a, b) in enumerate(zip(typed, known, strict=False)) if a != b), min(len(typed), len(known)))
    t, k = typed[start:], known[start:]
    return t[1:] == k or t == k[1:] or t[1:] == k[1:] or (t[:2] == k[:2][::-1] and t[2:] == k[2:])


def _of_another_country(typed: str, known: str) -> bool:
    """Tell whether only the country's two letters differ: yahoo.dk is Yahoo in Denmark (but web.ed is a slip)."""
    (name, _, ending), (known_name, _, known_ending) = typed.rpartition("."), known.rpartition(".")
    return name == known_name and len(ending) == len(known_ending) == 2 and ending != known_ending[::-1]
