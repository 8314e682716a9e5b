"""What is clear in a notice is read in whatever form it is written; what a failure means is decided by its words."""

import base64
from datetime import UTC, datetime

import pytest

from identity_service.messages.inbound import delivery_status, dsn, mail_parts, verdicts

TO = "b+" + "a" * 32 + ".0123456789@bounce.example.com"
FIELDS = (
    "Reporting-MTA: dns; mx.example.net\n\nFinal-Recipient: rfc822; anna@mx.example\nAction: failed\nStatus: 5.1.1\n"
    "Diagnostic-Code: smtp; 550 5.1.1 no such user\n"
)
REVERSED = "Action: failed\nStatus: 5.1.1\nDiagnostic-Code: smtp;550 x\nFinal-Recipient: rfc/822;a@b.example\n"
INTERNATIONAL = FIELDS.replace("rfc822; anna@mx", "utf-8; ä@mx")
QUOTED = FIELDS.replace("no such", "no=20su=\nch")
MIME_HEAD = 'MIME-Version: 1.0\nContent-Type: multipart/report; boundary="b"\n'


def mail(
    body: str, *, sender: str = "MAILER-DAEMON@mx.example.net", subject: str = "Undelivered", head: str = ""
) -> bytes:
    return f"From: {sender}\nTo: {TO}\nSubject: {subject}\n{head}\n{body}".encode()


def report(fields: str, *, kind: str = "message/delivery-status", encoding: str = "", text: str = "Failed.") -> bytes:
    return mail(
        f"--b\nContent-Type: text/plain\n\n{text}\n\n--b\nContent-Type: {kind}\n{encoding}\n{fields}\n--b--\n",
        head=MIME_HEAD,
    )


def read(raw: bytes, envelope_from: str = "") -> tuple[str, str | None]:
    reading = dsn.read_returned_mail(raw, envelope_from)
    return reading.type, reading.cause


FORMS = {
    "to the letter": report(FIELDS),
    "blank before the colon": report(FIELDS.replace(":", " :")),
    "tab before the colon": report(FIELDS.replace(":", "\t:")),
    "names in capitals": report(FIELDS.replace("Final-Recipient", "FINAL-RECIPIENT").replace("Action", "ACTION")),
    "one block": report(FIELDS.replace("\n\n", "\n")),
    "recipient at the end": report(REVERSED),
    "continuation not indented": report(FIELDS.replace("550 5.1.1 no", "550 5.1.1\nno")),
    "continuation before the value": report(FIELDS.replace("Action: failed", "Action:\n failed")),
    "a comment in Action": report(FIELDS.replace("failed", "failed (bad destination mailbox address)")),
    "another word in Action": report(FIELDS.replace("failed", "Failure")),
    "a sentence in Action": report(FIELDS.replace("failed", "permanent error")),
    "no Action": report(FIELDS.replace("Action: failed\n", "")),
    "an unknown Action": report(FIELDS.replace("failed", "nonsense")),
    "blanks in empty lines": report(FIELDS.replace("\n\n", "\n  \n")),
    "many empty lines": report("\n\n" + FIELDS.replace("\n\n", "\n\n\n\n")),
    "no Status": report(FIELDS.replace("Status: 5.1.1\n", "")),
    "the international type": report(INTERNATIONAL, kind="message/global-delivery-status"),
    "base64": report(base64.encodebytes(FIELDS.encode()).decode(), encoding="Content-Transfer-Encoding: base64\n"),
    "quoted-printable": report(QUOTED, encoding="Content-Transfer-Encoding: quoted-printable\n"),
    "as text": report(FIELDS, kind="text/plain"),
    "as an attachment": report(FIELDS, kind='application/octet-stream; name="a"', text=FIELDS),
    "without a MIME head": report(FIELDS).replace(MIME_HEAD.encode(), b""),
    "with CRLF": report(FIELDS).replace(b"\n", b"\r\n"),
    "no final boundary": report(FIELDS).replace(b"--b--\n", b""),
}  # fmt: skip


@pytest.mark.parametrize("raw", FORMS.values(), ids=FORMS.keys())
def test_a_report_is_read_in_every_form(raw):
    assert read(raw) == ("bounced", "address")


