"""`serve` is killed between using up a code or refresh token and answering: nothing is issued twice, and nobody is
locked out. Codes come from the application in this process; a process of its own answers for them."""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from datetime import UTC, datetime
from typing import NamedTuple

import httpx2
import pytest
from sqlalchemy import text

from identity_service.openid import tokens
from identity_service.openid.tables import OauthGrant
from tests.faults.database_proxy import DatabaseProxy
from tests.openid.given import Shop, a_customer, a_shop, sign_in_at
from tests.resets.given import a_browser

SOME_LOCK = 7013
STOPS = f"""
    CREATE FUNCTION stop_here() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        PERFORM pg_advisory_xact_lock({SOME_LOCK}); RETURN NULL;
    END $$;
    CREATE TRIGGER stop_here AFTER UPDATE ON oauth_grant FOR EACH ROW EXECUTE FUNCTION stop_here();
"""
GOES_ON = "DROP TRIGGER IF EXISTS stop_here ON oauth_grant; DROP FUNCTION IF EXISTS stop_here"
WAITS = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"


class Over(NamedTuple):
    """What a `Shop` needs of a service: the way to it."""

    http: httpx2.AsyncClient


class Place:
    """A shop, its customer, and the process that is killed."""

    def __init__(self, service, beside, owner, proxy: DatabaseProxy, http: httpx2.AsyncClient) -> None:
        self.service, self.beside, self.owner, self.proxy, self.http = service, beside, owner, proxy, http

    async def begin(self, caller) -> None:
        await a_customer(self.service, caller)
        self.here = await a_shop(self.service)
        self.shop: Shop = self.here._replace(service=Over(self.http))
        await self.start()

    async def start(self) -> None:
        self.beside.api = await self.beside.spawn("serve", DATABASE_URL=self.proxy.url)
        await self.beside.ready(self.http)

    async def a_code(self, source: str = "198.51.100.9") -> dict[str, str]:
        """A code that is a moment old, however long the process took to start."""
        self.service.clock.now = datetime.now(UTC)
        return await sign_in_at(a_browser(self.service, source), self.here)

    async def kill_before_the_commit(self, call: Awaitable) -> None:
        """kill -9 while the transaction stands behind its UPDATE, at a lock that only this test holds."""
        async with self.owner.connect() as connection:
            raw = (await connection.get_raw_connection()).driver_connection
            await raw.execute(STOPS)
            await raw.execute(f"SELECT pg_advisory_lock({SOME_LOCK})")
            try:
                asked = asyncio.ensure_future(call)
                while await raw.fetchval(WAITS) == 0:
                    assert not asked.done(), asked.result().text
                    await asyncio.sleep(0.05)
                await self._kill(asked)
            finally:
                await raw.execute(f"SELECT pg_advisory_unlock({SOME_LOCK})")
                await raw.execute(GOES_ON)

    async def kill_after_the_commit(self, call: Awaitable) -> None:
        """kill -9 when everybody sees the commit, and the process alone has not heard of it."""
        before = await self._rows()
        self.proxy.keeps_commits = True
        asked = asyncio.ensure_future(call)
        while await self._rows() == before:
            assert not asked.done(), asked.result().text
            await asyncio.sleep(0.05)
        assert self.proxy.kept.is_set()
        await self._kill(asked)
        self.proxy.keeps_commits = False

    async def _kill(self, asked: asyncio.Future) -> None:
        assert not asked.done()
        self.beside.api.kill()
        await self.beside.api.wait()
        with pytest.raises(httpx2.TransportError):
            await asked

    async def _rows(self) -> list:
        return await self.service.rows("SELECT id, code_used_at, generation FROM oauth_grant ORDER BY id")

    async def grant(self) -> OauthGrant:
        async with self.service.database.transaction() as session:
            (found,) = (await session.execute(text("SELECT id FROM oauth_grant ORDER BY granted_at LIMIT 1"))).scalars()
            return await session.get_one(OauthGrant, found)


