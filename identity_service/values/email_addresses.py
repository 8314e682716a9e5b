"""Email addresses: the only parser, and one key per mailbox. Pure.

`email-validator` parses the syntax and IDNA 2008 (Python's own `idna` codec maps straße.de to strasse.de, another
domain). A stricter profile is applied on top, because relays and address books interpret some accepted addresses
differently: encoded words (`=?…?=`), source routes (`%`, `!`), quoted local parts and letters that only look like ASCII
have each enabled account take-overs elsewhere. Only what `parse` returns is stored, compared and mailed; `parse_pasted`
takes off first what mail programs, documents and keyboards put around an address. Before the @ may stand letters, marks
and digits of one script (RFC 6531), in NFC; relays must offer SMTPUTF8 for such an address.
"""

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple
from urllib.parse import unquote

import idna
from email_validator import EmailNotValidError, validate_email

from identity_service.errors import Unprocessable
from identity_service.values import pasted

MAXIMUM = 254
_DOTS_IGNORED = ("gmail.com", "googlemail.com")
_ADDRESS = re.compile(r"[^\s<>()\[\]\"',:;=]+@[^\s<>()\[\]\"',:;]+")
_LOCAL_PART = re.compile(r"[A-Za-z0-9_+.'&=~#$*/?^{}-]{1,64}", re.ASCII)
_SPECIAL_USE = ("test", "example", "invalid", "localhost", "local", "onion", "arpa", "alt", "internal")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_PLAIN = re.compile(r"[A-Za-z0-9_+.&=~#$/?^-]+@[A-Za-z0-9.-]*[A-Za-z0-9]")
_MAILTO = re.compile(r"mailto:(?://)?(?!/)([^?]*)(?:\?.*)?", re.IGNORECASE | re.DOTALL)
# Brackets around an address or around the name beside it, as mail programs write them; those within a word stay.
_BETWEEN = re.compile(r"(?<=[^\s,;])\s*[,;\s]\s*(?=[^\s,;]{1,64}@)")
_BRACKETS = re.compile(r"(?:^|\s)[<(\[]|<(?=[^<>]*>)|\]\(|[>)\]](?=[\s.,;:!]|$)")
_JOINERS = re.compile("[\u200c\u200d]")
_SCRIPTS_TOGETHER = ({"LATIN", "CJK", "HIRAGANA", "KATAKANA"}, {"LATIN", "CJK", "HANGUL"}, {"LATIN", "CJK", "BOPOMOFO"})
# The length and the iteration mark: their names do not begin with a script, but Japanese has both (ラーメン, 佐々木).
_SHARED_LETTERS = {"KATAKANA-HIRAGANA": "KATAKANA", "IDEOGRAPHIC": "CJK"}
# Letters and marks that nobody sees (Default_Ignorable_Code_Point of Unicode).
_UNSEEN = re.compile("[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]")
# Letters and marks of IDNA 2008 whose script is Common or Inherited (Unicode 16, Scripts.txt), which mix with every
# script, but for those that are named COMBINING.
_IN_EVERY_SCRIPT = re.compile(
    "[\u02b9-\u02c1\u02c6-\u02d1\u02ec\u02ee\u064b-\u0655\u0670\u0951-\u0954\u1cd0-\u1cd2\u1cd4-\u1cfa\u2e2f"
    "\u302a-\u302d\u303c\ua717-\ua71f\ua788\ua9cf\U000101fd\U000102e0\U0001cf00-\U0001cf2d\U0001cf30-\U0001cf46]"
)
_COMMON_DOMAINS = (
    "gmail.com googlemail.com yahoo.com yahoo.de hotmail.com hotmail.de outlook.com outlook.de live.com icloud.com "
    "aol.com gmx.de gmx.net gmx.at gmx.ch web.de t-online.de freenet.de proton.me protonmail.com mail.com "
    "posteo.de mailbox.org orange.fr free.fr laposte.net libero.it bluewin.ch comcast.net"
).split()
# Real domains one letter away from a common one. (me.com is not in the list above: most of its neighbours are real.)
_REAL_NEIGHBOURS = "ymail.com email.com love.com aon.com".split()


