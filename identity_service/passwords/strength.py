"""Whether a password is good enough: its length, a block list, the words of its own account, and zxcvbn. Pure.

No composition rules, no expiry, nothing cut or trimmed (NIST SP 800-63B-4, 3.1.1.2). The list of common passwords has
30,000 entries, but only 31 of them have fifteen characters; what people really do at that length is to say a common
password twice, put two together, or walk over the keyboard. So the block list holds all of those (PWD-04, ASVS 6.2.4).
"""

import re
import unicodedata
from collections.abc import Iterable
from functools import cache
from typing import Final

from zxcvbn import zxcvbn
from zxcvbn.frequency_lists import FREQUENCY_LISTS

from identity_service.passwords import rules
from identity_service.passwords.rules import WeakPassword

READ_BY_ZXCVBN: Final = 72
"""Characters that zxcvbn takes; more raise ValueError, which would refuse a good passphrase (FACT-8)."""
GOOD_GUESSES: Final = 10**8
"""Guesses that a password is worth at least: where zxcvbn's score 3 begins. The score itself begins five guesses later,
and would refuse every eight signs that people could set as the least, however random (PWD-01)."""
_ROWS: Final = (
    "1234567890",
    "qwertyuiop",
    "qwertzuiop",
    "asdfghjkl",
    "zxcvbnm",
    "yxcvbnm",
    "abcdefghijklmnopqrstuvwxyz",
)


def normal(password: str) -> str:
    """Return the password as it is hashed: in NFC, otherwise as typed (PWD-03)."""
    return unicodedata.normalize("NFC", password)


def check_length(password: str, *, minimum: int) -> None:
    """Refuse a password that is too short or too long; cheap, and asked before anything else (PWD-11).

    Raises:
        WeakPassword: `too_short` or `too_long`.
    """
    if len(password) > rules.MAXIMUM_CHARACTERS or len(password.encode("utf-8", "replace")) > rules.MAXIMUM_BYTES:
        raise WeakPassword("too_long", minimum)
    if len(password) < minimum:
        raise WeakPassword("too_short", minimum)


def check(password: str, *, minimum: int, own_words: Iterable[str]) -> None:
    """Refuse a password that somebody would guess. `own_words`: names and addresses of this account and service.

    Takes some milliseconds of CPU: it runs where passwords are hashed.

    Raises:
        WeakPassword: with `reason`, and a sentence that helps.
    """
    check_length(password, minimum=minimum)
    plain = password.casefold()
    words = sorted({word.casefold() for word in own_words if len(word) >= 3})
    if is_common(plain):
        raise WeakPassword("common", minimum)
    if is_made_of(plain, words):
        raise WeakPassword("context", minimum)
    if zxcvbn(password[:READ_BY_ZXCVBN], user_inputs=words)["guesses"] < GOOD_GUESSES:
        raise WeakPassword("guessable", minimum)


def is_common(plain: str) -> bool:
    """Tell whether a case-folded password is on the block list: common, said several times, two put together with or
    without a sign, or a walk over keyboard or alphabet."""
    unit = _unit(plain)
    if unit in _common() or len(unit) <= 4 or _is_walk(unit) or plain in _common():
        return True
    pieces = re.split(r"[\s._!@#-]", plain)
    if len(pieces) > 1 and all(piece in _common() or _is_walk(piece) or piece == "" for piece in pieces):
        return True
    return any(_is_block(plain[:cut]) and _is_block(plain[cut:]) for cut in range(4, len(plain) - 3))


def is_made_of(plain: str, words: Iterable[str]) -> bool:
    """Tell whether a password is one of these words with no more than digits and signs around it (no substring rule:
    a passphrase may contain a name)."""
    bare = re.sub(r"[\W\d_]+", "", plain)
    squeezed = [re.sub(r"[\W\d_]+", "", word) for word in words]
    return any(word and _unit(bare) == _unit(word) for word in squeezed)


@cache
def _common() -> frozenset[str]:
    return frozenset(FREQUENCY_LISTS["passwords"])


def _is_block(part: str) -> bool:
    return part in _common() or _is_walk(part)


def _is_walk(part: str) -> bool:
    """Tell whether part goes along a row of the keyboard or the alphabet, forwards or backwards, or stays on a key."""
    if len(set(part)) <= 1:
        return True
    return len(part) >= 4 and any(part in row * 3 or part in row[::-1] * 3 for row in _ROWS)


def _unit(text: str) -> str:
    """Return the shortest text that `text` is a repetition of."""
    place = (text + text).find(text, 1)
    return text[:place] if 0 < place < len(text) else text
