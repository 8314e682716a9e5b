"""A replica is a help and never a condition: while it is away, the primary is asked, and nobody waits in turn."""

import asyncio

import pytest
from sqlalchemy import text

from identity_service.database.transactions import Database
from identity_service.values import user_ids
from tests.accounts.given import an_account

NOWHERE = "postgresql://nobody@127.0.0.1:1/nothing"


class Silent:
    """A server that takes every connection and never says a word, as a machine does that has lost its network."""

    def __init__(self) -> None:
        self.asked, self.writers = 0, []

    async def listen(self, port: int) -> None:
        self.server = await asyncio.start_server(self._take, "127.0.0.1", port)

    async def _take(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.asked += 1
        self.writers.append(writer)

    def close(self) -> None:
        self.server.close()
        for writer in self.writers:
            writer.transport.abort()


@pytest.fixture
async def silent(unused_tcp_port):
    found = Silent()
    await found.listen(unused_tcp_port)
    found.url = f"postgresql://nobody@127.0.0.1:{unused_tcp_port}/nothing"
    yield found
    found.close()


@pytest.fixture
async def reading_from(service):
    """The application, with a replica at a URL."""
    there, made = service.database, []

    def put(read_url: str, url: str = there._url) -> Database:
        found = Database(there.settings, url, read_url=read_url)
        found.keys = there.keys
        service.app.state.database = found
        made.append(found)
        return found

    yield put
    service.app.state.database = there
    for found in made:
        await found.close()


async def ask(caller, user_id: str):
    verified = await caller.post("/v1/accounts/verifications", {"user_ids": [user_id]})
    return verified, await caller.get("/v1/events")


async def test_while_nobody_listens_at_the_replica_the_primary_answers(service, caller, reading_from):
    """REL-07."""
    user_id = await an_account(caller)
    await service.seal()
    reading_from(NOWHERE)
    verified, feed = await ask(caller, user_id)
    assert verified.json()["results"][0]["status"] == "valid"
    assert "account.registered" in [event["type"] for event in feed.json()["items"]]


async def test_a_replica_that_says_nothing_is_waited_for_once(service, caller, reading_from, silent):
    """REL-08, REL-40: everybody who asks meanwhile is answered by the primary, without another try."""
    user_id = await an_account(caller)
    await service.seal()
    reading_from(silent.url)
    async with asyncio.timeout(10):
        verified, feed = await ask(caller, user_id)
        assert (verified.status_code, feed.status_code, silent.asked) == (200, 200, 1)
        answers = await asyncio.gather(*(ask(caller, user_id) for _ in range(20)))
    assert {answer.status_code for both in answers for answer in both} == {200}
    assert silent.asked == 1


async def test_a_question_that_is_refused_does_not_count_as_a_replica_that_is_away(service, caller, urls, reading_from):
    """A reader with a cursor that is not ours is refused, and takes the replica from nobody else."""
    database = reading_from(f"{urls.application}&target_session_attrs=any")
    assert (await caller.get("/v1/events", params={"after": "nonsense"})).status_code == 400
    asked = []

    async def ask_it() -> str:
        asked.append(True)
        return "it is asked"

    assert await database.try_replica(ask_it) == "it is asked"


async def test_while_the_primary_is_away_the_replica_still_says_what_it_knows(service, caller, urls, reading_from):
    """A desk goes on verifying and a reader goes on reading; what the replica does not know is a clear 503."""
    user_id = await an_account(caller)
    await service.seal()
    reading_from(urls.application, NOWHERE)
    verified, feed = await ask(caller, user_id)
    assert (verified.status_code, feed.status_code) == (200, 200)
    assert verified.json()["results"][0]["status"] == "valid"
    never = user_ids.show(user_ids.issue())
    refused = await caller.post("/v1/accounts/verifications", {"user_ids": [user_id, never]})
    assert (refused.status_code, refused.json()["code"]) == (503, "database_unavailable")


async def test_who_looks_at_the_replica_cannot_write(service, reading_from, urls):
    """A replica that was promoted takes writes; a look never makes one."""
    database = reading_from(f"{urls.application}&target_session_attrs=any")
    with pytest.raises(Exception, match="read-only transaction"):
        async with database.transaction(on_replica=True) as session:
            await session.execute(text("DELETE FROM one_time_token"))
