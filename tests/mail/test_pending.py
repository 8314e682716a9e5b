"""Asks that join: while a letter under the same key is on its way, there is one, and nothing tells of another."""

import asyncio

import pytest

from identity_service.messages import actions as messages
from identity_service.values import email_addresses
from tests.mail.given import claim, end

LETTERS = "SELECT id FROM message ORDER BY id"
TOLD = "SELECT data ->> 'message_id' FROM event WHERE name = 'mail.queued' ORDER BY data ->> 'message_id'"


async def ask(service) -> messages.QueuedMessage:
    address = email_addresses.parse("anna@example.com", special_use=True)
    return await service.database.in_transaction(
        lambda s: messages.enqueue_once(
            s, "reset", pending_key="reset:anna", to=address, user_id=None, locale="en", facts={},
            cause="reset.requested", actor="customer", now=service.clock(),
        )
    )  # fmt: skip


async def ids(service) -> tuple[list[str], list[str]]:
    """Return the letters there are, and those that events tell of."""
    return [str(row.id) for row in await service.rows(LETTERS)], [told for (told,) in await service.rows(TOLD)]


@pytest.mark.parametrize("state", ["queued", "sending", "deferred"])
async def test_an_ask_joins_the_letter_on_its_way_and_tells_of_no_other(service, state):
    """RST-08, AUD-01: an event that told of a letter which never was could not be taken back."""
    first = await ask(service)
    if state != "queued":
        claimed = await claim(service)
    if state == "deferred":
        await end(service, claimed, "deferred")
    second = await ask(service)
    assert (second.message_id, second.is_new, first.is_new) == (first.message_id, False, True)
    assert await ids(service) == ([str(first.message_id)], [str(first.message_id)])


async def test_ten_asks_at_once_make_one_letter_and_one_event(service):
    """RST-08."""
    answers = await asyncio.gather(*(ask(service) for _ in range(10)))
    assert [answer.is_new for answer in answers].count(True) == 1
    (letter,) = {str(answer.message_id) for answer in answers}
    assert await ids(service) == ([letter], [letter])


async def test_an_ask_after_the_letter_has_ended_makes_another(service):
    first = await ask(service)
    await end(service, await claim(service), "accepted")
    service.clock.advance(seconds=1)
    second = await ask(service)
    assert second.is_new
    both = [str(first.message_id), str(second.message_id)]
    assert await ids(service) == (both, both)
