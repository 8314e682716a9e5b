"""The fault cases of an outbox, one by one, against real sockets.

Each asserts where the letter ends, and that the timeline tells exactly what the relay said (REL-15, REL-16, REL-17).
"""

import contextlib

import pytest

from tests.faults.conftest import Road
from tests.faults.relay import DROP, ENDLESS, GARBAGE, HANG, FaultRelay, always


async def told_truly(road: Road) -> dict:
    """Every reply with a code in the timeline stands, word for word, in a relay's own transcript."""
    message = await road.message()
    said = "\n".join(road.a.said + road.b.said)
    for entry in message["timeline"]:
        assert entry["sentence"]
        if entry["code"] is not None and entry["attempt"] is not None:
            for line in entry["reply"].split("\n"):
                assert line in said, (line, said)
            assert str(entry["code"]) in said
    return message


async def test_01_connection_refused_then_up(road: Road):
    road.use(road.relay("a", road.a))
    await road.put()
    port = road.a.port
    await road.a.stop()
    await road.turns(3)
    road.a = await FaultRelay().start(port)
    await road.wait_for_next()
    await road.turn()
    assert await road.tries() == [("a", "relay_fault")] * 3 + [("a", "accepted")]
    message = await told_truly(road)
    assert message["state"] == "accepted"
    assert message["relay_queue_id"] == "4F2A"
    assert [e["reply"] for e in message["timeline"] if e["kind"] == "relay_fault"] == ["connection refused"] * 3


async def test_02_first_relay_refused_second_healthy(road: Road):
    await road.put()
    await road.a.stop()
    await road.turn()
    assert await road.tries() == [("a", "relay_fault"), ("b", "accepted")]
    (row,) = await road.service.rows("SELECT deliveries, attempts FROM message")
    assert tuple(row) == (1, 2)


async def test_03_421_at_connect(road: Road):
    road.a.will("connect", "421 4.3.2 too busy")
    await road.put()
    await road.turn()
    assert await road.tries() == [("a", "relay_fault"), ("b", "accepted")]
    message = await told_truly(road)
    assert message["timeline"][1]["code"] == 421


async def test_04_hang_at_the_greeting(road: Road):
    """REL-15."""
    road.a.will("connect", HANG)
    await road.put()
    await road.turn()
    assert await road.tries() == [("a", "relay_fault"), ("b", "accepted")]
    entry = (await road.message())["timeline"][1]
    assert (entry["phase"], entry["reply"][:16]) == ("connect", "no answer within")


async def test_05_starttls_stripped_sends_nothing_in_clear(road: Road):
    """ATT-47, FACT-3."""
    road.use(road.relay("a", road.a, tls="starttls"), road.relay("b", road.b))
    await road.put()
    await road.turn()
    assert await road.tries() == [("a", "relay_fault"), ("b", "accepted")]
    assert "no encryption" in (await road.message())["timeline"][1]["reply"]
    assert not any(line.startswith(("C: MAIL", "C: RCPT")) for line in road.a.transcript)
    assert road.a.mails == []


async def test_06_wrong_certificate(road: Road, certificate):
    road.a.extensions, road.a.tls = ("STARTTLS",), certificate
    road.use(road.relay("a", road.a, tls="starttls"), road.relay("b", road.b))
    await road.put()
    await road.turn()
    assert await road.tries() == [("a", "relay_fault"), ("b", "accepted")]
    assert "certificate is not valid" in (await road.message())["timeline"][1]["reply"]
    assert road.a.mails == []


async def test_07_login_refused_opens_the_breaker_at_once(road: Road):
    road.a.will("AUTH", "535 5.7.8 bad credentials")
    road.a.extensions = ("AUTH PLAIN",)
    road.use(road.relay("a", road.a, username="u", password="p"), road.relay("b", road.b))
    await road.put()
    await road.turn()
    assert await road.tries() == [("a", "relay_fault"), ("b", "accepted")]
    assert road.sender.relays.breakers["a"].state == "open"
    message = await told_truly(road)
    assert "our fault, not yours" in message["timeline"][1]["sentence"]
    await road.put("berta@example.com")
    await road.turn()
    assert await road.tries() == [("b", "accepted")]


