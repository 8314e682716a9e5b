"""Limits hold across processes, tell when they end, and fail closed: a store that is away opens no door."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from fastapi import Request
from sqlalchemy import text

from identity_service.database.transactions import Database
from identity_service.web import dependencies, rate_limits
from identity_service.web.rate_limits import RateLimiter, TooManyRequests

NOWHERE = "postgresql://nobody@127.0.0.1:1/nothing"


async def refusal(limits: RateLimiter, rates: str, *who: str) -> TooManyRequests:
    """Count until it is refused; return the refusal."""
    for _ in range(100):
        try:
            await limits.hit("door", rates, *who)
        except TooManyRequests as found:
            return found
    raise AssertionError("never refused")


async def test_a_limit_is_counted_together_by_two_applications(service, urls, settings):
    """Two processes on one database: what one has counted, the other knows."""
    other = Database(settings, urls.application)
    try:
        first, second = RateLimiter(service.database), RateLimiter(other)
        for limits in (first, second, first, second, first):
            await limits.hit("door", "5/minute", "anna")
        for limits in (first, second):
            with pytest.raises(TooManyRequests):
                await limits.hit("door", "5/minute", "anna")
    finally:
        await other.close()


async def test_no_hit_is_lost_when_many_come_at_once(service):
    limits = RateLimiter(service.database)
    found = await asyncio.gather(*(limits.hit("door", "10/minute", "anna") for _ in range(40)), return_exceptions=True)
    assert sum(answer is None for answer in found) == 10
    assert sum(isinstance(answer, TooManyRequests) for answer in found) == 30


async def test_who_and_what_are_counted_apart(service):
    limits = RateLimiter(service.database)
    await refusal(limits, "2/minute", "anna")
    await limits.hit("door", "2/minute", "berta")
    await limits.hit("gate", "2/minute", "anna")


async def test_the_longer_limit_counts_beside_the_shorter(service):
    limits = RateLimiter(service.database)
    refused = await refusal(limits, "100/minute; 3/hour", "anna")
    assert refused.headers["RateLimit-Policy"] == '"door";q=3;w=3600'


async def test_a_hit_stands_when_the_request_is_undone(service):
    """A transaction of its own: failing on purpose resets nothing."""
    limits = RateLimiter(service.database)

    async def undone(session) -> None:
        await limits.hit("door", "1/minute", "anna")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await service.database.in_transaction(undone)
    with pytest.raises(TooManyRequests):
        await limits.hit("door", "1/minute", "anna")


@pytest.mark.parametrize(("rates", "seconds"), [("1/minute", 60), ("1/hour", 3600)])
async def test_retry_after_agrees_with_the_rate_limit_headers(service, rates, seconds):
    """API-05 (draft 11)."""
    refused = await refusal(RateLimiter(service.database), rates, "anna")
    wait = int(refused.extra_headers()["Retry-After"])
    assert seconds - 5 <= wait <= seconds + 1
    assert refused.extra_headers()["RateLimit"] == f'"door";r=0;t={wait}'
    assert refused.extra_headers()["RateLimit-Policy"] == f'"door";q=1;w={seconds}'


async def test_the_door_answers_429_with_these_headers(service, caller, owner):
    """API-04, API-05: the same for a known and an unknown address."""
    await caller.post("/v1/accounts", {"email": "anna@example.com"})
    await caller.post("/v1/accounts/search", {"email": "anna@example.com"})
    async with owner.begin() as connection:
        await connection.execute(text("UPDATE rate_limit_counter SET count = 600"))
    seen = []
    for email in ("anna@example.com", "nobody@example.com"):
        refused = await caller.post("/v1/accounts/search", {"email": email})
        assert (refused.status_code, refused.json()["code"]) == (429, "too_many_requests")
        assert refused.headers["RateLimit"] == f'"account-search";r=0;t={refused.headers["Retry-After"]}'
        assert refused.headers["RateLimit-Policy"] == '"account-search";q=600;w=60'
        assert refused.json()["retry_after"] == int(refused.headers["Retry-After"])
        assert email not in refused.text
        seen.append(refused.json().keys())
    assert seen[0] == seen[1]


async def test_a_window_ends_and_the_next_begins_at_one(service, owner):
    limits = RateLimiter(service.database)
    await refusal(limits, "3/minute", "anna")
    async with owner.begin() as connection:
        await connection.execute(text("UPDATE rate_limit_counter SET expires_at = now() - interval '1 ms'"))
    await limits.hit("door", "3/minute", "anna")
    ((count, ends),) = await service.rows("SELECT count, expires_at FROM rate_limit_counter")
    assert count == 1
    assert timedelta(seconds=50) < ends - datetime.now(UTC) < timedelta(seconds=61)


async def test_being_refused_does_not_make_the_window_longer(service):
    limits = RateLimiter(service.database)
    await refusal(limits, "1/minute", "anna")
    before = await service.rows("SELECT expires_at FROM rate_limit_counter")
    await refusal(limits, "1/minute", "anna")
    assert await service.rows("SELECT expires_at FROM rate_limit_counter") == before


async def test_upkeep_forgets_windows_that_are_over(service, owner):
    limits = RateLimiter(service.database)
    for who in ("anna", "berta"):
        await limits.hit("door", "1/minute", who)
    async with owner.begin() as connection:
        await connection.execute(
            text("UPDATE rate_limit_counter SET expires_at = now() - interval '1 s' WHERE key LIKE '%anna%'")
        )
    await service.database.in_transaction(rate_limits.purge_counters)
    ((key,),) = await service.rows("SELECT key FROM rate_limit_counter")
    assert "berta" in key


async def test_a_store_that_is_named_is_used(service):
    """Any store the limits library knows; the database then counts nothing."""
    settings = service.database.settings.model_copy(update={"rate_limit_storage_url": "async+memory://"})
    limits = RateLimiter(Database(settings, NOWHERE))
    refused = await refusal(limits, "2/minute", "anna")
    assert int(refused.extra_headers()["Retry-After"]) <= 61
    assert await service.rows("SELECT count(*) FROM rate_limit_counter") == [(0,)]


@pytest.mark.parametrize("store", ["database", "async+redis://127.0.0.1:1/0"], ids=["database", "redis"])
async def test_a_store_that_is_away_refuses_and_says_when_to_come_again(service, caller, store):
    """ASVS 16.5.3: it fails closed: 503 with Retry-After, and the search behind the limit is not made."""
    settings = service.database.settings.model_copy(update={"rate_limit_storage_url": store})
    service.app.state.throttle = RateLimiter(Database(settings, NOWHERE))
    refused = await caller.post("/v1/accounts/search", {"email": "anna@example.com"})
    assert refused.status_code == 503
    assert int(refused.headers["Retry-After"]) > 0
    assert "127.0.0.1" not in refused.text


FORWARDED = [
    (0, "203.0.113.9", "198.51.100.7"),
    (1, "203.0.113.9", "203.0.113.9"),
    (1, "6.6.6.6, 203.0.113.9", "203.0.113.9"),
    (2, "6.6.6.6, 203.0.113.9, 192.0.2.1", "203.0.113.9"),
    (2, "203.0.113.9", "198.51.100.7"),
    (1, "2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
    (1, "203.0.113.9:4711", "203.0.113.9"),
    (2, "203.0.113.9:4711, [2001:db8::1]:443", "203.0.113.9"),
    (1, "::ffff:203.0.113.9", "203.0.113.9"),
    (1, "64:ff9b::cb00:7109", "203.0.113.9"),
    (1, "evil", "unknown"),
    (1, "", "unknown"),
]


@pytest.mark.parametrize(("proxies", "given", "network"), FORWARDED)
async def test_a_network_is_what_our_own_proxies_saw(service, proxies, given, network):
    """ATT-39, ASVS 15.3.4: counted from the right; what a stranger adds on the left counts for nothing."""
    settings = service.database.settings.model_copy(update={"trusted_proxy_count": proxies})
    service.app.state.database = Database(settings, NOWHERE)
    headers = [(b"x-forwarded-for", given.encode())]
    scope = {"type": "http", "app": service.app, "client": ("198.51.100.7", 1), "headers": headers}
    assert dependencies.client_network(Request(scope)) == network
