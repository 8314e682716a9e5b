"""What every door shares: how a request is read, and the names its signature is made of.

`Door` is the route class of every JSON endpoint. It reads the body with the route's own limit and refuses what a JSON
library lets pass silently: duplicate keys (the last would win), NaN, UTF-16, lone surrogates, repeated or unknown
query parameters. What it hands on has one meaning only.
"""

import asyncio
import contextlib
import ipaddress
import json
import math
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import UTC, datetime
from typing import Annotated, Any

import orjson
from fastapi import Depends, Request
from fastapi.dependencies.models import Dependant
from fastapi.responses import Response
from fastapi.routing import APIRoute
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.requests import ClientDisconnect

from identity_service import lines, logs
from identity_service.database import Database, repeated
from identity_service.errors import Problem, Unprocessable
from identity_service.keyring import Keyring
from identity_service.settings import Settings as AllSettings

BODY_LIMIT = 64 * 1024
BATCH_LIMIT = 1024 * 1024
BODY_SECONDS = 30.0
"""How long a body may take; an application's own is `app.state.body_seconds`."""
DEEPEST = 32
"""How deep arrays and objects may stand in one another; what we take has no use for more than a few."""
FOR_SERVICES = ("/v1/", "/oauth/", "/hooks/")
"""Paths for programs: they answer JSON, and do not open as a page."""
_LENGTH = re.compile(r"[0-9]{1,15}")
_MOMENT = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)


class MalformedJson(Problem):
    """The body is not JSON that can be read in one way only."""


class BodyTooLarge(Problem):
    """The body is larger than this route takes."""

    status = 413


class BodyTooSlow(Problem):
    """The body did not arrive in time."""

    status = 408


class UnsupportedMediaType(Problem):
    """This route takes another media type."""

    status = 415


class RepeatedParameter(Problem):
    """A query parameter stands there twice; which one counts?"""


class UnknownParameter(Unprocessable):
    """There is no such query parameter here."""


class UnreadableParameter(Problem):
    """A query parameter is not text in UTF-8, or has a NUL in it."""


class RepeatedHeader(Problem):
    """A header stands there twice; which one counts?"""


class Shape(BaseModel):
    """What comes in: types are exact, unknown fields are refused by name."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class View(BaseModel):
    """What goes out: every field is always there."""

    model_config = ConfigDict(frozen=True)


def _printable(value: str) -> str:
    if not lines.is_printable(value):
        raise ValueError("contains characters that cannot be printed")
    if value != value.strip() or not value:
        raise ValueError("begins or ends with a blank")
    return value


Line = Annotated[str, StringConstraints(min_length=1, max_length=lines.LONGEST), AfterValidator(_printable)]
"""One printable line of at most 200 characters."""


def _readable(value: str) -> str:
    if not lines.is_text(value):
        raise ValueError("contains characters that cannot be printed")
    return value


Text = Annotated[str, StringConstraints(max_length=2000), AfterValidator(_readable)]
"""Printable lines of at most 2,000 characters in all."""


def _written_out(value: object) -> object:
    # pydantic takes a number, and a day without a time, for a moment; the document promises neither.
    if not isinstance(value, str) or not _MOMENT.fullmatch(value):
        raise ValueError("is no moment with a time zone, like 2026-03-01T12:00:00Z (RFC 3339)")
    return value


def _in_utc(moment: datetime) -> datetime:
    # At both ends of its range, Python cannot go from one zone to another.
    if not 1000 <= moment.year <= 9998:
        raise ValueError("is not between the years 1000 and 9998")
    return moment.astimezone(UTC)


Moment = Annotated[datetime, Field(strict=False), BeforeValidator(_written_out), AfterValidator(_in_utc)]
"""A moment as RFC 3339 writes it, with its time zone; handed on in UTC."""


class Door(APIRoute):
    """A JSON route that reads its body and query strictly. `openapi_extra={"x-body-limit": …}` raises the limit."""

    def get_route_handler(self) -> Callable[[Request], Awaitable[Response]]:  # type: ignore[override]
        """Wrap FastAPI's handler: read and check, then hand on."""
        inner = super().get_route_handler()
        limit = (self.openapi_extra or {}).get("x-body-limit", BODY_LIMIT)
        takes_body = self.body_field is not None
        known, headers = query_names(self), header_names(self)

        async def door(request: Request) -> Response:
            check_query(request, known)
            for name in headers:
                if len(request.headers.getlist(name)) > 1:
                    raise RepeatedHeader(f"Send {name} once.")
            body = await read_body(request, limit)
            if takes_body:
                request._json = read_json(request, body)
            elif body:
                raise UnsupportedMediaType("This route takes no body.")
            return await answer_and_commit(request, inner)

        return door


async def answer_and_commit(request: Request, inner: Callable[[Request], Awaitable[Response]]) -> Response:
    """Return FastAPI's answer when all it tells of is committed; what was broken off begins again (REL-38).

    FastAPI ends the request's transaction with the stack that it finds in the scope. Each try gets one of its own.
    """

    async def once() -> Response:
        async with contextlib.AsyncExitStack() as stack:
            request.scope["fastapi_function_astack"] = stack
            response = await inner(request)
            before_commit = getattr(request.state, "before_commit", None)
            if before_commit is not None:
                await before_commit(response)
            return response

    return await repeated(once)


