"""A message followed live: an event at each change, over a real connection, until nothing more can come."""

import asyncio
import contextlib
import json
import re
import uuid
from collections.abc import AsyncIterator

import httpx2
import pytest

from identity_service.clients import actions as clients
from identity_service.messages.delivery import queue
from tests.doors.test_server import serving
from tests.mail.given import a_letter, claim, end, put

HOST = {"Host": "id.example.com"}


@pytest.fixture
async def base(service) -> AsyncIterator[str]:
    async with serving(service.app) as port:
        yield f"http://127.0.0.1:{port}"


@contextlib.asynccontextmanager
async def stream(base: str, caller, message_id: str, **headers: str) -> AsyncIterator[httpx2.Response]:
    async with httpx2.AsyncClient(timeout=10) as http:
        path = f"{base}/v1/messages/{message_id}/stream"
        async with http.stream("GET", path, headers={**HOST, **caller.headers, **headers}) as answer:
            yield answer


async def events(answer: httpx2.Response) -> AsyncIterator[dict]:
    """Read server-sent events as a browser does (WHATWG HTML, 9.2)."""
    name = ""
    async for line in answer.aiter_lines():
        field, _, value = line.partition(": ")
        if field == "event":
            name = value
        elif field == "data":
            assert name == "message"
            yield json.loads(value)


async def bounce(service, message_id: str, state: str = "bounced") -> None:
    await service.database.in_transaction(
        lambda s: queue.apply_feedback(s, uuid.UUID(message_id), state, code=None, enhanced=None, now=service.clock())
    )


async def test_each_change_is_told_at_once_and_the_stream_ends_with_the_message(service, caller, base):
    """B11: what a relay took may still come back, so the stream goes on."""
    message_id = await put(service)
    async with asyncio.timeout(10), stream(base, caller, message_id) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert answer.headers["cache-control"] == "no-store"
        told = events(answer)
        assert (await anext(told))["state"] == "queued"
        claimed = await claim(service)
        assert (await anext(told))["state"] == "sending"
        await end(service, claimed, "accepted")
        assert (await anext(told))["state"] == "accepted"
        await bounce(service, message_id)
        last = await anext(told)
        assert [event async for event in told] == []
    assert last["state"] == "bounced"
    assert last == (await caller.get(f"/v1/messages/{message_id}")).json()


async def test_nothing_is_said_twice(service, caller, base):
    message_id = await put(service)
    async with asyncio.timeout(10), stream(base, caller, message_id) as answer:
        told = events(answer)
        await anext(told)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(anext(told), 1.2)


@pytest.mark.parametrize("state", ["delivered", "rejected", "expired", "bounced", "cancelled"])
async def test_a_message_that_has_ended_is_told_once_and_a_reader_who_returns_is_sent_away(
    service, caller, base, state
):
    """WHATWG HTML, 9.2.3: after 204 an EventSource reconnects no more."""
    message_id = await a_letter(service, state)
    async with asyncio.timeout(10), stream(base, caller, message_id) as answer:
        text = (await answer.aread()).decode()
    assert text.count("event: message") == 1
    assert f'"state":"{state}"' in text
    assert "retry: 3000" in text
    newest = re.search(r"^id: ([0-9a-f]{16})$", text, re.MULTILINE)[1]
    async with asyncio.timeout(10), stream(base, caller, message_id, **{"Last-Event-ID": newest}) as answer:
        assert (answer.status_code, await answer.aread()) == (204, b"")
    async with asyncio.timeout(10), stream(base, caller, message_id, **{"Last-Event-ID": "older"}) as answer:
        assert (await answer.aread()).decode().count("event: message") == 1


async def test_a_reader_who_returns_hears_only_what_is_new(service, caller, base):
    message_id = await a_letter(service, "accepted")
    async with asyncio.timeout(10), stream(base, caller, message_id) as answer:
        lines = answer.aiter_lines()
        newest = [line async for line in take_until(lines, "id: ")][-1].removeprefix("id: ")
    async with asyncio.timeout(10), stream(base, caller, message_id, **{"Last-Event-ID": newest}) as answer:
        told = events(answer)
        first = asyncio.ensure_future(anext(told))
        await bounce(service, message_id)
        assert (await first)["state"] == "bounced"


async def take_until(lines: AsyncIterator[str], start: str) -> AsyncIterator[str]:
    async for line in lines:
        yield line
        if line.startswith(start):
            return


