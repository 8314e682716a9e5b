"""User IDs: twelve symbols that can be said on the telephone, two of which check the others. Pure.

The alphabet has 23 symbols, a prime number, so the two check symbols form a Reed-Solomon code over GF(23): with the
weights `5^i mod 23`, both the plain sum and the weighted sum of the symbols' values are 0. Every error in one or two
symbols and every swap is found; one wrong symbol is located exactly, two unheard ones are filled in exactly. But 45 %
of double errors look like a single one somewhere else, so a correction is only ever *suggested*: the caller confirms
it, and it comes back as a new request.
"""

import re
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from operator import mul
from typing import NewType

from identity_service.errors import Unprocessable

UserId = NewType("UserId", str)
"""Twelve symbols of `ALPHABET` without dashes, both sums right: the form that is stored and compared."""

ALPHABET = "0123456789CFHJKMPQRTWXY"
LENGTH = 12
GROUP = 4
PRIME = len(ALPHABET)
WEIGHTS = tuple(pow(5, place, PRIME) for place in range(LENGTH))
UNHEARD = "?"

_VALUES = {symbol: value for value, symbol in enumerate(ALPHABET)}
_HEARD, _MEANT = "OILZSGBN", "0112568M"
_SEPARATORS = dict.fromkeys(map(ord, " \t\u00a0\u202f-.\u2010\u2011\u2012\u2013\u2014\u2212"))
_ASCII_SEPARATORS = bytes(code for code in _SEPARATORS if code < 128)
_READING = {**str.maketrans(_HEARD, _MEANT), **_SEPARATORS}
_ASCII_READING = bytes(range(256)).upper().translate(bytes.maketrans(_HEARD.encode("ascii"), _MEANT.encode("ascii")))
# 24 leaves 1 and 28 leaves 5, divided by 23: so read as a number in base 24 the symbols leave their plain sum, and read
# backwards in base 28 the weighted one. What is no symbol is no digit.
_DIGITS = bytes(b"0123456789ABCDEFGHIJKLM!"[ALPHABET.find(chr(code))] for code in range(256))
_PLAIN, _WEIGHTED = PRIME + 1, PRIME + 5
_WORDS = {
    "C": "Charlie", "F": "Foxtrot", "H": "Hotel", "J": "Juliett", "K": "Kilo", "M": "Mike", "P": "Papa", "Q": "Quebec",
    "R": "Romeo", "T": "Tango", "W": "Whiskey", "X": "X-ray", "Y": "Yankee",
}  # fmt: skip
# Words nobody should have to read aloud, English and German, also with digits for the letters they resemble. Only new
# IDs avoid them; an older one stays what it is.
_OFFENSIVE = (
    "88|666|69|FCK|FKK|KKK|WTF|XXX|SEX|COCK|FAG|TIT|PIMP|PISS|PRICK|CRAP|RAPE|SHIT|TWAT|WANK|WHORE|ARSE|PORN|BITCH|CLIT"
    "|KIKE|HERPES|HITLER|NAZI|FICK|FOTZE|ARSCH|WICHS|SPAST"
)
_RESEMBLING = str.maketrans(
    {"A": "4", "B": "8", "E": "3", "G": "[69]", "I": "1", "L": "1", "N": "M", "O": "0", "S": "5", "T": "[T7]", "Z": "2"}
)
_REFUSED = re.compile(_OFFENSIVE.translate(_RESEMBLING))


