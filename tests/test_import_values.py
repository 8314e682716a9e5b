"""Values of exported files: words for nothing, moments of other clocks, headings that differ by case alone."""

from datetime import UTC, datetime

import pytest

from identity_service.imports import fields, files, formats

NOW = datetime(2026, 11, 30, tzinfo=UTC)


@pytest.mark.parametrize("text", [
    "null", "NULL", "(null)", "<NULL>", '"NULL"', "null null", "undefined undefined", "None None", "- -", "--", "NaT",
    "<NA>", "N.A.", "k.A.", "#REF!", "#VALUE!", "[object Object]", "#WERT!",
])  # fmt: skip
def test_what_programs_write_for_nothing_is_nothing(text):
    assert fields.is_word_for_nothing(text)


@pytest.mark.parametrize("text", ["Anna", "Null Bock", "Nat King", "None Miller", "Nan Goldin", "A", "0"])
def test_a_name_with_such_a_word_is_a_name(text):
    assert not fields.is_word_for_nothing(text)


@pytest.mark.parametrize(("first", "last", "name"), [
    ("NULL", "NULL", None), ("None", "Miller", "Miller"), ("Anna", "(null)", "Anna"), ("-", "-", None),
    ("undefined", "null", None), ("Anna", "Berg", "Anna Berg"),
])  # fmt: skip
def test_half_a_name_is_no_word_for_nothing(first, last, name):
    known = formats.FORMATS["shopify"]
    row = {"First Name": first, "Last Name": last, "Email": "anna@example.com", "Accepts Email Marketing": "no"}
    assert formats.read_product_row(known, row, None).get("display_name") == name


@pytest.mark.parametrize("text", ["127567908000000000", "133485408000000000", "630822816000000000"])
def test_a_count_since_1601_or_the_year_1_is_refused_and_not_guessed(text):
    """FILETIME of Windows and ticks of .NET are no nanoseconds since 1970."""
    with pytest.raises(fields.CannotImport):
        fields.read_moment("customer_since", text, NOW)


@pytest.mark.parametrize("text", ["200503291546", "20050329154600", "2005-03-29 15:46", "29.03.2005 15:46"])
def test_a_moment_to_the_minute_is_that_minute(text):
    assert fields.read_moment("customer_since", text, NOW) == datetime(2005, 3, 29, 15, 46, tzinfo=UTC)


@pytest.mark.parametrize("written", [{"$date": {"$numberLong": "1112111200000"}}, {"$date": "2005-03-29T15:46:40Z"}])
def test_a_date_of_mongodb_is_read_in_both_forms(written):
    row = {"email": "anna@example.com", "created_at": written}
    given = formats.read_product_row(formats.FORMATS["auth0"], row, None)["customer_since"]
    assert fields.read_moment("customer_since", given, NOW) == datetime(2005, 3, 29, 15, 46, 40, tzinfo=UTC)


def test_two_columns_that_differ_by_case_alone_are_one_too_many():
    with pytest.raises(fields.CannotImport):
        files._heading(["Email", "email"], files.FileOptions(names={}, format_name=None, firebase=None))
