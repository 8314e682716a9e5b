"""The corpus of returned mail is complete, describes itself truthfully and names no real host."""

import base64
import html
import ipaddress
import quopri
import re
import tomllib
from email import message_from_bytes
from email.header import decode_header, make_header
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent / "corpus" / "bounces"
EXPECTED = tomllib.loads((FOLDER / "expected.toml").read_text("utf-8"))
RAW = {path.name: path.read_bytes() for path in sorted(FOLDER.glob("*.eml"))}

FAILURES = {"bounced", "soft_bounced", "refused"}
HARMLESS = {"delayed", "autoreply", "delivered", "relayed", "not_a_report"}
KINDS = FAILURES | HARMLESS | {"complained"}
KEYS = {"kind", "accept", "recipient", "also_names", "status", "envelope_to", "why"}

PLACEHOLDER = re.compile(rb"@(TAG|MESSAGE_ID|ENVID)@")
UNKNOWN_PLACEHOLDER = re.compile(rb"@(?!TAG@|MESSAGE_ID@|ENVID@)[A-Z_]+@")
STATUS = re.compile(r"[245]\.\d{1,3}\.\d{1,3}")
ENCODED_WORDS = re.compile(r"=\?[\w-]+\?[BbQq]\?[^?\s]*\?=(?:\s+=\?[\w-]+\?[BbQq]\?[^?\s]*\?=)*")
_REST_OF_HEADER = rb"\r?\n(?:\S[^\n]*\n|[ \t][^\n]*\n)*\r?\n"
BASE64_PART = re.compile(
    rb"^content-transfer-encoding: base64" + _REST_OF_HEADER + rb"([A-Za-z0-9+/=\r\n]+)", re.I | re.M
)
QUOTED_PRINTABLE_PART = re.compile(
    rb"^content-transfer-encoding: quoted-printable" + _REST_OF_HEADER + rb"(.*?)(?=^--|\Z)", re.I | re.M | re.S
)

# A host is recognised by its place (behind an at sign, two slashes or `dns;`) or by a common top-level domain.
PLACED_HOST = re.compile(r"(?:@|//|dns; ?)((?:[\w-]+\.)+[^\W\d_]+)", re.I)
COMMON_HOST = re.compile(
    r"\b((?:[\w-]+\.)+(?:com|net|org|info|biz|dev|app|io|eu|de|at|ch|fr|it|es|nl|be|uk|jp|ru|cn|br|pl|us|ca))\b", re.I
)
RESERVED_HOST = re.compile(r"(?:^|\.)example(?:\.(?:com|net|org))?$", re.I)
IP_ADDRESS = re.compile(r"(?<![\w.])\d{1,3}(?:\.\d{1,3}){3}(?![\w.])")
RESERVED_NETWORKS = [
    ipaddress.ip_network(network)
    for network in ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "10.0.0.0/8", "127.0.0.0/8")
]


def _readable(raw: bytes) -> str:
    """Return everything that a notice says, with transfer encodings, encoded words and HTML references undone."""
    parts = [base64.b64decode(part) for part in BASE64_PART.findall(raw)]
    raw = QUOTED_PRINTABLE_PART.sub(lambda part: quopri.decodestring(part[1]), raw)
    text = b"\n".join([raw, *parts]).decode("utf-8", "replace")
    words = [str(make_header(decode_header(words))) for words in ENCODED_WORDS.findall(text)]
    return html.unescape("\n".join([text, *words])).replace("\xa0", " ")


def _real_hosts(text: str) -> set[str]:
    hosts = {*PLACED_HOST.findall(text), *COMMON_HOST.findall(text)}
    return {host for host in hosts if not RESERVED_HOST.search(host)}


def _real_addresses(text: str) -> set[str]:
    found = set()
    for written in IP_ADDRESS.findall(text):
        try:
            address = ipaddress.ip_address(written)
        except ValueError:  # a version number
            continue
        if not any(address in network for network in RESERVED_NETWORKS):
            found.add(written)
    return found


def test_every_file_has_an_entry_and_every_entry_a_file():
    assert sorted(EXPECTED) == sorted(RAW)
    assert {path.name for path in FOLDER.iterdir()} == {*RAW, "expected.toml"}


