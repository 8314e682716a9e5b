"""What carriers report: signed over the URL that is configured, fresh, of their own texts, and forward only."""

import pytest

from identity_service.phone_numbers import texts as built
from tests.texts.carrier import FakeCarrier, report, signed_by_sinch, signed_by_standard, signed_by_twilio
from tests.texts.given import NUMBER

STATES = {
    "twilio": ("sent", "delivered", "undelivered"),
    "sinch": ("Dispatched", "Delivered", "Failed"),
    "generic": ("sent", "delivered", "failed"),
}
APIS = tuple(STATES)


@pytest.fixture(autouse=True)
def code(monkeypatch):
    async def build(session, message):
        return built.text_rendering.render_text(session, message, code=message.facts["code"])

    monkeypatch.setattr(built, "build_number_check", build)


@pytest.fixture
async def taken(texts, request):
    """A text that a carrier of this interface has taken, and the URL of its reports."""
    carrier = await FakeCarrier(request.param, "only").start()
    texts.database.settings.__dict__["carriers"] = (carrier.settings, texts.b.settings)
    await texts.put()
    await texts.turn()
    assert await texts.state() == "accepted"
    yield carrier, carrier.taken[0].report_url
    await carrier.stop()


def now_of(texts) -> float:
    return texts.service.clock().timestamp()


async def post(texts, url: str, call: dict) -> int:
    return (await texts.service.http.post(url.removeprefix("https://id.example.com"), **call)).status_code


every_api = pytest.mark.parametrize("taken", APIS, indirect=True)


@every_api
async def test_reports_lead_forward_only(texts, taken):
    """TXT-09: passed on, delivered; a late failure is a failure, and nothing leads back."""
    carrier, url = taken
    sent, delivered, failed = STATES[carrier.api]
    for said, state in ((sent, "accepted"), (delivered, "delivered"), (sent, "delivered"), (failed, "bounced")):
        assert await post(texts, url, report(carrier, url, said, now=now_of(texts))) == 204
        assert await texts.state() == state
    assert await post(texts, url, report(carrier, url, delivered, now=now_of(texts), MessageSid="SM2")) == 204
    assert await texts.state() == "bounced"
    assert "didn't arrive" in (await texts.message())["sentence"]


@every_api
async def test_a_report_that_comes_again_changes_nothing(texts, taken):
    """TXT-09: recorded and sent once more."""
    carrier, url = taken
    call = report(carrier, url, STATES[carrier.api][1], now=now_of(texts))
    assert [await post(texts, url, call) for _ in range(3)] == [204] * 3
    assert len(await texts.service.rows("SELECT 1 FROM feedback")) == 1


@every_api
async def test_a_forged_report_is_refused(texts, taken):
    """TXT-09: unsigned, with another key, altered, for another URL, old."""
    carrier, url = taken
    delivered = STATES[carrier.api][1]
    good = report(carrier, url, delivered, now=now_of(texts))
    body = {name: value for name, value in good.items() if name != "headers"}
    other = url.rpartition("/")[0] + "/6f0f8dbf-6d61-4b0e-8b8a-9a5c6d1f3f6e"
    assert await post(texts, url, body) == 403
    assert await post(texts, url, report(carrier, url, delivered, now=now_of(texts), key="YW5vdGhlciBrZXk=")) == 403
    altered = dict(good)
    if carrier.api == "twilio":
        altered["data"] = {**good["data"], "MessageStatus": "failed"}
    else:
        altered["content"] = good["content"].replace(delivered.encode(), STATES[carrier.api][2].encode())
    assert await post(texts, url, altered) == 403
    assert await post(texts, other, good) in (400, 403)
    if carrier.api != "twilio":
        for age in (-301, 301):
            assert await post(texts, url, report(carrier, url, delivered, now=now_of(texts) + age)) == 403
    assert await texts.state() == "accepted"
    assert await texts.service.rows("SELECT 1 FROM feedback") == []


@every_api
async def test_the_host_header_decides_nothing(texts, taken):
    """TXT-09: a signature over another host's URL is no signature of this one."""
    carrier, url = taken
    texts.database.settings.__dict__["hosts"] = frozenset({"id.example.com", "evil.example"})
    elsewhere = url.replace("id.example.com", "evil.example")
    call = report(carrier, elsewhere, STATES[carrier.api][1], now=now_of(texts))
    call["headers"]["Host"] = "evil.example"
    status = await post(texts, url, call)
    assert (status, await texts.state()) == ((403, "accepted") if carrier.api == "twilio" else (204, "delivered"))


@every_api
async def test_a_report_of_another_carrier_or_account_changes_nothing(texts, taken):
    """TXT-09: signed with its own key, about a text that it was never handed."""
    carrier, url = taken
    delivered = STATES[carrier.api][1]
    theirs = url.replace("/only/", "/b/")
    assert await post(texts, theirs, report(texts.b, theirs, "delivered", now=now_of(texts))) == 204
    if carrier.api == "twilio":
        call = report(carrier, url, delivered, now=now_of(texts), AccountSid="AC-another")
        assert await post(texts, url, call) == 403
    nobody = url.rpartition("/")[0] + "/6f0f8dbf-6d61-4b0e-8b8a-9a5c6d1f3f6e"
    assert await post(texts, nobody, report(carrier, nobody, delivered, now=now_of(texts))) == 204
    assert await post(texts, url.replace("/only/", "/nobody/"), {"content": b"{}"}) == 404
    assert await texts.state() == "accepted"
    assert await texts.service.rows("SELECT 1 FROM feedback") == []