def query_names(route: APIRoute) -> frozenset[str]:
    """Return the names of a route's query parameters, those of its dependencies included."""
    return frozenset(field.alias for dependant in _dependants(route) for field in dependant.query_params)


def header_names(route: APIRoute) -> frozenset[str]:
    """Return the names of the headers that a route reads, its dependencies included."""
    return frozenset(field.alias for dependant in _dependants(route) for field in dependant.header_params)


def _dependants(route: APIRoute) -> Iterator[Dependant]:
    todo = [route.dependant]
    while todo:
        dependant = todo.pop()
        todo += dependant.dependencies
        yield dependant


def check_query(request: Request, known: frozenset[str]) -> None:
    """Refuse a query parameter that is repeated, unknown, or no text (PostgreSQL keeps no NUL)."""
    if not request.scope["query_string"]:
        return
    names = [name for name, _ in request.query_params.multi_items()]
    if len(names) != len(set(names)):
        raise RepeatedParameter
    if any("\0" in text or "\ufffd" in text for text in request.query_params.values()):
        raise UnreadableParameter
    for name in names:
        if name not in known:
            raise UnknownParameter("Known here: " + (", ".join(sorted(known)) or "none") + ".")


async def read_body(request: Request, limit: int) -> bytes:
    """Return the body, at most `limit` bytes; more is refused as soon as it shows (ATT-55)."""
    declared = request.headers.get("content-length", "0")
    if not _LENGTH.fullmatch(declared) or int(declared) > limit:
        raise BodyTooLarge(limit=limit)
    chunks, size = [], 0
    try:
        async with asyncio.timeout(request.app.state.body_seconds):
            async for chunk in request.stream():
                size += len(chunk)
                if size > limit:
                    raise BodyTooLarge(limit=limit)
                chunks.append(chunk)
    except TimeoutError as slow:
        raise BodyTooSlow from slow
    except ClientDisconnect as gone:
        raise MalformedJson("The body ended before it was whole.") from gone
    body = b"".join(chunks)
    request._body = body
    return body


def read_json(request: Request, body: bytes) -> Any:  # noqa: ANN401
    """Return the value of a JSON body, or refuse it with what is wrong (RFC 8259; FACT-5)."""
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json":
        raise UnsupportedMediaType("Send application/json.")
    if (
        len(request.headers.getlist("content-type")) > 1
        or request.headers.get("content-encoding", "identity") != "identity"
    ):
        raise UnsupportedMediaType("Send application/json once, and not compressed.")
    try:
        orjson.loads(body)
        value = json.loads(body, object_pairs_hook=_once, parse_constant=_no_constant, parse_float=_finite)
        if body.count(b"[") + body.count(b"{") > DEEPEST:
            _check_depth(value, DEEPEST)
        return value
    except (ValueError, RecursionError) as refused:
        raise MalformedJson(str(refused) if isinstance(refused, _Refused) else None) from refused


class _Refused(ValueError):
    pass


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _Refused("A key stands there twice in one object; which one counts?")
    return found


def _check_depth(value: Any, left: int) -> None:  # noqa: ANN401
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    if inside and not left:
        raise _Refused("Arrays and objects stand too deep in one another.")
    for item in inside:
        _check_depth(item, left - 1)


def _no_constant(name: str) -> None:  # noqa: ARG001
    raise _Refused("NaN and Infinity are not JSON.")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise _Refused("A number is too large.")
    return value


def database_of(request: Request) -> Database:
    """Return the process's database."""
    database: Database = request.app.state.database
    return database


async def _session(request: Request) -> AsyncIterator[AsyncSession]:
    async with database_of(request).transaction() as session:
        request.state.session = session
        yield session


def now_of(request: Request) -> datetime:
    """Return the moment of this request, in UTC; tests set the clock of the application."""
    clock: Callable[[], datetime] = request.app.state.clock
    return clock()


def keyring_of(request: Request) -> Keyring:
    """Return the process's key ring."""
    keyring: Keyring = database_of(request).info["keyring"]
    return keyring


# Awaitable, though nothing is awaited: FastAPI hands a plain function to a thread, which takes longer than the rest.
async def _now(request: Request) -> datetime:
    return now_of(request)


async def _settings(request: Request) -> AllSettings:
    return database_of(request).settings


async def _keys(request: Request) -> Keyring:
    return keyring_of(request)


Session = Annotated[AsyncSession, Depends(_session, scope="function")]
"""The request's transaction, committed before the answer leaves."""
Now = Annotated[datetime, Depends(_now)]
Settings = Annotated[AllSettings, Depends(_settings)]
Keys = Annotated[Keyring, Depends(_keys)]


def utc_now() -> datetime:
    """Return the clock of production."""
    return datetime.now(UTC)


def network_of(request: Request) -> str:
    """Return the caller's network: the IPv4 address, or the /64 of an IPv6 address (PWD-08).

    Behind `trusted_proxies` proxies the address is the one that many from the right of X-Forwarded-For; without any,
    the header is ignored, whoever sends it.
    """
    settings = database_of(request).settings
    address = request.client.host if request.client else ""
    if settings.trusted_proxies:
        hops = [hop.strip() for line in request.headers.getlist("x-forwarded-for") for hop in line.split(",")]
        if len(hops) >= settings.trusted_proxies:
            address = hops[-settings.trusted_proxies]
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        logs.log.warning("request.unreadable_peer")
        return "unknown"
    if isinstance(parsed, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((parsed, 64), strict=False))
    return str(parsed)
