"""What each provider's event says about a message, in the structure of real ones: type, codes, suppression. Pure.

A delivery that the provider gave up is bounced, whatever it calls that; only a mailbox that does not exist suppresses.
"""

import dataclasses
import uuid
from datetime import UTC, datetime

import pytest
import structlog

from identity_service.messages.inbound import webhooks
from identity_service.messages.inbound.dsn import Notice
from identity_service.messages.inbound.registry import PROVIDERS
from identity_service.messages.inbound.webhooks import Event, Webhook
from identity_service.settings import Settings

NOW = datetime(2026, 3, 3, 12, tzinfo=UTC)
ID = uuid.UUID("0195f0a1b2c37d4e8f5061728394a5b6")


async def read(provider: str, *events: dict) -> list[Notice]:
    """Return the notices in these events, as if their origin had been checked."""

    async def checked(_: Webhook) -> list[Event]:
        return [Event(event, "delivery-1") for event in events]

    webhook = Webhook(provider, b"", {}, Settings(), webhooks.fetch_over_tls, NOW)
    return await webhooks.read_notices(dataclasses.replace(PROVIDERS[provider], check=checked), webhook)


async def said(provider: str, event: dict) -> tuple:
    (notice,) = await read(provider, event)
    assert (notice.message_id, notice.source) == (ID, provider)
    return notice.type, notice.enhanced, notice.permanent


def ses(name: str, **detail) -> dict:
    field = {"DeliveryDelay": "deliveryDelay", "Rendering Failure": "failure"}.get(name, name.lower())
    mail = {"messageId": "0100019example-000000", "destination": ["anna@example.com"], "tags": {"msg": [ID.hex]}}
    return {"eventType": name, "mail": {"timestamp": "2026-03-03T10:00:00.000Z", **mail}, field: detail}


def bounce(kind: str, subtype: str, **recipient) -> dict:
    recipients = [{"emailAddress": "anna@example.com", **recipient}]
    given = {"feedbackId": "0100019example-feedback", "timestamp": "2026-03-03T10:00:05.000Z"}
    return ses("Bounce", bounceType=kind, bounceSubType=subtype, bouncedRecipients=recipients, **given)


def dsn(status: str, diagnosis: str, action: str = "failed") -> dict:
    return {"action": action, "status": status, "diagnosticCode": f"smtp; {diagnosis}"}


def bounces(kind: str, subtype: str, *recipients: dict) -> dict:
    event = bounce(kind, subtype)
    event["bounce"]["bouncedRecipients"] = [{"emailAddress": "anna@example.com", **said} for said in recipients]
    return event


FULL, GONE = dsn("5.2.2", "552 5.2.2 over quota"), dsn("5.1.1", "550 5.1.1 user unknown")
LATE, RELAYED = dsn("4.4.1", "451 4.4.1 later", "delayed"), dsn("2.0.0", "250 2.0.0 ok", "relayed")
SEVERAL = [
    *[((other, GONE), ("bounced", "5.1.1", True)) for other in (FULL, LATE, RELAYED, {}, dsn("5.7.1", "550 5.7.1 no"))],
    ((FULL, LATE, RELAYED), ("bounced", "5.2.2", False)),
    ((FULL, dsn("5.7.1", "550 5.7.1 no")), ("bounced", "5.7.1", False)),
    ((RELAYED, LATE), ("delayed", "4.4.1", False)),
    (({}, FULL), ("bounced", "5.2.2", False)),
]


@pytest.mark.parametrize(("recipients", "meaning"), SEVERAL, ids=range(len(SEVERAL)))
async def test_the_worst_of_the_recipients_of_ses_counts(recipients, meaning):
    for subtype in ("General", "NoEmail"):
        for order in (recipients, recipients[::-1]):
            assert await said("ses", bounces("Permanent", subtype, *order)) == meaning


async def test_the_worst_of_the_delayed_recipients_of_ses_counts():
    for order in ([{"status": "4.4.1"}, {"status": "4.2.2"}], [{}, {"status": "4.2.2"}]):
        assert (await said("ses", ses("DeliveryDelay", delayedRecipients=order)))[0] == "delayed"
    assert await said("ses", ses("DeliveryDelay", delayedRecipients=order)) == ("delayed", "4.2.2", False)


