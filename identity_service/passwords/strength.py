"""Check the strength of a password: length, a block list, the words of its own account, and zxcvbn. Pure.

No composition rules, no expiry, nothing cut or trimmed (NIST SP 800-63B-4, 3.1.1.2). The list of common passwords has
30,000 entries, but only 31 of them have fifteen characters; at that length people repeat a common password, combine
two, or type a row of the keyboard. So the block list covers all of those (PWD-04, ASVS 6.2.4).
"""

import re
from collections.abc import Iterable
from functools import cache
from typing import Final

from zxcvbn import zxcvbn
from zxcvbn.frequency_lists import FREQUENCY_LISTS

from identity_service.passwords import rules
from identity_service.passwords.rules import WeakPassword
from identity_service.values import text

READ_BY_ZXCVBN: Final = 40
"""Characters that zxcvbn judges. It accepts 72 at most (FACT-8), and its time grows with the square of their number."""
MAXIMUM_SUBSTITUTIONS: Final = 4
"""Kinds of substitution signs (`4` or `@` for `a`) up to which zxcvbn tries all that they may stand for."""
_SUBSTITUTED: Final = {
    "4": "a", "@": "a", "8": "b", "(": "c", "{": "c", "[": "c", "<": "c", "3": "e", "6": "g", "9": "g", "1": "i",
    "!": "i", "|": "l", "0": "o", "$": "s", "5": "s", "+": "t", "7": "t", "%": "x", "2": "z",
}  # fmt: skip
"""One letter for each sign of zxcvbn's table."""
GOOD_GUESSES: Final = 10**8
"""The smallest accepted number of zxcvbn guesses. zxcvbn's own score 3 needs five more, and would refuse every password
of eight characters, the smallest minimum that can be configured, however random (PWD-01)."""
_ROWS: Final = (
    "1234567890",
    "qwertyuiop",
    "qwertzuiop",
    "asdfghjkl",
    "zxcvbnm",
    "yxcvbnm",
    "abcdefghijklmnopqrstuvwxyz",
)


def normalise(password: str) -> str:
    """Return the password in the form that is hashed: NFC, otherwise as typed (PWD-03)."""
    return text.compose(password)


def check_length(password: str, *, minimum: int) -> None:
    """Refuse a password that is too short or too long; cheap, so it is checked first (PWD-11).

    Raises:
        WeakPassword: `too_short` or `too_long`.
    """
    if len(password) > rules.MAXIMUM_CHARACTERS or len(password.encode("utf-8", "replace")) > rules.MAXIMUM_BYTES:
        raise WeakPassword("too_long", minimum)
    if len(password) < minimum:
        raise WeakPassword("too_short", minimum)


def check_guessable(password: str, *, minimum: int, own_words: Iterable[str]) -> None:
    """Refuse a password that can be guessed. `own_words`: names and addresses of this account and service.

    Takes a few milliseconds of CPU, so run it in the hasher's thread pool.

    Raises:
        WeakPassword: with `reason`, and a sentence that says what helps.
    """
    check_length(password, minimum=minimum)
    plain = password.casefold()
    words = sorted({word.casefold() for word in own_words if len(word) >= 3})
    if is_common(plain):
        raise WeakPassword("common", minimum)
    if is_made_of(plain, words):
        raise WeakPassword("context", minimum)
    if _guesses(password, words) < GOOD_GUESSES:
        raise WeakPassword("guessable", minimum)


def _guesses(password: str, words: list[str]) -> float:
    """Return how many guesses zxcvbn expects a password to take, in bounded time.

    It tries every combination of what substitution signs may stand for, and every substring: seconds of CPU for 72 such
    signs. With more than four kinds, each sign is read as the one letter it most often stands for; of a long password
    the beginning is judged, for which a longer one takes no fewer guesses.
    """
    read = password[:READ_BY_ZXCVBN]
    if len(set(read) & _SUBSTITUTED.keys()) > MAXIMUM_SUBSTITUTIONS:
        read = "".join(_SUBSTITUTED.get(sign, sign) for sign in read)
    found: float = zxcvbn(read, user_inputs=words)["guesses"]
    return found


def is_common(plain: str) -> bool:
    """Return whether a case-folded password is on the block list: common, repeated, two combined with or without a
    separator, or a row of the keyboard or alphabet."""
    unit = _unit(plain)
    if unit in _common() or len(unit) <= 4 or _is_row(unit) or plain in _common():
        return True
    pieces = re.split(r"[\s._!@#-]", plain)
    if len(pieces) > 1 and all(piece in _common() or _is_row(piece) or piece == "" for piece in pieces):
        return True
    return any(_is_blocked(plain[:cut]) and _is_blocked(plain[cut:]) for cut in range(4, len(plain) - 3))


def is_made_of(plain: str, words: Iterable[str]) -> bool:
    """Return whether a password is one of these words with only digits and signs added (no substring rule: a
    passphrase may contain a name)."""
    bare = re.sub(r"[\W\d_]+", "", plain)
    squeezed = [re.sub(r"[\W\d_]+", "", word) for word in words]
    return any(word and _unit(bare) == _unit(word) for word in squeezed)


@cache
def _common() -> frozenset[str]:
    return frozenset(FREQUENCY_LISTS["passwords"])


def _is_blocked(part: str) -> bool:
    return part in _common() or _is_row(part)


def _is_row(part: str) -> bool:
    """Return whether `part` is along a row of the keyboard or the alphabet, in either direction, or one symbol only."""
    if len(set(part)) <= 1:
        return True
    return len(part) >= 4 and any(part in row * 3 or part in row[::-1] * 3 for row in _ROWS)


def _unit(text: str) -> str:
    """Return the shortest text that `text` is a repetition of."""
    place = (text + text).find(text, 1)
    return text[:place] if 0 < place < len(text) else text
