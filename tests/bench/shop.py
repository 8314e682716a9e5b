"""A shop that signs customers in: its registration, browsers that are signed in already, and refresh tokens."""

import base64
import hashlib
import secrets
import time
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy import insert, select

from identity_service.clients import actions as clients
from identity_service.clients import registration
from identity_service.database.transactions import Database, DatabaseSession
from identity_service.keys import hashing
from identity_service.openid import tokens
from identity_service.openid.tables import OauthGrant
from identity_service.passwords.tables import Password
from identity_service.sign_in.tables import SignInSession

BACK = "https://shop.example.org/callback"
VERIFIER = "a-verifier-of-the-bench-that-is-long-enough-0123"
BROWSERS, FAMILIES = 500, 256
HOUR = timedelta(hours=1)
BROWSERS_LAST = 3600
"""Seconds after which the browsers are signed in anew: idle ones are signed out after two hours."""


class Shop:
    """What the load needs of an application, as lines of files that wrk reads."""

    def __init__(self, database: Database, folder: Path) -> None:
        self.database, self.folder = database, folder
        self.signed_in_at = float("-inf")

    async def open(self) -> None:
        """Register the application, whose customers are asked nothing."""
        now = datetime.now(UTC)

        async def add(session: DatabaseSession) -> clients.Credentials:
            made = await clients.add_client(session, "bench shop", [], desk=False, source="shop", jwks=None, now=now)
            uris = {"redirect_uris": frozenset({BACK}), "logout_uris": frozenset()}
            await registration.set_sign_in(session, made.client_id, **uris, now=now)
            return made

        made = await self.database.in_transaction(add)
        self.client_id = made.client_id
        auth = base64.b64encode(f"{made.client_id}:{made.client_secret}".encode()).decode()
        challenge = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()
        self._write("shop", [made.client_id, f"Basic {auth}", challenge, VERIFIER])

    async def renew(self) -> None:
        """Make refresh tokens that no reading has used, and browsers whose sessions are young."""
        await self._renew_browsers()
        now = datetime.now(UTC)

        async def add(session: DatabaseSession) -> list[str]:
            rows = [self._grant(session, user_id, now) for user_id in await _customers(session, FAMILIES)]
            made = await session.scalars(insert(OauthGrant).returning(OauthGrant), rows)
            return [tokens.make_refresh_token(grant, session.keys) for grant in made.all()]

        self._write("refreshes", await self.database.in_transaction(add))

    async def _renew_browsers(self) -> None:
        if time.monotonic() - self.signed_in_at < BROWSERS_LAST:
            return
        now, cookies = datetime.now(UTC), [secrets.token_urlsafe(32) for _ in range(BROWSERS)]

        async def add(session: DatabaseSession) -> None:
            customers = await _customers(session, BROWSERS)
            rows = [
                {
                    "id": uuid.uuid4(), "cookie_hash": hashing.hash_secret(cookie), "user_id": user_id,
                    "method": "password", "browser": "bench", "proven_at": now, "created_at": now, "seen_at": now,
                    "expires_at": now + 12 * HOUR,
                }
                for cookie, user_id in zip(cookies, customers, strict=True)
            ]  # fmt: skip
            await session.execute(insert(SignInSession), rows)

        await self.database.in_transaction(add)
        self._write("browsers", [f"__Host-session={one}; __Host-authorize={one}" for one in cookies])
        self.signed_in_at = time.monotonic()

    def _grant(self, session: DatabaseSession, user_id: str, now: datetime) -> dict[str, object]:
        return {
            "id": uuid.uuid4(), "client_id": self.client_id, "user_id": user_id, "sid": uuid.uuid4(),
            "scope": ["email", "openid", "profile"], "method": "password", "signed_in_at": now, "redirect_uri": BACK,
            "code_hash": secrets.token_bytes(32), "code_expires_at": now, "code_used_at": now,
            "key_id": session.keys.link_key()[0], "granted_at": now, "expires_at": now + 12 * HOUR,
        }  # fmt: skip

    def _write(self, name: str, lines: list[str]) -> None:
        (self.folder / name).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


async def _customers(session: DatabaseSession, count: int) -> list[str]:
    return list((await session.scalars(select(Password.user_id).limit(count))).all())
