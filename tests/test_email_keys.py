"""One key per mailbox: every spelling of one meets in it, and no other mailbox does."""

import unicodedata

import pytest

from identity_service.values.email_addresses import EmailAddress, MalformedEmailAddress, mask, parse

SPELLINGS = [
    "A.B@bücher.de",
    "a.b@bücher.de",
    "a.B@BÜCHER.DE",
    "a.b@bu\u0308cher.de",
    "a.b@xn--bcher-kva.de",
    "a.b@XN--BCHER-KVA.de",
    "a.b@xn--Bcher-Kva.De",
    "a.b@ｂüｃｈｅｒ.de",
    "a.b@ＢÜＣＨＥＲ.ＤＥ",
    "a.b@bücher\u3002de",
    "a.b@bücher\uff0ede",
    "a.b@bücher\uff61de",
]


@pytest.mark.parametrize("text", SPELLINGS, ids=ascii)
def test_one_mailbox_has_one_key_in_every_spelling(text):
    """EML-01, ATT-45: case, composed or not, U-label or A-label, full-width, any dot."""
    found = parse(text)
    assert found.key == "a.b@xn--bcher-kva.de"
    assert found.domain == "xn--bcher-kva.de"
    assert found.shown == text[:3] + "@bücher.de"
    assert found.ascii == text[:3] + "@xn--bcher-kva.de"


@pytest.mark.parametrize("text", ["a@example.com.", "a@example.com\u3002", "a@bücher.de.", "a@example.com.."])
def test_a_dot_behind_the_domain_makes_no_second_key(text):
    """ATT-45: RFC 5321 knows none there; it is refused, so there is nothing to meet."""
    with pytest.raises(MalformedEmailAddress):
        parse(text)


@pytest.mark.parametrize("local", ["ab", "a.b", "a+b", "ab+", "a_b", "a-b", "b.a", "aa"])
def test_dots_and_tags_are_other_mailboxes(local):
    """ATT-45: no provider's rules."""
    others = {parse(f"{other}@gmail.com").key for other in ("ab", "a.b", "a+b", "ab+", "a_b", "a-b", "b.a", "aa")}
    assert len(others) == 8
    assert parse(f"{local}@gmail.com").key == f"{local}@gmail.com"
    assert parse(f"{local}@gmail.com").key != parse(f"{local}@googlemail.com").key


def test_capital_letters_of_the_local_part_are_kept_and_not_compared():
    """ATT-02: the relay gets what the owner wrote; the key is the same."""
    assert parse("MIKE@Example.ORG") == EmailAddress("MIKE@example.org", "MIKE@example.org", "mike@example.org")
    assert parse("mike@example.org").key == "mike@example.org"


@pytest.mark.parametrize("letter", ["ı", "İ", "ſ", "\u212a", "ﬁ", "\uff4d", "µ", "ª", "\u3164"], ids=ascii)
def test_no_letter_that_passes_for_another_stands_before_the_at(letter):
    """ATT-02: no letter that folds into ASCII, or looks like it, can meet somebody else's key."""
    for shape in ("m{}ke", "{}", "mike{}"):
        with pytest.raises(MalformedEmailAddress):
            parse(shape.format(letter) + "@example.org")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("straße.de", "strasse.de"),
        ("faß.de", "fass.de"),
        ("bücher.de", "buecher.de"),
        ("bücher.de", "bucher.de"),
        ("gmaıl.com", "gmail.com"),
        ("ς.gr", "σ.gr"),
        ("κόσμος.gr", "κόσμοσ.gr"),
        ("аррӏе.com", "apple.com"),
    ],
)
def test_another_domain_is_another_key(one, other):
    """ATT-43, ATT-45: IDNA 2008; Python's own codec makes strasse.de of straße.de, which belongs to others."""
    first, second = parse(f"a@{one}"), parse(f"a@{other}")
    assert first.key != second.key
    assert first.shown == f"a@{unicodedata.normalize('NFC', one)}"


@pytest.mark.parametrize(
    ("shown", "masked"),
    [
        ("anna@example.com", "a…@example.com"),
        ("a@example.com", "a…@example.com"),
        ("Anna.Berg+x@bücher.de", "A…@bücher.de"),
    ],
)
def test_a_mask_shows_one_letter_and_the_domain(shown, masked):
    """The length of the rest is not told either."""
    assert mask(shown) == mask(parse(shown).shown) == masked
