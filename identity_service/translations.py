"""Languages: one catalogue per file, `locales/<tag>.po`, read with Babel at first use; English is the source text.

There is no build step and no list: another language is one more file, named by its language tag (BCP 47). A person's
own tag is kept as it was given (`de-AT`): its words are looked up (RFC 4647, 3.4), and dates follow its region.
"""

import gettext
import io
import re
from collections.abc import Sequence
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

from babel import dates
from babel.core import Locale, UnknownLocaleError
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po

LOCALES = Path(__file__).parent / "locales"
SOURCE: Final = "en"
"""The language of the code, and of everything that no catalogue has."""
TAG_LENGTH: Final = 35
"""RFC 5646, 4.4.1: no tag that is in use is longer."""
_TAG = re.compile(r"[a-z]{2,8}(-[a-z0-9]{1,8}){0,7}", re.ASCII)
_WEIGHT = re.compile(r"q\s*=\s*([01]?(?:\.[0-9]*)?)", re.IGNORECASE | re.ASCII)
_LEAST = 0.001
"""The smallest weight (RFC 9110, 12.4.2); also that of a language whose own weight is unreadable."""


@cache
def languages() -> tuple[str, ...]:
    """Return the tag of every language that pages and emails have, English first."""
    return SOURCE, *sorted(path.stem for path in LOCALES.glob("*.po"))


def read_tag(text: str) -> str:
    """Return a language tag as it is written: `de_at.UTF-8` is `de-AT`, `ZH-hant` is `zh-Hant` (RFC 5646, 2.1.1).

    Raises:
        ValueError: it is no language tag.
    """
    tag = re.split("[.@]", text.strip(), maxsplit=1)[0].replace("_", "-").lower()
    if len(tag) > TAG_LENGTH or not _TAG.fullmatch(tag):
        raise ValueError("must be a language tag (BCP 47), like de or pt-BR")
    first, *rest = tag.split("-")
    written = {2: str.upper, 4: str.title}
    return "-".join([first, *(written.get(len(part), str)(part) for part in rest)])


def find_language(tag: str, known: Sequence[str] | None = None) -> str:
    """Return the known language of a tag: `de-AT` is `de` where no Austrian one is known; English if none fits."""
    return _look_up(tag, languages() if known is None else known) or SOURCE


def _look_up(tag: str, known: Sequence[str]) -> str | None:
    """Return the known tag that is left when subtags are taken off the end, a single character with its neighbour."""
    by_name = {one.lower(): one for one in known}
    parts = tag.lower().replace("_", "-").split("-")[:8]
    while parts:
        found = by_name.get("-".join(parts))
        if found is not None:
            return found
        del parts[-2 if len(parts) > 2 and len(parts[-2]) == 1 else -1 :]
    return None


def choose_locale(accept_language: str, known: Sequence[str]) -> str:
    """Return the known language that an `Accept-Language` header prefers; the first one if it prefers none.

    The greatest weight counts, then the order; `*` stands for every language that is not named; weight 0 excludes
    (RFC 9110, 12.5.4). No header is an error.
    """
    named: dict[str, tuple[float, int]] = {}
    for place, part in enumerate(accept_language.split(",")):
        language, *parameters = part.split(";")
        name = language.strip()
        found = "*" if name == "*" else _look_up(name, known)
        if found is not None:
            named[found] = max(named.get(found, (0.0, 0)), (_weight(parameters), -place))
    others = named.get("*", (0.0, 0))
    wanted = {locale: named.get(locale, others) for locale in known}
    if not any(weight for weight, _ in wanted.values()):
        # Nothing here is wanted: then rather a language that the header does not name than one that it excludes.
        return next((locale for locale in known if locale not in named), known[0])
    return max(known, key=lambda locale: wanted[locale])


