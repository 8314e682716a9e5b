"""What becomes of a letter when its worker dies, comes late or loses the database; what poison does to the queue."""

import asyncio
import os
import uuid

import pytest
from sqlalchemy import text

from identity_service.messages import kinds
from identity_service.messages import rules as message_rules
from identity_service.messages.delivery import queue, reaper
from identity_service.messages.delivery.queue import AttemptReport, AttemptResult
from tests.faults.conftest import Road
from tests.faults.relay import always

TAKEN = AttemptReport("eod", "accepted", "accepted", 250, "2.0.0", "2.0.0 ok: queued as 77", relay="a", queue_id="77")


RACED = 2 * int(os.environ.get("CHAOS_MESSAGES", "40"))
"""Letters that eight workers race for: 80, and with `make faults` 10,000."""


async def claim(road: Road, worker: str = "w-dies") -> queue.ClaimedMessage:
    (claimed,), _ = await road.database.in_transaction(
        lambda s: queue.claim_messages(s, worker=worker, priority=0, limit=5, relay="a", now=road.service.clock())
    )
    return claimed


async def lapse(road: Road) -> None:
    road.service.clock.advance(seconds=181)
    await road.tend()


async def record(road: Road, claimed: queue.ClaimedMessage, report: AttemptReport = TAKEN) -> set[uuid.UUID]:
    finish = AttemptResult(claimed, claimed.attempts, report, message_rules.Transition("accepted"))
    return await road.database.in_transaction(lambda s: queue.record_results(s, [finish], now=road.service.clock()))


async def test_21_a_worker_killed_before_the_payload_loses_nothing(road: Road):
    """REL-03."""
    await road.put()
    await claim(road)
    await lapse(road)
    assert (await road.message())["state"] == "deferred"
    await road.turn()
    message = await road.message()
    assert await road.tries() == [("a", "lost"), ("a", "accepted")]
    assert (message["state"], message["may_arrive_twice"]) == ("accepted", True)
    assert "interrupted during this attempt" in message["timeline"][1]["sentence"]
    assert len(road.a.mails) == 1


async def test_22_a_worker_killed_after_the_dot_may_duplicate_with_one_message_id(road: Road):
    """REL-04."""
    await road.put()
    claimed = await claim(road)
    envelope = await road.sender._compose(claimed)
    assert (await road.sender.relays.pools["a"].deliver(envelope, priority=0)).outcome == "accepted"
    await lapse(road)
    await road.turn()
    message = await road.message()
    assert (message["state"], message["may_arrive_twice"]) == ("accepted", True)
    headers = [line for _, _, raw in road.a.mails for line in raw.split(b"\r\n") if line.startswith(b"Message-ID")]
    assert len(headers) == 2
    assert len(set(headers)) == 1


async def test_23_a_late_acceptance_is_adopted(road: Road):
    await road.put()
    claimed = await claim(road)
    await lapse(road)
    assert await record(road, claimed) == set()
    message = await road.message()
    assert message["state"] == "accepted"
    assert await road.tries() == [("a", "late_accepted")]
    assert "came late" in message["timeline"][1]["sentence"]


async def test_23b_a_late_acceptance_is_not_adopted_over_a_newer_try(road: Road):
    await road.put()
    zombie = await claim(road)
    await lapse(road)
    await claim(road, "w-second")
    assert await record(road, zombie) == set()
    assert (await road.message())["state"] == "sending"
    assert await road.tries() == [("a", "late_accepted"), ("a", "sending")]


async def test_23c_the_database_away_after_the_250_is_waited_for(road: Road, owner):
    """Every connection is cut while the relay answers; the ending is offered again until it is taken."""
    road.a.late = 0.3
    await road.put()
    turn = asyncio.create_task(road.turn())
    while not any(line == "C: DATA" for line in road.a.transcript):  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    async with owner.begin() as connection:
        cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'identity_app'"
        await connection.execute(text(cut))
    await turn
    assert (await road.service.http.get("/readyz")).status_code in (200, 503)
    message = await road.message()
    assert message["state"] == "accepted"
    assert len(road.a.mails) == 1


async def test_the_database_away_before_the_letter_is_made_delays_it_by_a_moment(road: Road):
    """REL-06, REL-07: nothing was said to any relay, so it is handed back at once, and not marked as maybe sent."""
    usual, cut = road.sender.composers["test"], []

    async def compose(session, message):
        if not cut:
            cut.append(message.id)
            await session.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))
        return await usual(session, message)

    road.sender.composers = {"test": compose}
    await road.put()
    await road.turn()
    tries = await road.service.rows("SELECT reply_class FROM attempt ORDER BY attempt_no")
    assert tries == [("released",), ("accepted",)]
    assert await road.service.rows("SELECT state, possibly_sent FROM message") == [("accepted", False)]
    assert len(road.a.mails) == len(cut) == 1


