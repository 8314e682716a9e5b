"""User IDs: twelve symbols that can be spoken on the telephone, two of which are check symbols. Pure.

The alphabet has 23 symbols, a prime number, so the two check symbols form a Reed-Solomon code over GF(23): with the
weights `5^i mod 23`, both the plain sum and the weighted sum of the symbols' values are 0. Every error in one or two
symbols and every swap is detected; one wrong symbol is located exactly, two missing ones are filled in exactly. But
45 % of double errors look like a single error elsewhere, so a correction is only *suggested*: the caller confirms it
and sends it as a new request.
"""

import re
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from operator import mul
from typing import NewType

from identity_service.errors import Unprocessable
from identity_service.values import pasted

UserId = NewType("UserId", str)
"""Twelve symbols of `ALPHABET` without dashes, both sums 0: the form that is stored and compared."""

ALPHABET = "0123456789CFHJKMPQRTWXY"
LENGTH = 12
GROUP = 4
PRIME = len(ALPHABET)
MOST_SYMBOLS = 22
"""Up to so many symbols two check symbols find every error in two of them: 5^i mod 23 repeats after 22 places."""
WEIGHTS = tuple(pow(5, place, PRIME) for place in range(MOST_SYMBOLS))
UNHEARD = "?"
"""Marks a symbol that was not understood."""

_VALUES = {symbol: value for value, symbol in enumerate(ALPHABET)}
_HEARD, _MEANT = "OILZSGBN", "0112568M"
# Blanks of every width, line breaks, hyphens and dashes, dots, strokes, and the prolonged sound mark, which is on the
# key of the hyphen where Japanese is typed.
_SEPARATORS = dict.fromkeys(
    map(
        ord,
        " \t\r\n-.,/_|\u00a0\u00b7\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2010\u2011\u2012"
        "\u02d7\u2013\u2014\u2015\u2022\u202f\u2043\u205f\u2212\u30fb\u30fc\ufe58\ufe63\uff65\uff70",
    )
)
_ASCII_SEPARATORS = bytes(code for code in _SEPARATORS if code < 128)
_READING = {**str.maketrans(_HEARD, _MEANT), **_SEPARATORS}
_ASCII_READING = bytes(range(256)).upper().translate(bytes.maketrans(_HEARD.encode("ascii"), _MEANT.encode("ascii")))
# Because 24 ≡ 1 and 28 ≡ 5 (mod 23), `int(text, 24) % 23` is the plain sum of the values, and `int(reversed, 28) % 23`
# the weighted one. "!" stands for any other character and makes `int` raise ValueError.
_DIGITS = bytes(b"0123456789ABCDEFGHIJKLM!"[ALPHABET.find(chr(code))] for code in range(256))
_PLAIN_BASE, _WEIGHTED_BASE = PRIME + 1, PRIME + 5
_PROBLEMS = {
    "too_short": "This is too short. A User ID has {length} characters, but this has {has}.",
    "too_long": "This is too long. A User ID has {length} characters, but this has {has}.",
    "not_understood": "We didn't understand character {position}.",
    "impossible_symbol": "Character {position} can't be in a User ID.",
    "impossible_sign": "Character {position} can't be in a User ID. It is {sign}.",
    "check_failed": "The check characters don't match. At least one character is wrong.",
}
WORDS = {
    "C": "Charlie", "F": "Foxtrot", "H": "Hotel", "J": "Juliett", "K": "Kilo", "M": "Mike", "P": "Papa", "Q": "Quebec",
    "R": "Romeo", "T": "Tango", "W": "Whiskey", "X": "X-ray", "Y": "Yankee",
}  # fmt: skip
# Offensive words, English and German, also with digits for similar letters. New IDs must not contain them; an ID that
# was issued before a word was added stays valid.
_OFFENSIVE = (
    "88|666|69|FCK|FKK|KKK|WTF|XXX|SEX|COCK|FAG|TIT|PIMP|PISS|PRICK|CRAP|RAPE|SHIT|TWAT|WANK|WHORE|ARSE|PORN|BITCH|CLIT"
    "|KIKE|HERPES|HITLER|NAZI|FICK|FOTZE|ARSCH|WICHS|SPAST"
)
_RESEMBLING = str.maketrans(
    {"A": "4", "B": "8", "E": "3", "G": "[69]", "I": "1", "L": "1", "N": "M", "O": "0", "S": "5", "T": "[T7]", "Z": "2"}
)
_REFUSED = re.compile(_OFFENSIVE.translate(_RESEMBLING))