SES = [
    *[
        (bounce("Permanent", "General", **dsn("5.1.1", "550 5.1.1 user unknown", action)), ("bounced", "5.1.1", True))
        for action in ("Not delivered", "Could not be delivered", "no success", "delivered", "relayed", "delayed")
    ],
    (bounce("Transient", "General", **dsn("2.0.0", "250 2.0.0 ok", "delivered")), ("delivered", "2.0.0", False)),
    (bounce("Permanent", "General", **dsn("5.2.2", "552 5.2.2 full", "Not delivered")), ("bounced", "5.2.2", False)),
    (bounce("Permanent", "General", **dsn("4.2.2", "452 4.2.2 full", "relayed")), ("delayed", "4.2.2", False)),
    (bounce("Transient", "General", **dsn("5.4.4", "550 5.4.4 Invalid domain")), ("bounced", "5.4.4", False)),
    (bounce("Transient", "General", **dsn("4.4.7", "451 4.4.7 message expired")), ("bounced", "4.4.7", False)),
    (bounce("Transient", "MailboxFull", **dsn("5.2.2", "552 5.2.2 over quota")), ("bounced", "5.2.2", False)),
    (bounce("Transient", "MailboxFull"), ("bounced", None, False)),
    (bounce("Transient", "ContentRejected", **dsn("5.6.0", "554 5.6.0 no")), ("bounced", "5.6.0", False)),
    (bounce("Transient", "General"), ("autoreply", None, False)),
    (bounce("Transient", "General", **dsn("4.4.1", "451 4.4.1 later", "delayed")), ("delayed", "4.4.1", False)),
    (bounce("Permanent", "General", **dsn("5.1.1", "550 5.1.1 user unknown")), ("bounced", "5.1.1", True)),
    (bounce("Permanent", "General", **dsn("5.1.1", "550 5.7.1 blocked: list")), ("bounced", "5.7.1", False)),
    (bounce("Permanent", "General", **dsn("5.0.0", "552 mailbox full")), ("bounced", "5.0.0", False)),
    (bounce("Permanent", "General", **dsn("5.7.1", "550 5.1.1 no such user")), ("bounced", "5.1.1", True)),
    (bounce("Permanent", "General"), ("bounced", None, True)),
    (bounce("Permanent", "NoEmail"), ("bounced", None, True)),
    (bounce("Permanent", "Suppressed", **dsn("5.1.1", "550 5.1.1 on a list of ours")), ("dropped", "5.1.1", False)),
    (bounce("Permanent", "OnAccountSuppressionList", **dsn("5.1.1", "account list")), ("dropped", "5.1.1", False)),
    (bounce("Undetermined", "Undetermined", **dsn("5.0.0", "550 no")), ("bounced", "5.0.0", False)),
    (bounce("Undetermined", "Undetermined"), ("other", None, False)),
    (bounce("SomethingNew", "New"), ("bounced", None, False)),
    (
        ses("DeliveryDelay", delayType="MailboxFull", delayedRecipients=[{"status": "4.2.2"}]),
        ("delayed", "4.2.2", False),
    ),
    (ses("Reject", reason="Bad content"), ("dropped", None, False)),
    (ses("Rendering Failure", errorMessage="no value"), ("dropped", None, False)),
    (ses("Complaint", complaintSubType=None, complaintFeedbackType="abuse"), ("complained", None, False)),
    (ses("Complaint", complaintFeedbackType="fraud"), ("complained", None, False)),
    (ses("Complaint"), ("complained", None, False)),
    (ses("Complaint", complaintFeedbackType="not-spam"), ("delivered", None, False)),
    (ses("Complaint", complaintFeedbackType="auth-failure"), ("other", None, False)),
    (ses("Complaint", complaintSubType="OnAccountSuppressionList"), ("dropped", None, False)),
]


@pytest.mark.parametrize(("event", "meaning"), SES, ids=range(len(SES)))
async def test_ses_is_told_truly(event, meaning):
    assert await said("ses", event) == meaning


async def test_ses_names_our_message_in_its_tags_or_in_the_headers_of_the_message():
    for mail in (
        {"headers": [{"name": "X-Outbox-Id", "value": str(ID)}]},
        {
            "headers": [
                {"name": "From", "value": "id@example.com"},
                {"name": "Message-ID", "value": f"<{ID.hex}@x.example>"},
            ]
        },
        {"tags": {"ses:configuration-set": ["letters"], "msg": [str(ID)]}},
    ):
        (notice,) = await read("ses", {"notificationType": "Delivery", "mail": mail, "delivery": {}})
        assert (notice.message_id, notice.type) == (ID, "delivered")


