"""/metrics: every number is there, true, and nothing in it names a customer; on the inner port alone."""

import asyncio
import contextlib
import re

import httpx2
import pytest
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import text

from identity_service import app as web
from identity_service.database.transactions import Database
from identity_service.messages import heartbeat
from identity_service.settings import Relay, Settings
from identity_service.values import user_ids
from tests.accounts.given import an_account
from tests.events.given import events

CUSTOMERS = 200
LABELS = {"method", "route", "status", "le", "priority", "state", "quantile", "relay", "what"}
PER_ROUTE = 15


async def scrape(http) -> dict[tuple, float]:
    """Every sample as (name, sorted labels): value."""
    answer = await http.get("/metrics")
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("text/plain")
    families = text_string_to_metric_families(answer.text)
    return {(s.name, *sorted(s.labels.items())): s.value for family in families for s in family.samples}


def values(samples: dict[tuple, float], name: str) -> dict[tuple, float]:
    return {key[1:]: value for key, value in samples.items() if key[0] == name}


async def test_a_request_is_counted_under_its_template_with_its_status(service, caller):
    user_id = await an_account(caller)
    await caller.get(f"/v1/accounts/{user_id}")
    await caller.get("/v1/accounts/nonsense")
    await caller.get("/nowhere/anna@example.com")
    samples = await scrape(service.http)
    counted = values(samples, "identity_requests_total")
    template = ("method", "GET"), ("route", "/v1/accounts/{user_id}")
    assert counted[*template, ("status", "200")] == 1
    assert counted[*template, ("status", "422")] == 1
    assert counted[("method", "GET"), ("route", "-"), ("status", "404")] == 1
    assert values(samples, "identity_request_seconds_count")[template[1],] == 2
    assert 0 < values(samples, "identity_request_seconds_sum")[template[1],] < 60


async def test_a_method_that_nobody_knows_is_one_of_the_others(service):
    """LOG-07: what a caller makes up is no label."""
    for method in ("BREW", "ANNA"):
        await service.http.request(method, "/livez")
    samples = values(await scrape(service.http), "identity_requests_total")
    assert {dict(labels)["method"] for labels in samples} == {"other"}


async def test_after_many_customers_no_label_names_one(service, caller):
    """LOG-07: as many series as before, no id, no address, and only the labels that are listed."""
    await an_account(caller)
    await service.deliver()
    before = await scrape(service.http)
    seen = set()
    for number in range(CUSTOMERS):
        answer = await caller.post("/v1/accounts", {"email": f"customer{number}@mail{number}.example"})
        user_id = answer.json()["user_id"]
        seen |= {user_id, user_ids.parse(user_id)}
        await caller.get(f"/v1/accounts/{user_id}")
        await caller.get(f"/v1/accounts/{user_id}x")
        await caller.get(f"/v1/{user_id}/customer{number}@mail{number}.example")
    while await service.deliver():
        pass
    after = await scrape(service.http)
    new = {key for key in after.keys() - before.keys() if key[0].startswith("identity_")}
    assert len(new) < 4 * PER_ROUTE, sorted(new)
    labels = [pair for key in after for pair in key[1:]]
    assert {name for name, _ in labels} <= LABELS
    said = " ".join(value for _, value in labels)
    assert "@" not in said
    assert "mail1" not in said
    assert not any(user_id in said for user_id in seen)
    assert not re.search(r"[0-9a-f]{8}-[0-9a-f]{4}", said)


async def test_the_outbox_is_counted_by_lane_with_its_age(service, caller, clock):
    await caller.post("/v1/accounts", {"email": "anna@example.com"})
    clock.advance(seconds=90)
    samples = await scrape(service.http)
    assert sum(values(samples, "identity_outbox_waiting").values()) == 1
    assert sum(values(samples, "identity_outbox_due").values()) == 1
    assert max(values(samples, "identity_outbox_oldest_seconds").values()) == pytest.approx(90, abs=5)
    assert values(samples, "identity_messages_last_hour") == {(("state", "queued"),): 1}
    await service.deliver()
    samples = await scrape(service.http)
    assert sum(values(samples, "identity_outbox_waiting").values()) == 0
    assert values(samples, "identity_messages_last_hour") == {(("state", "accepted"),): 1}
    assert values(samples, "identity_delivery_seconds")[("quantile", "0.95"),] == pytest.approx(90, abs=5)


