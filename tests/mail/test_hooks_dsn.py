"""A raw notice by HTTP, from a mail server that pipes instead of relaying: our secret, then the tag of the letter."""

import uuid

import pytest
from pydantic import SecretStr

from identity_service.messages import rendering
from tests.mail.given import a_letter
from tests.mail.test_returned_mail import dsn

SECRET = {"X-Webhook-Secret": "a-secret-of-the-hooks"}


@pytest.fixture(autouse=True)
def secret(service) -> None:
    settings = service.database.settings.model_copy(update={"webhook_secret": SecretStr(SECRET["X-Webhook-Secret"])})
    service.database.settings = settings


def address(service, message_id: str) -> str:
    key = service.database.keys.internal()
    return rendering.return_address(uuid.UUID(message_id).hex, service.database.settings.sender_domain, key)


async def bring(service, raw: bytes, to: str | None, headers: dict | None = None):
    envelope = {} if to is None else {"X-Envelope-To": to}
    given = {"Content-Type": "message/rfc822", **envelope, **(SECRET if headers is None else headers)}
    return await service.http.post("/webhooks/dsn", content=raw, headers=given)


async def state(caller, message_id: str) -> str:
    return (await caller.get(f"/v1/messages/{message_id}")).json()["state"]


async def test_a_notice_with_our_tag_moves_its_letter(service, caller):
    message_id = await a_letter(service, "accepted")
    assert (await bring(service, dsn(), address(service, message_id))).status_code == 200
    message = (await caller.get(f"/v1/messages/{message_id}")).json()
    last = message["timeline"][-1]
    assert (message["state"], last["kind"], last["reply"]) == ("bounced", "bounced", "550 5.1.1 no such user")
    assert await service.rows("SELECT via, parse_status FROM inbound_mail") == [("webhook", "read")]


async def test_the_envelope_id_vouches_where_the_pipe_lost_the_address(service, caller):
    message_id = await a_letter(service, "accepted")
    envid = rendering.envelope_id(uuid.UUID(message_id).hex, service.database.keys.internal())
    await bring(service, dsn(envid=f"Original-Envelope-Id: {envid}\n"), None)
    assert await state(caller, message_id) == "bounced"


@pytest.mark.parametrize("headers", [{}, {"X-Webhook-Secret": "wrong"}], ids=["none", "wrong"])
async def test_the_tag_alone_is_not_enough_here(service, caller, headers):
    """ATT-65: the door stands open to the world, so it asks for the secret before it reads anything."""
    message_id = await a_letter(service, "accepted")
    answer = await bring(service, dsn(), address(service, message_id), headers)
    assert (answer.status_code, answer.json()["code"]) == (403, "unsigned_notice")
    assert await state(caller, message_id) == "accepted"
    assert await service.rows("SELECT 1 FROM inbound_mail") == []


async def test_the_secret_alone_is_not_enough_either(service, caller):
    """ATT-65: a notice about another letter, or with a made-up tag, is kept and changes nothing."""
    message_id, other = await a_letter(service, "accepted"), await a_letter(service, "accepted", "berta@example.com")
    tag = address(service, other).partition(".")[2].partition("@")[0]
    forged = f"b+{uuid.UUID(message_id).hex}.{tag}@identity.example"
    for to in (forged, "b+x.y@identity.example", "", "anna@example.com", None):
        assert (await bring(service, dsn(diagnostic=f"550 5.1.1 {to}"), to)).status_code == 200
    assert (await state(caller, message_id), await state(caller, other)) == ("accepted", "accepted")
    assert await service.rows("SELECT DISTINCT parse_status FROM inbound_mail") == [("unmatched",)]


async def test_the_same_notice_twice_is_one(service, caller):
    """ATT-65: replayed."""
    message_id = await a_letter(service, "accepted")
    for _ in range(2):
        await bring(service, dsn(), address(service, message_id))
    assert await service.rows("SELECT count(*) FROM feedback") == [(1,)]


async def test_a_delay_after_the_bounce_changes_nothing(service, caller):
    """ATT-65: out of order."""
    message_id = await a_letter(service, "accepted")
    for raw in (dsn(), dsn(action="delayed", status="4.4.1"), dsn(action="delivered", status="2.0.0")):
        await bring(service, raw, address(service, message_id))
    message = (await caller.get(f"/v1/messages/{message_id}")).json()
    assert (message["state"], message["delayed_since"]) == ("bounced", None)
    assert [entry["kind"] for entry in message["timeline"][-3:]] == ["bounced", "delayed", "delivered"]


RUBBISH = [
    b"", b"\x00\xff\xfe", b"no mail at all", b"Content-Type: multipart/report; boundary=\r\n\r\n",
    b"Content-Type: multipart/report; boundary=b\r\n\r\n--b\r\nContent-Type: message/delivery-status\r\n\r\n\r\n--b--",
    b"Content-Type: text/plain; charset=nonsense\r\n\r\n\x80", b"From: =?utf-8?b?////?=\r\n\r\n",
    b"Subject: " + b"x" * 200_000 + b"\r\n\r\n",
]  # fmt: skip


@pytest.mark.parametrize("raw", RUBBISH, ids=range(len(RUBBISH)))
async def test_what_cannot_be_read_is_kept_and_changes_nothing(service, caller, raw):
    message_id = await a_letter(service, "accepted")
    assert (await bring(service, raw, address(service, message_id))).status_code == 200
    assert await state(caller, message_id) == "accepted"
    assert await service.rows("SELECT parse_status FROM inbound_mail") == [("unreadable",)]


async def test_a_notice_beyond_256_kib_is_refused(service, caller):
    message_id = await a_letter(service, "accepted")
    answer = await bring(service, dsn() + b"x" * 256 * 1024, address(service, message_id))
    assert answer.status_code == 413
    assert await state(caller, message_id) == "accepted"


async def test_the_returned_letter_is_not_kept(service):
    await bring(service, dsn(), address(service, await a_letter(service, "accepted")))
    kept = str(await service.rows("SELECT raw, detail::text FROM inbound_mail"))
    assert "the whole letter" not in kept
    assert "v1." not in kept
    assert "no such user" in kept