def postmark(kind: str, details: str = "", **more) -> dict:
    given = {
        "ID": 4323372036854775807,
        "MessageID": "883953f4-6105-42a2-a16a-77a8eac79483",
        "Metadata": {"msg": ID.hex},
    }
    times = {"BouncedAt": "2026-03-03T05:00:05.6421112-05:00", "Inactive": False, "CanActivate": True}
    return {"RecordType": "Bounce", "Type": kind, "Name": kind, "Details": details, **given, **times, **more}


POSTMARK = [
    (postmark("Blocked", "smtp;550 5.7.1 blocked: our list of senders"), ("bounced", "5.7.1", False)),
    (postmark("Blocked"), ("bounced", None, False)),
    (postmark("DMARCPolicy", "smtp;550 5.7.1 unauthenticated"), ("bounced", "5.7.1", False)),
    (postmark("SoftBounce", "smtp;552 5.2.2 mailbox full"), ("bounced", "5.2.2", False)),
    (postmark("SoftBounce"), ("bounced", None, False)),
    (postmark("HardBounce", "smtp;550 5.1.1 unknown user"), ("bounced", "5.1.1", True)),
    (postmark("HardBounce", "smtp;550 unknown user"), ("bounced", None, True)),
    (postmark("HardBounce", "smtp;550 5.2.2 the mailbox is full"), ("bounced", "5.2.2", False)),
    (postmark("HardBounce", "smtp;550 blocked by our policy; see https://example.org"), ("bounced", None, False)),
    (postmark("BadEmailAddress"), ("bounced", None, True)),
    (postmark("Transient", "smtp;451 4.7.1 try again later"), ("delayed", "4.7.1", False)),
    (postmark("Transient", "exceeded 500 messages for now"), ("delayed", None, False)),
    (postmark("Transient", "smtp;550 5.4.7 message expired"), ("bounced", "5.4.7", False)),
    (postmark("DnsError"), ("delayed", None, False)),
    (postmark("AutoResponder", "I am away until the 550th day"), ("autoreply", None, False)),
    (postmark("ChallengeVerification"), ("autoreply", None, False)),
    (postmark("AddressChange"), ("autoreply", None, False)),
    (postmark("SpamNotification", "smtp;554 5.7.1 spam"), ("bounced", "5.7.1", False)),
    (postmark("SpamNotification"), ("other", None, False)),
    (postmark("VirusNotification"), ("other", None, False)),
    (postmark("Unknown"), ("other", None, False)),
    (postmark("NewType"), ("other", None, False)),
    (postmark("SpamComplaint"), ("complained", None, False)),
    (postmark("Unsubscribe"), ("complained", None, False)),
    (postmark("SMTPApiError", "smtp;550 5.1.1 inactive"), ("dropped", "5.1.1", False)),
    (postmark("ManuallyDeactivated"), ("dropped", None, False)),
    (postmark("", RecordType="Delivery", DeliveredAt="2026-03-03T10:00:00Z"), ("delivered", None, False)),
    (postmark("", RecordType="SpamComplaint"), ("complained", None, False)),
    (
        postmark("", RecordType="SubscriptionChange", SuppressSending=True, Origin="Recipient",
                 SuppressionReason="ManualSuppression", ChangedAt="2026-03-03T10:00:00Z"),
        ("complained", None, False),
    ),
]  # fmt: skip


@pytest.mark.parametrize(("event", "meaning"), POSTMARK, ids=range(len(POSTMARK)))
async def test_postmark_is_told_truly(event, meaning):
    assert await said("postmark", event) == meaning


def mailgun(event: str, message: str = "", **more) -> dict:
    status = {"code": more.pop("code", 0), "message": message, "description": "", "attempt-no": 1, "tls": True}
    own = {"user-variables": {"msg": ID.hex}, "delivery-status": status, "id": "G9Bn5sl1TC6nu79C8C0bwg"}
    return {"event": event, "timestamp": 1772532005.153125, "recipient": "anna@example.com", **own, **more}