async def test_08_greylisted_then_taken(road: Road):
    road.a.will("RCPT", "450 4.2.0 greylisted, try again later")
    await road.put()
    await road.turn()
    message = await told_truly(road)
    assert message["state"] == "deferred"
    assert "wait" in message["timeline"][1]["sentence"]
    before = road.service.clock()
    await road.wait_for_next()
    assert (road.service.clock() - before).total_seconds() >= 60
    await road.turn()
    assert await road.tries() == [("a", "transient"), ("a", "accepted")]


async def test_08b_a_delay_named_in_the_reply_is_honoured(road: Road):
    road.a.will("RCPT", "451 4.7.1 greylisted, come back in 300 seconds")
    await road.put()
    await road.turn()
    before = road.service.clock()
    await road.wait_for_next()
    assert (road.service.clock() - before).total_seconds() == 300


async def test_09_451_after_the_dot(road: Road):
    road.a.will("eod", "451 4.3.0 queue file write error")
    await road.put()
    await road.turns(2)
    assert await road.tries() == [("a", "transient"), ("a", "accepted")]
    entry = (await told_truly(road))["timeline"][1]
    assert (entry["phase"], entry["code"], entry["reply"]) == ("eod", 451, "4.3.0 queue file write error")
    assert len(road.a.mails) == 1


async def test_10_unknown_mailbox_is_rejected_and_left_alone(road: Road):
    """REL-17."""
    road.a.will("RCPT", "550 5.1.1 <anna@example.com> no such user")
    await road.put()
    await road.turn()
    message = await told_truly(road)
    assert message["state"] == "rejected"
    assert "doesn't exist" in message["timeline"][1]["sentence"]
    assert await road.tries() == [("a", "permanent")]
    await road.put()
    assert (await road.message())["state"] == "suppressed"
    await road.turn()
    assert await road.tries() == []


async def test_11_the_refusal_is_kept_when_rset_hangs(road: Road):
    road.a.will("RCPT", "550 5.1.1 no such user").will("RSET", HANG)
    await road.put()
    await road.turn()
    entry = (await told_truly(road))["timeline"][1]
    assert (entry["kind"], entry["code"], entry["reply"]) == ("permanent", 550, "5.1.1 no such user")


async def test_12_mailbox_full_until_the_deadline(road: Road):
    road.a.will("RCPT", *always("552 5.2.2 mailbox full"))
    await road.put()
    await road.turns(4)
    await road.past_deadline()
    message = await told_truly(road)
    assert message["state"] == "expired"
    assert [e["kind"] for e in message["timeline"]] == ["queued", *["transient"] * 4, "expired"]
    assert "mailbox is full" in message["timeline"][1]["sentence"]
    assert message["may_arrive_twice"] is False


async def test_13_policy_refusal_is_asked_once_elsewhere(road: Road):
    road.a.will("RCPT", "554 5.7.1 relay access denied")
    await road.put()
    await road.turn()
    assert await road.tries() == [("a", "permanent"), ("b", "accepted")]
    message = await told_truly(road)
    assert "blocked the email under its own rules" in message["timeline"][1]["sentence"]
    assert await road.service.rows("SELECT 1 FROM suppression") == []


async def test_13b_policy_at_both_is_rejected_and_never_suppresses(road: Road):
    road.a.will("RCPT", "554 5.7.1 relay access denied")
    road.b.will("RCPT", "550 5.7.23 SPF validation failed")
    await road.put()
    await road.turn()
    assert await road.tries() == [("a", "permanent"), ("b", "permanent")]
    assert (await told_truly(road))["state"] == "rejected"
    assert await road.service.rows("SELECT 1 FROM suppression") == []


