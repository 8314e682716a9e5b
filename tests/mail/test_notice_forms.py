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
PLAIN = FIELDS.rpartition("Diagnostic-Code")[0]
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
    "every field in a block of its own": report(FIELDS.replace("\n", "\n\n")),
    "the recipient in a block of its own": report(FIELDS.replace("\nAction", "\n\nAction")),
    "the diagnosis in a block of its own": report(FIELDS.replace("Status: 5.1.1\n", "Status: 5.0.0\n\n")),
    "each in its own block, recipient at the end": report(REVERSED.replace("\n", "\n\n")),
    "indented by two blanks": report("  " + FIELDS.replace("\n", "\n  ")),
    "indented by a tab": report("\t" + FIELDS.replace("\n", "\n\t")),
    "the first field indented": report(" " + FIELDS),
    "the recipient's fields indented": report(FIELDS.replace("Final", "  Final").replace("\nA", "\n  A", 1)
                                              .replace("\nStatus", "\n  Status").replace("\nDiag", "\n  Diag")),
    "indented with indented continuations": report("  " + FIELDS.replace("\n", "\n  ").replace("1 no", "1\n    no")),
    "indented as text": report("  " + FIELDS.replace("\n", "\n  "), kind="text/plain"),
    **{
        f"Status: {status}": report(PLAIN.replace("5.1.1", status))
        for status in ("550 5.1.1", "550-5.1.1", "#5.1.1", "smtp; 5.1.1", "DSN 5.1.1", "(5.1.1)", "5.1.1; no such user",
                       "error 550 #5.1.1")
    },
    "no Status": report(FIELDS.replace("Status: 5.1.1\n", "")),
    "the international type": report(INTERNATIONAL, kind="message/global-delivery-status"),
    "base64": report(base64.encodebytes(FIELDS.encode()).decode(), encoding="Content-Transfer-Encoding: base64\n"),
    "quoted-printable": report(QUOTED, encoding="Content-Transfer-Encoding: quoted-printable\n"),
    "as text": report(FIELDS, kind="text/plain"),
    "as an attachment": report(FIELDS, kind='application/octet-stream; name="a"', text=FIELDS),
    "as an attachment alone": report(FIELDS, kind="application/octet-stream"),
    "as an attachment in base64": report(base64.encodebytes(FIELDS.encode()).decode(), kind="application/octet-stream",
                                         encoding="Content-Transfer-Encoding: base64\n"),
    "as an attachment of a type of its own": report(FIELDS, kind='application/x-report; name="report.dsn"'),
    **{
        f"declared as {charset}": report(FIELDS, kind=f"message/delivery-status; charset={charset}")
        for charset in ("utf-16", "UTF-16LE", "utf-16be", "utf-32", "cp037", "cp500", "no-charset", "utf-7", "hz")
    },
    "declared as UTF-16, in UTF-8": report(INTERNATIONAL + "  ", kind="message/delivery-status; charset=utf-16"),
    "in UTF-16": report(base64.encodebytes(FIELDS.encode("utf-16")).decode(),
                        kind="message/delivery-status; charset=utf-16",
                        encoding="Content-Transfer-Encoding: base64\n"),
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


def block(action: str, status: str, diagnosis: str = "", more: str = "") -> str:
    fields = f"Final-Recipient: rfc822; anna@mx.example\nAction: {action}\nStatus: {status}\n"
    return fields + (f"Diagnostic-Code: smtp; {diagnosis}\n" if diagnosis else "") + more


