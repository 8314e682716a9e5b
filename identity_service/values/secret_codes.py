"""Recovery codes and support codes: random symbols of the User ID's alphabet that end in two check symbols, so that a
mistyped one is told before it is tried. Pure."""

import re
import secrets
from collections.abc import Callable
from typing import Final

from identity_service.errors import Unprocessable
from identity_service.values import pasted, user_ids
from identity_service.values.user_ids import ALPHABET

RECOVERY: Final = 22
LOCATOR: Final = 4
"""A recovery code: four symbols that find it, sixteen secret ones (72.4 bits), two check symbols (REC-20)."""
SUPPORT: Final = 8
"""A support code: six random symbols and two check symbols (SUP-01)."""
_GROUP: Final = 4
_RUN: Final = re.compile(r"[0-9A-Za-z](?:[\s.\-\u2010-\u2015]{0,2}[0-9A-Za-z]){21,}")


class MalformedCode(Unprocessable):
    """This code has a mistake. Compare it with what you have, character by character."""


class RecoveryCodeSpoken(Unprocessable):
    """This looks like a recovery code. Nothing was kept. Nobody may read one out: ask the caller to type it at /recover
    themselves.
    """


def issue(length: int, choose: Callable[[str], str] = secrets.choice) -> str:
    """Return a new code of this many symbols, the two check symbols included, without words that offend."""
    while True:
        code = user_ids.add_checks("".join(choose(ALPHABET) for _ in range(length - 2)))
        if not user_ids.is_offensive(code):
            return code


def derive(numbers: Callable[[int], bytes], length: int) -> str:
    """Return the code that a keyed hash stands for: `numbers(0)` if its symbols offend nobody, else `numbers(1)`, …"""
    attempt = 0
    while True:
        number = int.from_bytes(numbers(attempt), "big")
        symbols = "".join(ALPHABET[number // user_ids.PRIME**place % user_ids.PRIME] for place in range(length - 2))
        code = user_ids.add_checks(symbols)
        if not user_ids.is_offensive(code):
            return code
        attempt += 1


def read(text: str, length: int) -> str:
    """Return the code that was typed, read as leniently as a User ID (IDN-03).

    Raises:
        MalformedCode: too short, too long, or the check symbols do not match; nothing was looked up.
    """
    symbols = user_ids.read_symbols(text[:200], length)
    if len(symbols) != length or not user_ids.has_checks(symbols):
        raise MalformedCode
    return symbols


def show(code: str) -> str:
    """Return the form for people: groups of four."""
    return "-".join(code[start : start + _GROUP] for start in range(0, len(code), _GROUP))


def refuse_recovery_code(text: str) -> None:
    """Refuse a text with a recovery code in it where staff type what they hear (REC-29).

    Raises:
        RecoveryCodeSpoken
    """
    if contains_recovery_code(text):
        raise RecoveryCodeSpoken


def contains_recovery_code(text: str) -> bool:
    """Return whether a text has a recovery code in it, in whatever groups it was written."""
    for run in _RUN.findall(pasted.read_narrow(pasted.remove_invisible(text))):
        symbols = user_ids.read_symbols(run)
        starts = range(len(symbols) - RECOVERY + 1)
        if any(user_ids.has_checks(symbols[start : start + RECOVERY]) for start in starts):
            return True
    return False