PERMANENT = {"severity": "permanent"}
MAILGUN = [
    (mailgun("accepted"), ("provider_accepted", None, False)),
    (mailgun("delivered", "OK", code=250), ("delivered", None, False)),
    (mailgun("failed", "4.2.2 full", severity="temporary", reason="generic", code=452), ("delayed", "4.2.2", False)),
    (mailgun("failed", "5.1.1 no such user", reason="bounce", code=550, **PERMANENT), ("bounced", "5.1.1", True)),
    (mailgun("failed", "no such user", reason="bounce", code=550, **PERMANENT), ("bounced", None, True)),
    (mailgun("failed", "5.7.1 spam", reason="bounce", code=550, **PERMANENT), ("bounced", "5.7.1", False)),
    (mailgun("failed", "Too old", reason="old", code=602, **PERMANENT), ("bounced", None, False)),
    (mailgun("failed", "blocked", reason="espblock", code=550, **PERMANENT), ("bounced", None, False)),
    (mailgun("failed", "Not delivering to previously bounced address", reason="suppress-bounce", code=605, **PERMANENT),
     ("dropped", None, False)),
    (mailgun("rejected", reject={"reason": "Sandbox subdomains are for test purposes only"}), ("dropped", None, False)),
    (mailgun("complained"), ("complained", None, False)),
    (mailgun("unsubscribed"), ("complained", None, False)),
]  # fmt: skip


@pytest.mark.parametrize(("event", "meaning"), MAILGUN, ids=range(len(MAILGUN)))
async def test_mailgun_is_told_truly(event, meaning):
    assert await said("mailgun", event) == meaning


def sendgrid(event: str, **more) -> dict:
    own = {"sg_event_id": "ZGVmZXJyZWQtMC0x", "sg_message_id": "14c5d75ce93.dfd.64b469.0", "smtp-id": "<x@example.com>"}
    return {"email": "anna@example.com", "timestamp": 1772532005, "event": event, "msg": ID.hex, **own, **more}


SENDGRID = [
    (sendgrid("processed"), ("provider_accepted", None, False)),
    (sendgrid("delivered", response="250 OK"), ("delivered", None, False)),
    (sendgrid("deferred", response="452 4.2.2 full", attempt="5"), ("delayed", "4.2.2", False)),
    (sendgrid("bounce", type="bounce", reason="550 5.1.1 unknown", status="5.1.1"), ("bounced", "5.1.1", True)),
    (sendgrid("bounce", type="bounce", reason="500 unknown recipient", status="5.0.0"), ("bounced", "5.0.0", True)),
    (
        sendgrid("bounce", type="bounce", reason="550 no", status="5.0.0", bounce_classification="Mailbox Unavailable"),
        ("bounced", "5.0.0", False),
    ),
    (
        sendgrid(
            "bounce", type="bounce", reason="552 5.2.2 full", status="5.2.2", bounce_classification="Invalid Address"
        ),
        ("bounced", "5.2.2", False),
    ),
    (sendgrid("bounce", type="blocked", reason="550 5.7.1 spam", status="5.7.1"), ("bounced", "5.7.1", False)),
    (sendgrid("bounce", type="blocked", reason="no reason"), ("bounced", None, False)),
    (sendgrid("bounce", type="expired", reason="451 later", status="4.4.7"), ("bounced", "4.4.7", False)),
    (sendgrid("dropped", reason="Bounced Address", status="5.0.0"), ("dropped", "5.0.0", False)),
    (sendgrid("spamreport"), ("complained", None, False)),
    (sendgrid("unsubscribe"), ("complained", None, False)),
    (sendgrid("group_unsubscribe", asm_group_id=10), ("complained", None, False)),
]


@pytest.mark.parametrize(("event", "meaning"), SENDGRID, ids=range(len(SENDGRID)))
async def test_sendgrid_is_told_truly(event, meaning):
    assert await said("sendgrid", event) == meaning


def brevo(event: str, reason: str = "", **more) -> dict:
    own = {"id": 26224, "message-id": "<201803011158.9876543210@relay.example>", "ts_epoch": 1772532005000}
    return {"event": event, "email": "anna@example.com", "reason": reason, "X-Mailin-custom": ID.hex, **own, **more}


BREVO = [
    (brevo("request"), ("provider_accepted", None, False)),
    (brevo("delivered"), ("delivered", None, False)),
    (brevo("deferred", "452 4.2.2 full"), ("delayed", "4.2.2", False)),
    (brevo("hard_bounce", " RecipientError: 550 5.5.0 mailbox unavailable."), ("bounced", "5.5.0", True)),
    (brevo("hard_bounce", "550-5.1.1 The account does not exist"), ("bounced", "5.1.1", True)),
    (brevo("hard_bounce", "554 5.7.1 listed by a blocklist"), ("bounced", "5.7.1", False)),
    (brevo("soft_bounce", "undefined Unable to find MX of domain"), ("bounced", None, False)),
    (brevo("soft_bounce", "550 5.1.1 unknown"), ("bounced", "5.1.1", True)),
    (brevo("invalid_email"), ("bounced", None, True)),
    (brevo("blocked", "blocked : due to blacklist user"), ("dropped", None, False)),
    (brevo("error"), ("dropped", None, False)),
    (brevo("spam"), ("complained", None, False)),
    (brevo("unsubscribed"), ("complained", None, False)),
    (brevo("delivered", **{"X-Mailin-custom": f'{{"msg": "{ID}"}}'}), ("delivered", None, False)),
]  # fmt: skip