def test_files_are_numbered_once():
    assert all(re.fullmatch(r"\d{3}-[a-z0-9-]+\.eml", name) for name in RAW)
    assert len({name[:3] for name in RAW}) == len(RAW)


@pytest.mark.parametrize("name", EXPECTED)
def test_an_entry_is_well_formed(name):
    entry = EXPECTED[name]
    assert set(entry) <= KEYS
    assert entry["kind"] in KINDS
    assert set(entry.get("accept", ())) <= KINDS - {entry["kind"]}
    assert "status" not in entry or STATUS.fullmatch(entry["status"])
    assert entry["why"].endswith(".")


def test_there_are_enough_of_each():
    kinds = [entry["kind"] for entry in EXPECTED.values()]
    assert sum(kind in FAILURES for kind in kinds) >= 60
    assert sum(kind in HARMLESS for kind in kinds) >= 15
    assert set(kinds) == KINDS


@pytest.mark.parametrize("name", RAW)
def test_a_notice_can_be_matched_by_a_placeholder(name):
    assert PLACEHOLDER.search(RAW[name])
    assert not UNKNOWN_PLACEHOLDER.search(RAW[name])
    assert not PLACEHOLDER.search(b"".join(base64.b64decode(part) for part in BASE64_PART.findall(RAW[name])))


@pytest.mark.parametrize("name", EXPECTED)
def test_what_is_expected_stands_in_the_notice(name):
    entry, text = EXPECTED[name], _readable(RAW[name]).casefold()
    if entry["kind"] in FAILURES:
        assert entry["recipient"]
    for said in (entry.get("recipient"), entry.get("status"), entry.get("envelope_to"), *entry.get("also_names", ())):
        assert said is None or said.casefold() in text


@pytest.mark.parametrize("name", RAW)
def test_text_is_in_the_charset_that_it_declares(name):
    for part in message_from_bytes(RAW[name]).walk():
        if part.get_content_maintype() == "text":
            part.get_payload(decode=True).decode(part.get_content_charset("utf-8"))


def test_line_ends_are_kept_as_written():
    """A checkout that converts line ends would leave one kind only, or both in one file."""
    lines = {name: raw.splitlines(keepends=True) for name, raw in RAW.items()}
    ends = {name: {b"\r\n" if line.endswith(b"\r\n") else b"\n" for line in lines[name]} for name in RAW}
    assert all(len(kinds) == 1 for kinds in ends.values())
    assert {kind for kinds in ends.values() for kind in kinds} == {b"\n", b"\r\n"}


def test_encodings_and_long_lines_are_present():
    everything = b"\n".join(RAW.values()).lower()
    for charset in (b"iso-2022-jp", b"windows-1252", b"koi8-r", b"gb18030", b"iso-8859-15", b"utf-8"):
        assert b"charset=" + charset in everything.replace(b'"', b"")
    assert any(len(line) > 1000 for raw in RAW.values() for line in raw.splitlines())


@pytest.mark.parametrize("name", RAW)
def test_no_real_host_or_network_address_is_named(name):
    text = _readable(RAW[name])
    assert _real_hosts(text) == set()
    assert _real_addresses(text) == set()


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("<anna@mail.not-reserved.com>", "mail.not-reserved.com"),
        ("see https://help.not-reserved.museum/1", "help.not-reserved.museum"),
        ("Reporting-MTA: dns; mx.not-reserved.aero", "mx.not-reserved.aero"),
        ("host mx.notexample.org said", "mx.notexample.org"),
        ("host example.de said", "example.de"),
    ],
)
def test_a_planted_host_is_found(text, host):
    assert _real_hosts(text) == {host}
    encoded = b"Content-Transfer-Encoding: base64\nX: y\n\n" + base64.encodebytes(text.encode())
    assert host in _real_hosts(_readable(encoded))


def test_a_planted_network_address_is_found():
    assert _real_addresses("[9.8.7.6] id 15.1.2507.39, id 14.3.513.0, [192.0.2.10]") == {"9.8.7.6"}
