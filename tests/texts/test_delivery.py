"""The faults of an outbox, repeated over carriers: where a text ends, who has it, and what is told of it."""

import pytest
from sqlalchemy import text

from identity_service.messages.delivery.text import TextSender
from identity_service.phone_numbers import texts as built
from tests.texts.carrier import DROP, HANG, REFUSALS, SECRET, TAKE_AND_DROP, FakeCarrier
from tests.texts.given import NUMBER


@pytest.fixture(autouse=True)
def code(monkeypatch):
    """Texts without an account have no token; their code stands in their facts."""

    async def build(session, message):
        return built.text_rendering.render_text(session, message, code=message.facts["code"])

    monkeypatch.setattr(built, "build_number_check", build)


async def test_a_text_goes_to_the_first_carrier(texts):
    """TXT-06: in one segment, with the line for the browser at its end; taken is not delivered."""
    await texts.put()
    await texts.turn()
    (taken,) = texts.a.taken
    words = "482913: Your code from Example Shop to confirm this telephone number. Don't tell it to anyone."
    assert (taken.to, taken.text) == (NUMBER, f"{words}\n@id.example.com #482913")
    message = await texts.message()
    assert (message["state"], message["channel"], message["accepted_relay"]) == ("accepted", "text", "a")
    assert message["relay_queue_id"] == "T1"
    assert "We don't know yet whether it will arrive" in message["sentence"]
    assert texts.b.requests == 0


@pytest.mark.parametrize("status", [401, 402, 403, 404, 429, 302])
async def test_a_carrier_that_surely_did_not_take_it_is_followed_by_the_next(texts, status):
    """TXT-11"""
    texts.a.will((status, {"message": "no"}))
    await texts.put()
    await texts.turn()
    assert await texts.tries() == [("a", "relay_fault"), ("b", "accepted")]
    assert (len(texts.a.taken), len(texts.b.taken)) == (0, 1)
    assert not (await texts.message())["may_arrive_twice"]


async def test_a_carrier_that_is_away_is_followed_by_the_next(texts):
    """TXT-11"""
    await texts.a.stop()
    await texts.put()
    await texts.turn()
    assert await texts.tries() == [("a", "relay_fault"), ("b", "accepted")]


async def test_a_refused_text_is_tried_at_the_other_carrier_once(texts):
    """TXT-11"""
    for one in (texts.a, texts.b):
        one.will((400, {"code": "policy", "message": "content refused"}))
    await texts.put()
    await texts.turn()
    assert await texts.tries() == [("a", "permanent"), ("b", "permanent")]
    assert await texts.state() == "rejected"


@pytest.mark.parametrize("act", [(500, {}), (503, {}), (408, {}), TAKE_AND_DROP, DROP, HANG, (200, {"odd": 1})])
async def test_nobody_knows_whether_a_carrier_has_it(texts, act):
    """TXT-11: no other carrier gets it in the same turn; later one may, and it says that it may arrive twice."""
    texts.a.will(act)
    await texts.put()
    await texts.turn()
    message = await texts.message()
    assert (message["state"], message["may_arrive_twice"]) == ("deferred", True)
    assert texts.b.requests == 0
    await texts.next_turn()
    assert await texts.tries() == [("a", "unknown"), ("b", "accepted")]
    message = await texts.message()
    assert (message["state"], message["may_arrive_twice"]) == ("accepted", True)
    assert len(texts.b.taken) == 1


async def test_each_copy_counts_in_the_days_budget(texts):
    """TXT-11: both within one budget."""
    texts.a.will(TAKE_AND_DROP)
    await texts.put()
    await texts.turn()
    await texts.next_turn()
    assert [row.cost for row in await texts.service.rows("SELECT cost FROM text_charge")] == [160_000]


async def test_a_copy_beyond_the_days_budget_is_not_sent(texts):
    """TXT-11, TXT-03: the first one may be on its way, so its fate is unknown, not expired."""
    texts.a.will(TAKE_AND_DROP)
    await texts.put()
    await texts.turn()
    async with texts.database.transaction() as session:
        await session.execute(text("UPDATE text_charge SET cost = 99950000"))
    await texts.next_turn()
    assert await texts.state() == "unconfirmed"
    assert texts.b.requests == 0
    assert "Another copy would have cost more" in (await texts.message())["timeline"][2]["sentence"]


