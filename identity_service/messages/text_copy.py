"""What every text message says, and whether it fits into one segment. Pure.

A text has one sentence with the brand, what its code is for, and who may be told it, then the line by which a browser
takes the code to our host alone (https://github.com/WICG/sms-one-time-codes). It has no link, name or User ID (TXT-06).
"""

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from identity_service.messages.copy import fill


class TextCopy(NamedTuple):
    """The sentence of a kind of text; `for_browser`: its code is typed into a page of ours."""

    sentence: str
    for_browser: bool = True


TEXTS: Final[Mapping[str, TextCopy]] = {
    "reset_text": TextCopy("Your code from {brand} for a new password. Don't tell it to anyone."),
    "caller_check_text": TextCopy(
        "Your code from {brand} for your call. Tell it only to the clerk you called, who must say: {phrase}",
        for_browser=False,
    ),
    "number_check": TextCopy("Your code from {brand} to confirm this telephone number. Don't tell it to anyone."),
}
"""By name of the kind."""

SEGMENT_GSM: Final = 160
SEGMENT_UCS2: Final = 70
SHORT_BRAND: Final = 11
"""Letters of a brand that a text has where the whole name does not fit: as many as a sender's name may have."""
_GSM: Final = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿"
    "abcdefghijklmnopqrstuvwxyzäöñüà"
)
_GSM_EXTENDED: Final = frozenset("\f^{}\\[~]|€")


class TooLong(ValueError):
    """No form of this text fits into one segment: the host of the public URL is too long."""


def fits(text: str) -> bool:
    """Return whether a text is one segment: 160 signs of the GSM alphabet, two for some, else 70 (3GPP TS 23.038)."""
    if set(text) <= _GSM | _GSM_EXTENDED:
        return sum(2 if sign in _GSM_EXTENDED else 1 for sign in text) <= SEGMENT_GSM
    return len(text.encode("utf-16-be")) // 2 <= SEGMENT_UCS2


def codes_in(text: str) -> list[str]:
    """Return the codes that a text has: at its beginning, and in the browser's line."""
    first, _, rest = text.partition(":")
    return [one for one in (first if rest else "", text.rpartition("#")[2] if "\n@" in text else "") if one]


def write(known: TextCopy, sentences: Iterable[str], *, brand: str, code: str, host: str, **facts: str) -> str:
    """Return the first form of a text that is one segment: in the first of the `sentences` (languages) that fits, with
    the whole brand or its first letters, with the code at its beginning or only in the browser's line.

    Raises:
        TooLong
    """
    for sentence in sentences:
        for name in (brand, brand[:SHORT_BRAND]):
            words = fill(sentence, {**facts, "brand": name})
            forms = [f"{code}: {words}"]
            if known.for_browser:
                last = f"@{host} #{code.replace(' ', '')}"
                forms = [f"{code}: {words}\n{last}", f"{words}\n{last}"]
            found = next(filter(fits, forms), None)
            if found is not None:
                return found
    raise TooLong
