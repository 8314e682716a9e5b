"""What is pasted: signs that nobody sees, full-width forms, labels, brackets, quotes; names, addresses, codes, IDs."""

import pytest

from identity_service.errors import Problem
from identity_service.one_time_tokens import rules as token_rules
from identity_service.values import email_addresses, pasted, text, user_ids
from identity_service.values.email_addresses import MalformedEmailAddress, parse_pasted

GOOD = "6WPP-C7QF-7FF6"
ID = GOOD.replace("-", "")
CODE = "K7Q2M9XH4T"
INVISIBLE = {
    "zero width space": "\u200b", "zero width joiner": "\u200d", "soft hyphen": "\u00ad", "byte order mark": "\ufeff",
    "embedding": "\u202a", "pop": "\u202c", "isolate": "\u2066", "word joiner": "\u2060", "tag": "\U000e0041",
    "selector": "\ufe0f", "Hangul filler": "\u3164", "left-to-right mark": "\u200e",
}  # fmt: skip
DRESSED = [
    "User ID: {0}", "Your User ID is {0}.", "user id {0}", "ID {0}", "Kundennummer: {0}", "Kunden-Nr. {0}",
    "Ihre Kundennummer lautet: {0}", "Customer number = {0}", "({0})", "[{0}]", "<{0}>", '"{0}"', "\u201e{0}\u201c",
    "\u00ab{0}\u00bb", "*{0}*", "`{0}`", "{0},", "{0};", "\u00a0{0}\u00a0", "\u3000{0}", "{0}\r\n", "('{0}')",
    "#{0}", "# {0}", "Nr. {0}", "No. {0}", "N\u00b0 {0}", "\u2116 {0}", "ID#{0}", "User ID #{0}", "ID no. {0}",
    "Ihre Nr. {0}", "> {0}", ">> {0}", "\u2022 {0}", "- {0}", "* {0}", "{0}\u2026", "\u2026{0}\u2026", "{0}...",
    "{0}?", "Your User ID is {0}?", "({0}?)", "{0}?!", "{0} (copied)", "{0} (Anna).", "{0} [kopiert]", "({0}", "{0}>",
    '"{0}', "{0}\u201c", "Your ID (User ID: {0})",
]  # fmt: skip


def wide(plain: str) -> str:
    """Return the full-width form, as an East Asian keyboard writes it."""
    return "".join(chr(ord(sign) + 0xFEE0) if "!" <= sign <= "~" else sign for sign in plain)


@pytest.mark.parametrize("sign", INVISIBLE.values(), ids=INVISIBLE)
def test_a_sign_that_nobody_sees_does_not_count_in_an_id_or_code(sign):
    """K01c: in front, behind and at every place between."""
    assert user_ids.parse(sign.join(["", *GOOD, ""])) == ID
    assert token_rules.read_code(sign.join(["", *CODE, ""])) == CODE
    assert pasted.read_digits(sign.join(["", *"123456", ""])) == "123456"


@pytest.mark.parametrize("dressed", DRESSED, ids=ascii)
def test_an_id_or_code_is_read_out_of_what_stands_around_it(dressed):
    assert user_ids.parse(dressed.format(GOOD)) == ID
    assert token_rules.read_code(dressed.format(f"{CODE[:5]}-{CODE[5:]}")) == CODE
    assert pasted.read_digits(dressed.format("123 456")) == "123456"


@pytest.mark.parametrize("place", [0, 5, 11])
def test_a_question_mark_within_an_id_is_a_symbol_that_was_not_understood(place):
    """IDN-03: behind all twelve it ends a sentence."""
    heard = ID[:place] + "?" + ID[place + 1 :]
    assert [found.user_id for found in user_ids.suggest(heard)] == [ID]


@pytest.mark.parametrize("typed", ["NR12-3456", "No 12 34 56 78 90", "#12", "Nr.12 34", "? ? ?"])
def test_what_may_be_symbols_is_no_label(typed):
    """N is read as M, and O as 0."""
    assert user_ids.read_symbols(typed) == user_ids._read(typed).removeprefix("#")


@pytest.mark.parametrize(
    "separator",
    [
        "/",
        "_",
        "\u2009",
        "\u2007",
        "\u3000",
        "\u30fc",
        "\u00b7",
        ", ",
        "\r\n",
        "|",
        "\uff65",
        "\uff70",
        "\u2043",
        "\u02d7",
    ],
)
def test_what_stands_between_the_groups_does_not_count(separator):
    assert user_ids.parse(GOOD.replace("-", separator)) == ID


def test_full_width_forms_are_read():
    assert user_ids.parse(wide(GOOD)) == user_ids.parse(wide(GOOD.lower())) == ID
    assert token_rules.read_code(wide(CODE)) == CODE
    assert pasted.read_digits(wide("123456")) == "123456"
    assert parse_pasted(wide("Anna.Berg@example.com")).shown == "Anna.Berg@example.com"


