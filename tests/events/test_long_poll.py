"""The long poll: it answers when something comes, gives up in time, and holds nothing while it waits."""

import asyncio
import contextlib

import pytest
from sqlalchemy import event

from identity_service.database.transactions import Database
from tests.events.given import events, sealed_events

FEED = "/v1/events"


class Looks:
    """Counts the looks at the database, so that a test knows that a reader waits."""

    def __init__(self, database: Database) -> None:
        self.count, self._pool = 0, database.engine.sync_engine.pool

    def __enter__(self) -> "Looks":
        event.listen(self._pool, "checkin", self._seen)
        return self

    def __exit__(self, *_) -> None:
        event.remove(self._pool, "checkin", self._seen)

    def _seen(self, *_) -> None:
        self.count += 1

    async def reach(self, count: int) -> None:
        async with asyncio.timeout(20):
            while self.count < count:  # noqa: ASYNC110 (only the pool knows)
                await asyncio.sleep(0.01)


@pytest.fixture
async def end(service, caller) -> str:
    """The cursor of a reader who has seen everything."""
    await sealed_events(service, 1)
    return (await caller.get(FEED)).json()["next"]


@pytest.fixture
async def narrow(service):
    """The application with one single connection to its database."""
    wide = service.database
    settings = wide.settings.model_copy(update={"database_pool_size": 1})
    small = Database(settings, wide._url)
    small.keys = wide.keys
    service.app.state.database = small
    yield small
    service.app.state.database = wide
    await small.close()


def wait(caller, end: str, seconds: int = 30) -> asyncio.Task:
    return asyncio.create_task(caller.get(FEED, params={"after": end, "wait": seconds}))


async def test_a_waiting_reader_is_answered_when_something_comes(service, caller, end):
    with Looks(service.database) as looks:
        waiting = wait(caller, end)
        await looks.reach(2)
        assert not waiting.done()
    await sealed_events(service, 1, name="account.email_added")
    async with asyncio.timeout(20):
        answer = (await waiting).json()
    assert [told["type"] for told in answer["items"]] == ["account.email_added"]
    assert answer["next"] != end


async def test_what_is_committed_and_not_sealed_wakes_nobody(service, caller, end):
    """AUD-02: an event without its place is not told to those who wait either."""
    with Looks(service.database) as looks:
        waiting = wait(caller, end)
        await looks.reach(1)
        await events(service, 1)
        await looks.reach(5)
        assert not waiting.done()
    await service.seal()
    assert len((await waiting).json()["items"]) == 1


async def test_a_reader_for_whom_something_is_there_does_not_wait(service, caller, end, narrow):
    await sealed_events(service, 1)
    with Looks(narrow) as looks:
        answer = await wait(caller, end)
    assert (len(answer.json()["items"]), looks.count) == (1, 1)


async def test_without_wait_there_is_one_look(caller, end, narrow):
    with Looks(narrow) as looks:
        answer = await caller.get(FEED, params={"after": end})
    assert (answer.json()["items"], looks.count) == ([], 1)


async def test_a_reader_who_waited_in_vain_goes_on_where_he_was(caller, end):
    answer = await wait(caller, end, seconds=1)
    page = answer.json()
    assert (answer.status_code, page["items"], page["next"]) == (200, [], end)


async def test_twenty_waiting_readers_need_one_connection(service, caller, end, narrow):
    """REL-09: each look is a short read, so those who wait leave room for those who work."""
    with Looks(narrow) as looks:
        waiting = [wait(caller, end) for _ in range(20)]
        await looks.reach(40)
        assert (await caller.post("/v1/accounts", {"email": "anna@example.com"})).status_code == 201
        assert not any(reader.done() for reader in waiting)
    await service.seal()
    async with asyncio.timeout(20):
        answers = await asyncio.gather(*waiting)
    assert {answer.status_code for answer in answers} == {200}
    assert {tuple(told["type"] for told in answer.json()["items"]) for answer in answers} == {
        ("account.registered", "mail.queued")
    }


async def test_a_reader_between_two_looks_holds_no_connection(caller, end, narrow):
    """REL-09."""
    with Looks(narrow) as looks:
        waiting = wait(caller, end)
        await looks.reach(2)
        assert narrow.engine.pool.checkedout() == 0
    waiting.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await waiting


async def test_a_reader_who_has_gone_is_not_waited_for(service, caller, end, narrow):
    """Nobody listens any more: the next look is the last."""
    gone = asyncio.Event()
    sent: list[dict] = []

    async def receive() -> dict:
        if not gone.is_set():
            gone.set()
            return {"type": "http.request", "body": b"", "more_body": False}
        return {"type": "http.disconnect"}

    async def send(message: dict) -> None:
        sent.append(message)

    headers = [(b"host", b"id.example.com"), (b"authorization", caller.headers["Authorization"].encode())]
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET", "scheme": "https",
        "path": FEED, "raw_path": FEED.encode(), "query_string": f"after={end}&wait=30".encode(), "root_path": "",
        "headers": headers, "client": ("198.51.100.7", 40000), "server": ("id.example.com", 443),
    }  # fmt: skip
    with Looks(narrow) as looks:
        async with asyncio.timeout(10):
            await service.app(scope, receive, send)
    assert looks.count == 1
    assert sent[0]["status"] == 200


async def test_a_wait_on_an_old_cursor_is_refused_at_once(service, caller, owner, end):
    """AUD-07: whoever waits over a restore would wait for ever."""
    with Looks(service.database) as looks:
        waiting = wait(caller, end)
        await looks.reach(1)
        async with owner.begin() as connection:
            await connection.exec_driver_sql("UPDATE feed_state SET epoch = epoch + 1")
        async with asyncio.timeout(20):
            refused = await waiting
    assert (refused.status_code, refused.json()["code"]) == (410, "feed_restored")
