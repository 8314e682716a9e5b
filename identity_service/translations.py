"""Translations: one catalogue per file in `locales/`, read with Babel at first use; English is the source text.

There is no build step: another language is `locales/<code>.po`, and the list of locales in `accounts/rules.py`.
"""

import gettext
import io
import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po

LOCALES = Path(__file__).parent / "locales"
_WEIGHT = re.compile(r"q\s*=\s*([01]?(?:\.[0-9]*)?)", re.IGNORECASE | re.ASCII)
_LEAST = 0.001
"""The smallest weight (RFC 9110, 12.4.2); also that of a language whose own weight is unreadable."""


def choose_locale(accept_language: str, locales: Sequence[str]) -> str:
    """Return the locale that an `Accept-Language` header prefers; the first one if it prefers none.

    A range names a locale by its first subtag, in any case: `DE`, `de-AT` and `de_CH` are German. The greatest weight
    counts, then the order; `*` stands for every locale that is not named; weight 0 excludes (RFC 9110, 12.5.4).
    """
    named: dict[str, tuple[float, int]] = {}
    for place, part in enumerate(accept_language.split(",")):
        language, *parameters = part.split(";")
        name = re.split("[-_]", language.strip().lower(), maxsplit=1)[0]
        named[name] = max(named.get(name, (0.0, 0)), (_weight(parameters), -place))
    others = named.get("*", (0.0, 0))
    wanted = {locale: named.get(locale, others) for locale in locales}
    if not any(weight for weight, _ in wanted.values()):
        # Nothing here is wanted: then rather a language that the header does not name than one that it excludes.
        return next((locale for locale in locales if locale not in named), locales[0])
    return max(locales, key=lambda locale: wanted[locale])


def _weight(parameters: Sequence[str]) -> float:
    for parameter in parameters:
        found = _WEIGHT.fullmatch(parameter.strip())
        if found is not None:
            return min(float(found[1]), 1.0) if found[1].strip(".") else _LEAST
    return _LEAST if any(parameter.strip().lower().startswith("q") for parameter in parameters) else 1.0


@cache
def catalogue(locale: str) -> gettext.NullTranslations:
    """Return the catalogue of `locale`; one that returns the English text if there is none."""
    path = LOCALES / f"{locale}.po"
    if not path.is_file():
        return gettext.NullTranslations()
    with path.open("rb") as source:
        read = read_po(source, locale=locale)
    compiled = io.BytesIO()
    write_mo(compiled, read)
    compiled.seek(0)
    return gettext.GNUTranslations(compiled)