async def test_14_too_big_at_mail_is_our_fault(road: Road):
    road.a.will("MAIL", "552 5.3.4 message too big")
    await road.put()
    await road.turn()
    message = await told_truly(road)
    assert message["state"] == "failed"
    assert "our fault" in message["sentence"]


async def test_15_a_reused_connection_that_died_is_tried_anew_for_free(road: Road):
    await road.put()
    await road.turn()
    road.a.will("MAIL", DROP)
    await road.put("berta@example.com")
    await road.turn()
    assert await road.tries() == [("a", "accepted")]
    message = await road.message()
    assert message["timeline"][1]["reconnected"] is True
    assert len(road.a.mails) == 2


@pytest.mark.parametrize("act", [DROP, GARBAGE])
async def test_16_drop_after_the_dot_may_arrive_twice(road: Road, act: str):
    road.a.will("eod", act)
    await road.put()
    await road.turn()
    message = await road.message()
    assert (message["state"], message["may_arrive_twice"]) == ("deferred", True)
    assert "may arrive twice" in message["timeline"][1]["sentence"]
    await road.wait_for_next()
    await road.turn()
    assert await road.tries() == [("a", "unknown"), ("b", "accepted")]
    ids = {line for _, _, raw in road.a.mails + road.b.mails for line in raw.split(b"\r\n") if b"Message-ID" in line}
    assert len(ids) == 1


async def test_17_hang_after_the_dot_until_the_deadline_is_unconfirmed(road: Road):
    """REL-15."""
    road.use(road.relay("a", road.a))
    road.a.will("eod", *always(HANG))
    await road.put()
    await road.turns(2)
    await road.past_deadline()
    message = await road.message()
    assert (message["state"], message["may_arrive_twice"]) == ("unconfirmed", True)
    assert [e["kind"] for e in message["timeline"]] == ["queued", "unknown", "unknown", "unconfirmed"]


async def test_18_an_answer_after_our_timeout_is_not_the_next_ones(road: Road):
    road.use(road.relay("a", road.a))
    road.a.late = 0.6
    await road.put()
    await road.turn()
    road.a.late = 0
    await road.wait_for_next()
    await road.turn()
    assert await road.tries() == [("a", "unknown"), ("a", "accepted")]
    assert (await road.message())["may_arrive_twice"] is True
    assert road.a.connections == 2


async def test_19_a_slow_drip_times_out_as_a_whole(road: Road):
    await road.put()
    road.a.will("connect", "220 slow")
    road.a.drip = 0.05
    await road.turn()
    entry = (await road.message())["timeline"][1]
    assert entry["reply"].startswith("no answer within")
    assert entry["duration_ms"] is not None
    assert (await road.message())["state"] == "accepted"
    assert (await road.tries())[-1] == ("b", "accepted")


@pytest.mark.parametrize("act", [GARBAGE, ENDLESS])
async def test_20_garbage_or_an_endless_reply_moves_on(road: Road, act: str):
    road.a.will("MAIL", act)
    await road.put()
    await road.turn()
    tries = await road.tries()
    assert tries[0][1] in ("relay_fault", "transient")
    if tries[-1] != ("b", "accepted"):
        await road.wait_for_next()
        await road.turn()
    message = await road.message()
    assert message["state"] == "accepted"
    assert len(message["timeline"][1]["reply"]) <= 1000


async def test_25_all_relays_down_past_the_deadline(road: Road):
    await road.put()
    await road.a.stop()
    await road.b.stop()
    await road.turns(3)
    await road.past_deadline()
    message = await road.message()
    assert message["state"] == "expired"
    assert "You can safely ask for a new one" in message["sentence"]
    assert {entry["reply"] for entry in message["timeline"] if entry["kind"] == "relay_fault"} == {"connection refused"}


async def test_no_open_attempt_is_left_behind(road: Road):
    road.a.will("RCPT", "451 4.3.0 later").will("eod", DROP)
    await road.put()
    with contextlib.suppress(AssertionError):
        await road.turns(3)
    assert await road.service.rows("SELECT 1 FROM attempt WHERE finished_at IS NULL") == []
