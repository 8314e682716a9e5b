"""`Idempotency-Key`: a repeated POST gets the response of the first one, also after a crash.

The key is a row inserted in the transaction of the effect, and the response is written to it before the commit, so
either both are stored or neither is. A second request waits for the unique index, at most 2 s, until the first has
committed, and then reads its response. The stored response is encrypted, because it may contain personal data, and is
deleted after 24 hours (draft-ietf-httpapi-idempotency-key-header-08).
"""

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated

import orjson
from fastapi import Depends, FastAPI, Header, Request
from fastapi.responses import Response
from sqlalchemy import ColumnElement, delete, func, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Mapped, mapped_column

from identity_service.database.privacy import FACT, IDENTIFIER, PROVING, TablePrivacy
from identity_service.database.transactions import DatabaseSession
from identity_service.database.types import Base, UtcDateTime
from identity_service.errors import Conflict, Problem, Unprocessable
from identity_service.keys import hashing
from identity_service.web.dependencies import Now, Session

KEPT = timedelta(hours=24)
_KEPT_HEADERS = ("location", "etag", "content-type")


class RequestInProgress(Conflict):
    """The first request with this Idempotency-Key is still running; try again in a moment."""


class IdempotencyKeyReused(Unprocessable):
    """This Idempotency-Key was used with another request; a new one needs a new key."""


class MalformedIdempotencyKey(Unprocessable):
    """An Idempotency-Key must be 1 to 255 printable ASCII characters."""


IDEMPOTENCY_ERRORS: tuple[type[Problem], ...] = (RequestInProgress, IdempotencyKeyReused, MalformedIdempotencyKey)
"""The errors of every repeatable POST."""


class IdempotencyKey(Base):
    """The first request with a key, by client and route, with its response."""

    __tablename__ = "idempotency_key"
    privacy = TablePrivacy(owner="user_id", erase="delete")

    client_id: Mapped[str] = mapped_column(primary_key=True, info=IDENTIFIER)
    route: Mapped[str] = mapped_column(primary_key=True, info=IDENTIFIER)
    key: Mapped[str] = mapped_column(primary_key=True, info=IDENTIFIER)
    fingerprint: Mapped[bytes] = mapped_column(info=PROVING)
    answer: Mapped[bytes | None] = mapped_column(info=PROVING)
    user_id: Mapped[str | None] = mapped_column(index=True, info=IDENTIFIER)
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True, info=FACT)


class _Replayed(Exception):
    """Carries the stored response to the exception handler, so that the endpoint does not run again."""

    def __init__(self, response: Response) -> None:
        super().__init__()
        self.response = response


@dataclass(frozen=True, slots=True)
class _Claim:
    session: DatabaseSession
    client_id: str
    route: str
    key: str

    def where(self) -> tuple[ColumnElement[bool], ...]:
        row = IdempotencyKey
        return (row.client_id == self.client_id, row.route == self.route, row.key == self.key)

    async def store(self, response: Response) -> None:
        """Store the response in the transaction of the effect."""
        headers = {name: response.headers[name] for name in _KEPT_HEADERS if name in response.headers}
        head = orjson.dumps([response.status_code, headers])
        sealed = self.session.keys.seal("idempotency", head + b"\n" + bytes(response.body))
        await self.session.execute(
            update(IdempotencyKey).where(*self.where()).values(answer=sealed, user_id=_about(response))
        )


def _about(response: Response) -> str | None:
    """Return the User ID in a response, so that the response is deleted when the account is erased (API-03)."""
    body = orjson.loads(response.body or b"null")
    if isinstance(body, dict) and isinstance(body.get("account"), dict):
        body = body["account"]
    shown = body.get("user_id") if isinstance(body, dict) else None
    return shown.replace("-", "") if isinstance(shown, str) else None


async def _claim(
    request: Request,
    session: Session,
    now: Now,
    idempotency_key: Annotated[
        str | None,
        Header(
            alias="Idempotency-Key",
            max_length=300,
            description="for 24 hours, the same key with the same request gets the first answer again",
        ),
    ] = None,
) -> None:
    if idempotency_key is None:
        return
    key = idempotency_key.removeprefix('"').removesuffix('"')
    if not 1 <= len(key) <= 255 or not key.isascii() or not key.isprintable():
        raise MalformedIdempotencyKey
    route = f"{request.method} {request.scope['route'].path}"
    claim = _Claim(session, request.state.client_id, route, key)
    canonical_body = json.dumps(await request.json() if await request.body() else None, sort_keys=True).encode()
    # What the answer depends on makes another request: query, clerk, contact, version, and what the token may see.
    headers = (request.headers.get(name, "") for name in ("x-clerk-id", "x-contact", "if-match"))
    parts = (request.url.path, request.url.query, *headers, " ".join(sorted(request.state.scopes)))
    internal = session.keys.internal()
    fingerprint = hashing.keyed_hash(internal, "idempotency", *(part.encode() for part in parts), canonical_body)
    if await _is_first(claim, fingerprint, now):
        request.state.before_commit = claim.store
        return
    first = (await session.execute(select(IdempotencyKey).where(*claim.where()))).scalar_one()
    if first.fingerprint != fingerprint:
        raise IdempotencyKeyReused
    raise _Replayed(_stored(session, first.answer or b""))


Repeatable = Depends(_claim, scope="function")
"""For `dependencies=[…]` of a route that changes something, after the scope: honours Idempotency-Key."""


def install(app: FastAPI) -> None:
    """Register the handler that returns stored responses."""
    app.add_exception_handler(_Replayed, _replay)


async def purge_keys(session: DatabaseSession) -> None:
    """Delete keys older than 24 hours."""
    await session.execute(delete(IdempotencyKey).where(IdempotencyKey.expires_at < func.now()))


async def _is_first(claim: _Claim, fingerprint: bytes, now: datetime) -> bool:
    session = claim.session
    await session.execute(delete(IdempotencyKey).where(*claim.where(), IdempotencyKey.expires_at < now))
    row = {"client_id": claim.client_id, "route": claim.route, "key": claim.key, "fingerprint": fingerprint}
    new = insert(IdempotencyKey).on_conflict_do_nothing().returning(IdempotencyKey.key)
    await session.execute(text("SET LOCAL lock_timeout = '2s'"))
    try:
        inserted = await session.execute(new, {**row, "expires_at": now + KEPT})
    except DBAPIError as problem:
        if getattr(problem.orig, "sqlstate", None) == "55P03":
            raise RequestInProgress(retry_after=2) from problem
        raise
    await session.execute(text("SET LOCAL lock_timeout = '5s'"))
    return inserted.scalar_one_or_none() is not None


def _stored(session: DatabaseSession, sealed: bytes) -> Response:
    head, _, body = session.keys.unseal("idempotency", sealed).partition(b"\n")
    status, headers = orjson.loads(head)
    return Response(body, status, {**headers, "Idempotency-Replayed": "true"})


async def _replay(request: Request, replayed: Exception) -> Response:  # noqa: ARG001
    assert isinstance(replayed, _Replayed)  # noqa: S101
    return replayed.response