RETRIED = "Will-Retry-Until: Fri, 4 Dec 2026 10:00:00 +0000\n"
UNKNOWN = "550 5.1.1 user unknown"
CONTRADICTIONS = [
    *[(block(action, "5.1.1", UNKNOWN), "bounced", "address")
      for action in ("Not delivered", "not deliverable", "Could not be delivered", "no success",
                     "couldn't be delivered", "can’t be delivered", "cannot be delivered", "never delivered",
                     "non-delivered", "without success", "nicht zugestellt", "unsuccessful", "delivered", "ok",
                     "relayed", "expanded", "relay denied", "delayed", "not yet delivered",
                     "Could not be delivered: permanent error")],
    *[(block(action, "", UNKNOWN), "bounced", "address") for action in ("Not delivered", "delivered", "relayed")],
    (block("Not delivered", "5.2.2", "552 5.2.2 over quota"), "bounced", "mailbox"),
    (block("Not delivered", "5.7.1", "550 5.7.1 blocked"), "bounced", "policy"),
    (block("Not delivered", "4.4.7", "451 4.4.7 expired"), "bounced", "mailbox"),
    (block("Not delivered", "2.0.0", UNKNOWN), "bounced", "address"),
    (block("delivered", "5.7.1", "550 5.7.1 blocked"), "bounced", "policy"),
    (block("delivered", "5"), "bounced", None),
    (block("delivered", "550"), "bounced", None),
    (block("delivered", "4.2.2"), "delayed", None),
    (block("delivered", "", "452 4.2.2 mailbox full"), "delayed", None),
    (block("delivered", "2.1.5", "250 2.1.5 ok"), "delivered", None),
    (block("delivered", "5.0.0", "250 2.1.5 ok"), "delivered", None),
    (block("delivered", ""), "delivered", None),
    (block("no error, delivered", "2.0.0"), "delivered", None),
    (block("no failure", "2.0.0"), "delivered", None),
    (block("zugestellt", "2.0.0"), "delivered", None),
    (block("not delivered yet", "4.4.1"), "delayed", None),
    (block("not delivered, will be tried again: temporary", "4.4.1"), "delayed", None),
    (block("delayed", "5.1.1", UNKNOWN, RETRIED), "delayed", None),
    (block("delayed", "5.1.1", "450 4.1.1 user unknown"), "delayed", None),
    *[(block("delayed", status), "delayed", None) for status in ("5.0.0", "5.2.1", "5.2.2", "5.4.1", "5.7.1", "2.0.0")],
    (block("failed", "2.0.0", UNKNOWN), "bounced", "address"),
    (block("failed", "2.0.0"), "bounced", None),
    (block("failed", "4.4.7"), "bounced", "mailbox"),
    (block("not transient, permanent", "5.1.1"), "bounced", "address"),
]  # fmt: skip


@pytest.mark.parametrize(("fields", "kind", "cause"), CONTRADICTIONS)
def test_action_and_codes_that_contradict_each_other(fields, kind, cause):
    assert read(report(fields)) == (kind, cause)


PAIRS = [
    (block("delayed", "4.4.1"), "bounced", "address"),
    (block("relayed", "2.0.0"), "bounced", "address"),
    (block("delivered", "2.1.5"), "bounced", "address"),
    (block("failed", "5.2.2"), "bounced", "address"),
    (block("failed", "5.7.1"), "bounced", "address"),
    ("Reporting-MTA: dns; mx.example.net\n", "bounced", "address"),
    (FIELDS, "bounced", "address"),
]


@pytest.mark.parametrize("part", ["message/delivery-status", "text/plain", "application/octet-stream"])
@pytest.mark.parametrize(("fields", "kind", "cause"), PAIRS)
def test_the_worst_of_several_status_parts_counts(fields, kind, cause, part):
    for first, second in ((fields, FIELDS), (FIELDS, fields)):
        assert read(report(f"{first}\n--b\nContent-Type: {part}\n\n{second}", kind=part)) == (kind, cause)


def test_a_report_about_a_report_says_what_its_own_status_part_says():
    enclosed = report(FIELDS).decode().replace('="b"', '="c"').replace("--b", "--c")
    raw = report(f"{block('delayed', '4.4.1')}\n--b\nContent-Type: message/rfc822\n\n{enclosed}")
    assert read(raw) == ("delayed", None)
    two = f"{block('delayed', '4.4.1')}\n--c\nContent-Type: message/delivery-status\n\n{FIELDS}"
    enclosed = report(two).decode().replace('="b"', '="c"').replace("--b", "--c")
    assert read(report(enclosed, kind="message/rfc822")) == ("bounced", "address")


def test_recipients_in_scattered_blocks_are_told_apart():
    first = "Final-Recipient: rfc822; a@mx.example\n\nAction: relayed\n\nStatus: 2.0.0\n\n"
    second = "Original-Recipient: rfc822; o@mx.example\n\nFinal-Recipient: rfc822; b@mx.example\n\nAction: failed\n\n"
    fields = f"Reporting-MTA: dns; x\n\n{first}{second}Status: 5.2.2\n\nX-Note: y\n\nRemote-MTA: dns; z\n"
    found = delivery_status.read_statuses(mail_parts.parse_mail(report(fields))[1])
    assert [(status.action, status.status, status.original, status.final) for status in found] == [
        ("relayed", "2.0.0", None, "a@mx.example"), ("failed", "5.2.2", "o@mx.example", "b@mx.example"),
    ]  # fmt: skip


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
    ("Your message to anna@mx.example couldn't be delivered.\nanna wasn't found at mx.example.", "address"),
    ("Your message to anna@mx.example couldn’t be delivered.\nanna wasn’t found at mx.example.", "address"),
    ("Your message couldn't be delivered.\nanna@mx.example was not found at the destination domain.", "address"),
    ("Delivery has failed to anna@mx.example:\nThe email address you entered couldn't be found.", "address"),
    ("anna@mx.example konnte nicht erreicht werden.\nanna wurde bei mx.example nicht gefunden.", "address"),
    ("anna@mx.example : remise impossible.\nanna est introuvable sur mx.example.", "address"),
    ("Delivery has failed to anna@mx.example:\nWe could not find the recipient.", "address"),
    ("<anna@mx.example> could not be delivered: a PTR record was not found at 203.0.113.9", None),
    ("<anna@mx.example> could not be delivered: SPF record wasn't found at example.com, policy", "policy"),
    ("<anna@mx.example> could not be delivered: the user isn't found in the allow list, blocked", "policy"),
    ("<anna@mx.example> could not be delivered: the sending user wasn't found at example.com, sender denied", "policy"),
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