async def test_breakers_and_workers_are_those_that_workers_show(service):
    """A worker that is gone is not counted among those that see a relay."""
    sender = service.sender(
        Relay(name="first", host="127.0.0.1", port=1, tls="none"),
        Relay(name="second", host="127.0.0.1", port=2, tls="none"),
    )
    sender.relays.breakers["second"].state = "open"
    await service.database.in_transaction(lambda s: heartbeat.beat(s, sender, service.clock()))
    samples = await scrape(service.http)
    assert values(samples, "identity_workers_alive") == {(): 1}
    assert values(samples, "identity_relay_breakers") == {
        (("relay", "first"), ("state", "closed")): 1, (("relay", "second"), ("state", "open")): 1,
    }  # fmt: skip
    async with service.database.transaction() as session:
        await session.execute(text("UPDATE worker SET seen_at = now() - interval '1 minute'"))
        await session.execute(text("UPDATE relay_state SET updated_at = now() - interval '1 minute'"))
    samples = await scrape(service.http)
    assert values(samples, "identity_workers_alive") == {(): 0}
    assert values(samples, "identity_relay_breakers") == {}


async def test_the_feed_is_where_it_says(service):
    await events(service, 3)
    await service.seal()
    await events(service, 2)
    samples = await scrape(service.http)
    assert values(samples, "identity_feed_position") == {(): 3}
    assert values(samples, "identity_feed_unsealed") == {(): 2}


async def test_pool_and_hashing_are_those_of_this_process(service):
    hasher = service.app.state.hasher
    async with service.database.transaction() as held:
        await held.connection()
        samples = await scrape(service.http)
    assert values(samples, "identity_pool_in_use")[()] >= 1
    assert values(samples, "identity_pool_connections") == {(): service.database.settings.database_pool_size}
    assert values(samples, "identity_password_queue") == {(): 0}
    assert values(samples, "identity_hash_threads") == {(): hasher.threads}
    release = asyncio.Event()
    loop = asyncio.get_running_loop()
    hashing = asyncio.create_task(hasher.run(lambda: asyncio.run_coroutine_threadsafe(release.wait(), loop).result(10)))
    await asyncio.sleep(0)
    samples = await scrape(service.http)
    release.set()
    await hashing
    assert values(samples, "identity_password_queue") == {(): 1}


async def test_without_a_database_it_tells_what_the_process_knows_itself(service, monkeypatch):
    """REL-06: and no number of before."""
    assert values(await scrape(service.http), "identity_database_up") == {(): 1}
    away = Database(service.database.settings, "postgresql://nobody@127.0.0.1:1/nothing")
    monkeypatch.setattr(service.app.state, "database", away)
    samples = await scrape(service.http)
    await away.close()
    assert values(samples, "identity_database_up") == {(): 0}
    assert values(samples, "identity_feed_position") == {}
    assert values(samples, "identity_requests_total") != {}


async def test_in_production_it_is_on_the_inner_port_alone(service, urls):
    """ASVS 13.4.5: outside there is nothing at this path; inside, under any name, both doors are counted together."""
    settings = Settings(
        **{**service.database.settings.model_dump(), "environment": "production", "insecure_fast_hashing": False}
    )
    database = Database(settings, urls.application)
    database.keys = service.database.keys
    app = web.create_app(database, settings.key())
    async with contextlib.AsyncExitStack() as stack:
        outside, inside = [
            await stack.enter_async_context(
                httpx2.AsyncClient(transport=httpx2.ASGITransport(door), base_url="https://id.example.com")
            )
            for door in (app, web.internal_app(app))
        ]
        assert (await outside.get("/metrics")).status_code == 404
        told = await inside.get("/metrics", headers={"Host": "10.0.0.7:8081"})
        assert told.status_code == 200
        assert 'identity_requests_total{method="GET",route="-",status="404"} 1.0' in told.text
    app.state.hasher.close()
    await database.close()
