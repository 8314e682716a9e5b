"""The primary is lost under load and its synchronous replica takes over: nothing that was acknowledged is lost.

Two API processes, two workers, a primary and a streaming replica, all on loopback. Every call is noted as done or not
known; what was done must be there, once.
"""

import asyncio
import re
from collections import Counter
from itertools import count, cycle

import httpx2
import pytest
from sqlalchemy import text

from identity_service.events import views
from tests.faults import checker
from tests.faults.afterwards import FORGOTTEN, letters, rows, settle
from tests.faults.relay import FaultRelay
from tests.faults.standby import Pair

SCOPES = ("accounts:write", "accounts:verify", "events:read", "resets:create", "marketing:check")
ENOUGH = 60
"""Acknowledged changes with the old primary, and as many more with the new one."""
VERIFY = "/v1/accounts/verifications"


class Load:
    """What callers ask of two API processes by deliveries, and what they were told."""

    def __init__(self, apis: list[httpx2.AsyncClient]) -> None:
        self.apis, self._numbers = cycle(apis), count()
        self.ids: dict[str, str] = {}
        self.acknowledged: list[str] = []
        self.told: Counter[str] = Counter()
        self.fed: list[tuple[int, str]] = []
        self.over, self.all_sealed = asyncio.Event(), asyncio.Event()

    async def say(self, method: str, path: str, **options) -> dict | None:
        """Return the answer; None where the call failed or nobody knows what became of it."""
        try:
            answer = await next(self.apis).request(method, path, **options)
        except httpx2.HTTPError:
            self.told["unknown"] += 1
            return None
        if answer.status_code == 503:
            assert answer.headers["Retry-After"]
            self.told["failed"] += 1
            await asyncio.sleep(0.1)
            return None
        assert answer.status_code in (200, 201, 202), answer.text
        self.told["done"] += 1
        return answer.json()

    async def customers(self) -> None:
        """Register one after the other; verify the ID through the other process, and ask for a reset."""
        while not self.over.is_set():
            email = f"customer{next(self._numbers)}@domain.example"
            made = await self.say("POST", "/v1/accounts", json={"email": email})
            if made is None:
                continue
            self.ids[email] = made["user_id"]
            self.acknowledged.append(f"{email} welcome")
            assert await self.status(made["user_id"]) in ("valid", None)
            if await self.say("POST", "/v1/resets", json={"email": email}) is not None:
                self.acknowledged.append(f"{email} reset")

    async def reach(self, count: int) -> None:
        """Wait until so much was acknowledged."""
        async with asyncio.timeout(60):
            while len(self.acknowledged) < count:  # noqa: ASYNC110 (the callers tell when they have been served)
                await asyncio.sleep(0.05)

    async def status(self, user_id: str) -> str | None:
        answer = await self.say("POST", VERIFY, json={"user_ids": [user_id]})
        return None if answer is None else answer["results"][0]["status"]

    async def reader(self) -> None:
        """Follow the feed, until all has its place and nothing more comes."""
        cursor: dict[str, str] = {}
        while True:
            page = await self.say("GET", "/v1/events", params={"limit": 200, **cursor})
            if page is None:
                continue
            if self.all_sealed.is_set() and not page["items"]:
                return
            self.fed += [(event["sequence"], event["id"]) for event in page["items"]]
            cursor = {"after": page["next"]}
            await asyncio.sleep(0 if page["items"] else 0.05)


@pytest.fixture
async def relay():
    found = await FaultRelay().start()
    yield found
    await found.stop()


@pytest.fixture
async def pair(tmp_path, unused_tcp_port_factory, relay):
    listed = [{"name": "a", "host": "127.0.0.1", "port": relay.port, "tls": "none"}]
    found = Pair(tmp_path, listed, unused_tcp_port_factory)
    try:
        await found.start(workers=2)
        yield found
    finally:
        await found.stop()


@pytest.fixture
async def apis(pair):
    found = await pair.clients(*SCOPES)
    yield found
    for http in found:
        await http.aclose()


@pytest.mark.timeout(300)
async def test_the_replica_takes_over_under_load_and_nothing_acknowledged_is_lost(pair, apis, relay):
    """REL-07, by the checker; and what a replica can say is said while there is no primary."""
    load = Load(apis)
    reader = asyncio.create_task(load.reader())
    async with asyncio.TaskGroup() as group:
        for _ in range(6):
            group.create_task(load.customers())
        await load.reach(ENOUGH)
        await pair.lose_the_primary()
        await without_a_primary(apis, load)
        await pair.promote()
        await load.reach(len(load.acknowledged) + ENOUGH)
        load.over.set()
    await settle(pair, 60, over=FORGOTTEN)
    await everything_is_there(pair, load, relay)
    await sealed(pair)
    load.all_sealed.set()
    await reader
    assert load.fed == await the_feed(pair)
    assert "nothing altered" in await pair.run("audit")


async def without_a_primary(apis: list[httpx2.AsyncClient], load: Load) -> None:
    """A desk goes on verifying, readers go on reading; marketing and writing are a clear 503."""
    known = next(iter(load.ids.values()))
    for http in apis:
        verified = await http.post(VERIFY, json={"user_ids": [known]})
        assert (verified.status_code, verified.json()["results"][0]["status"]) == (200, "valid")
        assert (await http.get("/v1/events")).json()["items"]
        for path, body in (
            ("/v1/marketing/permissions", {"purpose": "email", "user_ids": [known]}),
            ("/v1/accounts", {"email": "late@domain.example"}),
        ):
            refused = await http.post(path, json=body)
            assert (refused.status_code, refused.json()["code"]) == (503, "database_unavailable"), refused.text


async def everything_is_there(pair: Pair, load: Load, relay: FaultRelay) -> None:
    found = await rows(pair, named="recipient_ascii || ' ' || kind")
    names = {row.message_id.replace("-", ""): row.address for row in found}
    inbox = [(message_id, names.get(key(message_id), to)) for message_id, to in letters(relay)]
    assert checker.judge(load.acknowledged, found, inbox) == []
    assert {row.state for row in found} == {"accepted"}
    for user_id in load.ids.values():
        assert await load.status(user_id) == "valid"


def key(message_id: str) -> str:
    return re.match(r"<?([0-9a-f]+)@", message_id)[1]


async def sealed(pair: Pair) -> None:
    """Wait until every event has its place."""
    open_events = "SELECT count(*) FROM event e WHERE NOT EXISTS (SELECT 1 FROM sealed_event WHERE event_id = e.id)"
    async with asyncio.timeout(30):
        while await query(pair, open_events) != [(0,)]:  # noqa: ASYNC110 (only the server knows)
            await asyncio.sleep(0.1)


async def the_feed(pair: Pair) -> list[tuple[int, str]]:
    """Return what a reader with these scopes sees: all but what operators do."""
    found = await query(
        pair,
        "SELECT position, public_id::text, name FROM sealed_event JOIN event ON id = event_id ORDER BY position",
    )
    assert [position for position, _, _ in found] == list(range(1, len(found) + 1))
    hidden = views.hidden_types(SCOPES)
    return [(position, public_id) for position, public_id, name in found if name not in hidden]


async def query(pair: Pair, statement: str) -> list[tuple]:
    async with pair.owner.begin() as connection:
        return [tuple(row) for row in await connection.execute(text(statement))]
