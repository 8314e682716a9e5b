"""Who may tell us something by SNS: what is signed for our topic by the certificate at the pinned path.

The certificate and its key are made here and served through the application's own seam for fetching it.
"""

import asyncio
import base64
from datetime import timedelta

import httpx2
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from identity_service.messages.inbound import sns as sns_rules
from identity_service.messages.inbound import webhooks
from identity_service.messages.inbound.dsn import UnsignedNotice
from tests.mail.given import a_letter
from tests.mail.sns import CERTIFICATE, HOST, ISSUER, SUBJECT, TOPIC, bounce, made, named, page


async def nothing_happened(service, caller, message_id: str) -> None:
    assert (await page(caller, message_id))["state"] == "accepted"
    assert await service.rows("SELECT 1 FROM feedback") == []


ALTERED = [
    {"Message": "{}"},
    {"MessageId": "other"},
    {"Subject": "added"},
    {"Timestamp": None},
    {"TopicArn": "arn:aws:sns:eu-west-1:666666666666:ses-events"},
    {"Type": "SubscriptionConfirmation"},
    {"Type": "UnsubscribeConfirmation"},
    {"SignatureVersion": "1"},
    {"SignatureVersion": 2},
    {"Signature": ""},
    {"Signature": "not base64!"},
    {"Signature": base64.b64encode(bytes(256)).decode()},
]


@pytest.mark.parametrize("changed", ALTERED, ids=lambda changed: "-".join(map(str, changed.items()))[:40])
async def test_what_was_altered_behind_the_signature_is_refused(service, caller, sns, changed):
    """ATT-65."""
    message_id = await a_letter(service, "accepted")
    answer = await sns.send({**sns.sign(sns.envelope(bounce(message_id))), **changed})
    assert (answer.status_code, answer.json()["code"]) == (403, "unsigned_notice")
    await nothing_happened(service, caller, message_id)


@pytest.mark.parametrize("minutes", [-40 * 24 * 60, -600, -6, 6], ids=str)
async def test_a_notification_is_never_refused_for_its_age(service, caller, sns, minutes):
    """ATT-65: SNS repeats for hours or days what it could not deliver; a recording has no effect a second time."""
    message_id = await a_letter(service, "accepted")
    at = (service.clock() + timedelta(minutes=minutes)).isoformat()
    signed = sns.sign(sns.envelope(bounce(message_id), Timestamp=at))
    assert [(await sns.send(signed)).status_code for _ in range(2)] == [200, 200]
    assert (await page(caller, message_id))["state"] == "bounced"
    assert await service.rows("SELECT count(*) FROM feedback") == [(1,)]


async def test_a_certificate_that_ended_since_the_notification_is_believed(service, caller, sns):
    """A repeated notification may be older than the end of its certificate."""
    message_id, now = await a_letter(service, "accepted"), service.clock()
    sns.answers[CERTIFICATE] = made(sns.key, now, days=-1)
    before = (now - timedelta(days=2)).isoformat()
    assert (await sns.tell(bounce(message_id), Timestamp=before)).status_code == 200
    assert (await page(caller, message_id))["state"] == "bounced"


async def test_another_topic_or_none_is_refused_before_anything_is_fetched(service, caller, sns):
    """ATT-54, ATT-65: anybody can make a topic and have Amazon sign for it."""
    message_id = await a_letter(service, "accepted")
    answer = await sns.tell(bounce(message_id), TopicArn="arn:aws:sns:eu-west-1:666666666666:evil")
    assert answer.status_code == 403
    settings = service.database.settings
    service.database.settings = settings.model_copy(update={"ses_sns_topic_arn": ""})
    assert (await sns.tell(bounce(message_id), TopicArn="")).status_code == 403
    assert sns.fetched == []
    await nothing_happened(service, caller, message_id)


URLS = [
    "http://sns.eu-west-1.amazonaws.com/a.pem",
    "https://sns.eu-west-1.amazonaws.com.evil.example/a.pem",
    "https://sns.eu-west-1.amazonaws.com@evil.example/a.pem",
    "https://evil.example/sns.eu-west-1.amazonaws.com/a.pem",
    "https://sns.eu-west-1.amazonaws.com:8443/a.pem",
    "https://sns.eu-west-1.amazonaws.com\\@evil.example/a.pem",
    "https://sns.eu-west-1.amazonaws.com",
    "https://sns.eu-west-1.amazonaws.com\t.evil.example/a.pem",
    "https://sns.eu-west-1.amazonaws.com/a\n.pem",
    "https://sns.us-east-1.amazonaws.com/a.pem",
    "https://sns.eu-west-1.amazonaws.com/?Action=ListTopics&X-Amz-Signature=0",
    "https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-0123.pem",
    CERTIFICATE + "?Action=ListTopics",
    CERTIFICATE + "/",
    CERTIFICATE + "#",
    CERTIFICATE.replace("-0", "-A"),
    CERTIFICATE.replace("/Simple", "//Simple"),
    CERTIFICATE.replace("/Simple", "/x/../Simple"),
    CERTIFICATE.replace("Simple", "%53imple"),
    "https://sns.s3-us-west-2.amazonaws.com/a.pem",
    "https://sns.s3.amazonaws.com/a.pem",
    "https://SNS.eu-west-1.amazonaws.com/a.pem",
    "https://169.254.169.254/latest/meta-data",
    "https://[::1]/a.pem",
    "https://[",
    "file:///etc/passwd",
    "",
    None,
    {"url": CERTIFICATE},
]