@pytest.mark.parametrize(
    ("typed", "read"),
    [("12O 45o", "120450"), ("I2345l", "123451"), ("code: 123-456", "123456"), ("One-time code: 123 456", "123456"),
     ("Einmalcode 123456", "123456"), ("DEADBEEF-01234567", "deadbeef01234567")],
)  # fmt: skip
def test_a_code_of_digits_is_read_as_people_type_it(typed, read):
    assert pasted.read_digits(typed) == read


@pytest.mark.parametrize(
    ("typed", "named"),
    [("6WPP-C7QF-7FF\u2603", "U+2603 SNOWMAN"), ("6WPP-C7QF-7FF6\u0301", "U+0301 COMBINING ACUTE ACCENT"),
     ("6WPP-C7QF-7FF\u0663", "U+0663 ARABIC-INDIC DIGIT THREE"), ("\u0416WPP-C7QF-7FF66", "U+0416 CYRILLIC CAPITAL")],
)  # fmt: skip
def test_what_cannot_be_read_in_an_id_is_called_by_its_name(typed, named):
    """Never "too long": the sign is the reason."""
    with pytest.raises(user_ids.MalformedUserId) as refused:
        user_ids.parse(typed)
    assert named in refused.value.detail


ADDRESSES = [
    "\u202aanna@example.com\u202c", "\u200banna@example.com\ufeff", "\u00a0anna@example.com\u3000", "anna@example.com.",
    "anna@example.com,", "<anna@example.com>", "Anna Berg <anna@example.com>", '"Berg, Anna" <anna@example.com>',
    "mailto:anna@example.com", "MAILTO:anna@example.com?subject=Hello", "<mailto:anna@example.com>",
    "E-mail: anna@example.com", "Email: <anna@example.com>;", "E-Mail-Adresse: anna@example.com", "(anna@example.com)",
    '"anna@example.com"', "\u201eanna@example.com\u201c", "'anna@example.com'", "[anna@example.com]",
    "anna\uff20example.com", "anna\ufe6bexample.com", "anna@example\uff0ecom", "anna@example.com\u2069\u00ad",
    "anna@example.com\r\n", "\U000e0041anna@example.com",
    # What mail programs copy.
    "anna@example.com <anna@example.com>", "anna@example.com<anna@example.com>",
    "'anna@example.com' <anna@example.com>", "anna@example.com<mailto:anna@example.com>",
    "anna@example.com [mailto:anna@example.com]",
    "[anna@example.com](mailto:anna@example.com)", "[E-mail](mailto:anna@example.com)",
    "Anna Berg [mailto:anna@example.com]", "Anna Berg (anna@example.com)", "Anna Berg (anna@example.com),",
    "anna@example.com (Anna Berg)", "anna@example.com (\u674e)", "<anna@example.com", "anna@example.com>",
    "Anna Berg <anna@example.com", "(anna@example.com", "anna@example.com]", '"anna@example.com',
    "Anna <Anna@Example.com> (anna@example.com)", "mailto:anna%40example.com", "mailto:%61nna@example.com",
    "<mailto:anna%40example.com?subject=b%40example.com>", "mailto://anna@example.com", "\u2022 anna@example.com",
    "\u2022anna@example.com", "> anna@example.com", "- anna@example.com", "* anna@example.com",
    "anna@example.com\u2026",
    "anna@example.com?", "E-mail = anna@example.com", "Mail anna@example.com",
]  # fmt: skip


@pytest.mark.parametrize("written", ADDRESSES, ids=ascii)
def test_an_address_is_read_out_of_what_stands_around_it(written):
    """A01c."""
    assert parse_pasted(written).shown == "anna@example.com"


@pytest.mark.parametrize(
    ("written", "named"),
    [("an\u200bna@example.com", "U+200B ZERO WIDTH SPACE"), ("anna@exam\u00adple.com", "U+00AD SOFT HYPHEN"),
     ("anna@\u202eexample.com", "U+202E RIGHT-TO-LEFT OVERRIDE"), ("an\U000e0061na@example.com", "U+E0061 TAG"),
     ("m\u200bike@example.org", "U+200B ZERO WIDTH SPACE")],
)  # fmt: skip
def test_what_cannot_be_read_in_an_address_is_called_by_its_name(written, named):
    with pytest.raises(MalformedEmailAddress) as refused:
        parse_pasted(written)
    assert named in refused.value.sentence()


