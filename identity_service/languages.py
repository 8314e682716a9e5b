"""Languages: one catalogue per file in `locales/`, read with Babel when first needed; English is the source text.

There is no build step: a third language is `locales/<code>.po`, and the list of locales in `accounts/rules.py`.
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
    """Return the translations into `locale`; English for a language we do not have."""
    path = LOCALES / f"{locale}.po"
    if not path.is_file():
        return gettext.NullTranslations()
    with path.open("rb") as source:
        read = read_po(source, locale=locale)
    compiled = io.BytesIO()
    write_mo(compiled, read)
    compiled.seek(0)
    return gettext.GNUTranslations(compiled)
