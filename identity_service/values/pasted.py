"""What is pasted carries signs that nobody sees, other forms of the same letter, and words or brackets around it. Pure.

Invisible is what Unicode calls Default_Ignorable_Code_Point (Unicode 16, DerivedCoreProperties.txt): zero-width signs,
soft hyphens, marks of direction, byte order marks, variation selectors and tags. They do not count at any place of an
identifier or code, nor at the ends of an address or name.
"""

import re
import unicodedata
from typing import Final

_SELECTORS: Final = "\u180b-\u180d\u180f\ufe00-\ufe0f\U000e0100-\U000e01ef"
_INVISIBLE: Final = (
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f"
    "\ufeff\uffa0\ufff0-\ufff8\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
SELECTORS: Final = "\ufe0e\ufe0f"
"""Which form an emoji has; copied along with it, they stand behind letters, too."""
_INVISIBLE_SIGN = re.compile(f"[{_INVISIBLE}]")
_FIRST_VISIBLE = re.compile(rf"[^\s{_INVISIBLE}]")
# A last selector belongs to the letter or emoji before it, and tags behind a black flag are a flag (UTS 51).
_PART_OF_THE_LAST = re.compile(f"[{_SELECTORS}]|(?<=\U0001f3f4)[\U000e0020-\U000e007e]+\U000e007f")
_NARROW: Final = {wide: wide - 0xFEE0 for wide in range(0xFF01, 0xFF5F)} | {
    0x3000: " ", 0xFE6B: "@", 0x3002: ".",
}  # fmt: skip
"""Full-width forms of ASCII, and the blank and full stop of Chinese and Japanese keyboards."""
_PAIRS: Final = (
    "()", "[]", "{}", "<>", '""', "''", "``", "**", "__", "\u201c\u201d", "\u201e\u201c", "\u201e\u201d",
    "\u2018\u2019", "\u201a\u2018", "\u00ab\u00bb", "\u00bb\u00ab", "\u2039\u203a", "\u203a\u2039", "\u300c\u300d",
    "\u3010\u3011",
)  # fmt: skip
_HALVES: Final = (
    "()", "[]", "<>", "\u201c\u201d", "\u201e\u201c", "\u2018\u2019", "\u201a\u2018", "\u00ab\u00bb", "\u2039\u203a",
    '""',
)  # fmt: skip
"""Brackets and quotes of which a selection with the mouse often has one half alone. An address may begin with { or an
apostrophe."""
_TAIL: Final = ".,;:!\u2026"
# Within an ID a question mark is a symbol that was not understood; behind a quote it asks.
_ASKED = re.compile('(?<=[\u201c\u201d\u2019\u00bb\u00ab")\\]])\\?+\\Z')
# The sign in front of a line of a quoted email or of a list. A hyphen or asterisk may begin an address.
_BULLET = re.compile(
    "(?:[\u2190-\u27bf\u2b00-\u2bff\U0001f000-\U0001faff]\ufe0f?(?=\\s)|[>\u2022\u2023\u25aa\u25cf\u25e6\u2026]|[*+\u2013\u2014-](?=\\s))\\s*"
)
_WITH_LABEL: Final = "your|my|the|this|is|ihre?|meine?|deine?|die|der|das|ist|lautet|nr\\.|no\\.|[:=-]"
_LABELS: Final = (
    "user ?-?id|id|user|customer|account|contact|kunden(?:nummer|-?nr\\.?|-?id)?|konto|e-?mail(?:-adresse)?|mail"
    "|address|adresse|number|nummer|(?:one-time |recovery |einmal)?-?code"
)
_NUMBER: Final = "(?:nr|no)\\.(?=\\s|[0-9a-z]{4}[- ]?[0-9a-z]{4})|n[\u00b0\u00ba]|\u2116|#"
# Each label has a letter or sign that no symbol is read from, so that the beginning of an identifier is never taken for
# one: "Nr." is one with a full stop and a blank or two groups.
_LABEL = re.compile(
    rf"(?:(?:{_WITH_LABEL})\s+)*(?:(?:{_LABELS})[\s:=#-]+|(?:{_NUMBER})\s*)"
    rf"(?:(?:{_WITH_LABEL}|{_LABELS})[\s:=#-]+|(?:{_NUMBER})\s*)*",
    re.IGNORECASE,
)
# "http://" is the beginning of a link and no label.
_ANY_LABEL = re.compile(r"(?!mailto:)[^\d:=@<>]{1,60}[:=]\s*(?=[^\s/])", re.IGNORECASE)
# A remark in brackets has a letter that no symbol is read from, and no address.
_REMARK = re.compile(r"[(\[][^()\[\]@%adeuv]*[adeuv][^()\[\]@%]*[)\]]\Z", re.IGNORECASE)
_LONGEST: Final = 400
"""A longer text is no pasted value, and is not searched for labels."""


def trim_ends(text: str) -> str:
    """Return `text` without blanks and invisible signs at its ends; what belongs to a last emoji stays."""
    first = _FIRST_VISIBLE.search(text)
    if first is None:
        return ""
    last = _FIRST_VISIBLE.search(text[::-1])
    end = len(text) - (last.start() if last else 0)
    part = _PART_OF_THE_LAST.match(text, end)
    return text[first.start() : part.end() if part else end]


def remove_invisible(text: str) -> str:
    """Return `text` without the signs that nobody sees; blanks stay."""
    return _INVISIBLE_SIGN.sub("", text)


def find_invisible(text: str) -> str | None:
    """Return the first sign of `text` that nobody sees, if there is one."""
    found = _INVISIBLE_SIGN.search(text)
    return None if found is None else found[0]


def read_narrow(text: str) -> str:
    """Return `text` with the full-width forms of ASCII as ASCII. Digits and letters of other scripts stay."""
    return text if text.isascii() else text.translate(_NARROW)


def remove_dress(text: str) -> str:
    """Return a pasted value without what `remove_wrapping` takes off, the label in front and a remark in brackets."""
    plain = remove_wrapping(text)
    while plain and len(plain) <= _LONGEST:
        before = plain
        for label in (_LABEL, _ANY_LABEL):
            plain = remove_label(plain, label)
        remark = _REMARK.search(plain)
        plain = remove_wrapping(plain if remark is None else plain[: remark.start()])
        if plain == before:
            break
    return plain


def remove_wrapping(text: str) -> str:
    """Return a pasted value without brackets or quotes around it, a bullet in front and a last full stop."""
    plain = trim_ends(text)
    while plain and len(plain) <= _LONGEST:
        before = plain
        plain = _ASKED.sub("", plain.rstrip(_TAIL)).strip()
        if len(plain) > 1 and plain[0] + plain[-1] in _PAIRS:
            plain = trim_ends(plain[1:-1])
        bullet = _BULLET.match(plain)
        plain = _remove_halves(plain if bullet is None else plain[bullet.end() :])
        if plain == before:
            break
    return plain


def remove_label(plain: str, label: re.Pattern[str]) -> str:
    """Return a value without the label in front of it.

    "#", "=" and "-" may belong to an address (`contact-us@example.com`); a blank or colon may not.
    """
    found = label.match(plain)
    if found is None:
        return plain
    last = found[0][-1]
    return plain if "@" in plain and last != ":" and not last.isspace() else plain[found.end() :]


def _remove_halves(plain: str) -> str:
    """Return a value without a bracket or quote at one end whose other half was not copied."""
    for opening, closing in _HALVES:
        if plain.startswith(opening) and closing not in plain[1:]:
            plain = plain[1:]
        if plain.endswith(closing) and opening not in plain[:-1]:
            plain = plain[:-1]
    return plain


def read_digits(text: str) -> str:
    """Return the letters and digits of a typed or pasted numeric code in lower case, O read as 0, I and l as 1."""
    plain = remove_dress(read_narrow(remove_invisible(text[:_LONGEST])))
    # Digits of other scripts are digits; letters stay.
    kept = "".join(str(unicodedata.digit(sign, sign)) for sign in plain if sign.isalnum())
    return kept.translate(str.maketrans("OoIl", "0011")).lower()


def name_sign(sign: str) -> str:
    """Return how a sign is called in a refusal: `U+200B ZERO WIDTH SPACE`."""
    name = unicodedata.name(sign, "")
    return f"U+{ord(sign):04X} {name}".rstrip()