def test_the_worst_of_several_recipients_counts():
    other = "\nFinal-Recipient: rfc822; b@mx.example\nAction: {}\nStatus: {}\n"
    for action, status in (("expanded", "2.0.0"), ("delayed", "4.4.1"), ("failed", "4.2.2"), ("failed", "5.7.1")):
        block = other.format(action, status)
        assert read(report(FIELDS + block)) == ("bounced", "address")
        assert read(report(block.lstrip() + FIELDS.partition("\n")[2])) == ("bounced", "address")
    assert read(report(other.format("delivered", "2.0.0") + other.format("delayed", "4.4.1")))[0] == "delayed"
    assert read(report(other.format("failed", "4.2.2") + other.format("failed", "5.7.1"))) == ("bounced", "policy")


def test_recipients_are_read_with_their_encodings_undone():
    fields = (
        r"Final-Recipient: utf-8; \x{442}@mx.example"
        + "\nOriginal-Recipient: rfc822; a+2Bb@mx.example\nAction: failed\n"
    )
    (status,) = delivery_status.read_statuses(mail_parts.parse_mail(report(fields))[1])
    assert (status.original, status.final) == ("a+b@mx.example", "т@mx.example")


@pytest.mark.parametrize(
    ("status", "diagnosis", "cause"),
    [
        ("5.1.1", "550 5.7.1 the sending address is on our block list", "policy"),
        ("5.1.1", "550 5.7.606 Access denied, banned sending IP [192.0.2.10]", "policy"),
        ("5.1.1", "554 rejected due to spam content", "policy"),
        ("5.1.1", "550 5.1.8 sender domain does not exist", "policy"),
        ("5.1.1", "550 5.7.26 blocked because the sender is unauthenticated", "policy"),
        ("5.1.1", "552 5.2.2 The account is over quota", "mailbox"),
        ("5.1.1", "550 account temporarily disabled", "mailbox"),
        ("5.0.0", "452 4.2.2 mailbox full", "mailbox"),
        ("5.2.2", "550 5.2.2 user has no room", "mailbox"),
        ("4.4.1", "connect to mx.example: Connection timed out", "mailbox"),
        ("4.1.1", "450 4.1.1 User unknown", "mailbox"),
        ("5.7.1", "550 5.1.1 User does not exist", "address"),
        ("5.2.2", "550 5.1.1 Recipient address rejected: User unknown", "address"),
        ("5.0.0", "550 5.1.1 mailbox unavailable", "address"),
        ("5.0.0", "550 No such person at this address", "address"),
        ("5.4.4", "Host or domain name not found", "address"),
        ("5.1.1", "550 5.1.1 no such user, see https://mx.example/spam-policy?blocked", "address"),
        ("5.0.0", "550 Requested action not taken", None),
    ],
)  # fmt: skip
def test_the_most_exact_word_about_the_mailbox_decides(status, diagnosis, cause):
    verdict = verdicts.judge_failure(status, diagnosis)
    assert verdict.cause == cause
    assert cause == "address" or verdict.enhanced not in ("5.1.1", "5.1.2", "5.1.10")


RETURNED = "\n--- Original message ---\nReturn-Path: <x@y.example>\nTo: anna@mx.example\n"
WORDS = [
    ("<anna@mx.example>:\n203.0.113.9 does not like recipient.\nRemote host said: 550 5.1.1 unknown user", "address"),
    ("User anna (anna@mx.example) not listed in Domino Directory", "address"),
    ("anna@mx.example\n#550 5.1.1 RESOLVER.ADR.RecipNotFound; not found ##", "address"),
    ("Die E-Mail konnte nicht zugestellt werden, der Empfänger <anna@mx.example> ist unbekannt.", "address"),
    ("Le message n'a pas pu être remis.\nanna@mx.example : utilisateur inconnu", "address"),
    ("メールを配信できませんでした。\nanna@mx.example\nユーザーが見つかりません。", "address"),
    (
        "Die Nachricht konnte nicht zugestellt werden:\n  anna@mx.example\nDas Postfach des Empfängers ist voll.",
        "mailbox",
    ),
    ("Su mensaje no se ha podido entregar a anna@mx.example: buzón lleno", "mailbox"),
    ("<anna@mx.example>: host mx refused to talk to me: 554 5.7.1 blocked using dnsbl.example", "policy"),
    ("Could not be delivered: anna@mx.example. The server gave no reason.", None),
]


