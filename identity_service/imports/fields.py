"""Read one value of a row: nothing, text, a moment, yes or no, a language. Pure.

Nothing is an empty value, the `\\N` of MySQL and PostgreSQL, and a date of zeros. The words that programs write for
nothing (`NULL`, `None`) are nothing too, but they are told, because they might be somebody's name.
"""

import re
from datetime import UTC, datetime, timedelta
from typing import Final

from identity_service.errors import Unprocessable
from identity_service.values import text as values_text

EARLIEST_YEAR: Final = 1900
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_NOTHING: Final = frozenset({"", "\\N", "0000-00-00", "0000-00-00 00:00:00"})
_WORDS_FOR_NOTHING: Final = frozenset(
    {
        "null",
        "none",
        "nil",
        "nan",
        "nat",
        "na",
        "undefined",
        "n/a",
        "n.a.",
        "k.a.",
        "-",
        "--",
        "—",
        "–",
        "object object",
        "#n/a",
        "#nv",
        "#ref!",
        "#value!",
        "#name?",
        "#null!",
        "#wert!",
        "#bezug!",
    }
)
_DRESS: Final = "()<>[]\"'"
_ISO = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}(?:[T ][0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:[.,][0-9]{1,9})?)?"
    r" ?(?:Z|UTC|[+-][0-9]{2}(?::?[0-9]{2})?)?)?",
    re.IGNORECASE,
)
_DOTTED = re.compile(r"([0-9]{1,2})\.([0-9]{1,2})\.([0-9]{4})(?:,? ([0-9]{1,2}:[0-9]{2}(?::[0-9]{2})?))?")
_COMPACT: Final = {8: "%Y%m%d", 12: "%Y%m%d%H%M", 14: "%Y%m%d%H%M%S"}
_NUMBER = re.compile(r"[0-9]{1,20}(?:\.[0-9]{1,9})?")
_FEWEST_SECONDS: Final = 10**8
"""A smaller number (before March 1973) is a year, a day of a spreadsheet or nothing, and not a time since 1970."""
_UNITS: Final = ((10**11, 1), (10**14, 10**3), (10**17, 10**6), (10**20, 10**9))
"""A number below the first is in seconds, below the second in milliseconds, and so on; each ends in the year 5138."""
_OTHER_CLOCKS: Final = ((94_354_848 * 10**9, 152_000_000 * 10**9), (599_266_080 * 10**9, 662_380_416 * 10**9))
"""What a count of 100 nanoseconds since 1601 (Windows, LDAP) or since the year 1 (.NET) is between 1900 and 2100. As
nanoseconds since 1970 these numbers would be before 1975, or before 1991: they are refused and not guessed."""
_YES: Final = frozenset({"true", "yes", "y", "1", "t", "on"})
_NO: Final = frozenset({"false", "no", "n", "0", "f", "off"})


class CannotImport(Unprocessable):
    """This row cannot become an account."""


def is_nothing(text: str) -> bool:
    """Return whether a stripped value says nothing."""
    return text in _NOTHING


def is_word_for_nothing(text: str) -> bool:
    """Return whether a stripped value is a word that programs write for nothing, or such words alone ("null null")."""
    bare = text.strip(_DRESS).casefold()
    return bare in _WORDS_FOR_NOTHING or all(
        word.strip(_DRESS) in _WORDS_FOR_NOTHING for word in bare.split() or [text]
    )


def read_yes(name: str, text: str) -> bool:
    """Return what a value of yes or no says.

    Raises:
        CannotImport
    """
    word = text.casefold()
    if word not in _YES | _NO:
        raise CannotImport(f"{name}: must be true or false.")
    return word in _YES


def read_moment(name: str, text: str, now: datetime) -> datetime:
    """Return a moment in UTC. Without a zone it is UTC; a number is the time since 1970, in seconds, milli-, micro- or
    nanoseconds by its size; a day is its beginning.

    Raises:
        CannotImport: it is in no known form, before 1900, or in the future.
    """
    try:
        moment = _moment(text)
    except (ValueError, OverflowError):
        moment = None
    if moment is None:
        raise CannotImport(f"{name}: a time must be written like 2009-05-17T12:00:00Z.")
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
    if not EARLIEST_YEAR <= moment.year <= 9998:
        raise CannotImport(f"{name}: a time must be between {EARLIEST_YEAR} and now, and written like 2009-05-17.")
    if moment > now:
        raise CannotImport(f"{name}: a time must not be in the future.")
    return moment.astimezone(UTC)


def _moment(text: str) -> datetime | None:
    if _NUMBER.fullmatch(text):
        return _moment_of_number(text)
    found = _DOTTED.fullmatch(text)
    if found is not None:
        day, month, year, clock = found.groups()
        return datetime.fromisoformat(f"{year}-{month:0>2}-{day:0>2} {(clock or '00:00'):0>5}")
    if _ISO.fullmatch(text):
        plain = re.sub(r" ?(?:UTC|Z)$", "Z", text.replace(",", "."), flags=re.IGNORECASE)
        return datetime.fromisoformat(re.sub(r" (?=[+-])", "", plain))
    return None


def _moment_of_number(text: str) -> datetime | None:
    if len(text) in _COMPACT and text[:2] in ("19", "20"):
        return datetime.strptime(text, _COMPACT[len(text)]).replace(tzinfo=UTC)
    number = float(text)
    if any(first <= number < last for first, last in _OTHER_CLOCKS):
        return None
    if number < _FEWEST_SECONDS:
        return None
    for limit, unit in _UNITS:
        if number < limit:
            return _EPOCH + timedelta(seconds=number / unit)
    return None


def read_line(name: str, text: str, *, longest: int = values_text.LONGEST) -> str:
    """Return one printable line.

    Raises:
        CannotImport
    """
    if not values_text.is_line(text, longest=longest):
        raise CannotImport(f"{name}: must be one printable line of at most {longest} characters.")
    return text


def read_lines(name: str, text: str, *, longest: int) -> str:
    """Return printable text, which may have line breaks.

    Raises:
        CannotImport
    """
    if len(text) > longest or "=?" in text or not values_text.is_text(text):
        raise CannotImport(f"{name}: must be printable text of at most {longest} characters.")
    return text
