"""Any `Accept-Language` header is read: case, weights, exclusions, regions, and whatever else is sent."""

import pytest

from identity_service.translations import choose_locale

HEADERS = {
    "DE": "de",
    "de": "de",
    "De-aT": "de",
    "de_CH": "de",
    "DE-DE,de;q=0.9,en-US;q=0.8": "de",
    "de-Latn-DE-1996": "de",
    "EN-gb": "en",
    "en;q=0.5, de;q=0.9": "de",
    "en;q=0.5,de": "de",
    "de;q=0.5;x=1,en;q=0.4": "de",
    "en ; q=0.1 , DE ; Q = 0.2": "de",
    "de;q=0": "en",
    "de;q=0.0,fr": "en",
    "de;q=0,*": "en",
    "en;q=0,*": "de",
    "en;q=0": "de",
    "en;q=0,de;q=0": "en",
    "en;q=.2,de;q=.8": "de",
    "en;q=1,de;q=1.000": "en",
    "de;q=1.000,en;q=1": "de",
    "de;q=7,en": "en",
    "en;q=0.5,*": "de",
    "de;q=0.5,*": "en",
    "*": "en",
    "*;q=0": "en",
    "fr": "en",
    "fr-FR,fr;q=0.9,de;q=0.1": "de",
    "fr,*;q=0.1": "en",
    "de;q=0.2,de-AT": "de",
    "de-AT;q=0.1,en;q=0.5,de;q=0.9": "de",
    "en;q=0.5,de;q=not": "en",
    "de;q=not": "de",
    "de;q=": "de",
    "de;q=nan,en;q=inf": "de",
    "den,deu": "en",
    "": "en",
    ",": "en",
    ";;;": "en",
    "-": "en",
    "\x00": "en",
    "é": "en",
    "x" * 10_000: "en",
    "x," * 5_000 + "de": "de",
    "de-" * 3_000: "de",
    ";q=" * 3_000: "en",
}


@pytest.mark.parametrize(("header", "locale"), HEADERS.items(), ids=lambda text: repr(text[:30]))
def test_a_language_header_is_read_as_it_is_meant(header, locale):
    """RFC 9110, 12.4.2 and 12.5.4; RFC 4647, 2: tags have no case."""
    assert choose_locale(header, ("en", "de")) == locale