async def test_a_second_worker_cannot_record_for_the_first(road: Road):
    await road.put()
    claimed = await claim(road)
    forged = queue.ClaimedMessage(**{**{n: getattr(claimed, n) for n in claimed.__slots__}, "token": uuid.uuid4()})
    assert await record(road, forged) == set()


async def test_three_lost_in_a_row_have_failed(road: Road):
    await road.put()
    for _ in range(3):
        await claim(road)
        await lapse(road)
    assert (await road.message())["state"] == "failed"


async def test_a_lost_letter_past_its_deadline_is_unconfirmed(road: Road):
    await road.put()
    await claim(road)
    road.service.clock.now += kinds.KINDS["test"].hand_over
    await road.tend()
    assert (await road.message())["state"] == "unconfirmed"


async def test_sigterm_hands_back_what_was_not_begun(road: Road):
    """REL-30."""
    await road.put()
    claimed = await claim(road, road.sender.name)
    road.sender.stop()
    await road.sender._observed_delivery(claimed)
    message = await road.message()
    assert (message["state"], message["may_arrive_twice"]) == ("deferred", False)
    assert (await road.tries())[0] == ("a", "aborted")


@pytest.mark.timeout(180 + RACED // 20)
async def test_eight_workers_never_take_one_letter_twice(road: Road):
    """REL-05."""
    for number in range(RACED):
        await road.put(f"customer{number}@example.com")

    async def work() -> list[uuid.UUID]:
        mine = []
        while True:
            claimed, _ = await road.database.in_transaction(
                lambda s: queue.claim_messages(s, worker="w", priority=0, limit=3, relay="a", now=road.service.clock())
            )
            if not claimed:
                return mine
            mine += [message.id for message in claimed]

    taken = [message for mine in await asyncio.gather(*(work() for _ in range(8))) for message in mine]
    assert len(taken) == len(set(taken)) == RACED


async def test_a_letter_that_cannot_be_made_fails_after_three_and_the_queue_goes_on(road: Road):
    """REL-19."""

    async def broken(session, message):
        raise ZeroDivisionError

    road.sender.composers = {**road.sender.composers, "welcome": broken}
    await road.put(kind="welcome")
    poisoned = road.id
    await road.put("berta@example.com")
    await road.turn()
    assert (await road.message())["state"] == "accepted"
    road.id = poisoned
    for _ in range(2):
        await road.wait_for_next()
        await road.turn()
    message = await road.message()
    assert message["state"] == "failed"
    assert [e["kind"] for e in message["timeline"]] == ["queued"] + ["aborted"] * 3
    assert "ZeroDivisionError" in message["timeline"][1]["reply"]


async def test_a_kind_no_worker_knows_ends_as_failed(road: Road):
    road.sender.composers = {}
    await road.put()
    await road.turns(3)
    assert (await road.message())["state"] == "failed"


async def test_an_address_that_became_unsafe_is_sent_to_nobody(road: Road, owner):
    """ATT-41, FACT-2."""
    await road.put()
    async with owner.begin() as connection:
        evil = "anna@example.com>\r\nRCPT TO:<evil@example.com"
        await connection.execute(text("UPDATE message SET recipient_ascii = :evil"), {"evil": evil})
    await road.turn()
    message = await road.message()
    assert message["state"] == "failed"
    assert "we sent nothing" in message["timeline"][1]["sentence"]
    assert road.a.transcript == []


async def test_a_reply_with_nul_and_broken_utf8_is_recorded(road: Road):
    road.a.will("RCPT", "550 5.1.1 \x00no\x07 \udcff\udcfesuch")
    await road.put()
    await road.turn()
    message = await road.message()
    assert message["state"] == "rejected"
    assert "\x00" not in message["timeline"][1]["reply"]


async def test_everybody_ill_means_nothing_is_claimed(road: Road):
    await road.put()
    for breaker in road.sender.relays.breakers.values():
        breaker._open(road.service.clock())
    await road.turn()
    assert await road.tries() == []
    assert (await road.message())["state"] == "queued"
    road.service.clock.advance(seconds=20)
    await road.turn()
    assert (await road.message())["state"] == "accepted"


async def test_a_hundred_deferred_ahead_do_not_hold_up_a_due_one(road: Road):
    """REL-39: what is not due is not stepped over."""
    road.a.will("RCPT", *always("451 4.3.0 later", 100))
    for number in range(60):
        await road.put(f"customer{number}@example.com")
    await road.turn()
    road.a.script.clear()
    await road.put("zoe@example.com")
    await road.turn()
    assert (await road.message())["state"] == "accepted"


async def test_reaping_twice_changes_nothing_more(road: Road):
    await road.put()
    await claim(road)
    road.service.clock.advance(seconds=181)
    assert await road.database.in_transaction(lambda s: reaper.release_expired_leases(s, now=road.service.clock())) == 1
    assert await road.database.in_transaction(lambda s: reaper.release_expired_leases(s, now=road.service.clock())) == 0