RETURNED_SUBJECT = "Undelivered Mail Returned to Sender"
REFUSED = "<anna@mx.example>: 550 5.1.1 user unknown"


@pytest.mark.parametrize("answer", ["", "Auto-Submitted: auto-replied\n", "Auto-Submitted: auto-generated\n"])
@pytest.mark.parametrize(
    ("sender", "subject"),
    [
        *[(f"Mail Delivery System <{local}@relay.example.net>", RETURNED_SUBJECT)
          for local in ("noreply", "no-reply", "gateway", "admin", "mx1")],
        ("noreply@relay.example.net (Mail Delivery System)", "Mail"),
        ('"Mail Delivery Subsystem" <noreply@relay.example.net>', "Returned mail: see transcript for details"),
        ("=?utf-8?q?Mail_Delivery_System?= <noreply@relay.example.net>", "Mail"),
        ("MAILER-DAEMON <noreply@relay.example.net>", "failure notice"),
        ("Postmaster <noreply@relay.example.net>", "Undeliverable: x"),
        ("Delivery Status Notification <alerts@relay.example.net>", "x"),
        ("noreply@relay.example.net", RETURNED_SUBJECT),
        ("Example Relay <do-not-reply@relay.example.net>", "Delivery Status Notification (Failure)"),
        ("Mail Gateway <gateway@relay.example.net>", "Mail delivery failed: returning message to sender"),
        ("Unser System <admin@relay.example.net>", "Message delivery failed"),
    ],
)  # fmt: skip
def test_a_mail_system_is_known_by_its_name_or_by_its_subject(sender, subject, answer):
    for envelope in ("", "noreply@relay.example.net"):
        assert read(mail(REFUSED + RETURNED, sender=sender, subject=subject, head=answer), envelope) == (
            "bounced", "address",
        )  # fmt: skip
    for words, cause in (("552 5.2.2 over quota", "mailbox"), ("550 5.7.1 blocked by our list", "policy")):
        raw = mail(f"<anna@mx.example>: {words}{RETURNED}", sender=sender, subject=subject, head=answer)
        assert read(raw) == ("bounced", cause)


@pytest.mark.parametrize(
    ("sender", "subject"),
    [
        ("Anna <anna@mx.example>", RETURNED_SUBJECT),
        ("Example <noreply@shop.example>", "We have received your message"),
        ("Example <noreply@shop.example>", "Re: Your User ID"),
        ("Example <noreply@shop.example>", "Undeliverable? Nobody reads this mailbox"),
        ("Example <noreply@shop.example>", "Undeliverable: this mailbox is no longer monitored"),
        ("Example <noreply@shop.example>", "Delivery of your parcel failed"),
        ("Mail Delivery System <noreply@relay.example.net>", "Out of office: x"),
        ("Mailbox of Anna <admin@mx.example>", "Your ticket 17"),
    ],
)
def test_an_answer_from_another_author_is_no_failure(sender, subject):
    raw = mail(REFUSED, sender=sender, subject=subject, head="Auto-Submitted: auto-replied\nReturn-Path: <>\n")
    assert read(raw) == ("autoreply", None)


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


OURS = f"Return-Path: <{TO}>\nMessage-ID: <1@example.com>\nTo: Anna <anna@mx.example>\nSubject: x\n\nHello.\n"
IN_BODY = f"To: anna@mx.example\nSubject: x\n\nSent for {TO}.\n"
IN_PART = (
    f'To: anna@mx.example\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary="i"\n\n'
    f"--i\nContent-Type: text/plain\n\nHello.\n--i\nContent-Type: text/plain\n\n{TO}\n--i--\n"
)
ABUSE = "Feedback-Type: abuse\nVersion: 1\n"


