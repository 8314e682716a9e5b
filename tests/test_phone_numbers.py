"""Telephone numbers: a mobile number of a country in the list, and no other; nothing of one in a text that is kept."""

import pytest

from identity_service.values import email_addresses, phone_numbers
from identity_service.values.phone_numbers import MalformedPhoneNumber, NoTextsThere, read_phone_number

ALLOWED = frozenset({"DE", "US", "GB", "IT"})

TAKEN = {
    "+4915112345678": ("+4915112345678", "DE"),
    "+49 (0)151 1234-5678": ("+4915112345678", "DE"),
    "0049 151 12345678": ("+4915112345678", "DE"),
    "＋４９ １５１ １２３４５６７８": ("+4915112345678", "DE"),
    "+1 (202) 555-0123": ("+12025550123", "US"),
    "+44 7400 123456": ("+447400123456", "GB"),
    "+39 333 1234567": ("+393331234567", "IT"),
}
ELSEWHERE = {
    "an island that shares +1": "+1 876 555 1234",
    "an island that shares +44": "+44 7781 123456",
    "a country that is not in the list": "+33 6 12 34 56 78",
    "a satellite telephone": "+8821612345",
    "a shared-cost number": "+49 180 1234567",
    "a premium number": "+49 900 1123456",
    "a free number": "+1 800 253 0000",
    "a fixed line": "+49 30 901820",
    "a number in the network": "+49 32 229991112",
}
NO_NUMBER = {
    "an extension": "+49 151 12345678 ext. 5",
    "an extension of another kind": "+4915112345678;ext=5",
    "letters": "+1 800 FLOWERS",
    "forty digits": "+" + "4915112345678123456789012345678901234567"[:40],
    "a short number": "110",
    "a short number with its country": "+49 110",
    "global numbers that cost a lot": "+883 1234 5678",
    "nothing": "",
    "an address": "anna@example.com",
    "without a country": "0151 12345678",
    "two numbers": "+4915112345678, +4915112345679",
    "a number nobody can have": "+49 151",
}


@pytest.mark.parametrize(("typed", "read"), TAKEN.items())
def test_a_mobile_number_is_read_however_it_is_typed(typed, read):
    """TXT-05"""
    assert tuple(read_phone_number(typed, ALLOWED)) == read


@pytest.mark.parametrize("typed", ELSEWHERE.values(), ids=ELSEWHERE.keys())
def test_a_number_where_a_text_costs_more_or_nobody_reads_it_is_refused(typed):
    """TXT-05: by region, not by calling code."""
    with pytest.raises(NoTextsThere):
        read_phone_number(typed, ALLOWED)


@pytest.mark.parametrize("typed", NO_NUMBER.values(), ids=NO_NUMBER.keys())
def test_what_is_no_number_is_refused(typed):
    """TXT-05"""
    with pytest.raises(MalformedPhoneNumber):
        read_phone_number(typed, ALLOWED)


def test_without_countries_no_number_is_taken():
    """TXT-01: the list is empty by default."""
    with pytest.raises(NoTextsThere):
        read_phone_number("+4915112345678", frozenset())


def test_a_number_without_its_country_is_read_where_there_is_one_country_alone():
    """TXT-05"""
    assert read_phone_number("0151 12345678", frozenset({"DE"})).e164 == "+4915112345678"


def test_numbers_of_a_series_have_one_prefix():
    """TXT-03: the calling code and four digits; a series of numbers differs in the last ones."""
    first, second = (read_phone_number(f"+49 151 1234567{last}", ALLOWED) for last in (1, 2))
    assert first.prefix == second.prefix == "+49 1511"
    assert read_phone_number("+12025550123", ALLOWED).prefix == "+1 2025"


def test_a_number_is_shown_by_its_last_two_digits():
    """ADR-10"""
    assert phone_numbers.mask("+4915112345678") == "•••• 78"
    assert email_addresses.mask("+4915112345678") == "••••"


def test_a_text_that_is_kept_has_no_number():
    """TXT-12: in any form that a carrier may write it."""
    for written in ("+4915112345678", "4915112345678", "%2B4915112345678", "+49 151 1234-5678", "(0151) 12345678"):
        kept = phone_numbers.mask_all(f'{{"to": "{written}", "status": "queued"}}')
        assert kept == '{"to": "[number]", "status": "queued"}'
    sid = '"sid": "SM4f8e2a1b9c0d4e5f8a7b6c5d4e3f2a1b", "code": 21211, "at": "2026-12-01T09:30:00Z"'
    assert phone_numbers.mask_all(sid) == sid
    assert phone_numbers.mask_all(None) is None


def test_a_stored_number_is_read_back():
    """ADR-10"""
    number = read_phone_number("+49 151 12345678", ALLOWED)
    assert phone_numbers.of_e164(number.e164) == number
    with pytest.raises(ValueError, match="number"):
        phone_numbers.of_e164("anna@example.com")
