"""Can the clock tell who has an account? `make bench-timing`: 2,000 interleaved pairs, known and unknown.

The last road is signing in where half of the known came by an import, with hashes of two kinds (IMPORTED).

The whole application in this process, on a real PostgreSQL, with the hashes of production; every address and every
network once. The best guesser knows all the times: he takes the one threshold, and the one direction, that are right
most often, or says of each pair that the slower (or the faster) is the known one. ATT-20, ATT-21, ATT-24: he is right
in at most 56 %. A smaller run, to look at a change: BENCH_PAIRS.
"""

import asyncio
import hashlib
import io
import os
import random
import re
import sys
import tempfile
import time
from pathlib import Path

import bcrypt
import httpx2
from pydantic import SecretStr
from sqlalchemy import delete, insert
from sqlalchemy.engine import make_url

from identity_service import app as web
from identity_service import database_schema, logs
from identity_service.accounts import actions as accounts
from identity_service.clock import utc_now
from identity_service.database.transactions import Database
from identity_service.dev import postgres
from identity_service.key_store import flows as key_store_flows
from identity_service.passwords import dummies, legacy_schemes
from identity_service.passwords.tables import Password
from identity_service.settings import Relay, Settings
from identity_service.values import email_addresses
from tests.browser import PAGE
from tests.conftest import BASE, MASTER_KEY

PAIRS = int(os.environ.get("BENCH_PAIRS", "2000"))
MOST = 0.56
WARM = 50
WRONG = "seven herons borrow a ladder"
SIGN_IN = {"password": WRONG}
ROADS = {"/reset": {}, "/signin/code": {}, "/": {}, "/signin": SIGN_IN, "/signin#imported": SIGN_IN}
PAGE_OF = {"/reset": "/reset", "/signin/code": "/signin", "/": "/", "/signin": "/signin", "/signin#imported": "/signin"}
OLD = "violet teapot argues with gravity"
IMPORTED = (
    lambda: bcrypt.hashpw(OLD.encode(), bcrypt.gensalt(10)).decode(),
    lambda: (
        "$pbkdf2$sha256$600000$c2FsdCBvZiBtYW55$"
        + legacy_schemes.encode(hashlib.pbkdf2_hmac("sha256", OLD.encode(), b"salt of many", 600_000))
    ),
)
"""bcrypt of cost 10, and Django's PBKDF2 with 600,000 iterations."""


def best_guess(known: list[float], unknown: list[float]) -> float:
    """Return the share in which the best guesser is right."""
    labelled = sorted([(seconds, 1) for seconds in known] + [(seconds, 0) for seconds in unknown])
    below, best = 0, 0
    for place, (_, is_known) in enumerate(labelled, 1):
        below += is_known
        # Everything up to here is called known, the rest unknown; or the other way round.
        right = below + (len(unknown) - (place - below))
        best = max(best, right, len(labelled) - right)
    slower = sum(k > u for k, u in zip(known, unknown, strict=True))
    return max(best / len(labelled), slower / len(known), 1 - slower / len(known))


async def main() -> int:
    """Measure every road; return 1 where a guesser is too often right."""
    logs.configure("json", stream=io.StringIO())
    with tempfile.TemporaryDirectory() as folder:
        server = await postgres.start(Path(folder) / "data")
        await database_schema.migrate(server.owner, make_url(server.application).username)
        settings = Settings(
            environment="development",
            data_dir=Path(folder),
            public_url=BASE,
            master_key=SecretStr(MASTER_KEY),
            relays=(Relay(name="first", host="127.0.0.1", port=9, tls="none"),),
            mail_from="service@identity.example",
        )
        database = Database(settings, server.application)
        await key_store_flows.load_key_ring(database, settings.key())
        app = web.create_app(database, settings.key())
        async with app.router.lifespan_context(app):
            worst = 0.0
            for road, fields in ROADS.items():
                await _accounts(app, road)
                await database.in_transaction(dummies.count_kinds)
                await dummies.reload_kinds(database, app.state.hasher.dummies)
                known, unknown = await _measure(app, road, fields)
                share = best_guess(known, unknown)
                worst = max(worst, share)
                print(
                    f"{road:<16} {PAIRS} pairs  known {_middle(known):6.2f} ms  unknown {_middle(unknown):6.2f} ms  "
                    f"best guess {share:.1%} (at most {MOST:.0%})",
                    flush=True,
                )
        await database.close()
    return 0 if worst <= MOST else 1


def _address(road: str, state: str, number: int) -> str:
    return f"{state}{number:06}@{road.strip('/').replace('/', '-').replace('#', '-') or 'home'}.example.org"


async def _accounts(app, road: str) -> None:
    """Add the known half, each with a password of production's cost; those before, of other roads, are gone."""
    phc = await app.state.hasher.hash(OLD)
    kinds = [phc, phc, *(make() for make in IMPORTED)] if road.endswith("imported") else [phc]
    async with app.state.database.transaction() as session:
        await session.execute(delete(Password))
    for start in range(0, PAIRS + WARM, 500):
        async with app.state.database.transaction() as session:
            for number in range(start, min(start + 500, PAIRS + WARM)):
                address = email_addresses.parse(_address(road, "a", number), special_use=True)
                made = await accounts.add_account(session, address, display_name=None, locale="en", now=utc_now())
                await session.execute(
                    insert(Password), {"user_id": made.user_id, "phc": kinds[number % len(kinds)], "set_at": utc_now()}
                )


async def _measure(app, road: str, fields: dict[str, str]) -> tuple[list[float], list[float]]:
    known, unknown = [], []
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url=BASE, headers=PAGE) as http:
        token = re.search(r'name="form_token" value="([^"]+)"', (await http.get(PAGE_OF[road])).text)[1]
        cookies = dict(http.cookies)
    for number in range(PAIRS + WARM):
        pair = [("a", known), ("b", unknown)]
        random.shuffle(pair)
        for side, (state, times) in enumerate(pair):
            network = f"10.{number >> 7}.{(number & 127) * 2 + side}.1"
            transport = httpx2.ASGITransport(app, client=(network, 40000))
            sent = {"form_token": token, "email": _address(road, state, number), **fields}
            async with httpx2.AsyncClient(transport=transport, base_url=BASE, headers=PAGE, cookies=cookies) as http:
                started = time.perf_counter()
                answer = await http.post(road.partition("#")[0], data=sent)
                seconds = time.perf_counter() - started
            assert answer.status_code == (422 if fields else 303), answer.text
            if number >= WARM:
                times.append(seconds)
    return known, unknown


def _middle(times: list[float]) -> float:
    return sorted(times)[len(times) // 2] * 1000


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
