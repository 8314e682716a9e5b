"""How the outbox and its relays are: depth, age, delivery time by domain, and what each worker thinks of each relay."""

from identity_service.messages import heartbeat
from tests.faults.relay import FaultRelay
from tests.mail.given import a_letter, claim, end, put, relays


async def test_relays_stand_in_order_of_preference_with_what_each_worker_thinks(service, caller):
    server, other = await FaultRelay().start(), await FaultRelay().start()
    relays(service, server, other, username="u", password="PASSWORD")
    server.will("RCPT", "550 5.1.1 <anna@example.com> no such user")
    await put(service)
    sender = service.sender()
    await sender.once()
    sender.relays.breakers["b"]._open(service.clock())
    await service.database.in_transaction(lambda s: heartbeat.beat(s, sender, service.clock()))
    await sender.relays.close()
    first, second = (await caller.get("/v1/relays")).json()["items"]
    assert [first["name"], second["name"]] == ["a", "b"]
    assert (first["port"], first["tls"], first["connections"]) == (server.port, "none", 8)
    (seen,) = second["workers"]
    assert (seen["worker"], seen["breaker"], seen["opened_until"] is not None) == (sender.name, "open", True)
    assert "PASSWORD" not in (await caller.get("/v1/relays")).text
    await server.stop()
    await other.stop()


async def test_what_a_relay_said_last_shows_no_address(service, caller):
    """NOM-05: a relay's last reply may be about somebody."""
    sender = service.sender()
    sender.relays.breakers["first"].last_reply = "5.1.1 <anna@example.com> no such user"
    await service.database.in_transaction(lambda s: heartbeat.beat(s, sender, service.clock()))
    (relay,) = (await caller.get("/v1/relays")).json()["items"]
    assert relay["workers"][0]["last_reply"] == "5.1.1 <a…@example.com> no such user"
    # R20, PRV-10: nobody erases it from here, so it is masked when it is stored.
    ((stored,),) = await service.rows("SELECT last_reply FROM relay_state WHERE relay = 'first'")
    assert stored == "5.1.1 <a…@example.com> no such user"


async def test_health_tells_depth_age_and_how_mail_to_each_domain_fares(service, caller):
    for state, domain in (("accepted", "fast.example"), ("rejected", "slow.example"), ("deferred", "slow.example")):
        await a_letter(service, state, f"{state}@{domain}")
    await a_letter(service, "sending", "now@fast.example")
    service.clock.advance(minutes=4)
    await put(service, "new@fast.example")
    health = (await caller.get("/v1/mail/health")).json()
    assert {name: health[name] for name in ("waiting", "sending", "due")} == {"waiting": 2, "sending": 1, "due": 2}
    assert health["oldest_s"] == 240
    fast, slow = health["domains"]
    assert fast == {
        "domain": "fast.example", "messages": 3, "waiting": 2, "p50_s": 0.0, "p95_s": 0.0, "failed_share": 0.0,
    }  # fmt: skip
    assert (slow["domain"], slow["messages"], slow["waiting"], slow["failed_share"]) == ("slow.example", 2, 1, 0.5)
    assert slow["p50_s"] is None


async def test_delivery_time_is_from_commit_to_the_relays_250(service, caller):
    for seconds in (1, 2, 3, 4, 100):
        await put(service)
        claimed = await claim(service)
        service.clock.advance(seconds=seconds)
        await end(service, claimed, "accepted")
    (domain,) = (await caller.get("/v1/mail/health")).json()["domains"]
    assert (domain["p50_s"], domain["messages"]) == (3, 5)
    assert 4 < domain["p95_s"] <= 100


async def test_health_is_about_the_last_hour_and_whatever_still_waits(service, caller):
    await a_letter(service, "accepted", "anna@old.example")
    await a_letter(service, "deferred", "anna@stuck.example")
    service.clock.advance(hours=2)
    later = await service.caller(name="later")
    (domain,) = (await later.get("/v1/mail/health")).json()["domains"]
    assert (domain["domain"], domain["waiting"]) == ("stuck.example", 1)


async def test_an_empty_outbox_is_well(caller):
    health = (await caller.get("/v1/mail/health")).json()
    assert health == {"waiting": 0, "sending": 0, "due": 0, "oldest_s": None, "domains": []}
