"""AUD-03, AUD-04: a cut tail, and a rewrite of rows and seals together, are found by what was signed and kept."""

from datetime import datetime

import httpx2
import pytest
from joserfc.jwk import ECKey

from identity_service.audit import actions as audit
from identity_service.keys import signing
from tests.audit.given import BY_POSITION, EVENTS, a_feed, finding, forge, publish, reseal, walked
from tests.events import chain
from tests.events.given import sealed_events

CUT = [
    "DELETE FROM event WHERE id IN (SELECT event_id FROM sealed_event WHERE position > {after})",
    "DELETE FROM sealed_event WHERE position > {after}",
]
FORGET = "DELETE FROM checkpoint WHERE position > {after}"


def cut(after: int, *, forget: bool = False) -> list[str]:
    return [statement.format(after=after) for statement in ([*CUT, FORGET] if forget else CUT)]


async def rewrite(owner, position: int, *, forget: bool = False) -> None:
    """Change one event and make every seal behind it fit."""
    await forge(owner, f"UPDATE event SET actor = 'customer' WHERE id = {BY_POSITION.format(position)}")
    await reseal(owner)
    if forget:
        await forge(owner, FORGET.format(after=0))


@pytest.mark.parametrize("after", [29, 25, 0])
async def test_a_cut_tail_is_found_by_the_checkpoint_behind_it(service, owner, after):
    """AUD-03: what is left is a chain that holds; only the checkpoint knows that there was more."""
    await a_feed(service)
    await forge(owner, *cut(after))
    found = await finding(service)
    assert found.position == after + 1
    assert f"The feed ends at {after}" in found.sentence
    assert "its tail was cut" in found.sentence


async def test_a_tail_cut_with_its_checkpoints_is_found_by_those_kept_elsewhere(service, owner):
    """AUD-04: without them it is not, and that is why they are published."""
    kept = await a_feed(service)
    await forge(owner, *cut(15, forget=True))
    assert await walked(service) == (15, 1, None, ())
    found = await finding(service, kept)
    assert (found.position, "a checkpoint names 20" in found.sentence) == (16, True)


async def test_rows_and_seals_rewritten_are_found_by_the_next_checkpoint(service, owner):
    """AUD-04: the chain alone holds again; the first checkpoint at or behind the change does not fit."""
    await a_feed(service)
    await rewrite(owner, 13)
    found = await finding(service)
    assert found.position == 20
    assert "the chain was rewritten" in found.sentence


async def test_rows_and_seals_and_checkpoints_gone_are_found_by_those_kept_elsewhere(service, owner):
    """AUD-04."""
    kept = await a_feed(service)
    await rewrite(owner, 13, forget=True)
    assert (await walked(service)).finding is None
    assert (await finding(service, kept[1:])).position == 20
    assert (await finding(service, kept[2:])).position == 30


async def test_a_checkpoint_that_somebody_else_signed_is_found(service, owner):
    """AUD-04: who rewrites the database has not the keys; the ring is sealed."""
    await a_feed(service)
    await rewrite(owner, 13)
    stranger = ECKey.generate_key("P-256", {"kid": "stranger"})
    head = (await service.database.in_transaction(lambda s: audit.list_checkpoints(s, None, limit=1)))[0]
    claims = {"iss": "x", "iat": 1, "position": head.position, "seal": head.seal, "count": head.position}
    forged = signing.sign(claims, stranger, typ=audit.TYPE)
    await forge(owner, "UPDATE checkpoint SET statement = :forged WHERE position = 30", forged=forged)
    found = await finding(service)
    assert found == (30, "The checkpoint of position 30 does not carry our signature.")


@pytest.mark.parametrize("change", ["seal = sha256('x')", "position = 19"])
async def test_a_checkpoint_that_shows_other_than_it_signed_is_found(service, owner, change):
    """AUD-04: what is published is what was signed."""
    await a_feed(service)
    await forge(owner, f"UPDATE checkpoint SET {change} WHERE position = 20")
    assert await finding(service) == (20, "The checkpoint of position 20 shows other values than it signed.")


@pytest.mark.parametrize("kept", ["nonsense", "a.b.c", "receipt"])
async def test_something_else_than_a_checkpoint_is_not_taken_for_one(service, kept):
    """OAU-27: another thing that we signed, too."""
    await a_feed(service)
    if kept == "receipt":
        caller = await service.caller()
        user_id = (await caller.post("/v1/accounts", {})).json()["user_id"]
        kept = (await caller.get(f"/v1/accounts/{user_id}/consents/receipt")).text
    found = await finding(service, [kept])
    assert found.sentence == "A checkpoint that was kept elsewhere does not carry our signature."


async def test_two_checkpoints_that_contradict_each_other_are_found(service, owner, urls):
    """AUD-04: a feed that was rewritten, sealed and signed again by us does not get away with it."""
    kept = await a_feed(service)
    await forge(owner, *cut(0, forget=True))
    await sealed_events(service, EVENTS)
    assert (await publish(service)).position == EVENTS
    assert await finding(service, kept) == (30, "Two checkpoints for position 30 name different seals.")


async def test_a_checkpoint_is_published_when_enough_has_happened(service):
    """AUD-04: the first at once, then every ten minutes or 1,000 events, never twice for the same place."""
    assert await publish(service) is None
    await sealed_events(service, 1)
    assert (await publish(service)).position == 1
    service.clock.advance(minutes=11)
    assert await publish(service) is None
    await sealed_events(service, 1)
    assert (await publish(service)).position == 2
    await sealed_events(service, 1)
    service.clock.advance(minutes=9, seconds=59)
    assert await publish(service) is None
    service.clock.advance(seconds=1)
    assert (await publish(service)).position == 3


async def test_checkpoints_are_read_without_a_token_newest_first(service):
    """AUD-04: page by page, by whoever wants to keep them."""
    kept = await a_feed(service)
    first = (await service.http.get("/v1/audit/checkpoints", params={"limit": 2})).json()
    rest = (await service.http.get("/v1/audit/checkpoints", params={"limit": 2, "after": first["next"]})).json()
    found = [*first["items"], *rest["items"]]
    assert [head["position"] for head in found] == [30, 20, 10]
    assert [head["statement"] for head in found] == kept[::-1]
    assert rest["next"] is None


async def test_an_auditor_recomputes_the_seals_from_the_api(service):
    """AUD-04: entries and heads are enough; the recipe stands in tests/events/chain.py."""
    await a_feed(service)
    caller = await service.caller()
    await chain.sealed(service)
    previous, after = chain.GENESIS, None
    heads = {h["position"]: h["seal"] for h in (await service.http.get("/v1/audit/checkpoints")).json()["items"]}
    while True:
        page: httpx2.Response = await caller.get("/v1/audit/events", params={"after": after} if after else {})
        for entry in page.json()["items"]:
            told = entry["event"]
            row = {
                "public_id": told["id"], "name": told["type"], "actor": told["actor"], "data": told["data"],
                "user_id": told["subject"] and told["subject"].replace("-", ""),
                "occurred_at": datetime.fromisoformat(told["time"]),
            }  # fmt: skip
            previous = chain.seal(previous, entry["position"], row)
            assert previous.hex() == entry["seal"]
            assert heads.pop(entry["position"], entry["seal"]) == entry["seal"]
        after = page.json()["next"]
        if after is None:
            break
    assert heads == {}
