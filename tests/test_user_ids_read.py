"""How a User ID is read and said: kindly where nothing is lost by it, and with the truth about what is wrong."""

import itertools
import random
import string
import sys
import unicodedata
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from identity_service import translations
from identity_service.values import user_ids
from identity_service.values.user_ids import (
    ALPHABET,
    LENGTH,
    MalformedUserId,
    UserId,
    is_canonical,
    parse,
    show,
    spell,
    suggest,
)

GOOD = UserId("6WPPC7QF7FF6")
SEEDED = random.Random(5).randrange
IDS = [user_ids.issue(SEEDED) for _ in range(200)]
HEARD_AS = {"O": "0", "I": "1", "L": "1", "Z": "2", "S": "5", "G": "6", "B": "8", "N": "M"}
SEPARATORS = [" ", "\t", "-", ".", "\u00a0", "\u202f", "\u2010", "\u2011", "\u2012", "\u2013", "\u2014", "\u2212"]
DIGITS = [chr(c) for c in range(128, sys.maxunicode + 1) if unicodedata.category(chr(c)) in ("Nd", "Nl", "No")]


def refused(text: str) -> MalformedUserId:
    with pytest.raises(MalformedUserId) as found:
        parse(text)
    return found.value


def read(text: str) -> str | None:
    try:
        return parse(text)
    except MalformedUserId:
        return None


@pytest.mark.parametrize("separator", SEPARATORS, ids=ascii)
def test_blanks_dashes_and_dots_do_not_matter(separator):
    """IDN-03."""
    groups = separator.join((GOOD[:4], GOOD[4:8], GOOD[8:]))
    for text in (groups, separator.join(GOOD), separator * 3 + GOOD + separator):
        assert parse(text) == GOOD


def test_case_does_not_matter():
    """IDN-03."""
    for user_id in IDS:
        assert parse(user_id.lower()) == parse(show(user_id).title()) == user_id


def test_a_letter_that_looks_like_a_symbol_is_read_as_it():
    """IDN-03: each letter of the map, small and capital, in every place where its symbol stands."""
    met = set()
    for letter, symbol in HEARD_AS.items():
        for user_id in IDS:
            met |= {letter} if symbol in user_id else set()
            assert parse(user_id.replace(symbol, letter)) == user_id
            assert parse(user_id.replace(symbol, letter.lower())) == user_id
    assert met == set(HEARD_AS)


def test_up_to_two_letters_that_were_meant_otherwise_fail_the_check():
    """IDN-02, IDN-03: kindness guesses; where it guesses wrong in one or two places, the checks say so."""
    for places in [*itertools.combinations(range(LENGTH), 1), *itertools.combinations(range(LENGTH), 2)]:
        for letters in itertools.product(HEARD_AS, repeat=len(places)):
            symbols = list(GOOD)
            for place, letter in zip(places, letters, strict=True):
                symbols[place] = letter
            meant = all(GOOD[p] == HEARD_AS[x] for p, x in zip(places, letters, strict=True))
            assert is_canonical("".join(HEARD_AS.get(s, s) for s in symbols)) == meant
            assert read("".join(symbols)) == (GOOD if meant else None)


def test_the_alphabet_and_the_map_leave_five_letters_unread():
    """IDN-03: A, D, E, U and V are neither symbols nor taken for one."""
    unread = set(string.ascii_uppercase) - set(ALPHABET) - set(HEARD_AS)
    assert unread == set("ADEUV")


@pytest.mark.parametrize("letter", [*"ADEUVa?%&\0é\u2603\U0001d7d9"])
@pytest.mark.parametrize("place", [0, 5, 11])
def test_a_symbol_that_cannot_occur_is_named_with_its_place(letter, place):
    """IDN-03: counted without the dashes, from one, as people count; a strange one is named by its code point."""
    found = refused(show(GOOD[:place] + letter + GOOD[place + 1 :]))
    plain = letter.isascii() and letter.isprintable()
    assert found.members["problem"] == "impossible_symbol"
    assert found.members["symbol"] == (letter.upper() if plain else f"U+{ord(letter):04X}")
    assert found.members["position"] == place + 1
    where = f"character {place + 1}"
    said = f"We didn't understand {where}." if letter == "?" else f"{where.capitalize()} can't be in a User ID."
    assert found.detail.startswith(said)
    assert plain or f" It is U+{ord(letter):04X}" in found.detail


@pytest.mark.parametrize(
    ("length", "problem"), [(0, "too_short"), (1, "too_short"), (11, "too_short"), (24, "too_long")]
)
def test_a_wrong_length_is_said(length, problem):
    """IDN-03."""
    found = refused((GOOD * 2)[:length])
    assert found.members == {"problem": problem, "suggestions": []}
    assert found.detail.endswith(f"A User ID has 12 characters, but this has {length}.")


@pytest.mark.parametrize("text", ["", " ", "-", "---- ---- ----", "\u2014" * 12])
def test_nothing_but_dashes_is_too_short(text):
    assert refused(text).members["problem"] == "too_short"


def test_the_length_is_the_version():
    """IDN-12: thirteen symbols are some later version, never this one with one too many, wherever the extra stands."""
    for place, symbol in itertools.product(range(LENGTH + 1), ALPHABET):
        longer = GOOD[:place] + symbol + GOOD[place:]
        assert refused(longer).members == {"problem": "too_long", "suggestions": []}
        assert not is_canonical(longer)