@pytest.fixture
async def place(service, caller, beside, owner, urls) -> AsyncIterator[Place]:
    proxy = await DatabaseProxy(urls.application).start()
    async with httpx2.AsyncClient(base_url=beside.base, timeout=60) as http:
        found = Place(service, beside, owner, proxy, http)
        await found.begin(caller)
        yield found
    await beside.end_processes()
    await proxy.stop()


async def test_a_code_whose_use_was_not_committed_is_as_good_as_before(place):
    """OID-11: either nothing happened; the same code gives the tokens, once."""
    answer = await place.a_code()
    await place.kill_before_the_commit(place.shop.redeem(answer["code"], answer["verifier"]))
    assert (await place.grant()).code_used_at is None
    await place.start()
    await renew(place)
    issued = await place.shop.redeem(answer["code"], answer["verifier"])
    assert issued.status_code == 200, issued.text
    assert (await place.shop.userinfo(issued.json()["access_token"])).status_code == 200
    assert (await place.shop.redeem(answer["code"], answer["verifier"])).json()["error"] == "invalid_grant"


async def renew(place: Place) -> None:
    """Let a minute begin anew for what waited for the process: a busy machine takes longer than that to start one."""
    moved = "UPDATE oauth_grant SET code_expires_at = now() + interval '60 s', rotated_at = :now"
    now = datetime.now(UTC) if (await place.grant()).rotated_at else None
    async with place.owner.begin() as connection:
        await connection.execute(text(moved), {"now": now})


async def test_a_code_whose_answer_was_lost_gives_no_second_set_and_the_next_sign_in_works(place):
    """OID-11, OID-12: or it is used up: what nobody got ends with the session at the latest, and at once when the
    application tries again; then the customer signs in anew."""
    answer = await place.a_code()
    await place.kill_after_the_commit(place.shop.redeem(answer["code"], answer["verifier"]))
    grant = await place.grant()
    ((session_ends,),) = await place.service.rows("SELECT expires_at FROM sign_in_session ORDER BY created_at LIMIT 1")
    assert grant.code_used_at is not None
    assert (grant.generation, grant.expires_at) == (0, session_ends)
    await place.start()
    await renew(place)
    again = await place.shop.redeem(answer["code"], answer["verifier"])
    assert (again.status_code, again.json()["error"]) == (400, "invalid_grant")
    assert (await place.grant()).ended_why == "code_reused"
    lost = tokens.make_refresh_token(grant, place.service.database.keys)
    assert (await place.shop.refresh(lost)).json()["error"] == "invalid_grant"
    fresh = await place.a_code("198.51.100.10")
    assert (await place.shop.redeem(fresh["code"], fresh["verifier"])).status_code == 200


@pytest.mark.parametrize("is_committed", [False, True], ids=["before the commit", "after the commit"])
async def test_a_refresh_token_whose_answer_was_lost_gives_the_same_successor(place, is_committed):
    """OID-17: the process that comes next derives it anew; after its use the old one ends the family."""
    answer = await place.a_code()
    first = (await place.shop.redeem(answer["code"], answer["verifier"])).json()["refresh_token"]
    kill = place.kill_after_the_commit if is_committed else place.kill_before_the_commit
    await kill(place.shop.refresh(first))
    assert (await place.grant()).generation == int(is_committed)
    await place.start()
    await renew(place)
    answers = [(await place.shop.refresh(first)).json() for _ in range(2)]
    grant = await place.grant()
    assert grant.generation == 1
    expected = tokens.make_refresh_token(grant, place.service.database.keys)
    assert [one.get("refresh_token") for one in answers] == [expected, expected], answers
    assert (await place.shop.refresh(expected)).status_code == 200
    assert (await place.shop.refresh(first)).json()["error"] == "invalid_grant"
    assert (await place.grant()).ended_why == "refresh_reused"
