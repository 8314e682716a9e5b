"""The parsers that strangers feed, and what must hold of each for any bytes at all (IDN-11).

A parser may refuse with the errors it documents, and with nothing else; what it reads reads back as the same. The same
properties are held by Hypothesis in `make test` and by a coverage-guided fuzzer (`fuzz.py`). This file needs the
product alone, because the fuzzer lives in an environment of its own.
"""

import contextlib
import csv
import dataclasses
import io
import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import NamedTuple

import argon2
from joserfc import jws
from joserfc.jwk import OKPKey

from identity_service.errors import Problem
from identity_service.imports import files
from identity_service.imports import rows as imports_rows
from identity_service.keys import signing
from identity_service.messages import rules as rules_of_messages
from identity_service.messages.inbound import dsn
from identity_service.passwords import legacy_hashes, legacy_schemes, rules
from identity_service.settings import Settings
from identity_service.values import email_addresses, user_ids
from identity_service.web import pagination

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
SETTINGS = Settings(environment="development")
KEY = OKPKey.import_key(
    {"kty": "OKP", "crv": "Ed25519", "kid": "one", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
     "d": "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A"}
)  # fmt: skip
CLAIMS = {
    "iss": "https://id.example.com", "aud": "https://id.example.com/v1", "sub": "cli_1", "client_id": "cli_1",
    "jti": "a", "scope": "events:read", "source": "shop", "iat": int(NOW.timestamp()),
    "exp": int(NOW.timestamp()) + 600,
}  # fmt: skip
TOKEN = signing.sign(CLAIMS, KEY, typ=signing.ACCESS_TOKEN_TYPE)
CURSOR_KEY = b"k" * 32
TAG = ("0" * 31 + "1", "0123456789")
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


class Parser(NamedTuple):
    """What holds for any bytes, and a few inputs from which a search begins."""

    holds: Callable[[bytes], None]
    seeds: list[bytes]


def text_of(data: bytes) -> str:
    """Return any text there can be, half characters too: JSON may carry them."""
    try:
        return data.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return data.decode("utf-8", "surrogateescape")


def a_user_id(data: bytes) -> None:
    """IDN-02, IDN-11: read or refused; what is read is shown and read again; a suggestion is a User ID."""
    text = text_of(data)
    for found in user_ids.suggest(text):
        assert user_ids.parse(found.user_id) == found.user_id
    try:
        user_id = user_ids.parse(text)
    except user_ids.MalformedUserId as refused:
        json.dumps(refused.members).encode()
        _is_a_sentence(refused)
        return
    assert user_ids.is_canonical(user_id)
    assert user_id.isascii()
    assert user_ids.parse(user_ids.show(user_id)) == user_ids.parse(user_ids.show(user_id).lower()) == user_id


def an_address(data: bytes) -> None:
    """EML-01, ATT-42: one plain mailbox or refused, and the same mailbox when it is read again."""
    text = text_of(data)
    email_addresses.mask_all(text)
    email_addresses.mask(text)
    try:
        found = email_addresses.parse(text, special_use=True)
    except email_addresses.MalformedEmailAddress as refused:
        _is_a_sentence(refused)
        return
    local, _, domain = found.ascii.partition("@")
    assert re.fullmatch(r"[!-~]+", local) or email_addresses.is_international_local_part(local)
    assert re.fullmatch(r"[a-z0-9.-]+", domain)
    assert found.ascii.count("@") == found.shown.count("@") == 1
    assert len(found.ascii.encode()) <= email_addresses.MAXIMUM
    assert found.key == found.ascii.lower()
    for again in (found.shown, found.ascii):
        assert email_addresses.parse(again, special_use=True) == found
    assert email_addresses.parse(found.key, special_use=True).key == found.key
    email_addresses.similar_domain(found)


def a_notice(data: bytes) -> None:
    """Whatever comes back is kept in a form that the database takes, and nothing but our own tag names a letter."""
    notice = dsn.read_notice(data, envelope_from="x@y.z", envelope_to="b@y.z", check_tag=_is_ours, now=NOW)
    texts = [
        notice.words,
        notice.raw,
        notice.envelope_from,
        notice.envelope_to,
        notice.enhanced,
        *notice.detail.values(),
    ]
    assert not any(_UNSTORABLE.search(text) for text in texts if text is not None)
    assert len(notice.raw or "") <= 8000
    assert notice.code is None or 200 <= notice.code < 600
    reading = dsn.read_returned_mail(data, "")
    assert dsn.Reading(**json.loads(json.dumps(dataclasses.asdict(reading)))) == reading
    rules_of_messages.FeedbackType(reading.type)
    assert reading.cause is None or reading.type == "bounced"
    assert notice.message_id is None or TAG[1].encode() in data.lower() or b"=" in data


