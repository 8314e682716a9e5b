"""`mail send-test`: one letter down the road that every letter takes, and what is said on the way, line by line."""

import asyncio
import email
import email.policy
import json
import os

import pytest

from identity_service.dev import previews
from identity_service.messages import rendering, send_test
from identity_service.values import email_addresses
from tests.conftest import MASTER_KEY
from tests.faults.processes import COMMAND
from tests.faults.relay import FaultRelay
from tests.mail.given import a_letter, relays


@pytest.fixture
async def relay(service):
    found = await FaultRelay().start()
    relays(service, found)
    yield found
    await found.stop()


async def send(service, to: str = "anna@example.com") -> list[str]:
    address = email_addresses.parse(to, special_use=True)
    return [
        line
        async for line in send_test.send_test_message(
            service.database, rendering.load_builders(), address, client="operator"
        )
    ]


async def test_the_conversation_is_told_verb_by_verb(service, relay):
    lines = await send(service)
    verbs = [line.split()[1] for line in lines if line.startswith("  a ")]
    assert verbs == ["greeting", "EHLO", "MAIL", "RCPT", "DATA", "payload"]
    assert lines[0].startswith("message ")
    for said in relay.said:
        if not said.startswith(("250-", "250 ENHANCED", "221")):
            assert any(said.partition(" ")[2] in line for line in lines), said
    assert lines[-2] == "a has accepted the email."
    assert lines[-1].startswith("accepted: Our mail server has the email and will pass it on.")
    assert send_test.was_accepted(lines[-1])
    assert [recipient for _, recipient, _ in relay.mails] == ["anna@example.com"]


async def test_a_refusal_is_told_in_its_own_words_and_is_no_success(service, relay):
    relay.will("RCPT", "550 5.1.1 no such user here")
    lines = await send(service)
    assert any("550 5.1.1 no such user here" in line for line in lines)
    assert lines[-1].startswith("rejected: ")
    assert not send_test.was_accepted(lines[-1])


async def test_a_relay_that_fails_and_the_next_are_both_told(service, relay):
    other = await FaultRelay().start()
    relays(service, relay, other)
    relay.will("connect", "421 4.3.2 too busy")
    lines = await send(service)
    await other.stop()
    assert [line.split()[0] for line in lines if line.startswith("  ")][:2] == ["a", "b"]
    assert "a wasn't available." in lines
    assert send_test.was_accepted(lines[-1])


async def test_it_goes_past_a_suppression_because_somebody_asked_for_it(service, relay):
    await a_letter(service, "rejected")
    assert send_test.was_accepted((await send(service))[-1])


async def test_another_email_is_sent_with_sample_values(service, relay):
    shop = service.database.settings.brands.find(None)
    facts = {"words": "reset", **previews.sample_facts("reset", "de", shop)}
    address = email_addresses.parse("anna@example.com", special_use=True)
    test = send_test.send_test_message(
        service.database, rendering.load_builders(), address, client="operator", locale="de", facts=facts
    )
    assert send_test.was_accepted([line async for line in test][-1])
    ((_, _, payload),) = relay.mails
    sent = email.message_from_bytes(payload, policy=email.policy.default)
    assert sent["Subject"] == previews.sample("reset", "de", shop).subject


async def test_neither_words_nor_addresses_of_the_letter_are_printed(service, relay):
    lines = " ".join(await send(service))
    assert "This email tests" not in lines
    assert "anna@" not in lines


@pytest.mark.parametrize(
    ("line", "well"),
    [("accepted: taken", True), ("delivered: yes", True), ("unconfirmed: perhaps", False), ("deferred: later", False),
     ("rejected: accepted", False), ("", False)],
)  # fmt: skip
def test_only_an_acceptance_is_a_success(line, well):
    assert send_test.was_accepted(line) == well


@pytest.mark.parametrize(("act", "status"), [("250 2.0.0 ok", 0), ("550 5.1.1 no such user", 1)])
async def test_the_commands_exit_status_tells_how_it_went(database, urls, act, status):
    server = await FaultRelay().start()
    server.will("RCPT", act)
    named = [{"name": "first", "host": "127.0.0.1", "port": server.port, "tls": "none"}]
    environment = {
        "PATH": os.environ["PATH"], "DATABASE_URL": urls.application, "IDENTITY_ENVIRONMENT": "development",
        "IDENTITY_MASTER_KEY": MASTER_KEY, "IDENTITY_PUBLIC_URL": "http://localhost:1",
        "IDENTITY_MAIL_FROM": "service@identity.example", "IDENTITY_RELAYS": json.dumps(named),
    }  # fmt: skip
    process = await asyncio.create_subprocess_exec(
        COMMAND, "mail", "send-test", "anna@example.com", env=environment, stdout=asyncio.subprocess.PIPE
    )
    out, _ = await process.communicate()
    await server.stop()
    assert process.returncode == status, out.decode()
    assert act[4:] in out.decode()
