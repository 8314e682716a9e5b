"""What texts say: in one segment, with the brand, what the code is for and who may know it, and nothing else."""

import re
from itertools import product

import pytest

from identity_service import translations
from identity_service.messages import kinds, text_copy
from identity_service.messages.text_copy import TEXTS, TooLong, fits, write

CODES = {"number_check": "482913", "reset_text": "K7M2P-9QXRT", "caller_check_text": "482 913"}
SILENT = {name for name, kind in kinds.KINDS.items() if kind.silent}
HOST, BRAND = "id.example.com", "Example Shop"
FACTS = {"phrase": "Ella Kellie"}


def written(kind: str, language: str, **changes) -> str:
    known = TEXTS[kind]
    say = translations.catalogue(language).gettext
    given = {"brand": BRAND, "code": CODES[kind], "host": HOST, **FACTS, **changes}
    return write(known, (say(known.sentence), known.sentence), **given)


def test_every_kind_of_text_has_words():
    """TXT-06"""
    assert set(TEXTS) == {name for name, kind in kinds.KINDS.items() if kind.channel == "text"} - SILENT == set(CODES)


@pytest.mark.parametrize(("kind", "language"), list(product(TEXTS, translations.languages())))
def test_a_text_is_one_segment_in_its_own_language(kind, language):
    """TXT-06: the linter of every text in every language."""
    known, text = TEXTS[kind], written(kind, language)
    assert fits(text)
    own = translations.catalogue(language).gettext(known.sentence)
    assert own.partition("{brand}")[2].partition("{")[0] in text
    assert language == "en" or own != known.sentence
    assert BRAND[: text_copy.SHORT_BRAND] in text
    assert CODES[kind] in text
    assert not re.search(r"https?://|www\.|[0-9A-Z]{4}-[0-9A-Z]{4}-[0-9A-Z]{4}", text)
    last = text.splitlines()[-1]
    assert (last == f"@{HOST} #{CODES[kind]}") is known.for_browser
    assert (FACTS["phrase"] in text) is not known.for_browser


def test_a_code_that_nobody_may_be_told_says_so():
    """TXT-06"""
    told = {kind for kind, known in TEXTS.items() if "tell it to anyone" not in known.sentence}
    assert told == {kind for kind, known in TEXTS.items() if not known.for_browser}


@pytest.mark.parametrize(
    ("text", "one"),
    [
        ("a" * 160, True), ("a" * 161, False), ("€" * 80, True), ("€" * 81, False), ("ä" * 160, True),
        ("ł" * 70, True), ("ł" * 71, False), ("😀" * 35, True), ("😀" * 36, False),
    ],
)  # fmt: skip
def test_what_one_segment_is(text, one):
    """TXT-06: 3GPP TS 23.038; letters beyond the alphabet of telephones take more than twice the room."""
    assert fits(text) is one


def test_a_long_brand_is_cut_and_a_long_host_takes_the_words_in_english():
    """TXT-06: in that order; a host for which no form fits is an error, not two segments."""
    assert written("number_check", "en", brand="B" * 90).startswith("482913: Your code from BBBBBBBBBBB to confirm")
    long = "identity.customers.a-rather-long-name.example.com"
    assert "Your code from" in written("number_check", "ar", host=long)
    with pytest.raises(TooLong):
        written("number_check", "en", host="h" * 150)