class MalformedUserId(Unprocessable):
    """This is not a User ID; please check it symbol by symbol."""


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A User ID that one plausible mistake explains. `position` counts from 1; None where two places changed."""

    user_id: UserId
    reason: str
    position: int | None


def issue(random_below: Callable[[int], int] = secrets.randbelow) -> UserId:
    """Return a new random User ID (45.2 bits); uniqueness is the database's to decide (insert, and retry)."""
    while True:
        number = random_below(PRIME**10)
        symbols = [number // PRIME**place % PRIME for place in range(10)]
        candidate = "".join(ALPHABET[value] for value in _complete(symbols))
        if candidate.isdigit() or _REFUSED.search(candidate):
            continue
        return UserId(candidate)


def parse(text: str) -> UserId:
    """Return the User ID that `text` spells in any readable form.

    Case, blanks, dashes and dots do not matter; O is read as 0, I and L as 1, Z as 2, S as 5, G as 6, B as 8, N as M.

    Raises:
        MalformedUserId: with `problem` too_short, too_long, impossible_symbol (with `symbol`, `position`) or
            check_failed, and with the `suggestions` that a single mistake explains. Nothing is looked up.
    """
    symbols = read_symbols(text)
    # Asked first, and in few steps: a permission check reads 10,000 of them.
    if is_canonical(symbols):
        return UserId(symbols)
    sentence, members = _problem(symbols)
    found = [{"user_id": show(s.user_id), "reason": s.reason, "position": s.position} for s in suggest(text)]
    raise MalformedUserId(sentence, suggestions=found, **members)


def is_canonical(text: str) -> bool:
    """Tell whether `text` is already in the stored form."""
    digits = text.encode("ascii", "replace").translate(_DIGITS)
    try:
        return len(digits) == LENGTH and int(digits, _PLAIN) % PRIME == 0 == int(digits[::-1], _WEIGHTED) % PRIME
    except ValueError:
        return False


def show(user_id: str) -> str:
    """Return the form for people: `XXXX-XXXX-XXXX`."""
    return f"{user_id[:GROUP]}-{user_id[GROUP:-GROUP]}-{user_id[-GROUP:]}"


def spell(user_id: UserId, as_in: str = "as in") -> list[str]:
    """Return how each symbol is said, in the ICAO spelling alphabet: `K as in Kilo`, `7` (IDN-05)."""
    return [symbol if symbol.isdigit() else f"{symbol} {as_in} {_WORDS[symbol]}" for symbol in user_id]


def suggest(text: str) -> list[Suggestion]:
    """Return the User IDs that one likely mistake explains.

    Explained are one wrong symbol, one swap of neighbours, or up to two symbols not understood (given as `?`, or
    symbols that cannot occur). There is nothing to rank: a wrong symbol changes the plain sum and a swap does not, so
    no text is explained by both. Arithmetic only: it says nothing about which accounts exist.
    """
    symbols = read_symbols(text)
    if len(symbols) != LENGTH:
        return []
    unheard = [place for place, symbol in enumerate(symbols) if symbol not in _VALUES]
    values = [_VALUES.get(symbol, 0) for symbol in symbols]
    if unheard:
        return list(_fill(values, unheard))
    if _sums(values) == (0, 0):
        return []
    return [*_one_wrong(values), *_one_swap(values)]


def read_symbols(text: str) -> str:
    """Return the symbols that `text` spells, read as kindly as a User ID; nothing is checked (IDN-03)."""
    if text.isascii():
        return text.encode("ascii").translate(_ASCII_READING, _ASCII_SEPARATORS).decode("ascii")
    # Only ASCII is raised: "ı".upper() is "I" and "ſ".upper() is "S", which nobody wrote.
    return "".join(s.upper() if s.isascii() else s for s in text).translate(_READING)


def _problem(symbols: str) -> tuple[str, dict[str, str | int]]:
    """Return what is wrong with symbols that are no User ID."""
    if len(symbols) < LENGTH:
        return f"This is too short: a User ID has {LENGTH} symbols, this has {len(symbols)}.", {"problem": "too_short"}
    if len(symbols) > LENGTH:
        return f"This is too long: a User ID has {LENGTH} symbols, this has {len(symbols)}.", {"problem": "too_long"}
    for position, symbol in enumerate(symbols, start=1):
        if symbol not in _VALUES:
            named = symbol if symbol.isascii() and symbol.isprintable() else f"U+{ord(symbol):04X}"
            sentence = f"Symbol {position} cannot occur in a User ID."
            if symbol == UNHEARD:
                sentence = f"Symbol {position} was not understood."
            return sentence, {"problem": "impossible_symbol", "symbol": named, "position": position}
    return "The check symbols do not fit: at least one symbol is wrong.", {"problem": "check_failed"}


def _values(symbols: str) -> list[int]:
    return [_VALUES[symbol] for symbol in symbols]


def _sums(values: list[int]) -> tuple[int, int]:
    return sum(values) % PRIME, sum(map(mul, WEIGHTS, values)) % PRIME


def _complete(symbols: list[int]) -> list[int]:
    return _solve([*symbols, 0, 0], LENGTH - 2, LENGTH - 1)


def _solve(values: list[int], first: int, second: int) -> list[int]:
    """Return `values` with the two places replaced so that both sums are 0; what stood there must be 0."""
    plain, weighted = _sums(values)
    inverse = pow(WEIGHTS[first] - WEIGHTS[second], -1, PRIME)
    a = (WEIGHTS[second] * plain - weighted) * inverse % PRIME
    solved = values.copy()
    solved[first], solved[second] = a, (-plain - a) % PRIME
    return solved


def _suggestion(values: list[int], reason: str, position: int | None) -> Suggestion:
    return Suggestion(UserId("".join(ALPHABET[value] for value in values)), reason, position)


def _fill(values: list[int], unheard: list[int]) -> Iterator[Suggestion]:
    if len(unheard) == 1:
        solved = values.copy()
        solved[unheard[0]] = -sum(values) % PRIME
        if _sums(solved) == (0, 0):
            yield _suggestion(solved, "one symbol was not understood", unheard[0] + 1)
    elif len(unheard) == 2:
        yield _suggestion(_solve(values, *unheard), "two symbols were not understood", None)


def _one_wrong(values: list[int]) -> Iterator[Suggestion]:
    plain, weighted = _sums(values)
    if plain == 0:
        return
    weight = weighted * pow(plain, -1, PRIME) % PRIME
    if weight not in WEIGHTS:
        return
    place = WEIGHTS.index(weight)
    right = values.copy()
    right[place] = (values[place] - plain) % PRIME
    heard, meant = ALPHABET[values[place]], ALPHABET[right[place]]
    yield _suggestion(right, f"symbol {place + 1} is {meant}, not {heard}", place + 1)


def _one_swap(values: list[int]) -> Iterator[Suggestion]:
    for first, second in pairwise(range(LENGTH)):
        swapped = values.copy()
        swapped[first], swapped[second] = swapped[second], swapped[first]
        if swapped != values and _sums(swapped) == (0, 0):
            yield _suggestion(swapped, f"symbols {first + 1} and {second + 1} are swapped", first + 1)