class MalformedEmailAddress(Unprocessable):
    """We can't safely send email to this address. Check it for typing mistakes."""


@dataclass(frozen=True, slots=True)
class EmailAddress:
    """One mailbox: `shown` as its owner writes it, `ascii` for relays, `key` for comparison.

    `ascii` has its domain in A-labels; it is ASCII unless the local part is not.
    """

    shown: str
    ascii: str
    key: str

    @property
    def domain(self) -> str:
        """Return the domain as a lower-case A-label (RFC 5890)."""
        return self.key.rpartition("@")[2]


class Domain(NamedTuple):
    """A domain: `ascii` for relays (lower-case A-labels, RFC 5890), `shown` for people."""

    ascii: str
    shown: str


def parse(text: str, *, special_use: bool = False, read: Callable[[str], Domain] | None = None) -> EmailAddress:
    """Return the one mailbox that `text` names (RFC 5321 in the profile EML-01; at most 254 characters).

    `special_use` allows reserved top-level domains (RFC 6761: test, example, …), for development and tests.
    The key is the lower-case form; dots and plus-tags are kept, because they may be different mailboxes.
    `read` replaces `read_domain` with a cached version: a million addresses have few domains.

    Raises:
        MalformedEmailAddress: with a sentence that names the broken rule; the input is never repeated.
    """
    if len(text) > MAXIMUM:
        raise MalformedEmailAddress(f"An email address has at most {MAXIMUM} characters.")
    local, at, domain = text.rpartition("@")
    if not at or not domain:
        raise MalformedEmailAddress("Enter an email address with a name, an @ and a domain, like name@example.com.")
    local = _read_local_part(local)
    found = read_domain(domain, special_use=special_use) if read is None else read(domain)
    ascii_address = f"{local}@{found.ascii}"
    if len(ascii_address.encode()) > MAXIMUM:
        raise MalformedEmailAddress(f"An email address has at most {MAXIMUM} characters.")
    return EmailAddress(shown=f"{local}@{found.shown}", ascii=ascii_address, key=ascii_address.lower())


def parse_pasted(text: str, *, special_use: bool = False, read: Callable[[str], Domain] | None = None) -> EmailAddress:
    """Return the one mailbox that a typed or pasted `text` names, as `parse` does.

    Not counted are blanks and invisible signs at the ends, a label ("E-mail:"), a bullet, `mailto:` with its
    parameters, a name beside an address in brackets or beside it in brackets, brackets and quotes around it, and a full
    stop behind it. Full-width forms are read as ASCII. The same address may stand twice, as mail programs copy it.

    Raises:
        MalformedEmailAddress: as in `parse`; an invisible sign within the address is called by its name.
    """
    if _PLAIN.fullmatch(text):
        return parse(text, special_use=special_use, read=read)
    plain = pasted.remove_dress(pasted.read_narrow(text))
    pieces = [_read_link(piece) for piece in (_BRACKETS.split(plain) if len(plain) <= 2 * MAXIMUM else [plain])]
    # Several addresses in a row; a comma or blank within one is an error of its own.
    pieces = [one for piece in pieces for one in (_BETWEEN.split(piece) if piece.count("@") > 1 else [piece])]
    written = [piece for piece in pieces if "@" in piece] or [plain]
    found = [parse(_check_seen(address), special_use=special_use, read=read) for address in written]
    if len({address.key for address in found}) > 1:
        raise MalformedEmailAddress("There's more than one email address here. Enter only one.")
    return found[-1]