def a_token(data: bytes) -> None:
    """OAU-20…27: no bytes are a token but the one that we signed; what we sign by mistake is refused in peace."""
    text = text_of(data)
    try:
        signing.verify_access_token(text, {"one": KEY}, issuer=CLAIMS["iss"], audience=CLAIMS["aud"], now=NOW)
        assert text == TOKEN
    except signing.InvalidToken:
        assert text != TOKEN
    with contextlib.suppress(pagination.InvalidCursor):
        assert pagination.make_cursor(CURSOR_KEY, "feed", *pagination.read_cursor(CURSOR_KEY, "feed", text)) == text
    header = {"alg": "EdDSA", "kid": "one", "typ": signing.ACCESS_TOKEN_TYPE}
    ours = jws.serialize_compact(header, data, KEY, registry=signing._SingleAlgorithm(KEY))
    with contextlib.suppress(signing.InvalidToken):
        read = signing.verify_access_token(ours, {"one": KEY}, issuer=CLAIMS["iss"], audience=CLAIMS["aud"], now=NOW)
        assert read.client_id == json.loads(data)["sub"]
        assert read.expires_at > NOW.timestamp()


def a_file(data: bytes) -> None:
    """A file that is imported: each line is an account or a refusal with a sentence, and what goes in can be kept."""
    text = io.TextIOWrapper(io.BytesIO(data[1:]), encoding="utf-8-sig", errors="surrogateescape", newline="")
    try:
        rows = list((files._csv if data[:1] == b"c" else files._objects)(text, files.FileOptions()))
    except Problem as refused:
        _is_a_sentence(refused)
        return
    judge = imports_rows.RowValidator(SETTINGS, now=NOW)
    for _, row in rows:
        if isinstance(row, str):
            assert row.isprintable()
            continue
        assert not _UNSTORABLE.search("".join([*row, *row.values()]))
        try:
            account, _ = judge.read_columns(row)
        except Problem as refused:
            _is_a_sentence(refused)
            continue
        _check_account(account)


def _is_a_sentence(refused: Problem) -> None:
    assert refused.sentence().isprintable()


def _check_account(account: dict) -> None:
    texts = [account[name] for name in ("display_name", "reference", "company_name", "vat_number")]
    for text in filter(None, texts):
        assert not _UNSTORABLE.search(text)
        assert len(text) <= 200
    account["customer_since"].astimezone(UTC)
    if account["kind"] == "business":
        assert re.fullmatch("[A-Z]{2}", account["country"])


def a_password_hash(data: bytes) -> None:
    """PWD-15: a hash of another system is refused, or can be checked within bounds without an error."""
    try:
        stored = legacy_hashes.read_hash(text_of(data))
    except legacy_hashes.UnknownPasswordHash:
        return
    assert stored.isascii()
    if stored.startswith("$argon2"):
        asked = argon2.extract_parameters(stored)
        assert asked.memory_cost <= rules.MAXIMUM_MEMORY_KIB
        assert asked.time_cost <= rules.MAXIMUM_PASSES
        assert asked.parallelism <= rules.MAXIMUM_LANES
    if legacy_schemes.is_legacy(stored) and re.match(r"\$pbkdf2\$sha\d+\$\d{1,3}\$|\$2.\$04", stored):
        assert legacy_schemes.verify_hash(stored, "no such password") in (True, False)


def _is_ours(message_id: str, tag: str) -> bool:
    return (message_id, tag) == TAG


def _csv(*rows: dict[str, str]) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    return b"c" + text.getvalue().encode()


def _jsonl(*rows: dict) -> bytes:
    return b"j" + b"\n".join(json.dumps(row).encode() for row in rows)