@pytest.mark.parametrize(
    "kind", ["message/rfc822", "message/global", "text/rfc822-headers", "application/octet-stream"]
)
@pytest.mark.parametrize("returned", [OURS, OURS.replace("\n", "\r\n"), IN_BODY, IN_PART])
@pytest.mark.parametrize(
    ("fields", "machine", "expected"),
    [
        (ABUSE, "message/feedback-report", "complained"),
        (FIELDS, "message/delivery-status", "bounced"),
        (FIELDS.replace("failed", "delayed").replace("5.1.1", "4.4.1"), "message/delivery-status", "delayed"),
    ],
)
def test_our_tag_is_found_in_a_returned_message_in_base64(kind, returned, fields, machine, expected):
    for encode, encoding in ((base64.encodebytes, "base64"), (bytes, "7bit")):
        head = f"Content-Type: {kind}\nContent-Transfer-Encoding: {encoding}\n"
        raw = report(f"{fields}\n--b\n{head}\n{encode(returned.encode()).decode()}", kind=machine)
        raw = raw.replace(TO.encode(), b"abuse@example.com", 1)
        reading = dsn.read_returned_mail(raw, "")
        assert reading.type == expected
        assert ("a" * 32, "0123456789", "notice") in [tuple(found) for found in reading.signed_ids]
        if kind == "message/rfc822":
            assert reading.recipient == "anna@mx.example"


@pytest.mark.parametrize("content", ["x", "====", "\x00", "Äö", "UmV0dXJu=x", OURS, "", "To: a\n\nUmV0dXJu\n"])
def test_a_returned_message_that_is_no_base64_is_no_error(content):
    head = "Content-Type: message/rfc822\nContent-Transfer-Encoding: base64\n"
    assert read(report(f"{FIELDS}\n--b\n{head}\n{content}")) == ("bounced", "address")


def test_a_report_in_base64_is_read():
    enclosed = base64.encodebytes(report(FIELDS)).decode()
    raw = report(enclosed, kind="message/rfc822", encoding="Content-Transfer-Encoding: base64\n")
    assert read(raw) == ("bounced", "address")
    for _ in range(3):
        enclosed = base64.encodebytes(
            b"Content-Type: message/rfc822\nContent-Transfer-Encoding: base64\n\n" + enclosed.encode()
        ).decode()
    raw = report(enclosed, kind="message/rfc822", encoding="Content-Transfer-Encoding: base64\n")
    assert read(raw) == ("bounced", "address")


def test_a_complaint_among_several_reports_counts():
    second = "\n--b\nContent-Type: message/feedback-report\n\nFeedback-Type: {}\n"
    for first, other, expected in (
        ("not-spam", "abuse", "complained"), ("abuse", "not-spam", "complained"), ("other", "fraud", "complained"),
        ("auth-failure", "dmarc", "other"),
    ):  # fmt: skip
        fields = f"Feedback-Type: {first}\n{second.format(other)}"
        assert read(report(fields, kind="message/feedback-report"))[0] == expected


def test_old_forms_are_read_by_the_second_reader():
    raw = mail(
        "|--- Failed addresses follow: ---|\n <anna@mx.example> ... something odd\n|--- Message text follows: ---|\n"
    )
    assert read(raw)[0] == "bounced"


@pytest.mark.parametrize("said", [
    "Gmail will retry for 46 more hours. You'll be notified if the delivery fails permanently.",
    "We will tell you if it fails permanently.",
    "If it cannot be delivered within 5 days it will be returned as permanently failed.",
    "No fatal error has occurred.",
])  # fmt: skip
def test_an_end_that_may_come_is_none(said):
    """A delay notice says what happens if the delivery fails; it has not failed."""
    notice = f"There was a temporary problem delivering your message to anna@mx.example.\n{said}\n"
    assert read(mail(notice, subject="Delivery Status Notification (Delay)"))[0] == "delayed"


@pytest.mark.parametrize("encoding", ["base64", "base64 ", "base64\t", "quoted-printable ", "7bit "])
def test_blanks_behind_a_transfer_encoding_change_nothing(encoding):
    fields = FIELDS if "base64" not in encoding else base64.encodebytes(FIELDS.encode()).decode()
    notice = report(fields, encoding=f"Content-Transfer-Encoding: {encoding}\n")
    assert read(notice) == ("bounced", "address")


JMRP = (
    "--b\nContent-Type: message/rfc822\n\nX-HmXmrOriginalRecipient: <anna@mx.example>\nTo: anna@mx.example\n"
    "Subject: Hello\n\nhi\n--b--\n"
)


