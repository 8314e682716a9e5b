"""Translations: one catalogue per file in `locales/`, read with Babel at first use; English is the source text.

There is no build step: another language is `locales/<code>.po`, and the list of locales in `accounts/rules.py`.
"""

import gettext
import io
from functools import cache
from pathlib import Path

from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po

LOCALES = Path(__file__).parent / "locales"


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