def _weight(parameters: Sequence[str]) -> float:
    for parameter in parameters:
        found = _WEIGHT.fullmatch(parameter.strip())
        if found is not None:
            return min(float(found[1]), 1.0) if found[1].strip(".") else _LEAST
    return _LEAST if any(parameter.strip().lower().startswith("q") for parameter in parameters) else 1.0


def catalogue(tag: str) -> gettext.NullTranslations:
    """Return the catalogue of a tag's language; one that returns the English text if there is none."""
    return _read(find_language(tag))


@cache
def _read(language: str) -> gettext.NullTranslations:
    if language == SOURCE:
        return gettext.NullTranslations()
    with (LOCALES / f"{language}.po").open("rb") as source:
        read = read_po(source, locale=language.replace("-", "_"))
    compiled = io.BytesIO()
    write_mo(compiled, read)
    compiled.seek(0)
    return gettext.GNUTranslations(compiled)


@cache
def formats(tag: str) -> Locale:
    """Return how dates, numbers and amounts are written: of the tag's region, or of its language."""
    parts = tag.split("-")
    for length in range(len(parts), 0, -1):
        try:
            return Locale.parse("-".join(parts[:length]), sep="-")
        except (ValueError, UnknownLocaleError):
            continue
    return Locale.parse(SOURCE)


def format_time(at: datetime, tag: str, zone: str) -> str:
    """Return a date and time as they are written where the reader lives, with the zone: `25 Nov 2026, 15:02 UTC`."""
    locale, local = _formats_of_words(tag), at.astimezone(ZoneInfo(zone))
    clock = dates.format_time(local, "short", locale=locale)
    return f"{dates.format_date(local, 'medium', locale=locale)}, {clock} {zone_name(at, tag, zone)}"


def format_date(at: datetime, tag: str, zone: str) -> str:
    """Return a date as it is written where the reader lives: `25 Nov 2026`."""
    return dates.format_date(at.astimezone(ZoneInfo(zone)), "medium", locale=_formats_of_words(tag))


def format_clock(at: datetime, tag: str, zone: str) -> str:
    """Return a time of day with its zone: `15:02 UTC`."""
    local = at.astimezone(ZoneInfo(zone))
    return f"{dates.format_time(local, 'short', locale=_formats_of_words(tag))} {zone_name(at, tag, zone)}"


def format_second(at: datetime, tag: str, zone: str) -> str:
    """Return a time of day with seconds, for one line of a list whose zone is named below it: `15:02:44`."""
    return dates.format_time(at.astimezone(ZoneInfo(zone)), "medium", locale=_formats_of_words(tag))


def zone_name(at: datetime, tag: str, zone: str) -> str:
    """Return what the zone is called at that time: `UTC`, `MEZ`, `GMT+1`."""
    return dates.get_timezone_name(at.astimezone(ZoneInfo(zone)), "short", locale=_formats_of_words(tag))


@cache
def _formats_of_words(tag: str) -> Locale:
    """Return the formats of dates in text: those of English are British, whose order is the world's."""
    language = find_language(tag)
    has_region = "-" in tag and tag.partition("-")[0] == language.partition("-")[0]
    return formats(tag if has_region else "en-GB" if language == SOURCE else language)


def direction(tag: str) -> str:
    """Return `rtl` for languages that are written from the right, else `ltr`."""
    return formats(find_language(tag)).text_direction


def name_of(language: str) -> str:
    """Return what a language calls itself: `Deutsch`."""
    name = formats(language).get_display_name(formats(language)) or language
    return name[:1].upper() + name[1:]


def is_same_day(one: datetime, other: datetime, zone: str) -> bool:
    """Return whether two times are on one day in a zone."""
    return one.astimezone(ZoneInfo(zone)).date() == other.astimezone(ZoneInfo(zone)).date()


def is_time_zone(name: str) -> bool:
    """Return whether this is the name of a time zone, like `Europe/Berlin`."""
    try:
        ZoneInfo(name)
    except (ValueError, OSError, KeyError, ImportError):
        return False
    return True