@pytest.mark.parametrize("url", URLS, ids=ascii)
async def test_a_certificate_is_fetched_from_our_topics_own_region_alone(service, caller, sns, url):
    """ATT-54: other names below amazonaws.com may be anybody's, a bucket's for one; other paths answer with what their
    caller stored."""
    message_id = await a_letter(service, "accepted")
    sns.answers[str(url)] = sns.answers[CERTIFICATE]
    assert (await sns.tell(bounce(message_id), SigningCertURL=url)).status_code == 403
    assert sns.fetched == []
    await nothing_happened(service, caller, message_id)


@pytest.mark.parametrize("topic", ["sns", "arn:aws:sns::1:t", "arn:aws:sns:s3-us-west-2:1:t", "arn:aws:sns:evil/:1:t"])
async def test_a_topic_without_a_region_closes_the_hook(service, sns, topic):
    service.database.settings = service.database.settings.model_copy(update={"ses_sns_topic_arn": topic})
    region = topic.split(":")[3] if topic.count(":") > 3 else ""
    url = f"https://sns.{region}.amazonaws.com/a.pem"
    assert (await sns.tell({}, TopicArn=topic, SigningCertURL=url)).status_code == 403
    assert sns.fetched == []


async def test_a_certificate_of_another_key_or_out_of_time_is_refused(service, caller, sns):
    """ATT-65."""
    message_id, now = await a_letter(service, "accepted"), service.clock()
    other = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    curve = ec.generate_private_key(ec.SECP256R1())
    for served in (made(other, now), made(sns.key, now, days=-1), made(curve, now), b"", b"<html>"):
        sns.answers[CERTIFICATE] = served
        assert (await sns.tell(bounce(message_id))).status_code == 403
    await nothing_happened(service, caller, message_id)


@pytest.mark.parametrize("wrapped", [b"<r>\n%b</r>", b"%b%b", b"%b\nmore", b"x %b", b"%b\x00"], ids=range(5))
async def test_a_certificate_within_something_else_is_refused(service, caller, sns, wrapped):
    """ATT-54: a file is exactly one certificate; a PEM reader finds one in the middle of any text."""
    message_id, good = await a_letter(service, "accepted"), sns.answers[CERTIFICATE]
    sns.answers[CERTIFICATE] = wrapped % ((good,) * wrapped.count(b"%b"))
    assert (await sns.tell(bounce(message_id))).status_code == 403
    await nothing_happened(service, caller, message_id)


NAMES = [
    {"subject": named(COMMON_NAME="sns.evil.example")},
    {"subject": named(COMMON_NAME="sns.amazonaws.com.evil.example")},
    {"subject": named(ORGANIZATION_NAME="Amazon")},
    {"issuer": named(COMMON_NAME="Amazon RSA 2048 M01")},
    {"issuer": named(ORGANIZATION_NAME="Amazon Evil", COMMON_NAME="Amazon RSA 2048 M01")},
    {"issuer": SUBJECT},
    {"subject": ISSUER},
]


@pytest.mark.parametrize("names", NAMES, ids=range(len(NAMES)))
async def test_a_certificate_of_other_names_is_refused(service, caller, sns, names):
    """ATT-65: it is one of Amazon for SNS."""
    message_id = await a_letter(service, "accepted")
    sns.answers[CERTIFICATE] = made(sns.key, service.clock(), **names)
    assert (await sns.tell(bounce(message_id))).status_code == 403
    await nothing_happened(service, caller, message_id)


async def test_a_signature_by_sha_1_is_refused(service, sns):
    answer = await sns.send(sns.sign(sns.envelope({}), hashes.SHA1()))
    assert answer.status_code == 403