class MalformedUserId(Unprocessable):
    """This isn't a valid User ID. Check it character by character."""


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A User ID that one likely mistake explains. `position` counts from 1; None if two symbols changed."""

    user_id: UserId
    reason: str
    position: int | None


def issue(random_below: Callable[[int], int] = secrets.randbelow) -> UserId:
    """Return a new random User ID (45.2 bits); the database checks uniqueness (insert, retry on conflict)."""
    while True:
        number = random_below(PRIME**10)
        symbols = [number // PRIME**place % PRIME for place in range(10)]
        candidate = "".join(ALPHABET[value] for value in _complete(symbols))
        if candidate.isdigit() or is_offensive(candidate):
            continue
        return UserId(candidate)


def parse(text: str) -> UserId:
    """Return the User ID that `text` means.

    Case, blanks, dashes and dots do not matter, nor do invisible signs, a label ("User ID:"), brackets, quotes and a
    question mark behind all symbols; full-width forms are read. O is read as 0, I and L as 1, Z as 2, S as 5, G as 6,
    B as 8, N as M.

    Raises:
        MalformedUserId: with `problem` too_short, too_long, impossible_symbol (with `symbol`, `position`) or
            check_failed, and with `suggestions` that a single mistake explains. No database is read.
    """
    symbols = _read(text)
    # The fast path first: a permission question has up to 10,000 User IDs.
    if is_canonical(symbols):
        return UserId(symbols)
    symbols = read_symbols(text)
    if is_canonical(symbols):
        return UserId(symbols)
    sentence, members, places = _problem(symbols)
    found = [{"user_id": show(s.user_id), "reason": s.reason, "position": s.position} for s in suggest(text)]
    raise MalformedUserId(sentence, places=places, suggestions=found, **members)


def is_canonical(text: str) -> bool:
    """Return whether `text` is a valid User ID in the stored form."""
    digits = text.encode("ascii", "replace").translate(_DIGITS)
    try:
        return (
            len(digits) == LENGTH and int(digits, _PLAIN_BASE) % PRIME == 0 == int(digits[::-1], _WEIGHTED_BASE) % PRIME
        )
    except ValueError:
        return False


def show(user_id: str) -> str:
    """Return the form for people: `XXXX-XXXX-XXXX`."""
    return f"{user_id[:GROUP]}-{user_id[GROUP:-GROUP]}-{user_id[-GROUP:]}"


def spell(user_id: UserId, say: Callable[[str], str] = str) -> list[str]:
    """Return each symbol in the ICAO spelling alphabet: `K as in Kilo`, `7` (IDN-05).

    `say` translates; a language whose speakers use another alphabet has its words (DIN 5009: `K wie Köln`).
    """
    return [symbol if symbol.isdigit() else f"{symbol} {say('as in')} {say(WORDS[symbol])}" for symbol in user_id]


def spell_groups(user_id: UserId, say: Callable[[str], str] = str) -> list[list[str]]:
    """Return the spelled symbols in the groups in which a User ID is shown."""
    spoken = spell(user_id, say)
    return [spoken[start : start + GROUP] for start in range(0, LENGTH, GROUP)]


def suggest(text: str) -> list[Suggestion]:
    """Return the User IDs that one likely mistake explains.

    The mistakes are one wrong symbol, one swap of neighbours, or up to two symbols not understood (given as `?`, or
    symbols that cannot occur). No ranking is needed: a wrong symbol changes the plain sum and a swap does not, so no
    text is explained by both. This is arithmetic only and does not reveal which accounts exist.
    """
    symbols = _read(text)
    if is_canonical(symbols):
        return []
    symbols = read_symbols(text)
    if len(symbols) != LENGTH:
        return []
    unheard = [place for place, symbol in enumerate(symbols) if symbol not in _VALUES]
    values = [_VALUES.get(symbol, 0) for symbol in symbols]
    if unheard:
        return list(_fill(values, unheard))
    if _sums(values) == (0, 0):
        return []
    return [*_one_wrong(values, _typed(text, symbols)), *_one_swap(values)]


def read_symbols(text: str, length: int = LENGTH) -> str:
    """Return the symbols of `text` after the same normalisation as in `parse`, without any check (IDN-03).

    Question marks at the end of a sentence do not count: those behind `length` symbols that were understood.
    """
    symbols = _read(pasted.remove_dress(pasted.read_narrow(pasted.remove_invisible(text))))
    understood = symbols.rstrip(UNHEARD)
    return understood if len(understood) >= length else symbols


def add_checks(symbols: str) -> str:
    """Return up to 20 symbols of `ALPHABET` with their two check symbols behind them."""
    return "".join(ALPHABET[value] for value in _complete(_values(symbols)))


def has_checks(symbols: str) -> bool:
    """Return whether these are up to 22 symbols of `ALPHABET` whose two check symbols are right."""
    known = 2 < len(symbols) <= MOST_SYMBOLS and all(symbol in _VALUES for symbol in symbols)
    return known and _sums(_values(symbols)) == (0, 0)


def is_offensive(symbols: str) -> bool:
    """Return whether nobody should have to read these symbols out."""
    return _REFUSED.search(symbols) is not None


def _read(text: str) -> str:
    if text.isascii():
        return text.encode("ascii").translate(_ASCII_READING, _ASCII_SEPARATORS).decode("ascii")
    # Only ASCII is upper-cased: "ı".upper() is "I" and "ſ".upper() is "S", which would be other symbols.
    return "".join(s.upper() if s.isascii() else s for s in text).translate(_READING)


def _typed(text: str, symbols: str) -> str:
    """Return the symbols as they were typed: `I` where it was read as 1."""
    plain = pasted.remove_dress(pasted.read_narrow(pasted.remove_invisible(text))).upper()
    kept = "".join(sign for sign in plain if ord(sign) not in _SEPARATORS)[: len(symbols)]
    return kept if kept.isascii() and _read(kept) == symbols else symbols


def _problem(symbols: str) -> tuple[str, dict[str, str | int], dict[str, str | int]]:
    """Return the sentence, the problem members and the places of the sentence for what is not a User ID.

    A sign that is not ASCII is named first: it may be why the length is wrong.
    """
    length, has = LENGTH, len(symbols)
    wrong = next(((i, s) for i, s in enumerate(symbols, start=1) if s not in _VALUES and not s.isascii()), None)
    if wrong is None and has < length:
        return _PROBLEMS["too_short"], {"problem": "too_short"}, {"length": length, "has": has}
    if wrong is None and has > length:
        return _PROBLEMS["too_long"], {"problem": "too_long"}, {"length": length, "has": has}
    wrong = wrong or next(((i, s) for i, s in enumerate(symbols, start=1) if s not in _VALUES), None)
    if wrong is None:
        return _PROBLEMS["check_failed"], {"problem": "check_failed"}, {}
    position, symbol = wrong
    plain = symbol.isascii() and symbol.isprintable()
    members: dict[str, str | int] = {"problem": "impossible_symbol", "position": position}
    if plain:
        sentence = _PROBLEMS["not_understood" if symbol == UNHEARD else "impossible_symbol"]
        return sentence, {**members, "symbol": symbol}, {"position": position}
    return (
        _PROBLEMS["impossible_sign"],
        {**members, "symbol": f"U+{ord(symbol):04X}"},
        {"position": position, "sign": pasted.name_sign(symbol)},
    )


def _values(symbols: str) -> list[int]:
    return [_VALUES[symbol] for symbol in symbols]


def _sums(values: list[int]) -> tuple[int, int]:
    return sum(values) % PRIME, sum(map(mul, WEIGHTS, values)) % PRIME


def _complete(symbols: list[int]) -> list[int]:
    return _solve([*symbols, 0, 0], len(symbols), len(symbols) + 1)


def _solve(values: list[int], first: int, second: int) -> list[int]:
    """Return `values` with two places replaced so that both sums are 0; both must be 0 in the argument."""
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
            yield _suggestion(solved, "one character was not understood", unheard[0] + 1)
    elif len(unheard) == 2:
        yield _suggestion(_solve(values, *unheard), "two characters were not understood", None)


def _one_wrong(values: list[int], typed: str) -> Iterator[Suggestion]:
    plain, weighted = _sums(values)
    if plain == 0:
        return
    weight = weighted * pow(plain, -1, PRIME) % PRIME
    place = WEIGHTS.index(weight) if weight in WEIGHTS else LENGTH
    if place >= LENGTH:
        return
    right = values.copy()
    right[place] = (values[place] - plain) % PRIME
    meant = ALPHABET[right[place]]
    yield _suggestion(right, f"character {place + 1} is {meant}, not {typed[place]}", place + 1)


def _one_swap(values: list[int]) -> Iterator[Suggestion]:
    for first, second in pairwise(range(LENGTH)):
        swapped = values.copy()
        swapped[first], swapped[second] = swapped[second], swapped[first]
        if swapped != values and _sums(swapped) == (0, 0):
            yield _suggestion(swapped, f"characters {first + 1} and {second + 1} are swapped", first + 1)