@pytest.mark.parametrize(
    "written",
    ["a@good.com, b@evil.com", "a@good.com <b@evil.com>", "<a@good.com> b@evil.com", "a@good.com\uff20evil.com",
     "mailto:a@good.com,b@evil.com", '"a@evil.com"@good.com', "a%evil.com@good.com", "=?utf-8?q?a?=@good.com",
     "x" * 100_000 + "@example.com", "\u200b" * 100_000, "a@good.com<mailto:b@evil.com>", "a@good.com (b@evil.com)",
     "[a@good.com](mailto:b@evil.com)", "[a@good.com](mailto:b%40evil.com)", "mailto:a%40good.com%2Cb@evil.com",
     "mailto:a%40evil.com@good.com", "mailto:a%0D%0ADATA@good.com", "mailto:a%2540good.com", "Anna @ <a@good.com>"],
    ids=lambda text: ascii(text[:40]),
)  # fmt: skip
def test_more_than_one_address_or_none_is_refused(written):
    """EML-01, ATT-41: taking dress off opens nothing that the one parser refuses."""
    with pytest.raises(MalformedEmailAddress):
        parse_pasted(written)


@pytest.mark.parametrize(
    "written",
    ["http://anna@example.org", "HTTP://anna@example.org", "https:/anna@example.org", "ftp://anna@example.org",
     "tel:/anna@example.org", "http: //anna@example.org", "<http://anna@example.org>", "E-mail: ftp://anna@example.org",
     "mailto:/anna@example.org", "mailto:///anna@example.org", "anna<wbr>berg@example.org", "a(x)berg@example.org",
     "a (x)+b@example.org", "anna berg@example.org", "my id-anna@example.org", "anna[a]@example.org"],
)  # fmt: skip
def test_no_other_mailbox_is_read_out_of_a_link_or_name(written):
    """ATT-42."""
    with pytest.raises(MalformedEmailAddress):
        parse_pasted(written)


@pytest.mark.parametrize(
    "address",
    ["contact-us@example.com", "mail-anna@example.com", "user-id-anna@example.com", "bounce=anna@example.com",
     "id#anna@example.com", "#anna@example.com", "*anna@example.com", "{anna@example.com", "o'a=anna@example.com",
     "'tis@example.com", "j\u00fcrgen=a@example.com"],
    ids=ascii,
)  # fmt: skip
@pytest.mark.parametrize("written", ["{0}", "<{0}>", "Support <{0}>", "mailto:{0}", "E-mail: {0}", "({0})", "{0}>"])
def test_the_beginning_of_an_address_is_no_label(address, written):
    """ATT-42."""
    written = written.format(address.replace("#", "%23") if written.startswith("mailto:") else address)
    assert parse_pasted(written).shown == address


def test_two_addresses_are_said_to_be_two():
    with pytest.raises(MalformedEmailAddress, match="more than one email address"):
        parse_pasted("anna@example.com <ben@example.com>")


@pytest.mark.parametrize(
    "domain",
    ["hawai\u02bbi.com", "o\u02bbzbekiston.uz", "ta\u02bcx.de", "\u043e\u02bc\u0430.com", "\u65e5\u02bb\u672c.jp",
     "a\ua78cb\u02bb.com",
     # Marks whose names begin with a script, and which are of none.
     "\u06a9\u0951.com", "\u0710\u064e.com", "\u0710\u0670.com", "\u0995\u1cd0.com", "\u0915\u1cd0.com",
     "\u0915\u1cda.com", "\u0d15\u0951.com", "\u0c95\u1cf4.com", "\uac00\u302a.com", "\u2c80\U000102e0.com"],
    ids=ascii,
)  # fmt: skip
def test_letters_of_no_script_mix_with_every_script(domain):
    """A08a: Common and Inherited."""
    assert parse_pasted(f"anna@{domain}").key.startswith("anna@xn--")


@pytest.mark.parametrize("domain", ["p\u0430ypal.com", "p\u0430y\u02bbpal.com", "\u03b1pple\u02bc.com",
                                    "a\u0915\u0951.com", "\u0430\u0915\u1cd0.com"])  # fmt: skip
def test_a_letter_of_no_script_hides_no_mixture(domain):
    with pytest.raises(MalformedEmailAddress, match="mixes alphabets"):
        parse_pasted(f"anna@{domain}")