@every_api
async def test_an_old_text_is_reported_no_more(texts, taken):
    """TXT-09: Twilio signs no time, so the text's own age counts."""
    carrier, url = taken
    texts.service.clock.advance(days=3, seconds=1)
    assert await post(texts, url, report(carrier, url, STATES[carrier.api][1], now=now_of(texts))) == 204
    assert await texts.state() == "accepted"


@every_api
async def test_a_large_report_is_not_read(texts, taken):
    """TXT-09: at most 64 KiB."""
    _, url = taken
    assert await post(texts, url, {"content": b"x" * (64 * 1024 + 1)}) == 413


async def test_an_email_is_no_text(texts, caller):
    """TXT-09: no carrier's report changes an email."""
    answer = await caller.post("/v1/accounts", {"email": "anna@example.org"})
    assert answer.status_code == 201, answer.text
    ((email_id,),) = await texts.service.rows("SELECT id FROM message WHERE channel = 'email'")
    url = f"https://id.example.com/webhooks/texts/a/{email_id}"
    assert await post(texts, url, report(texts.a, url, "delivered", now=now_of(texts))) == 204
    assert await texts.service.rows("SELECT 1 FROM message WHERE state = 'delivered'") == []


async def test_a_delivered_report_settles_what_nobody_knew(texts):
    """TXT-11: the answer was lost, the report comes."""
    texts.a.will("take and drop")
    await texts.put()
    await texts.turn()
    url = texts.a.taken[0].report_url
    assert await post(texts, url, report(texts.a, url, "delivered", now=now_of(texts))) == 204
    assert await texts.state() == "delivered"
    assert await texts.turn() == 0


async def test_a_carrier_without_a_key_for_reports_reports_nothing(texts):
    """TXT-09"""
    await texts.put()
    await texts.turn()
    url = texts.a.taken[0].report_url
    without = texts.a.settings.model_copy(update={"report_key": None})
    texts.database.settings.__dict__["carriers"] = (without, texts.b.settings)
    assert await post(texts, url, report(texts.a, url, "delivered", now=now_of(texts))) == 403


def stop_call(api: str, now: float, words: str = "Stop.", key: str | None = None):
    url = "https://id.example.com/webhooks/texts/only"
    keyed = {} if key is None else {"key": key}
    if api == "twilio":
        fields = {"From": NUMBER, "Body": words, "AccountSid": "AC-only", "MessageSid": "SM9"}
        return url, signed_by_twilio(url, fields, **keyed)
    if api == "sinch":
        return url, signed_by_sinch({"type": "mo_text", "from": NUMBER[1:], "body": words}, now=now, **keyed)
    return url, signed_by_standard({"from": NUMBER, "text": words}, now=now, event_id="evt-stop", **keyed)


@every_api
async def test_whoever_answers_stop_gets_no_texts(texts, taken):
    """TXT-10: email goes on; neither a desk nor a delivered text lifts it; a forged STOP does nothing."""
    carrier, _ = taken
    await texts.put()
    assert await texts.state() == "queued"
    waiting = texts.id
    url, forged = stop_call(carrier.api, now_of(texts), key="YW5vdGhlciBrZXk=")
    assert await post(texts, url, forged) == 403
    assert await post(texts, *stop_call(carrier.api, now_of(texts), "Thanks, and don't stop")) == 204
    assert await texts.state() == "queued"
    assert await post(texts, *stop_call(carrier.api, now_of(texts))) == 204
    assert await texts.state() == "suppressed"
    texts.id = waiting
    await texts.put()
    assert await texts.state() == "suppressed"
    operator = await texts.service.caller("mail:operate", "messages:read", "messages:send", name="operator")
    listed = (await operator.get("/v1/suppressions")).json()["items"]
    assert [one["reason"] for one in listed] == ["stop", "stop"]
    for one in listed:
        lifted = await operator.http.post(f"/v1/suppressions/{one['id']}/lift", headers=operator.headers)
        assert lifted.status_code == 404
    assert await texts.service.rows("SELECT 1 FROM suppression WHERE lifted_at IS NULL AND reason = 'stop'") != []
    again = await operator.post(f"/v1/messages/{texts.id}/retry", {})
    assert again.status_code == 202, again.text
    await texts.turn()
    assert len(carrier.taken) == 1


async def test_a_stop_of_a_number_that_we_never_wrote_to_is_not_kept(texts):
    """TXT-10"""
    texts.a.name = "a"
    url = "https://id.example.com/webhooks/texts/a"
    call = signed_by_standard({"from": "+4915199999999", "text": "STOP"}, now=now_of(texts), event_id="evt-1")
    assert await post(texts, url, call) == 204
    assert await texts.service.rows("SELECT 1 FROM suppression") == []
