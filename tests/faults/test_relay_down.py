"""The only relay is down for two hours while letters are asked for; what becomes of them when it is back."""

import os

import pytest

from identity_service.messages import kinds as message_kinds
from identity_service.messages import rendering
from identity_service.settings import Relay
from tests.faults.conftest import Road
from tests.faults.relay import FaultRelay

QUEUED = 2 * int(os.environ.get("CHAOS_MESSAGES", "150"))
"""300 letters; with `make faults` 10,000."""
HOURS, MINUTES = 2, 10
AT_ONCE = 4


async def _plain(session, message):
    """The test email, whatever the kind: no facts are needed."""
    return rendering.render_email("test", message.locale, session.settings.brands.find(message.brand))


@pytest.mark.timeout(180 + QUEUED // 10)
async def test_after_two_hours_without_a_relay_all_comes_in_order_or_has_visibly_expired(road: Road):
    """REL-18: priority 0 first and in it the oldest; a link nobody wants any more is not sent; nothing comes twice."""
    road.use(Relay(name="a", host="127.0.0.1", port=road.a.port, tls="none", connections=AT_ONCE))
    await road.a.stop()
    road.sender.composers = dict.fromkeys(message_kinds.KINDS, _plain)
    kinds = ("welcome", "reset", "address_check")
    for number in range(QUEUED):
        await road.put(f"{kinds[number % 3]}{number}@domain{number % 20}.example", kind=kinds[number % 3])
        road.service.clock.advance(milliseconds=10)
    for _ in range(HOURS * 60 // MINUTES):
        await road.turn()
        road.service.clock.advance(minutes=MINUTES)
        await road.tend()
    states = "SELECT kind, state, count(*) FROM message GROUP BY 1, 2 ORDER BY 1, 2"
    third = QUEUED // 3
    waiting = await road.service.rows("SELECT count(*) FROM message WHERE state IN ('queued', 'deferred')")
    assert waiting == [(2 * third,)]
    await road.put("fresh@domain.example", kind="reset")
    back = await FaultRelay().start(road.a.port)
    for _ in range(30):
        road.service.clock.advance(minutes=5)
        await road.turn()
        await road.tend()
    await back.stop()
    assert await road.service.rows(states) == [
        ("address_check", "accepted", third),
        ("reset", "accepted", 1),
        ("reset", "expired", third),
        ("welcome", "accepted", third),
    ]
    came = [recipient for _, recipient, _ in back.mails]
    assert len(came) == len(set(came)) == 2 * third + 1
    assert "fresh@domain.example" in came
    untried = "SELECT recipient_ascii FROM message WHERE kind = :kind AND attempts = 1 ORDER BY created_at"
    first = [came.index(row.recipient_ascii) for row in await road.service.rows(untried, kind="address_check")]
    last = [came.index(row.recipient_ascii) for row in await road.service.rows(untried, kind="welcome")]
    assert max(first) < min(last)
    # Those that are under way together may overtake each other, and no others.
    assert all(abs(index - place - first[0]) <= 2 * AT_ONCE for place, index in enumerate(first))