async def test_a_worker_that_stopped_leaves_a_text_that_may_arrive_twice(texts):
    """TXT-11: the next one sends it again, and it counts twice."""
    await texts.put()
    sender = TextSender(texts.database, clock=texts.service.clock)
    sender._start = lambda _: None
    for priority in (0, 5, 9):
        await sender._claim(priority)
    texts.service.clock.advance(seconds=181)
    await texts.tend()
    await texts.turn()
    assert await texts.tries() == [("a", "lost"), ("a", "accepted")]
    assert (await texts.message())["may_arrive_twice"] is True
    assert [row.cost for row in await texts.service.rows("SELECT cost FROM text_charge")] == [160_000]


async def test_a_text_that_no_carrier_takes_in_time_expires(texts):
    """TXT-07: it is of no use later."""
    await texts.a.stop()
    await texts.b.stop()
    await texts.put()
    await texts.turn()
    texts.service.clock.advance(minutes=5)
    await texts.tend()
    assert await texts.state() == "expired"


async def test_a_number_that_nobody_has_is_suppressed(texts):
    """ADR-12: no other carrier is asked, and no next text is paid for."""
    texts.a.will(REFUSALS["no such number"]["generic"])
    await texts.put()
    await texts.turn()
    assert await texts.tries() == [("a", "permanent")]
    await texts.put()
    assert await texts.state() == "suppressed"


async def test_a_carrier_that_knows_of_a_stop_is_not_gone_around(texts):
    """TXT-10"""
    texts.a.will(REFUSALS["stopped"]["generic"])
    await texts.put()
    await texts.turn()
    assert await texts.tries() == [("a", "permanent")]
    assert texts.b.requests == 0


async def test_a_client_without_the_right_to_personal_data_sees_nothing_of_a_number(texts):
    """ADR-10"""
    await texts.put()
    caller = await texts.service.caller("messages:read", name="shop")
    assert (await caller.get(f"/v1/messages/{texts.id}")).json()["to"] == "••••"
    assert (await texts.message())["to"] == NUMBER


async def test_emails_and_texts_wait_in_one_outbox_for_their_own_senders(texts):
    """TXT-01: the sender of emails never takes a text."""
    await texts.put()
    assert await texts.service.deliver() == 0
    assert await texts.turn() == 1


@pytest.mark.parametrize("api", ["twilio", "sinch", "generic"])
async def test_no_number_and_no_code_is_kept_of_an_answer(texts, api, log):
    """TXT-12: answers are verbatim, but for number, code and credentials; logs and metrics have none either."""
    carrier = await FakeCarrier(api, "only").start()
    texts.database.settings.__dict__["carriers"] = (carrier.settings,)
    carrier.will((500, {"message": f"cannot reach {NUMBER}: 482913"}))
    try:
        await texts.put()
        await texts.turn()
        await texts.next_turn()
    finally:
        await carrier.stop()
    (first, second) = [e["reply"] for e in (await texts.message())["timeline"] if e["attempt"] is not None]
    assert first == '{"message": "cannot reach [number]: [code]"}'
    assert '"to": "[number]"' in second
    assert await texts.state() == "accepted"
    kept = str(await texts.service.rows("SELECT reply, transcript, relay FROM attempt")) + second
    kept += str(await texts.service.rows("SELECT last_reply, relay_queue_id FROM message")) + log.text
    kept += (await texts.service.http.get("/metrics")).text
    for secret in (NUMBER, NUMBER[1:], "482913", SECRET):
        assert secret not in kept, secret


@pytest.mark.parametrize(
    ("api", "path", "login"),
    [
        ("twilio", "/2010-04-01/Accounts/AC-only/Messages.json", "basic qumtb25sethjyxjyawvylxnly3jldc00nzex"),
        ("sinch", "/xms/v1/AC-only/batches", f"bearer {SECRET}"),
        ("generic", "/", SECRET),
    ],
)
async def test_each_carrier_is_asked_as_its_documentation_says(texts, api, path, login):
    """TXT-12: Twilio's Messages resource, Sinch's batches, and what the settings describe."""
    carrier = await FakeCarrier(api, "only").start()
    texts.database.settings.__dict__["carriers"] = (carrier.settings,)
    try:
        await texts.put()
        await texts.turn()
    finally:
        await carrier.stop()
    (taken,) = carrier.taken
    assert taken.path == path or (path, taken.path) == ("/", "/")
    assert taken.to == NUMBER
    assert taken.report_url == f"https://id.example.com/webhooks/texts/only/{texts.id}"
    if api != "twilio":
        assert taken.headers["authorization"] == login
    assert await texts.state() == "accepted"