def test_a_recipient_named_in_the_returned_message_complains():
    head = 'MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary="b"\n'
    assert read(mail(JMRP, sender="staff@provider.example", subject="complaint", head=head))[0] == "complained"


@pytest.mark.parametrize(("kind", "expected"), [
    ('"not-spam"', "other"), ("<not-spam>", "other"), ('"abuse"', "complained"), ("abuse;", "complained"),
    ("?", "other"),
])  # fmt: skip
def test_a_quoted_feedback_type_is_the_type(kind, expected):
    fields = f"Feedback-Type: {kind}\nVersion: 1\nUser-Agent: x/1\n"
    assert read(report(fields, kind="message/feedback-report"))[0] == expected


@pytest.mark.parametrize(("kind", "expected"), [("abuse", "complained"), ("not-spam", "other")])
def test_a_feedback_report_in_plain_text_is_read(kind, expected):
    head = 'MIME-Version: 1.0\nContent-Type: multipart/report; report-type=feedback-report; boundary="b"\n'
    body = (
        "--b\nContent-Type: text/plain\n\nAn abuse report.\n\n"
        f"--b\nContent-Type: text/plain\n\nFeedback-Type: {kind}\nVersion: 1\nUser-Agent: x/1\n\n--b--\n"
    )
    assert read(mail(body, sender="fbl@provider.example", head=head))[0] == expected


AOL = "521 5.2.1 : (CON:B1) AOL will not accept delivery of this message."
OF_US = [
    "550 5.7.1 <anna@mx.example>: Recipient address rejected: Sender does not exist",
    "550 Return-Path address shop@example.com unknown", "550 5.7.1 Bounce address invalid: no such user",
    "550 5.1.1 The return path address could not be verified; mailbox does not exist",
    "554 5.1.2 The domain name in MAIL FROM does not resolve", "550 Your domain does not exist",
    "550 Cannot resolve your domain example.com: host not found",
    "550 The domain in your From header does not exist", "550 5.1.1 Your host name was not found in DNS",
    "550 Reverse lookup failed: host name for 192.0.2.1 not found", "550 5.1.1 Remitente desconocido",
    "550 5.1.1 Remetente desconhecido", "550 5.1.1 Afzender onbekend", "550 5.1.1 Onbekende afzender",
    "550 5.1.1 Nieznany nadawca", "550 5.1.1 Неизвестный отправитель", "550 5.1.1 Okänd avsändare",
    "550 5.1.1 发件人不存在", "550 5.1.1 送信者が存在しません", "550 5.1.1 Domaine de l'expéditeur introuvable",
    "550-Requested action not taken: mailbox unavailable\n550-invalid DNS MX or A/AAAA resource record",
    "550 5.1.1 Too many invalid recipients from your IP",
    "550 5.1.1 Unknown recipient due to DNSBL listing of your server", AOL,
]  # fmt: skip
ALIVE = [
    "521 5.2.1 Service unavailable. Please try again later.", "554 5.2.1 mailbox being moved, try later",
    "554 5.2.1 mailbox undergoing migration", "554 5.2.1 STOREDRV.Deliver; MapiExceptionMailboxInTransit",
    "550 5.2.1 no", "550 5.1.1 Benutzer hat zuviele Mails auf dem Server", "550 5.1.1 mailbox is over its limit",
    "550 5.2.1 Mailbox disabled temporarily", "550 5.1.1 account has been suspended by its owner, temporarily",
]  # fmt: skip
DEAD = [
    "550 5.2.1 The email account that you tried to reach is disabled.", "550 5.1.1 Destinatario desconocido",
    "550 5.1.1 Empfänger unbekannt", "550 An den Absender zurück: Empfänger unbekannt",
    "550-5.1.1 The email account that you tried to reach does\n550-5.1.1 not exist.", "550 no such user here",
    "550-mailbox unavailable\n550 no such user here", "550 5.1.1 Onbekende ontvanger", "550 5.1.1 Адресат не найден",
]  # fmt: skip


@pytest.mark.parametrize("said", OF_US)
def test_what_is_said_of_the_sender_says_nothing_of_the_mailbox(said):
    """No address is suppressed for a fault of ours, in whatever language."""
    assert verdicts.judge_failure(None, said).cause in (verdicts.Cause.POLICY, None)


@pytest.mark.parametrize("said", ALIVE)
def test_a_mailbox_that_takes_nothing_at_the_moment_is_alive(said):
    assert verdicts.judge_failure(None, said).cause is verdicts.Cause.MAILBOX


@pytest.mark.parametrize("said", DEAD)
def test_a_mailbox_that_nobody_has_is_told(said):
    assert verdicts.judge_failure(None, said).cause is verdicts.Cause.ADDRESS
