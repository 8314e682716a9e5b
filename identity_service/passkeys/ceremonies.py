"""What registrations and sign-ins of customers and of staff have in common: challenges that are used once, and the
check of a response against the stored key. The tables differ, the columns are `tables.Credential` and
`tables.Challenge`."""

import secrets
from datetime import datetime
from typing import Any, NamedTuple, TypeVar

from sqlalchemy import delete, insert

from identity_service.database.transactions import DatabaseSession
from identity_service.keys import hashing
from identity_service.passkeys import responses, rules
from identity_service.passkeys.tables import Challenge, Credential
from identity_service.settings import Settings

_Row = TypeVar("_Row", bound=Challenge)


class Begun(NamedTuple):
    """A ceremony: the id that its response comes back with, and the options for the browser."""

    ceremony: str
    options: dict[str, Any]


async def store_challenge(
    session: DatabaseSession, table: type[Challenge], row: dict[str, Any], *, browser: str, now: datetime
) -> str:
    """Store a challenge for a browser; return the id that its response comes back with."""
    ceremony = secrets.token_urlsafe(16)
    kept = {
        "id_hash": hashing.hash_secret(ceremony), "browser_hash": hashing.hash_secret(browser),
        "expires_at": now + rules.CHALLENGE_LIFETIME,
    }  # fmt: skip
    await session.execute(insert(table), {**row, **kept})
    return ceremony


async def take_challenge(
    session: DatabaseSession, table: type[_Row], purpose: str, ceremony: str, *, browser: str, now: datetime
) -> _Row | None:
    """Use up the challenge of a ceremony of this browser by one statement; None if there is none that is valid."""
    mine = delete(table).where(table.expires_at > now)
    mine = mine.filter_by(
        id_hash=hashing.hash_secret(ceremony), purpose=purpose, browser_hash=hashing.hash_secret(browser)
    )
    taken: _Row | None = await session.scalar(mine.returning(table))
    return taken


def check_response(
    settings: Settings, stored: Credential, claimed: responses.Claimed, response: str, challenge: bytes
) -> responses.Assertion:
    """Return what a response says that the stored passkey has signed (PKY-04, PKY-10).

    Raises:
        responses.Malformed
    """
    if stored.user_handle != claimed.user_handle:
        raise responses.Malformed
    said = responses.check_assertion(settings, response, challenge, stored.public_key)
    if said.backup_eligible != stored.backup_eligible:
        raise responses.Malformed
    return said


def went_back(stored: Credential, said: responses.Assertion) -> bool:
    """Return whether the counter of a passkey has not risen: it may have been copied (WebAuthn, 6.1.1)."""
    return said.sign_count <= stored.sign_count and bool(said.sign_count or stored.sign_count)


def columns_after(stored: Credential, said: responses.Assertion, *, now: datetime) -> dict[str, Any]:
    """Return what a sign-in changes in the row of its passkey."""
    values = {"sign_count": said.sign_count, "backed_up": said.backed_up, "last_used_at": now}
    return values | ({"went_back_at": now} if went_back(stored, said) else {})


def read_label(given: str) -> str:
    """Return the name of a passkey as one line; without one it is just a passkey."""
    return " ".join("".join(sign for sign in given if sign.isprintable()).split())[: rules.LONGEST_NAME] or "Passkey"