@pytest.mark.parametrize("state", ["accepted", "unconfirmed"])
async def test_after_a_week_nothing_more_is_awaited(service, caller, base, state):
    """Mail servers give up after five days (RFC 5321, 4.5.4.1)."""
    message_id = await a_letter(service, state)
    service.clock.advance(days=8)
    fresh = await service.caller(name="fresh")
    async with asyncio.timeout(10), stream(base, fresh, message_id) as answer:
        assert [event["state"] async for event in events(answer)] == [state]


async def test_five_readers_of_one_message_are_enough_and_one_who_leaves_makes_room(service, caller, base):
    """R30."""
    message_id = await put(service)
    async with asyncio.timeout(10), contextlib.AsyncExitStack() as stack:
        first = contextlib.AsyncExitStack()
        await first.enter_async_context(stream(base, caller, message_id))
        for _ in range(4):
            await stack.enter_async_context(stream(base, caller, message_id))
        async with stream(base, caller, message_id) as refused:
            assert (refused.status_code, int(refused.headers["Retry-After"])) == (429, 30)
            assert json.loads(await refused.aread())["code"] == "too_many_requests"
        await first.aclose()
        while True:
            async with stream(base, caller, message_id) as answer:
                if answer.status_code == 200:
                    break


async def test_a_network_has_twenty_streams(service, caller, base):
    """R30."""
    messages = [await put(service) for _ in range(5)]
    async with asyncio.timeout(20), contextlib.AsyncExitStack() as stack:
        for number in range(20):
            answer = await stack.enter_async_context(stream(base, caller, messages[number % 4]))
            assert answer.status_code == 200
        async with stream(base, caller, messages[4]) as refused:
            assert refused.status_code == 429
    async with asyncio.timeout(10):
        while service.app.state.streams._open:  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def test_an_address_is_masked_here_too(service, base):
    """NOM-05."""
    reader = await service.caller("messages:read", name="desk")
    async with asyncio.timeout(10), stream(base, reader, await a_letter(service, "bounced")) as answer:
        assert b"anna@" not in await answer.aread()


async def test_the_stream_ends_when_its_client_is_closed(service, caller, base):
    """OAU-10: a token that is dead reads nothing more."""
    message_id = await put(service)
    async with asyncio.timeout(10), stream(base, caller, message_id) as answer:
        told = events(answer)
        await anext(told)
        await service.database.in_transaction(lambda s: clients.close_client(s, caller.client_id, now=service.clock()))
        await service.app.state.gate.reload()
        await claim(service)
        assert [event async for event in told] == []


async def test_the_stream_ends_when_its_token_does(service, caller, base):
    message_id = await put(service)
    async with asyncio.timeout(10), stream(base, caller, message_id) as answer:
        told = events(answer)
        await anext(told)
        service.clock.advance(hours=1)
        assert [event async for event in told] == []


async def test_a_reader_who_leaves_holds_nothing_up(service, caller, base):
    """And no connection to the database is held between two looks (REL-09)."""
    message_id = await put(service)
    async with asyncio.timeout(10), stream(base, caller, message_id) as answer:
        await anext(events(answer))
        assert service.database.engine.pool.checkedout() == 0
    async with asyncio.timeout(10):
        while service.app.state.streams._open:  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def test_more_readers_than_connections_are_served(service, caller, base):
    """REL-09: a short read per look, no session held."""
    messages = [await put(service) for _ in range(4)]
    count = service.database.settings.database_pool_size + 4
    async with asyncio.timeout(30), contextlib.AsyncExitStack() as stack:
        readers = [
            events(await stack.enter_async_context(stream(base, caller, messages[number % 4])))
            for number in range(count)
        ]
        assert [(await anext(reader))["state"] for reader in readers] == ["queued"] * count
        await service.rows("UPDATE message SET state = 'cancelled', next_attempt_at = NULL RETURNING state")
        last = [[event["state"] async for event in reader][-1] for reader in readers]
        assert last == ["cancelled"] * count


@pytest.mark.parametrize("token", [None, "forged"])
async def test_without_a_good_token_there_is_no_stream(service, base, token):
    headers = HOST if token is None else {**HOST, "Authorization": f"Bearer {token}"}
    async with httpx2.AsyncClient() as http:
        answer = await http.get(f"{base}/v1/messages/{await put(service)}/stream", headers=headers)
    assert answer.status_code == 401


async def test_a_message_that_is_none_is_a_problem_and_no_stream(service, caller, base):
    async with stream(base, caller, "00000000-0000-7000-8000-000000000000") as answer:
        assert (answer.status_code, json.loads(await answer.aread())["code"]) == (404, "unknown_message")