@pytest.mark.parametrize(("event", "meaning"), BREVO, ids=range(len(BREVO)))
async def test_brevo_is_told_truly(event, meaning):
    assert await said("brevo", event) == meaning


def resend(name: str, **data) -> dict:
    own = {"email_id": "56761188-7520-42d8-8898-ff6fc54ce618", "to": ["anna@example.com"], "subject": "your code"}
    headers = [{"name": "X-Outbox-Id", "value": str(ID)}]
    return {
        "type": f"email.{name}",
        "created_at": "2026-03-03T10:00:05.126Z",
        "data": {**own, "headers": headers, **data},
    }


RESEND = [
    (resend("sent"), ("provider_accepted", None, False)),
    (resend("delivered"), ("delivered", None, False)),
    (resend("delivered", headers=[], tags={"msg": ID.hex}), ("delivered", None, False)),
    (resend("delivered", headers=[], tags=[{"name": "msg", "value": ID.hex}]), ("delivered", None, False)),
    (resend("delivery_delayed"), ("delayed", None, False)),
    (
        resend("bounced", bounce={"type": "Permanent", "subType": "General", "message": "no reason"}),
        ("bounced", None, True),
    ),
    (
        resend("bounced", bounce={"type": "Permanent", "diagnosticCode": ["smtp; 550 5.7.1 no"]}),
        ("bounced", "5.7.1", False),
    ),
    (
        resend("bounced", bounce={"type": "Permanent", "subType": "Suppressed", "message": "list"}),
        ("dropped", None, False),
    ),
    (
        resend("bounced", bounce={"type": "Transient", "subType": "MailboxFull", "message": "full"}),
        ("bounced", None, False),
    ),
    *[
        (
            resend(
                "bounced", bounce={"type": kind, "subType": subtype, "message": "a bounce", "diagnosticCode": diagnosis}
            ),
            meaning,
        )
        for kind, subtype, diagnosis, meaning in (
            ("Transient", "General", None, ("autoreply", None, False)),
            ("Transient", "General", [], ("autoreply", None, False)),
            ("Transient", "General", [""], ("autoreply", None, False)),
            ("Transient", "General", ["smtp; 451 4.4.7 expired"], ("bounced", "4.4.7", False)),
            ("Transient", "General", "smtp; 550 5.4.4 invalid domain", ("bounced", "5.4.4", False)),
            ("Transient", "General", ["the server closed the connection"], ("bounced", None, False)),
            ("Transient", "ContentRejected", None, ("bounced", None, False)),
            ("Transient", "MessageTooLarge", None, ("bounced", None, False)),
            ("Undetermined", "Undetermined", None, ("other", None, False)),
            ("Undetermined", "", None, ("other", None, False)),
            ("Undetermined", "Undetermined", ["smtp; 550 no"], ("bounced", None, False)),
            ("Undetermined", "Undetermined", ["smtp; 550 5.1.1 user unknown"], ("bounced", "5.1.1", True)),
            ("Permanent", "NoEmail", None, ("bounced", None, True)),
            ("Permanent", "OnAccountSuppressionList", None, ("dropped", None, False)),
            ("Permanent", "UnsubscribedRecipient", None, ("dropped", None, False)),
            (
                "Permanent",
                "General",
                ["smtp; 552 5.2.2 full", "smtp; 550 5.1.1 unknown user"],
                ("bounced", "5.1.1", True),
            ),
            (
                "Permanent",
                "General",
                ["smtp; 550 5.1.1 unknown user", "smtp; 552 5.2.2 full"],
                ("bounced", "5.1.1", True),
            ),
            ("Permanent", "General", ["smtp; 552 5.2.2 full", "smtp; 550 5.7.1 blocked"], ("bounced", "5.7.1", False)),
            ("Permanent", "General", [None, "", "smtp; 552 5.2.2 full"], ("bounced", "5.2.2", False)),
        )
    ],
    (resend("bounced", bounce={"message": "the provider sent a bounce"}), ("bounced", None, False)),
    (resend("suppressed", suppressed={"message": "on the list"}), ("dropped", None, False)),
    (resend("failed", failed={"reason": "reached_daily_quota"}), ("dropped", None, False)),
    (resend("complained"), ("complained", None, False)),
]