@pytest.mark.parametrize(("text", "cause"), WORDS)
def test_a_notice_in_words_is_read(text, cause):
    raw = mail(text + RETURNED)
    assert read(raw) == ("bounced", cause)
    assert dsn.read_returned_mail(raw, "").recipient == "anna@mx.example"


@pytest.mark.parametrize(
    "text",
    [
        "Your message to anna@mx.example is delayed. We will keep trying for 3 days.",
        "The message has not been delivered yet.\n anna@mx.example\n 421 try later\nIt will be retried.",
        "Die Zustellung an anna@mx.example verzögert sich.",
    ],
)
def test_a_delay_in_words_is_a_delay(text):
    assert read(mail(text + RETURNED)) == ("delayed", None)


ANNA = "Anna <anna@mx.example>"


@pytest.mark.parametrize(
    "raw",
    [
        mail("Away until Friday.", sender=ANNA, subject="Automatische Antwort: x", head="Return-Path: <>\n"),
        mail("Away. 550 5.1.1 user unknown", sender=ANNA, subject="Out of Office: x", head="Return-Path: <>\n"),
        mail("Ausente", sender=ANNA, subject="Respuesta automática: x"),
        mail("Away", sender=ANNA, subject="AW: x", head="X-Auto-Response-Suppress: DR, OOF\n"),
        mail("Your ticket is 17", sender="Help <help@mx.example>", head="Auto-Submitted: auto-generated\n"),
        mail("Away", sender=ANNA, head="X-MS-Exchange-Inbox-Rules-Loop: anna@mx.example\n"),
    ],
)
def test_an_automatic_reply_is_no_failure(raw):
    assert read(raw) == ("autoreply", None)


@pytest.mark.parametrize(
    "raw",
    [
        mail("This is a test.", head="Auto-Submitted: auto-replied\n"),
        mail("Your mail to b@mx.example came back: user unknown. Right?", sender=ANNA, subject="Re: x"),
        mail("I quote:\n" + FIELDS, sender=ANNA, subject="Fwd: Undelivered", head="Return-Path: <anna@mx.example>\n"),
        mail("My account no longer exists, delete my data.", sender=ANNA, subject="Account"),
        mail(
            "Mailbox full? Recipient unknown? Never with us.", sender="News <news@shop.example>", head="List-Id: <n>\n"
        ),
    ],
)
def test_what_no_mail_system_wrote_is_no_failure(raw):
    assert read(raw, "anna@mx.example") == ("unreadable", None)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("abuse", "complained"), ("Fraud", "complained"), ("VIRUS", "complained"), ("opt-out", "complained"),
        ("not-spam", "other"), ("auth-failure", "other"), ("dmarc", "other"), ("other", "other"),
    ],
)  # fmt: skip
def test_only_abuse_and_the_like_are_complaints(kind, expected):
    assert read(report(f"Feedback-Type: {kind}\nVersion: 1\n", kind="message/feedback-report"))[0] == expected


@pytest.mark.parametrize(
    ("envelope_to", "found"),
    [
        (TO, "return_address"), ("abuse@example.com", "notice"), ("", "notice"),
        (TO.replace(".0123456789", ".9876543210"), "nothing"), (TO.replace("a" * 32, "b" * 32), "nothing"),
    ],
)  # fmt: skip
def test_a_quoted_tag_counts_unless_the_envelope_has_a_wrong_one(envelope_to, found):
    reading = dsn.read_returned_mail(report(FIELDS), "")
    notice = dsn.make_notice(
        reading, b"", envelope_from="", envelope_to=envelope_to, now=datetime.now(UTC),
        check_tag=lambda *pair: pair == ("a" * 32, "0123456789"),
    )  # fmt: skip
    assert notice.detail["matched_by"] == found


def test_old_forms_are_read_by_the_second_reader():
    raw = mail(
        "|--- Failed addresses follow: ---|\n <anna@mx.example> ... something odd\n|--- Message text follows: ---|\n"
    )
    assert read(raw)[0] == "bounced"
