"""The limits of a tracking page: what is counted belongs to a message that exists, and to a network."""

import pytest

from identity_service.one_time_tokens import pages
from identity_service.web import streams
from tests.resets.given import a_browser, ask

LIMITS = "SELECT count(*) FROM rate_limit_counter WHERE key LIKE '%reroute%'"


async def reroute(browser, handle: str):
    return await browser.send(f"/messages/{handle}/reroute")


@pytest.mark.parametrize("handle", ["x", "x" * 24, "x" * 300, "x" * 4000, "%00", "%F0%9F%98%80", "é" * 200])
async def test_a_handle_that_is_none_is_unknown_and_makes_no_counter_of_its_own(service, handle):
    """R25: it was looked up behind the limit: a long one was a 500, each other one a row."""
    browser = a_browser(service)
    for _ in range(3):
        await browser.open("/reset")
        answer = await reroute(browser, handle)
        assert answer.status_code == 404, answer.text
    assert await service.rows(LIMITS) == [(1,)]


async def test_one_message_is_rerouted_ten_times_an_hour_from_wherever(service, monkeypatch):
    """R25: the message is counted, so that no second network makes the limit larger."""
    monkeypatch.setattr(pages, "REROUTES", "2/hour")
    browser = a_browser(service)
    handle = (await ask(browser, "anna@example.org")).rsplit("/", 1)[-1]
    answers = [(await reroute(browser, handle)).status_code for _ in range(2)]
    other = a_browser(service, "198.51.100.200")
    await other.open(f"/reset/{handle}")
    answers.append((await reroute(other, handle)).status_code)
    assert answers == [200, 200, 429]


async def test_a_network_reroutes_within_a_limit(service, monkeypatch):
    """R25: guessing handles is limited, too."""
    monkeypatch.setattr(pages, "REROUTES_PER_NETWORK", "2/hour")
    browser, other = a_browser(service), a_browser(service, "198.51.100.200")
    answers = []
    for one in (browser, browser, browser, other):
        await one.open("/reset")
        answers.append((await reroute(one, f"x{len(answers)}")).status_code)
    assert answers == [404, 404, 429, 404]


async def test_the_stream_of_a_page_is_limited_and_ends_with_the_message(service, monkeypatch):
    """R30, B11."""
    monkeypatch.setattr(streams, "LONGEST_SECONDS", 0)
    monkeypatch.setattr(streams, "POLL_SECONDS", 0)
    browser = a_browser(service)
    handle = (await ask(browser, "anna@example.org")).rsplit("/", 1)[-1]
    path = f"/messages/{handle}/stream"
    moving = await browser.http.get(path)
    assert (moving.status_code, moving.text.count("event: changed")) == (200, 1)
    assert "event: over" not in moving.text
    await service.rows("UPDATE message SET state = 'cancelled', next_attempt_at = NULL RETURNING state")
    ended = await browser.http.get(path)
    assert ended.text.endswith("event: over\ndata: {}\n\n")
    newest = ended.text.split("id: ")[1].split("\n")[0]
    assert (await browser.http.get(path, headers={"Last-Event-ID": newest})).status_code == 204
    monkeypatch.setattr(streams, "PER_SUBJECT", 0)
    assert (await browser.http.get(path)).status_code == 429


@pytest.mark.parametrize("handle", ["x" * 24, "x" * 4000])
async def test_a_stream_of_nothing_is_unknown(service, handle):
    assert (await service.http.get(f"/messages/{handle}/stream")).status_code == 404
