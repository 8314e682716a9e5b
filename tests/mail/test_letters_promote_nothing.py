"""PRV-07: every letter is about the account; no word that sells, no pixel, no counted link, no foreign host.

The rendered letters are read, and their sources too: a branch that no preview takes would hide there.
"""

import re
from pathlib import Path

import pytest

from identity_service import database_schema
from identity_service.consents import wordings
from identity_service.messages import copy
from tests import letters

SOURCES = sorted((database_schema.PACKAGE / "templates" / "messages").glob("*.*ml")) + sorted(
    (database_schema.PACKAGE / "templates" / "messages").glob("*.txt")
)
OURS = ("id.example.com",)
SELLING = re.compile(
    r"""\b(offers?|sales?|discounts?|vouchers?|coupons?|deals?|bargains?|newsletters?|promotions?|special|exclusive|
    free|buy|shop\snow|order\snow|save|per\scent\soff|limited|recommend\w*|upgrade|subscribe|follow\sus|products?|
    angebote?n?|rabatte?|gutscheine?|schn\u00e4ppchen|aktion|sonderpreis|kostenlos|kaufen|jetzt\sbestellen|sparen|
    exklusiv|empfehl\w*|abonnier\w*|folgen\ssie\suns|produkte?)\b|%\s?off|\d+\s?%""",
    re.IGNORECASE | re.VERBOSE,
)
COUNTED = re.compile(r"utm_|[?&](mc_|fbclid|gclid|trk|cid|campaign|ref)|/(track|click|open|r)/", re.IGNORECASE)
LOADED = re.compile(
    r"<\s*(img|script|iframe|link|object|embed|video|audio|svg|form|input)\b|url\(|@import|src\s*=", re.I
)
FULL_WIDTH = re.compile(r'(<table\b[^>]*) width="100%"')
HOSTS = re.compile(r"(?:https?:)?//([^/\s\"'<>{}]+)")


def faults(text: str, *, hosts: tuple[str, ...] = OURS) -> list[str]:
    """What does not belong into a letter of ours; nothing, where it is clean."""
    found = [f"sells: {match[0]}" for match in SELLING.finditer(FULL_WIDTH.sub(r"\1", text))]
    found += [f"counts: {match[0]}" for match in COUNTED.finditer(text)]
    found += [f"loads: {match[0]}" for match in LOADED.finditer(text)]
    return found + [f"leads elsewhere: {host}" for host in HOSTS.findall(text) if host not in hosts]


@pytest.mark.parametrize(("kind", "locale"), letters.EVERY)
def test_no_letter_promotes_counts_loads_or_leads_elsewhere(kind, locale):
    """PRV-07. A wording is what the customer is asked, word for word, so it is read apart: see the next test."""
    made = letters.sample(kind, locale)
    asked = wordings.newest_wording("email", locale).text
    for said in (made.subject, made.text, made.html):
        assert faults(said.replace(asked, "").replace("Example Shop", "")) == []


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_no_source_of_a_letter_does_either(path: Path):
    """PRV-07: whatever branch is taken."""
    assert faults(path.read_text(encoding="utf-8"), hosts=()) == []


@pytest.mark.parametrize("words", copy.COPY)
def test_no_sentence_of_a_letter_does_either(words: str):
    """PRV-07: whether a preview shows it or not."""
    known = copy.COPY[words]
    for said in (known.subject, *(f"{part.text} {part.button or ''}" for part in known.parts)):
        assert faults(said, hosts=()) == []


WITHDRAW = {
    "ar": "سحب", "de": "widerrufen", "en": "withdraw", "es": "retirar", "fr": "retirer", "it": "revocare",
    "nl": "intrekken", "pl": "wycofać", "pt": "retirar",
}  # fmt: skip


@pytest.mark.parametrize(
    "path", sorted((database_schema.PACKAGE / "wordings").glob("*.txt")), ids=lambda path: path.name
)
def test_a_wording_says_what_is_agreed_to_and_how_it_is_withdrawn(path: Path):
    """PRV-02, PRV-07: it names the thing and the way out; it leads nowhere, and sells nothing but what it asks for."""
    text = path.read_text(encoding="utf-8")
    assert WITHDRAW[path.suffixes[0].removeprefix(".")] in text
    assert not [fault for fault in faults(text) if not fault.startswith("sells")]


PLANTED = {
    "<p>20% off until Sunday</p>": "sells",
    '<table width="100%"><tr><td>100% yours</td></tr></table>': "sells",
    "Unser neuer Newsletter ist da": "sells",
    '<img src="/x.gif">': "loads",
    "https://id.example.com/me?utm_source=mail": "counts",
    '<a href="https://shop.example.net/">here</a>': "leads elsewhere",
    "body { background: url(/x.png) }": "loads",
    "//cdn.example.net/a": "leads elsewhere",
}


@pytest.mark.parametrize("planted", PLANTED)
def test_the_linter_finds_what_it_is_for(planted):
    assert any(fault.startswith(PLANTED[planted]) for fault in faults(planted))