NAMES = [
    "X", "\u674e", "O'Brien", "O\u2019Brien", "D\u2018Angelo", "\u05d3\u05d5\u05d3 \u05db\u05d4\u05df",
    "\u0645\u062d\u0645\u062f", "Anna \U0001f980", "Anna \u2764\ufe0f", "\U0001f468\u200d\U0001f469\u200d\U0001f467",
    "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",
    "\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f", "Nguy\u1ec5n", "Z\u030d",
    "Anna-Maria d. \u00c4.",
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_a_name_that_people_have_is_kept(name):
    assert text.is_line(text.read_line(name))
    assert text.read_line(f"\u200b\u202a {name}\u00a0\u202c\ufeff") == text.read_line(name)


def test_both_forms_of_an_accent_are_one_text():
    """J09: NFC and NFD."""
    assert text.read_line("Mu\u0308ller Cafe\u0301") == text.read_line("M\u00fcller Caf\u00e9")


@pytest.mark.parametrize(
    "written", ["", "\u200b", "\u3164\u3164", "\ufeff \u00ad", "\u0301", "\u2066\u2069"], ids=ascii
)
def test_what_shows_nothing_is_no_name(written):
    assert not text.is_line(text.read_line(written))


@pytest.mark.parametrize("length", [1_000, 100_000])
@pytest.mark.parametrize(
    "unit",
    [
        "id ",
        "( ",
        "\u200b",
        "your code: ",
        "=",
        "a:",
        "v1.",
        "\U0001f3f4\U000e0067",
        "#",
        "> ",
        "(a",
        "a@b.co <",
        " (",
        "](",
        "nr. ",
        "-#",
    ],
    ids=ascii,
)
def test_a_long_text_is_read_or_refused_at_once(unit, length):
    """ATT-17: the unit many times; nothing but our own errors."""
    long = unit * (length // len(unit))
    for read in (user_ids.parse, token_rules.read_code, token_rules.read_link, parse_pasted):
        with pytest.raises(Problem):
            read(long)
    assert len(pasted.read_digits(long)) <= 400
    assert isinstance(text.is_line(text.read_line(long)), bool)


LINK = f"v1.{'h' * 21}-.{'S' * 43}"


@pytest.mark.parametrize(
    "written",
    ["{0}.", "{0}>", "{0})", '{0}"', "{0}'", "{0}=", "{0}=\r\n", "{0},", "{0}%3E", "{0}%22", "{0}&gt;", "<{0}>",
     "({0}).", "{0}]", "{0}_", "{0}*", "{0}\u201d", "{0}\u200b", "#{0}", " {0} ", "{0}...",
     "{0}?utm_source=mail", "{0}!"],
    ids=ascii,
)  # fmt: skip
def test_what_cannot_belong_to_a_secret_is_cut_off_its_end(written):
    """B05."""
    assert token_rules.read_link(written.format(LINK)) == ("h" * 21 + "-", "S" * 43)


@pytest.mark.parametrize("written", [LINK[:-1], LINK + "A", LINK[:-1] + "=", "v2" + LINK[2:], LINK.replace(".", "..")])
def test_a_link_with_another_secret_is_dead(written):
    """RST-14."""
    with pytest.raises(token_rules.LinkInvalid):
        token_rules.read_link(written)


@pytest.mark.parametrize("tail", ["", ".", ")", '"', ">", "%3E", "-", "\u200b"])
def test_a_tracking_link_is_read_without_what_stands_behind_it(tail):
    assert token_rules.read_tracking_handle("A" * 23 + "_" + tail) == "A" * 23 + "_"


def test_the_domain_of_a_pasted_address_is_read_as_before():
    assert parse_pasted("a@\u30e9\u30fc\u30e1\u30f3.jp") == email_addresses.parse("a@\u30e9\u30fc\u30e1\u30f3.jp")


@pytest.mark.parametrize("written", ["Nr.6WPP-C7QF-7FF6", "No.6WPP C7QF 7FF6", "\u201e6WPP-C7QF-7FF6\u201c?"])
def test_a_number_sign_without_a_blank_is_one_in_front_of_whole_groups(written):
    assert user_ids.parse(written) == "6WPPC7QF7FF6"


@pytest.mark.parametrize("written", [
    "anna@firma.de\ufe0f", "\u2709 anna@firma.de", "\U0001f4e7 anna@firma.de", "\u2709\ufe0f anna@firma.de",
    "anna@firma.de, anna@firma.de", "anna@firma.de; anna@firma.de", "anna@firma.de anna@firma.de", "anna@firma.de?",
])  # fmt: skip
def test_a_sign_in_front_or_the_same_address_again_does_not_count(written):
    assert email_addresses.parse_pasted(written).key == "anna@firma.de"


@pytest.mark.parametrize(("written", "told"), [
    ("anna@firma.de; bob@firma.de", "more than one"), ("anna@firma.de bob@firma.de", "more than one"),
    ("anna @firma.de", "space in this address"), ("an na@firma.de", "space in this address"),
])  # fmt: skip
def test_what_is_wrong_with_several_words_is_told(written, told):
    with pytest.raises(email_addresses.MalformedEmailAddress, match=told):
        email_addresses.parse_pasted(written)


@pytest.mark.parametrize("typed", ["\u0661\u0662\u0663\u0664\u0665\u0666", "\uff11\uff12\uff13\uff14\uff15\uff16"])
def test_digits_of_other_scripts_are_digits(typed):
    assert pasted.read_digits(typed) == "123456"