@pytest.mark.parametrize(("event", "meaning"), RESEND, ids=range(len(RESEND)))
async def test_resend_is_told_truly(event, meaning):
    assert await said("resend", event) == meaning


OPENS = [
    ("ses", {"eventType": "Open", "mail": {}}),
    ("postmark", {"RecordType": "Click"}),
    ("mailgun", mailgun("opened")),
    ("sendgrid", sendgrid("open")),
    ("brevo", brevo("unique_opened")),
    ("resend", resend("clicked")),
]


@pytest.mark.parametrize(("provider", "event"), OPENS)
async def test_who_reads_their_email_is_not_recorded(provider, event):
    with structlog.testing.capture_logs() as lines:
        assert await read(provider, event) == []
    assert lines == []


UNKNOWN = [
    ("ses", {"eventType": "Teleported"}),
    ("postmark", {"RecordType": "Teleported"}),
    ("mailgun", mailgun("teleported")),
    ("sendgrid", sendgrid("account_status_change")),
    ("brevo", brevo("contact_updated")),
    ("resend", {"type": "domain.created", "data": []}),
]


@pytest.mark.parametrize(("provider", "event"), UNKNOWN)
async def test_an_event_of_an_unknown_type_is_logged_and_the_others_are_read(provider, event):
    good = dict(OTHERS)[provider]
    with structlog.testing.capture_logs() as lines:
        (notice,) = await read(provider, event, good)
    assert notice.type == "delivered"
    assert [(line["event"], line["provider"]) for line in lines] == [("webhook.event_unknown", provider)]


OTHERS = [
    ("ses", ses("Delivery")),
    ("postmark", postmark("", RecordType="Delivery")),
    ("mailgun", mailgun("delivered")),
    ("sendgrid", sendgrid("delivered")),
    ("brevo", brevo("delivered")),
    ("resend", resend("delivered")),
]

SHAPES = [None, 7, "x", [], {}, [None], True, 1e308, "\x00\ud800"]


@pytest.mark.parametrize("shape", SHAPES, ids=ascii)
@pytest.mark.parametrize(("provider", "event"), [*OTHERS, ("ses", SES[0][0]), ("postmark", POSTMARK[0][0])])
async def test_a_value_of_another_shape_is_no_error(provider, event, shape):
    """What a provider changes one day must not cost the other events of a batch."""
    for name in event:
        for changed in ({**event, name: shape}, {**event, name: {**event[name], **dict.fromkeys(event[name], shape)}}
                        if isinstance(event[name], dict) else event):  # fmt: skip
            for notice in await read(provider, changed):
                assert "\x00" not in notice.words
                assert notice.occurred_at.year == 2026
                assert len(notice.source_event_id) <= 200


TIMES = [
    (1772532005, datetime(2026, 3, 3, 10, 0, 5, tzinfo=UTC)),
    ("1772532005", datetime(2026, 3, 3, 10, 0, 5, tzinfo=UTC)),
    (1772532005.5, datetime(2026, 3, 3, 10, 0, 5, 500000, tzinfo=UTC)),
    (1772532005000, datetime(2026, 3, 3, 10, 0, 5, tzinfo=UTC)),
    ("2026-03-03T05:00:05.6421112-05:00", datetime(2026, 3, 3, 10, 0, 5, 642111, tzinfo=UTC)),
    ("2026-03-03T10:00:05Z", datetime(2026, 3, 3, 10, 0, 5, tzinfo=UTC)),
    *[(given, NOW) for given in (None, "", "soon", "2026-03-03T10:00:05", -1, 0, 1e400, float("nan"), 10**30, [], True,
                                 "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00")],
]  # fmt: skip


@pytest.mark.parametrize(("given", "at"), TIMES, ids=str)
def test_a_moment_is_read_or_it_is_now(given, at):
    assert webhooks.read_time(given, NOW) == at


def test_every_provider_is_found_by_its_file():
    assert set(PROVIDERS) == {"ses", "postmark", "mailgun", "sendgrid", "brevo", "resend"}