NOTICE = b"""\
From: MAILER-DAEMON@mx.example.net
Subject: =?utf-8?q?Undelivered?=
Auto-Submitted: auto-replied
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status; boundary="b"

--b
Content-Type: text/plain; charset=utf-8

I am sorry.

--b
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.example.net
Original-Envelope-Id: 00000000000000000000000000000001.0123456789

Final-Recipient: rfc822; anna@example.com
Action: failed
Status: 5.1.1
Diagnostic-Code: smtp; 550 5.1.1 no such user

--b--
"""
WORDS = b"""\
From: Mail Delivery System <mailer-daemon@mx.example.net>
X-Failed-Recipients: anna@example.com
Subject: Mail delivery failed: returning message to sender

The following address failed:

  anna@example.com
    550 5.1.1 user unknown

------ This is a copy of the message. ------

Return-path: <b+00000000000000000000000000000001.0123456789@bounce.example.com>
To: anna@example.com
"""
OLD = b"""\
From: postmaster@mx.example.net
Content-Type: text/html; charset=gb18030

<p>Delivery to the following recipient failed:<br>&lt;anna@example.com&gt;
"""
COMPLAINT = b"""\
Content-Type: multipart/report; report-type=feedback-report; boundary="b"

--b
Content-Type: message/feedback-report

Feedback-Type: abuse
Version: 1

--b--
"""
PERSON = {
    "email": "anna@example.com", "display_name": "Anna Berg", "locale": "de", "reference": "17",
    "customer_since": "2009-05-17T12:00:00+02:00",
    "password_hash": "pbkdf2_sha256$1$salt$MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=",
    "consent_purpose": "email", "consent_decision": "granted", "consent_wording": "email-2026-11",
    "consent_evidence": "double opt-in", "consent_at": "2020-01-01",
}  # fmt: skip
FIRM = {"kind": "business", "company_name": "Berg GmbH", "country": "de", "vat_number": "DE136695976"}
KEYCLOAK = json.dumps(
    {
        "credentialData": json.dumps({"algorithm": "pbkdf2-sha256", "hashIterations": 1}),
        "secretData": json.dumps({"salt": "c2FsdA==", "value": "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="}),
    }
)

PARSERS = {
    "user_id": Parser(a_user_id, [b"6WPP-C7QF-7FF6", b"6wpp c7qf 7ff?", b"3W08K7QXM1C4", "６ＷＰＰ".encode(),
                                  b"\xed\xa0\x80"]),
    "address": Parser(an_address, [b"anna.berg+shop@example.com", "a@bücher.example".encode(), b"a@xn--bcher-kva.de",
                                   b"=?utf-8?q?a=40evil.com=3E?=@good.com", "a@ラーメン.jp".encode(), b"a@gmial.com",
                                   "jürgen@bücher.example".encode()]),
    "notice": Parser(a_notice, [NOTICE, COMPLAINT, WORDS, OLD, NOTICE.replace(b": ", b" : "),
                                b"Subject: x\n\n--b\nContent-Type: message/delivery-status\n\nAction: failed\n"
                                b"Final-Recipient: utf-8; \\x{D800}@a\nFinal-Recipient: rfc822; a+2Bb@c\n--b--",
                                b"Auto-Submitted: auto-replied\nSubject: away\n\n",
                                b"From: d\xe5livery\nSubject: =?utf-8?q-b\nContent-Type: message/delivery-status\n\n"
                                b"Reporting-MTA: \xff\xff\xffnal: =?utf-8?q?U?=\nAuto-Submitted: a\xff\xff.1 no\n\n",
                                b"From:, :a, .B?=ect=?u.m01\nSubject: =?unicode_escape?q?=5CuD800?=\n"
                                b"Auto-Submitted: auto-\n\n",
                                b"Content-Type: message/delivery-status\n\nReporting-MTA: r\n\n"
                                b"content-Type: text/plain; charset=u\0\n\xe0",
                                b"From: MAILER-DAEMON@a.example\nAuto-Submitted: auto-replied\n"
                                b"Content-Type: text/plain; charset=u\0\n\n\xe0"]),
    "token": Parser(a_token, [TOKEN.encode(), json.dumps(CLAIMS).encode(), b'{"exp": NaN, "exp": 1}',
                              pagination.make_cursor(CURSOR_KEY, "feed", 1, "a").encode()]),
    "import": Parser(a_file, [_csv(PERSON, {"email": "ben@"}), _csv(FIRM), _jsonl(PERSON, FIRM, {"email": None}),
                              b'j{"email": "\\ud800@x.example"}\n[1]\n{', b"c"]),
    "password_hash": Parser(a_password_hash, [
        PERSON["password_hash"].encode(), KEYCLOAK.encode(),
        b"$2b$04$" + b"a" * 53, b"$2b$04$$2",
        b"$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHQ$MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMQ",
    ]),
}  # fmt: skip
"""The five of the plan, and password hashes, which a file brings in (`import` meets them too seldom)."""