def read_domain(text: str, *, special_use: bool = False) -> Domain:
    """Return the domain that `text`, the part after the @, names.

    Raises:
        MalformedEmailAddress: as in `parse`.
    """
    try:
        read = validate_email(
            f"a@{text}", check_deliverability=False, allow_smtputf8=True, test_environment=True,
            globally_deliverable=False,
        )  # fmt: skip
    except (EmailNotValidError, ValueError) as refused:
        raise MalformedEmailAddress(
            "The part after the @ isn't a valid domain. Check it for typing mistakes."
        ) from refused
    ascii_domain = read.ascii_domain.lower()
    _check_domain(ascii_domain, special_use=special_use)
    return Domain(ascii_domain, idna.decode(ascii_domain))


def is_international_local_part(local: str) -> bool:
    """Return whether this is a stored local part that needs SMTPUTF8 (RFC 6531)."""
    try:
        return not local.isascii() and _read_local_part(local) == local
    except MalformedEmailAddress:
        return False


def mask(shown: str) -> str:
    """Return a masked address that its owner still recognises: `j…@example.com`; nothing of what is no address, such as
    a telephone number."""
    local, at, domain = shown.rpartition("@")
    return f"{local[:1]}…@{domain}" if at else "••••"


def mailbox_key(address: EmailAddress) -> str:
    """Return the key of the mailbox behind an address, for counting alone: without a tag, and without dots where the
    provider ignores them. Never use it to decide whose an address is."""
    local, _, domain = address.key.rpartition("@")
    mailbox = local.partition("+")[0] or local
    if domain in _DOTS_IGNORED:
        mailbox, domain = mailbox.replace(".", "") or mailbox, "gmail.com"
    return f"{mailbox}@{domain}"


def mask_all(text: str | None) -> str | None:
    """Return text with everything that looks like an address masked.

    Mail servers quote the recipient in their replies, and the address that it is forwarded to.
    """
    return None if text is None else _ADDRESS.sub(lambda match: mask(match[0]), text)


def similar_domain(address: EmailAddress) -> str | None:
    """Return the common domain that this one may be a typing error of (gmial.com), else None. Only ever a hint."""
    typed = address.shown.rpartition("@")[2]
    if typed in _COMMON_DOMAINS or typed in _REAL_NEIGHBOURS:
        return None
    plain = unicodedata.normalize("NFKD", typed).replace("ı", "i").encode("ascii", "ignore").decode()
    return next((known for known in _COMMON_DOMAINS if _is_one_typo_apart(plain, known)), None)


def _read_link(piece: str) -> str:
    """Return what stands between the brackets of a pasted address, and the address of a `mailto:` (RFC 6068)."""
    plain = pasted.remove_dress(piece).rstrip("?")
    link = _MAILTO.fullmatch(plain)
    return plain if link is None else unquote(link[1]).strip()


def _check_seen(piece: str) -> str:
    # A domain ends in a letter: what nobody sees behind it belongs to nothing.
    piece = pasted.trim_ends(piece).rstrip(pasted.SELECTORS) if piece.count("@") == 1 else piece
    hidden = pasted.find_invisible(_JOINERS.sub("", piece))
    if hidden is not None:
        raise MalformedEmailAddress(
            "This address contains an invisible character: {sign}. Type the address instead of pasting it.",
            places={"sign": pasted.name_sign(hidden)},
        )
    return piece


def _read_local_part(local: str) -> str:
    """Return a local part as it is stored: in NFC (RFC 6532, 3.1)."""
    found = local if local.isascii() else _compose(local)
    plain = found if found.isascii() else "".join("a" if not sign.isascii() else sign for sign in found)
    if any(sign.isspace() for sign in local):
        raise MalformedEmailAddress("There's a space in this address. Remove it.")
    if not _LOCAL_PART.fullmatch(plain) or len(found.encode()) > 64:
        raise MalformedEmailAddress(
            "The part before the @ can only have letters, digits and common characters, and no more than 64 bytes."
        )
    if plain[0] in "-." or plain[-1] == "." or ".." in plain or "=?" in plain:
        raise MalformedEmailAddress(
            "The part before the @ can't start with a hyphen or dot, end with a dot, or have two dots in a row."
        )
    return found


