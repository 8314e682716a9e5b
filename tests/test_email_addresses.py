"""One parser: which addresses are accepted and which are refused."""

import itertools

import pytest

from identity_service.values.email_addresses import MalformedEmailAddress, parse

SIGNS = "_+.'&=~#$*/?^{}-"
LONGEST = ".".join(["d" * 63, "d" * 63, "d" * 57, "com"])


def refused(text: str, **options) -> MalformedEmailAddress:
    with pytest.raises(MalformedEmailAddress) as found:
        parse(text, **options)
    return found.value


@pytest.mark.parametrize(
    "text",
    [
        "a@example.com",
        "Anna.Berg@example.com",
        "anna+shop@example.com",
        "o'brien@example.ie",
        "0@example.com",
        "_@example.com",
        "anna-@example.com",
        "a" * 64 + "@example.com",
        "a@" + LONGEST,
        "a@sub.sub.sub.example.co.uk",
        "a@1.example.com",
        "a@3com.com",
        "a@example.museum",
        "a@xn--bcher-kva.de",
        "a@example.xn--p1ai",
    ],
)
def test_an_ordinary_address_is_accepted_as_it_is(text):
    """EML-01."""
    found = parse(text)
    assert (found.ascii, found.key) == (text, text.lower())


@pytest.mark.parametrize("sign", SIGNS)
def test_every_sign_of_the_profile_is_accepted_between_letters(sign):
    """EML-01."""
    assert parse(f"a{sign}b@example.com").key == f"a{sign}b@example.com"


def test_no_other_sign_is_accepted_anywhere():
    """EML-01, ATT-42, ATT-44: the rest of Latin-1 but its letters, in front, between and behind."""
    letters = {chr(c) for c in range(0xC0, 0x100)} - set("×÷")
    others = [chr(c) for c in range(256) if not (chr(c).isascii() and (chr(c).isalnum() or chr(c) in SIGNS))]
    others = [sign for sign in others if sign not in letters]
    assert len(others) == 256 - 62 - 62 - len(SIGNS)
    for other, shape in itertools.product(others, ("{}a", "a{}b", "a{}")):
        refused(shape.format(other) + "@example.com")


FACT_4 = {
    "encoded word": "=?utf-8?q?a=40evil.com=3E?=@good.com",
    "percent route": "a%evil.com@good.com",
    "bang path": "a!b@good.com",
    "pipe": "|id@good.com",
    "option": "-f@good.com",
    "65 characters": "a" * 65 + "@good.com",
    "dotless i": "mıke@example.org",
    "full-width local part": "\uff41@example.com",
}
MORE_THAN_ONE = {
    "comma": "a@good.com,b@evil.com",
    "comma and blank": "a@good.com, b@evil.com",
    "semicolon": "a@good.com;b@evil.com",
    "blank": "a@good.com b@evil.com",
    "line feed": "a@good.com\nb@evil.com",
    "tab": "a@good.com\tb@evil.com",
    "two at": "a@b@good.com",
    "two at, last evil": "a@good.com@evil.com",
    "list in brackets": '["a@good.com","b@evil.com"]',
    "group": "friends:a@good.com,b@evil.com;",
    "ideographic comma": "a@good.com\u3001b@evil.com",
    "full-width comma": "a@good.com\uff0cb@evil.com",
    "full-width at": "a@good.com\uff20evil.com",
}
SYNTAX = {
    "quoted": '"a"@good.com',
    "quoted at": '"a@evil.com"@good.com',
    "quoted blank": '"a b"@good.com',
    "escaped": "a\\b@good.com",
    "comment in front": "(x)a@good.com",
    "comment behind": "a(x)@good.com",
    "comment in the domain": "a@good.com(evil.com)",
    "name": "Anna <a@good.com>",
    "angle": "<a@good.com>",
    "closing angle": "a@good.com>",
    "source route": "@evil.com:a@good.com",
    "encoded word, B": "=?utf-8?b?YQ==?=@good.com",
    "encoded word begun": "a=?b@good.com",
    "encoded word in the domain": "a@=?utf-8?q?good?=.com",
    "leading dot": ".a@good.com",
    "trailing dot": "a.@good.com",
    "double dot": "a..b@good.com",
    "leading hyphen": "-a@good.com",
    "no local part": "@good.com",
    "no domain": "a@",
    "no at": "a",
    "at alone": "@",
    "nothing": "",
    "blank alone": " ",
    "blank in front": " a@good.com",
    "blank behind": "a@good.com ",
    "line feed behind": "a@good.com\n",
    "CRLF and a command": "a@good.com\r\nRCPT TO:<b@evil.com>",
    "CRLF and a header": "a@good.com\r\nBcc: b@evil.com",
    "CR in the local part": "a\rb@good.com",
    "SMTP parameter": "a@good.com SIZE=1",
    "closed and commanded": "v@good.com>\r\nRCPT TO:<b@evil.com",
    "mailto": "mailto:a@good.com",
    "low byte is an at": "a\u0140evil.com",
}
DOMAINS = {
    "one label": "a@good",
    "IPv4": "a@127.0.0.1",
    "short IPv4": "a@127.1",
    "hexadecimal": "a@127.0x1",
    "whole hexadecimal": "a@0.0x7f000001",
    "number as the last part": "a@good.1",
    "full-width number as the last part": "a@good.\uff11",
    "IPv4 literal": "a@[127.0.0.1]",
    "IPv6 literal": "a@[IPv6:::1]",
    "general literal": "a@[x:y]",
    "underscore": "a@go_od.com",
    "leading hyphen": "a@-good.com",
    "trailing hyphen": "a@good-.com",
    "hyphens in third place": "a@ab--cd.com",
    "empty part": "a@good..com",
    "leading dot": "a@.good.com",
    "long part": "a@" + "d" * 64 + ".com",
    "percent": "a@good%2ecom",
    "slash": "a@good.com/x",
    "colon": "a@good.com:25",
    "one dot leader": "a@good\u2024com",
    "emoji": "a@💩.la",
    "255 characters": "a" * 64 + "@" + LONGEST + "m",
}
HIDDEN = {
    "NUL": "a@go\0od.com",
    "zero width space": "a@go\u200bod.com",
    "zero width joiner": "a@go\u200dod.com",
    "word joiner": "a@go\u2060od.com",
    "byte order mark": "\ufeffa@good.com",
    "soft hyphen": "a@go\u00adod.com",
    "override": "a@\u202emoc.doog",
    "isolate": "a@\u2066good.com",
    "left-to-right mark": "a@good.com\u200e",
    "next line": "a@good.com\u0085",
    "line separator": "a@good.com\u2028",
    "no-break space": "a\u00a0@good.com",
    "half a character": "a@go\ud800od.com",
    "a tag": "a@go\U000e0061od.com",
}


