"""When the database is away every door says so, and when to come again; when it is back, all is well by itself."""

import asyncio

import asyncpg
import pytest
from sqlalchemy import text
from sqlalchemy.engine import make_url

from identity_service.database.failures import is_unavailable
from identity_service.database.transactions import Database
from identity_service.values import user_ids

USER_ID = user_ids.show(user_ids.issue())
NOWHERE = "postgresql://nobody@127.0.0.1:1/nothing"
DOORS = {
    "read": ("GET", "/v1/accounts/{user_id}", {}),
    "register": ("POST", "/v1/accounts", {"json": {}}),
    "register with a key": ("POST", "/v1/accounts", {"json": {}, "headers": {"Idempotency-Key": "k1"}}),
    "search": ("POST", "/v1/accounts/search", {"json": {"external_ref": "17"}}),
    "verify": ("POST", "/v1/accounts/verifications", {"json": {"user_ids": [USER_ID]}}),
    "feed": ("GET", "/v1/events", {}),
    "messages": ("GET", "/v1/messages", {}),
    "token": ("POST", "/oauth/token", {"data": {"grant_type": "client_credentials"}}),
}
KILL = """
    SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
    WHERE application_name = 'identity-service' AND usename = :role AND pid <> pg_backend_pid()
"""


@pytest.fixture
async def away(service, caller):
    """The application, whose database is gone: nobody listens where it was."""
    there = service.database
    gone = Database(there.settings, NOWHERE)
    gone.keys = there.keys
    service.app.state.database = gone
    yield service
    await gone.close()


async def ask(service, caller, door: str):
    method, path, options = DOORS[door]
    headers = {**caller.headers, **options.get("headers", {})}
    if "data" in options:
        headers.pop("Authorization")
        options = {**options, "auth": (caller.client_id, caller.client_secret)}
    path = path.replace("{user_id}", USER_ID)
    return await service.http.request(method, path, **{**options, "headers": headers})


@pytest.mark.parametrize("door", [door for door in DOORS if door != "search"])
async def test_a_door_without_a_database_says_so(away, caller, door):
    """API-01, API-04, ASVS 16.5.2: 503 with Retry-After, and not a word about servers or statements."""
    refused = await ask(away, caller, door)
    if door == "token":
        told = (refused.json()["error"], refused.json()["error_uri"].rsplit("/", 1)[-1])
        assert (refused.status_code, *told) == (503, "temporarily_unavailable", "database_unavailable")
        assert refused.headers["Content-Type"] == "application/json"
    else:
        assert (refused.status_code, refused.json()["code"]) == (503, "database_unavailable")
        assert refused.headers["Content-Type"] == "application/problem+json"
    assert int(refused.headers["Retry-After"]) > 0
    assert refused.headers["X-Content-Type-Options"] == "nosniff"
    assert "127.0.0.1" not in refused.text


@pytest.mark.parametrize(
    ("problem", "away"),
    [
        (asyncpg.PostgresIOError, True), (asyncpg.DiskFullError, True),
        (asyncpg.UndefinedFileError, False), (asyncpg.DataCorruptedError, False),
    ],
)  # fmt: skip
def test_a_disk_that_fails_is_a_refusal_and_rows_that_are_damaged_are_an_alarm(problem, away):
    """REL-11, REL-37: what may mend itself is asked again; what will not is a 500, which wakes somebody."""
    assert is_unavailable(problem("could not read blocks")) == away


async def test_without_a_database_the_process_lives_and_is_not_ready(away):
    """A supervisor must not restart it, a load balancer must not send to it."""
    assert (await away.http.get("/livez")).status_code == 200
    ready = await away.http.get("/readyz")
    assert ready.status_code == 503
    assert int(ready.headers["Retry-After"]) > 0
    assert (ready.json()["status"], ready.json()["database"]) == ("not ready", "away")


@pytest.mark.parametrize("shape", [{"json": {"email": "x"}}, {"content": b"{"}], ids=["malformed", "half"])
async def test_what_needs_no_database_is_still_refused_as_ever(away, caller, shape):
    refused = await away.http.post("/v1/accounts", **shape, headers={"Authorization": "Bearer x"})
    assert refused.status_code in (400, 401, 415)


async def test_a_token_is_checked_without_a_database(away, caller):
    """Decision 7: who calls is known; what is refused is refused, before anything is looked up."""
    assert (await away.http.get("/v1/events", headers={"Authorization": "Bearer x.y.z"})).status_code == 401


@pytest.mark.parametrize("door", DOORS)
async def test_after_every_connection_was_cut_the_next_requests_are_well(service, caller, owner, door, urls):
    """As after a restart or a failover: at most a 503 each, never a 500, and then the usual answer."""
    usual = (await ask(service, caller, door)).status_code
    role = urls.application.split("//")[1].split("@")[0].split(":")[0]
    async with owner.begin() as connection:
        assert (await connection.execute(text(KILL), {"role": role})).scalar_one() > 0
    async with asyncio.timeout(20):
        seen = []
        while usual not in seen:
            seen.append((await ask(service, caller, door)).status_code)
    assert set(seen) <= {usual, 503}


async def test_a_connection_to_what_is_no_primary_any_more_is_not_kept(service, caller, owner, urls):
    """REL-07: a server that refuses writes as read-only is left; the next connection finds who is primary now."""
    name = make_url(urls.application).database
    async with owner.connect() as connection:
        raw = (await connection.get_raw_connection()).driver_connection
        await raw.execute(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on')
        try:
            await service.database.engine.dispose()
            refused = await caller.post("/v1/accounts", {})
        finally:
            await raw.execute(f'ALTER DATABASE "{name}" RESET default_transaction_read_only')
    assert (refused.status_code, refused.json()["code"]) == (503, "database_unavailable")
    assert (await caller.post("/v1/accounts", {})).status_code == 201


async def test_a_request_that_is_cut_off_has_no_effect(service, caller, owner, urls):
    """The connection dies while the request waits: 503, nothing kept; sent again, it is done once."""
    role = urls.application.split("//")[1].split("@")[0].split(":")[0]
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    async with owner.connect() as connection:
        await connection.execute(text("LOCK TABLE account IN SHARE MODE"))
        asked = asyncio.create_task(caller.post("/v1/accounts", {"email": "anna@example.com"}))
        async with asyncio.timeout(4):
            while await service.rows(waiting) == [(0,)]:  # noqa: ASYNC110 (the database tells, nobody else knows)
                await asyncio.sleep(0.02)
        await connection.execute(text(KILL), {"role": role})
        assert (await asked).status_code == 503
        await connection.rollback()
    for _ in range(20):
        again = await caller.post("/v1/accounts", {"email": "anna@example.com"})
        if again.status_code != 503:
            break
    assert again.status_code == 201
    assert await service.rows("SELECT count(*) FROM account") == [(1,)]


async def test_when_all_connections_are_busy_a_request_waits_and_then_says_so(service, caller):
    """REL: a pool that is used up is a 503, not a 500 and not an endless wait."""
    # Of three connections two are for requests.
    settings = service.database.settings.model_copy(update={"database_pool_size": 3})
    small = Database(settings, service.database._url)
    small.keys = service.database.keys
    service.app.state.database = small
    try:
        async with small.transaction() as one, small.transaction() as two:
            await one.execute(text("SELECT 1"))
            await two.execute(text("SELECT 1"))
            refused = await caller.post("/v1/accounts", {})
            assert (refused.status_code, refused.json()["code"]) == (503, "database_unavailable")
        assert (await caller.post("/v1/accounts", {})).status_code == 201
    finally:
        await small.close()
