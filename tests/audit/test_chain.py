"""AUD-03: an edited, removed, reordered or inserted row is found at its place, also where a superuser did it."""

import pytest

from identity_service.audit import actions as audit
from tests.audit.given import BY_POSITION, CHECKPOINTS, EVENTS, a_feed, finding, forge, walked
from tests.events.given import events

SEVENTH = BY_POSITION.format(7)
INSERT = """
    INSERT INTO event (id, transaction_id, name, user_id, actor, occurred_at, data) OVERRIDING SYSTEM VALUE
    SELECT 1000000, transaction_id, name, user_id, actor, occurred_at, data FROM event WHERE id = {like}
"""
SHIFT = [
    "UPDATE sealed_event SET position = -position - 1 WHERE position >= 7",
    "UPDATE sealed_event SET position = -position WHERE position < 0",
]
CLOSE = [
    "UPDATE sealed_event SET position = -position + 1 WHERE position > 7",
    "UPDATE sealed_event SET position = -position WHERE position < 0",
]
SEALED = "INSERT INTO sealed_event (position, event_id, seal) SELECT {position}, 1000000, seal FROM sealed_event"
SCRIPTS = {
    "name": ([f"UPDATE event SET name = 'account.registered' WHERE id = {SEVENTH}"], 7),
    "user": ([f"UPDATE event SET user_id = '111111111111' WHERE id = {SEVENTH}"], 7),
    "actor": ([f"UPDATE event SET actor = 'customer' WHERE id = {SEVENTH}"], 7),
    "moment": ([f"UPDATE event SET occurred_at = occurred_at - interval '1 microsecond' WHERE id = {SEVENTH}"], 7),
    "facts": ([f"UPDATE event SET data = '{{\"number\": 77}}' WHERE id = {SEVENTH}"], 7),
    "a fact more": ([f"UPDATE event SET data = data || '{{\"x\": null}}' WHERE id = {SEVENTH}"], 7),
    "seal": (["UPDATE sealed_event SET seal = sha256('x') WHERE position = 7"], 7),
    "event removed": ([f"DELETE FROM event WHERE id = {SEVENTH}"], 7),
    "place removed": (["DELETE FROM sealed_event WHERE position = 7"], 7),
    "both removed": ([f"DELETE FROM event WHERE id = {SEVENTH}", "DELETE FROM sealed_event WHERE position = 7"], 7),
    "removed and closed up": ([f"DELETE FROM event WHERE id = {SEVENTH}", "DELETE FROM sealed_event WHERE position = 7",
                               *CLOSE], 7),
    "the first removed": ([f"DELETE FROM event WHERE id = {BY_POSITION.format(1)}",
                           "DELETE FROM sealed_event WHERE position = 1"], 1),
    "two in each other's place": (["UPDATE sealed_event SET event_id = -event_id WHERE position IN (7, 9)",
                                   "UPDATE sealed_event s SET event_id = -(SELECT event_id FROM sealed_event o "
                                   "WHERE o.position = 16 - s.position) WHERE position IN (7, 9)"], 7),
    "seals in each other's place": (["UPDATE sealed_event s SET seal = (SELECT seal FROM sealed_event o "
                                     "WHERE o.position = 16 - s.position) WHERE position IN (7, 9)"], 7),
    "inserted between": ([INSERT.format(like=SEVENTH), *SHIFT, SEALED.format(position=7) + " WHERE position = 8"], 7),
    "appended": ([INSERT.format(like=SEVENTH), SEALED.format(position=31) + " WHERE position = 30"], 31),
}  # fmt: skip
"""What a superuser runs, and the first row that does not hold behind it."""


async def test_a_clean_feed_holds(service):
    """AUD-03: with events that wait for the sealer, too."""
    await a_feed(service)
    await events(service, 2)
    found = await walked(service)
    assert found == (EVENTS, len(CHECKPOINTS), None, ())


async def test_an_empty_feed_holds(service):
    assert await walked(service) == (0, 0, None, ())


@pytest.mark.parametrize("script", SCRIPTS)
async def test_what_a_superuser_did_is_found_at_its_place(service, owner, script):
    """AUD-03: the first bad row is named, in the finding and in its sentence."""
    await a_feed(service)
    statements, first = SCRIPTS[script]
    await forge(owner, *statements)
    found = await finding(service)
    assert found.position == first
    assert str(first) in found.sentence


async def test_of_several_the_first_is_named(service, owner):
    await a_feed(service)
    await forge(owner, *(f"UPDATE event SET actor = 'x' WHERE id = {BY_POSITION.format(n)}" for n in (25, 12, 18)))
    assert (await finding(service)).position == 12


async def test_an_event_that_was_slipped_in_without_a_place_is_found(service, owner):
    """AUD-03: with a transaction id of long ago the sealer would pass it by for ever."""
    await a_feed(service)
    await forge(owner, INSERT.format(like=SEVENTH))
    assert await service.seal() == 0
    ((public_id,),) = await service.rows("SELECT public_id FROM event WHERE id = 1000000")
    sentence = (await finding(service)).sentence
    assert f"Event {public_id} is older than sealed events but not sealed: it was inserted" in sentence


async def test_a_place_that_was_taken_from_an_event_is_found_at_the_end_too(service, owner):
    """AUD-03: the last place alone, with no checkpoint behind it."""
    await a_feed(service)
    await events(service, 3)
    await service.seal()
    await forge(owner, "DELETE FROM sealed_event WHERE position = 33")
    assert (await walked(service)).finding is None  # it is sealed again, in the same place
    await service.seal()
    assert (await walked(service)).events == 33


async def test_the_walk_tells_how_far_it_is(service):
    await a_feed(service)
    told: list[tuple[int, int]] = []
    await service.database.in_transaction(
        lambda s: audit.audit_events(s, progress=lambda done, total: told.append((done, total)))
    )
    assert told == [(EVENTS, EVENTS)]