@pytest.mark.parametrize("text", FACT_4.values(), ids=FACT_4)
def test_what_the_library_accepts_and_we_do_not(text):
    """EML-01, ATT-02, FACT-4."""
    refused(text)


@pytest.mark.parametrize("text", MORE_THAN_ONE.values(), ids=MORE_THAN_ONE)
def test_more_than_one_address_is_none(text):
    """ATT-01, ATT-41."""
    refused(text)


@pytest.mark.parametrize("text", SYNTAX.values(), ids=SYNTAX)
def test_what_relays_read_in_more_than_one_way_is_refused(text):
    """EML-01, ATT-40, ATT-41, ATT-42."""
    refused(text)


@pytest.mark.parametrize("text", DOMAINS.values(), ids=DOMAINS)
def test_what_is_no_domain_of_the_public_net_is_refused(text):
    """EML-01, ATT-42."""
    refused(text)


@pytest.mark.parametrize("text", HIDDEN.values(), ids=HIDDEN)
def test_what_cannot_be_seen_is_refused(text):
    """ATT-44."""
    refused(text)


@pytest.mark.parametrize("top", ["test", "example", "invalid", "localhost", "local", "onion", "alt", "internal"])
def test_a_reserved_top_level_domain_is_refused_in_production(top):
    """EML-01: RFC 6761, 6762, 7686, 9476; in any case and any spelling."""
    for text in (f"a@b.{top}", f"a@b.{top.upper()}", f"a@b\u3002{top}", f"a@{top}"):
        refused(text)


@pytest.mark.parametrize("text", ["a@1.0.0.127.in-addr.arpa", "a@home.arpa", "a@printer.home.arpa"])
def test_the_nets_own_domain_is_refused(text):
    refused(text)


@pytest.mark.parametrize("top", ["test", "example", "internal"])
def test_a_reserved_top_level_domain_passes_in_development(top):
    assert parse(f"a@b.{top}", special_use=True).ascii == f"a@b.{top}"


def test_two_hundred_and_fifty_four_characters_are_the_limit():
    """EML-01: counted as relays count, in A-labels."""
    assert len(parse("a" * 64 + "@" + LONGEST).ascii) == 254
    refused("a" * 64 + "@" + LONGEST + "m")
    shown = "a" * 60 + "@" + ".".join(["ü" * 20] * 7) + ".com"
    assert len(shown) == 211
    refused(shown)


@pytest.mark.parametrize("text", ["a" * 100_000 + "@example.com", "a@" + "ü." * 100_000, "@" * 100_000], ids=len)
def test_a_long_text_is_refused_by_its_length(text):
    """ATT-17: nothing is parsed."""
    assert str(refused(text)) == "An email address has at most 254 characters."


@pytest.mark.parametrize("text", [*FACT_4.values(), *SYNTAX.values(), *DOMAINS.values(), *HIDDEN.values()], ids=ascii)
def test_a_refusal_says_a_sentence_and_never_repeats_the_input(text):
    """FACT-5: an address is personal also when it is wrong."""
    refusal = refused(text)
    said = str(refusal)
    assert said.isascii()
    assert said.endswith((".", "(RFC 6761)."))
    assert refusal.members == {}
    assert len(text) < 4 or text not in said


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("a", "Enter an email address with a name, an @ and a domain, like name@example.com."),
        (
            "a(b@good.com",
            "The part before the @ can only have letters, digits and common characters, and no more than 64 bytes.",
        ),
        (
            "a.@good.com",
            "The part before the @ can't start with a hyphen or dot, end with a dot, or have two dots in a row.",
        ),
        (
            "a..b@good.com",
            "The part before the @ can't start with a hyphen or dot, end with a dot, or have two dots in a row.",
        ),
        (
            "аnna@good.com",
            "The part before the @ has characters or a mix of alphabets that look like another address. Type it again.",
        ),
        ("a@go od.com", "The part after the @ isn't a valid domain. Check it for typing mistakes."),
        ("a@good", "The part after the @ needs at least two parts, like example.com, and can't be a network address."),
        (
            "a@good.test",
            "Addresses with this ending are reserved and can't receive email (RFC 6761). Use another address.",
        ),
        ("a@раypal.com", "The part after the @ mixes alphabets, as fake addresses do. Check it, and type it again."),
    ],
)
def test_the_sentence_names_the_rule(text, sentence):
    assert str(refused(text)) == sentence
