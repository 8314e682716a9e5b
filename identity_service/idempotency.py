"""`Idempotency-Key`: a POST that is sent again gets its first answer again, also after a crash.

The key is a row inserted in the transaction of the effect, and the answer is written to it before the commit. So there
is no state in between: either effect and answer are both there, or neither is. A second call waits on the unique
index, at most 2 s, until the first has committed, and then finds its answer. The stored answer is sealed, because it
may hold personal data, and is forgotten after 24 hours (draft-ietf-httpapi-idempotency-key-header-08).
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
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped, mapped_column

from identity_service import keyring, tokens
from identity_service.database import Base, UtcDateTime
from identity_service.doors import Now, Session
from identity_service.errors import Conflict, Problem, Unprocessable

KEPT = timedelta(hours=24)
_KEPT_HEADERS = ("location", "etag", "content-type")


class RequestInProgress(Conflict):
    """The first request with this Idempotency-Key is still running; ask again in a moment."""


class KeyReused(Unprocessable):
    """This Idempotency-Key was used with another body; a new request needs a new key."""


class MalformedKey(Unprocessable):
    """An Idempotency-Key is 1 to 255 printable ASCII characters."""


REFUSALS: tuple[type[Problem], ...] = (RequestInProgress, KeyReused, MalformedKey)
"""What every repeatable POST may answer."""


class IdempotencyKey(Base):
    """One remembered request of one client on one route."""

    __tablename__ = "idempotency_key"

    client_id: Mapped[str] = mapped_column(primary_key=True)
    route: Mapped[str] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    fingerprint: Mapped[bytes]
    answer: Mapped[bytes | None]
    user_id: Mapped[str | None] = mapped_column(index=True)
    until: Mapped[datetime] = mapped_column(UtcDateTime, index=True)


class _Replayed(Exception):
    """Carries the first answer past the verb, which must not run again."""

    def __init__(self, response: Response) -> None:
        super().__init__()
        self.response = response


@dataclass(frozen=True, slots=True)
class _Claim:
    session: AsyncSession
    client_id: str
    route: str
    key: str

    def this(self) -> tuple[ColumnElement[bool], ...]:
        row = IdempotencyKey
        return (row.client_id == self.client_id, row.route == self.route, row.key == self.key)

    async def keep(self, response: Response) -> None:
        """Write the answer beside the effect, before the commit."""
        headers = {name: response.headers[name] for name in _KEPT_HEADERS if name in response.headers}
        head = orjson.dumps([response.status_code, headers])
        sealed = keyring.of(self.session).seal("idempotency", head + b"\n" + bytes(response.body))
        await self.session.execute(
            update(IdempotencyKey).where(*self.this()).values(answer=sealed, user_id=_about(response))
        )


def _about(response: Response) -> str | None:
    """Return whom an answer is about, so that it dies when he is erased (API-03)."""
    answered = orjson.loads(response.body or b"null")
    if isinstance(answered, dict) and isinstance(answered.get("account"), dict):
        answered = answered["account"]
    shown = answered.get("user_id") if isinstance(answered, dict) else None
    return shown.replace("-", "") if isinstance(shown, str) else None


async def _claim(
    request: Request,
    session: Session,
    now: Now,
    idempotency_key: Annotated[str | None, Header(max_length=300)] = None,
) -> None:
    if idempotency_key is None:
        return
    key = idempotency_key.removeprefix('"').removesuffix('"')
    if not 1 <= len(key) <= 255 or not key.isascii() or not key.isprintable():
        raise MalformedKey
    route = f"{request.method} {request.scope['route'].path}"
    claim = _Claim(session, request.state.client_id, route, key)
    print_of_body = json.dumps(await request.json() if await request.body() else None, sort_keys=True).encode()
    fingerprint = tokens.keyed_hash(
        keyring.of(session).internal(), "idempotency", request.url.path.encode(), print_of_body
    )
    if await _is_first(claim, fingerprint, now):
        request.state.before_commit = claim.keep
        return
    first = (await session.execute(select(IdempotencyKey).where(*claim.this()))).scalar_one()
    if first.fingerprint != fingerprint:
        raise KeyReused
    raise _Replayed(_stored(session, first.answer or b""))


Repeatable = Depends(_claim, scope="function")
"""For `dependencies=[…]` of a POST, behind the scope: honours Idempotency-Key."""


def install(app: FastAPI) -> None:
    """Let the application answer with what was answered first."""
    app.add_exception_handler(_Replayed, _replay)


async def purge(session: AsyncSession) -> None:
    """Forget what is older than 24 hours."""
    await session.execute(delete(IdempotencyKey).where(IdempotencyKey.until < func.now()))


async def _is_first(claim: _Claim, fingerprint: bytes, now: datetime) -> bool:
    session = claim.session
    await session.execute(delete(IdempotencyKey).where(*claim.this(), IdempotencyKey.until < now))
    row = {"client_id": claim.client_id, "route": claim.route, "key": claim.key, "fingerprint": fingerprint}
    new = insert(IdempotencyKey).on_conflict_do_nothing().returning(IdempotencyKey.key)
    await session.execute(text("SET LOCAL lock_timeout = '2s'"))
    try:
        inserted = await session.execute(new, {**row, "until": now + KEPT})
    except DBAPIError as problem:
        if getattr(problem.orig, "sqlstate", None) == "55P03":
            raise RequestInProgress(retry_after=2) from problem
        raise
    await session.execute(text("SET LOCAL lock_timeout = '5s'"))
    return inserted.scalar_one_or_none() is not None


def _stored(session: AsyncSession, sealed: bytes) -> Response:
    head, _, body = keyring.of(session).unseal("idempotency", sealed).partition(b"\n")
    status, headers = orjson.loads(head)
    return Response(body, status, {**headers, "Idempotency-Replayed": "true"})


async def _replay(request: Request, replayed: Exception) -> Response:  # noqa: ARG001
    assert isinstance(replayed, _Replayed)  # noqa: S101
    return replayed.response
