"""A message followed live: an event at each change, over a real connection, until it is final or the token dies."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator

import httpx2
import pytest

from identity_service.clients import actions as clients
from tests.doors.test_server import serving
from tests.mail.given import a_letter, claim, end, put

HOST = {"Host": "id.example.com"}


@pytest.fixture
async def base(service) -> AsyncIterator[str]:
    async with serving(service.app) as port:
        yield f"http://127.0.0.1:{port}"


@contextlib.asynccontextmanager
async def stream(base: str, caller, message_id: str) -> AsyncIterator[httpx2.Response]:
    async with httpx2.AsyncClient(timeout=10) as http:
        path = f"{base}/v1/messages/{message_id}/stream"
        async with http.stream("GET", path, headers={**HOST, **caller.headers}) as answer:
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


async def test_each_change_is_told_at_once_and_the_stream_ends_with_the_letter(service, caller, base):
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
        last = await anext(told)
        assert [event async for event in told] == []
    assert last == (await caller.get(f"/v1/messages/{message_id}")).json()


async def test_nothing_is_said_twice(service, caller, base):
    message_id = await put(service)
    async with asyncio.timeout(10), stream(base, caller, message_id) as answer:
        told = events(answer)
        await anext(told)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(anext(told), 1.2)


@pytest.mark.parametrize("state", ["accepted", "rejected", "expired", "bounced"])
async def test_a_letter_that_has_ended_is_told_once(service, caller, base, state):
    async with asyncio.timeout(10), stream(base, caller, await a_letter(service, state)) as answer:
        assert [event["state"] async for event in events(answer)] == [state]


async def test_an_address_is_masked_here_too(service, base):
    """NOM-05."""
    reader = await service.caller("messages:read", name="desk")
    async with asyncio.timeout(10), stream(base, reader, await a_letter(service, "accepted")) as answer:
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
        while any("changes" in str(task.get_coro()) for task in asyncio.all_tasks()):  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def test_more_readers_than_connections_are_served(service, caller, base):
    """REL-09: a short read per look, no session held."""
    message_id = await put(service)
    async with asyncio.timeout(30), contextlib.AsyncExitStack() as stack:
        readers = [
            events(await stack.enter_async_context(stream(base, caller, message_id)))
            for _ in range(service.database.settings.database_pool_size + 4)
        ]
        assert [(await anext(reader))["state"] for reader in readers] == ["queued"] * len(readers)
        await end(service, await claim(service), "accepted")
        last = [[event["state"] async for event in reader][-1] for reader in readers]
        assert last == ["accepted"] * len(readers)


@pytest.mark.parametrize("token", [None, "forged"])
async def test_without_a_good_token_there_is_no_stream(service, base, token):
    headers = HOST if token is None else {**HOST, "Authorization": f"Bearer {token}"}
    async with httpx2.AsyncClient() as http:
        answer = await http.get(f"{base}/v1/messages/{await put(service)}/stream", headers=headers)
    assert answer.status_code == 401


async def test_a_message_that_is_none_is_a_problem_and_no_stream(service, caller, base):
    async with stream(base, caller, "00000000-0000-7000-8000-000000000000") as answer:
        assert (answer.status_code, json.loads(await answer.aread())["code"]) == (404, "unknown_message")