@pytest.mark.parametrize(
    "trouble", [httpx2.ConnectError("no route"), httpx2.ReadTimeout("slow"), webhooks.ProviderUnavailable()]
)
async def test_a_network_that_fails_asks_for_another_delivery(service, caller, sns, trouble):
    """SNS repeats what was answered 5xx, and never what was answered 403."""
    message_id = await a_letter(service, "accepted")
    signed, good = sns.sign(sns.envelope(bounce(message_id))), sns.answers[CERTIFICATE]
    sns.answers[CERTIFICATE] = trouble
    answer = await sns.send(signed)
    assert (answer.status_code, answer.json()["code"]) == (503, "provider_unavailable")
    sns.answers[CERTIFICATE] = good
    assert (await sns.send(signed)).status_code == 200
    assert (await page(caller, message_id))["state"] == "bounced"


async def test_a_subscription_is_confirmed_at_the_pinned_host_alone(service, sns):
    """ATT-54."""
    url = f"{HOST}/?Action=ConfirmSubscription&TopicArn={TOPIC}&Token=2336"
    given = {"Type": "SubscriptionConfirmation", "Token": "2336"}
    assert (await sns.tell({}, SubscribeURL=url, **given)).status_code == 200
    assert sns.fetched == [CERTIFICATE, url]
    evil = [
        "https://169.254.169.254/?Action=ConfirmSubscription",
        "https://[",
        None,
        url.replace("ConfirmSubscription", "Publish"),
        url.replace(TOPIC, TOPIC + "x"),
        url + "&TopicArn=arn:aws:sns:eu-west-1:666666666666:evil",
        url.replace("/?", "/x?"),
        url + "#",
    ]
    for other in evil:
        assert (await sns.tell({}, SubscribeURL=other, **given)).status_code == 403
    assert sns.fetched[2:] == [CERTIFICATE] * len(evil)


async def test_what_ses_publishes_as_a_test_of_the_topic_is_answered_200(service, sns):
    """SES checks a topic with a text; answered otherwise, the subscription looks broken."""
    for text in ("Successfully validated SNS topic for Amazon SES event publishing.", "hello", "7", "[]"):
        assert (await sns.send(sns.sign(sns.envelope(text)))).status_code == 200
    assert await service.rows("SELECT 1 FROM feedback UNION ALL SELECT 1 FROM inbound_mail") == []


async def test_the_end_of_a_subscription_is_answered_200_and_told(service, sns, told):
    url = f"{HOST}/?Action=ConfirmSubscription&TopicArn={TOPIC}&Token=2336"
    ended = sns.envelope("ended", Type="UnsubscribeConfirmation", Token="2336", SubscribeURL=url)
    assert (await sns.send(sns.sign(ended))).status_code == 200
    assert "subscribe again" in told()[0]
    assert sns.fetched == [CERTIFICATE]


async def test_a_topic_that_signs_with_sha_1_is_told_once(service, sns, told):
    """Its events are refused, and the log says which attribute of the topic to change."""
    for _ in range(3):
        assert (await sns.tell({}, SignatureVersion="1")).status_code == 403
    assert told() == [sns_rules._VERSION]


async def test_raw_delivery_is_told_once(service, sns, told):
    for headers in ({}, {"x-amz-sns-rawdelivery": "true"}):
        event = bounce("0" * 32)
        assert (await service.http.post("/webhooks/ses", json=event, headers=headers)).status_code == 403
    assert told() == [sns_rules._RAW]


async def test_a_missing_topic_is_told_once(service, sns, told):
    service.database.settings = service.database.settings.model_copy(update={"ses_sns_topic_arn": ""})
    for _ in range(2):
        await sns.tell({})
    assert told() == [sns_rules._NO_TOPIC]


async def test_another_topic_cannot_make_us_tell_anything(service, sns, told):
    await sns.tell({}, SignatureVersion="1", TopicArn="arn:aws:sns:eu-west-1:666666666666:evil")
    assert told() == []


async def test_the_fetch_itself_takes_no_redirect_and_nothing_big():
    """ATT-54, ASVS 15.3.2: over a real socket; its host was pinned before."""
    answers = {
        "/moved": b"HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/\r\nContent-Length: 0\r\n\r\n",
        "/gone": b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
        "/big": b"HTTP/1.1 200 OK\r\nContent-Length: 65537\r\n\r\n" + b"x" * 65537,
        "/ill": b"HTTP/1.1 503 Away\r\nContent-Length: 0\r\n\r\n",
        "/good": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    }

    async def answer(reader, writer) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        writer.write(answers[head.split(b" ")[1].decode()])
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    base = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    assert await webhooks.fetch_over_tls(f"{base}/good") == b"ok"
    for path, refusal in (
        ("/moved", UnsignedNotice),
        ("/gone", UnsignedNotice),
        ("/big", UnsignedNotice),
        ("/ill", webhooks.ProviderUnavailable),
    ):
        with pytest.raises(refusal):
            await webhooks.fetch_over_tls(base + path)
    server.close()
