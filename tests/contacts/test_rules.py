"""What is decided without a database: how long a match holds, how code and words are made, what was waited."""

from datetime import UTC, datetime, timedelta

import pytest

from identity_service.contacts import rules

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
KEY = b"k" * 32


@pytest.mark.parametrize(
    ("after", "holds"), [(0, True), (14 * 60 + 59, True), (15 * 60, True), (15 * 60 + 1, False), (16 * 60, False)]
)
def test_a_match_holds_for_fifteen_minutes(after: int, holds: bool):
    """PHN-08: minute 16 unlocks nothing."""
    assert rules.holds(NOW, NOW + timedelta(seconds=after)) is holds


def test_no_match_holds_nothing():
    assert rules.holds(None, NOW) is False


def test_codes_have_six_digits_and_are_spread_evenly():
    """PHN-03: each first digit comes as often as any other."""
    codes = [rules.digits(KEY, n.to_bytes(16, "big")) for n in range(5000)]
    assert all(len(code) == 6 and code.isdigit() for code in codes)
    counts = [sum(code[0] == digit for code in codes) for digit in "0123456789"]
    assert min(counts) > 400
    assert max(counts) < 600


def test_the_words_have_twenty_bits_and_more():
    """PHN-07: 2048 names twice."""
    names = rules._names()
    assert len(set(names)) == rules.NAMES == 2048
    assert all(name.isascii() and name.isalpha() for name in names)


def test_words_and_code_come_from_one_nonce_and_tell_nothing_of_each_other():
    """PHN-07: among many nonces with the same first word, the first digits of the codes are still spread."""
    found = [(rules.phrase(KEY, n.to_bytes(16, "big")).split()[0], rules.digits(KEY, n.to_bytes(16, "big"))[0])
             for n in range(30_000)]  # fmt: skip
    word = found[0][0]
    assert len({digit for first, digit in found if first == word}) > 5
    assert rules.phrase(KEY, b"a" * 16) != rules.phrase(b"x" * 32, b"a" * 16)


@pytest.mark.parametrize(
    ("added_up", "since", "in_all"),
    [(0, None, 0), (90, None, 90), (90, NOW - timedelta(seconds=30), 120), (90, NOW + timedelta(seconds=5), 90)],
)
def test_a_wait_that_goes_on_is_counted_too(added_up: int, since: datetime | None, in_all: int):
    assert rules.waited(added_up, since, NOW) == in_all