def _compose(local: str) -> str:
    """Return a local part with letters beyond ASCII, which are of one script, in NFC.

    Refused are signs that a change of case or of form turns into ASCII or other letters: their address could be taken
    for somebody else's.
    """
    composed = unicodedata.normalize("NFC", local)
    others = [sign for sign in {*local, *composed} if not sign.isascii()]
    if any(map(_may_pass_for_another, others)) or unicodedata.combining(composed[0]) or _mixes(composed):
        raise MalformedEmailAddress(
            "The part before the @ has characters or a mix of alphabets that look like another address. Type it again."
        )
    return composed


def _may_pass_for_another(sign: str) -> bool:
    """Return whether a sign beyond ASCII is no letter, mark or digit, or has another form, or one in ASCII."""
    forms = (unicodedata.normalize("NFC", sign), sign.lower(), sign.upper() if len(sign.upper()) == 1 else sign)
    is_letter = unicodedata.category(sign)[0] in "LM" or unicodedata.category(sign) == "Nd"
    is_letter = is_letter and _UNSEEN.match(sign) is None
    has_other_form = unicodedata.normalize("NFKC", sign) != unicodedata.normalize("NFC", sign)
    return not is_letter or has_other_form or any(form[0].isascii() for form in forms)


def _mixes(text: str) -> bool:
    """Return whether a text mixes scripts as look-alikes do (UTS 39, section 5); combining marks go with any script."""
    letters = [letter for letter in _IN_EVERY_SCRIPT.sub("", text) if unicodedata.category(letter)[0] in "LM"]
    names = {unicodedata.name(letter, "").split(" ")[0] for letter in letters} - {"COMBINING"}
    scripts = {_SHARED_LETTERS.get(name, name) for name in names}
    return len(scripts) > 1 and not any(scripts <= together for together in _SCRIPTS_TOGETHER)


def _check_domain(domain: str, *, special_use: bool) -> None:
    labels = domain.split(".")
    if len(labels) < 2 or _NUMBER.fullmatch(labels[-1]):
        raise MalformedEmailAddress(
            "The part after the @ needs at least two parts, like example.com, and can't be a network address."
        )
    if not special_use and labels[-1] in _SPECIAL_USE:
        raise MalformedEmailAddress(
            "Addresses with this ending are reserved and can't receive email (RFC 6761). Use another address."
        )
    for label in labels:
        if label.startswith("xn--"):
            _check_international(label)


def _check_international(label: str) -> None:
    """Refuse a label that changes in an IDNA round trip, or mixes scripts as look-alikes do (UTS 39, section 5)."""
    try:
        shown = idna.decode(label)
        same = idna.encode(shown).decode() == label
    except idna.IDNAError as refused:
        raise MalformedEmailAddress(
            "The part after the @ isn't a valid domain. Check it for typing mistakes."
        ) from refused
    if not same or _mixes(shown):
        raise MalformedEmailAddress(
            "The part after the @ mixes alphabets, as fake addresses do. Check it, and type it again."
        )


def _is_one_typo_apart(typed: str, known: str) -> bool:
    """Return whether one letter was changed, left out, added, or swapped with its neighbour."""
    if typed == known:
        return True
    if abs(len(typed) - len(known)) > 1 or _differs_in_country_only(typed, known):
        return False
    start = next((i for i, (a, b) in enumerate(zip(typed, known, strict=False)) if a != b), min(len(typed), len(known)))
    t, k = typed[start:], known[start:]
    return t[1:] == k or t == k[1:] or t[1:] == k[1:] or (t[:2] == k[:2][::-1] and t[2:] == k[2:])


def _differs_in_country_only(typed: str, known: str) -> bool:
    """Return whether only the country code differs: yahoo.dk is Yahoo in Denmark (but web.ed is a typing error)."""
    (name, _, ending), (known_name, _, known_ending) = typed.rpartition("."), known.rpartition(".")
    return name == known_name and len(ending) == len(known_ending) == 2 and ending != known_ending[::-1]
