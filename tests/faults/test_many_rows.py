"""Many accounts: whatever is asked by User ID, address or position, no table is read from end to end.

ROWS makes it larger (`make faults`: 1,000,000 accounts with ten million rows beside them, and the start is timed).
"""

import contextlib
import os
import time

import pytest
from sqlalchemy.engine import make_url

from identity_service.dev import postgres
from identity_service.values import user_ids
from tests.bench.stage import FILLED, add_accounts, begin_to_fill
from tests.conftest import Fresh
from tests.faults.processes import Cluster

ROWS = int(os.environ.get("ROWS", "100000"))
CHUNK, LONG = 50_000, 1_000_000
START_SECONDS = 5.0
AT_ONCE = 1000 if ROWS >= LONG else 20
"""User IDs that are verified at once. Of 100,000 rows, to read all is a good plan for 1,000."""
READ = f"""
    SELECT relname, seq_tup_read FROM pg_stat_user_tables WHERE relname IN ({", ".join(f"'{name}'" for name in FILLED)})
"""
SCOPES = """
    accounts:write accounts:verify accounts:read accounts:read_personal resets:create events:read history:read
    history:write marketing:check messages:read consents:read
""".split()


@pytest.fixture
async def filled(fresh: Fresh, tmp_path, unused_tcp_port):
    """A cluster on a database of its own with so many accounts, and the User ID of one of them."""
    await fresh.migrate()
    owner = await postgres.connect(make_url(fresh.urls.owner))
    await begin_to_fill(owner, "$argon2id$none")
    for first in range(0, ROWS, CHUNK):
        ids = await add_accounts(owner, first, min(CHUNK, ROWS - first))
    await owner.execute("VACUUM ANALYZE")
    await owner.close()
    cluster = Cluster(tmp_path, [{"name": "a", "host": "127.0.0.1", "port": 9, "tls": "none"}], unused_tcp_port)
    cluster.join(postgres.Server(*fresh.urls, tmp_path))
    cluster.user_id = user_ids.show(ids[-1])
    yield cluster
    await cluster.stop()


@pytest.mark.timeout(180 + ROWS // 1000)
async def test_nothing_that_is_asked_by_a_key_reads_a_whole_table(filled: Cluster, fresh: Fresh):
    """REL-25: the database itself counts the rows that were read in order; there are none."""
    before = dict(await fresh.rows(READ))
    since = time.monotonic()
    filled.api = await filled.spawn("serve")
    async with contextlib.aclosing(await filled.client(*SCOPES)) as http:
        started = time.monotonic() - since
        one, known = filled.user_id, {"email": f"c{ROWS // 2}@example.com"}
        asked = {
            "read": await http.get(f"/v1/accounts/{one}"),
            "by address": await http.post("/v1/accounts/search", json=known),
            "by reference": await http.post("/v1/accounts/search", json={"external_ref": "17"}),
            "verify": await http.post("/v1/accounts/verifications", json={"user_ids": [one] * AT_ONCE}),
            "history": await http.get(f"/v1/accounts/{one}/history"),
            "letters": await http.get("/v1/messages", params={"user_id": one}),
            "feed": await http.get("/v1/events"),
            "register the known": await http.post("/v1/accounts", json=known),
            "register": await http.post("/v1/accounts", json={"email": "new@example.com"}),
            "rename": await http.patch(f"/v1/accounts/{one}", json={"display_name": "Anna"}),
            "reset": await http.post("/v1/resets", json=known),
        }
    assert {
        what: answer.status_code for what, answer in asked.items() if answer.status_code not in (200, 201, 202)
    } == {}
    # A connection tells the statistics when it ends.
    await filled.end(filled.api)
    after = dict(await fresh.rows(READ))
    assert {name: after[name] - before[name] for name in FILLED} == dict.fromkeys(FILLED, 0)
    assert ROWS < LONG or started < START_SECONDS