@pytest.mark.parametrize("digit", ["٣", "३", "\U0001d7db", "³", "③", "Ⅲ", "三"])
def test_a_digit_of_another_script_is_refused(digit):
    """IDN-11, ATT-17: Python's own int() would read most of them."""
    user_id = next(found for found in IDS if "3" in found)
    found = refused(user_id.replace("3", digit))
    assert (found.members["problem"], found.members["symbol"]) == ("impossible_symbol", f"U+{ord(digit):04X}")


def test_no_number_of_unicode_but_ours_is_read():
    """IDN-11: all but the full-width ones; also those that upper() or a normal form would turn into a symbol."""
    assert len(DIGITS) > 1000
    for digit in set(DIGITS) - set("０１２３４５６７８９"):
        assert read(digit + GOOD[1:]) is None
        assert not is_canonical(digit + GOOD[1:])


@pytest.mark.parametrize("letter", ["ı", "ſ", "\u212a", "К", "Ⅽ", "ﬀ", "ß"])
def test_a_letter_that_only_becomes_ascii_when_raised_is_refused(letter):
    """IDN-11: "ſ".upper() is "S", "ı".upper() is "I": nobody wrote those."""
    for symbol in ALPHABET + "OILZSGBN":
        assert read(GOOD.replace("P", symbol, 1).replace(symbol, letter, 1)) is None


SYMBOLS = st.one_of(st.sampled_from(ALPHABET + "oilzsgbn?-. A٣\0"), st.characters(exclude_categories=()))
TEXTS = st.text(SYMBOLS, max_size=40) | st.text(SYMBOLS, min_size=LENGTH, max_size=LENGTH)
PROBLEMS = {"too_short", "too_long", "impossible_symbol", "check_failed"}


@settings(deadline=None)
@given(TEXTS)
def test_any_text_is_an_id_or_is_said_not_to_be_one(text):
    """IDN-11, ATT-17: nothing but MalformedUserId is ever raised, lone surrogates included."""
    if (found := read(text)) is not None:
        assert is_canonical(found)
        assert suggest(text) == []
        return
    refusal = refused(text)
    assert refusal.members["problem"] in PROBLEMS
    assert str(refusal.detail).isascii()
    for suggestion in refusal.members["suggestions"]:
        assert show(parse(suggestion["user_id"])) == suggestion["user_id"]


@settings(deadline=None)
@given(TEXTS)
def test_any_text_can_be_asked_for_suggestions(text):
    """IDN-11."""
    assert all(is_canonical(suggestion.user_id) for suggestion in suggest(text))


@settings(deadline=None)
@given(st.text(ALPHABET, min_size=10, max_size=10), st.text(st.sampled_from(SEPARATORS), max_size=5), st.data())
def test_what_is_shown_reads_back_in_any_form(ten, separator, data):
    """IDN-03: for every ID there can be, also those that are no longer issued."""
    user_id = suggest(ten + "??")[0].user_id
    mask = data.draw(st.lists(st.booleans(), min_size=LENGTH, max_size=LENGTH))
    text = separator.join(s.lower() if low else s for s, low in zip(user_id, mask, strict=True))
    assert parse(show(user_id)) == parse(text) == user_id


@pytest.mark.parametrize("unit", ["7", "-", "?", "A", "٣", "\0", "\u2014", " ", "\ud800", GOOD], ids=ascii)
def test_a_hundred_kilobytes_cost_in_proportion(unit):
    """IDN-11, ATT-17: counted in calls, not in time: no more than a handful for each character."""
    small, large = ((unit * size)[:size] for size in (1_000, 100_000))
    assert calls(large) <= 101 * calls(small)
    assert calls(large) <= 10 * len(large)


def calls(text: str) -> int:
    """Return how many calls, Python's and C's, reading `text` makes."""
    events: Counter[str] = Counter()

    def count(_frame, event, _argument):
        events[event] += 1

    sys.setprofile(count)
    try:
        read(text)
    finally:
        sys.setprofile(None)
    return events["call"] + events["c_call"]


def test_an_id_is_shown_in_groups_of_four():
    """IDN-05."""
    assert show(GOOD) == "6WPP-C7QF-7FF6"


def test_an_id_is_spelled_in_the_words_of_aviation():
    """IDN-05: snapshot; digits stand for themselves, and a language with an alphabet of its own has its words."""
    assert ", ".join(spell(GOOD)) == (
        "6, W as in Whiskey, P as in Papa, P as in Papa, C as in Charlie, 7, Q as in Quebec, F as in Foxtrot, 7, "
        "F as in Foxtrot, F as in Foxtrot, 6"
    )
    assert spell(GOOD, translations.catalogue("de").gettext)[1:3] == ["W wie Wuppertal", "P wie Potsdam"]


def test_every_symbol_can_be_said():
    """IDN-05: snapshot of the thirteen letters; each word begins with its own."""
    said = spell(UserId(ALPHABET))
    assert said == [
        "0", "1", "2", "3", "4", "5", "6", "7", "8", "9",
        "C as in Charlie", "F as in Foxtrot", "H as in Hotel", "J as in Juliett", "K as in Kilo", "M as in Mike",
        "P as in Papa", "Q as in Quebec", "R as in Romeo", "T as in Tango", "W as in Whiskey", "X as in X-ray",
        "Y as in Yankee",
    ]  # fmt: skip
