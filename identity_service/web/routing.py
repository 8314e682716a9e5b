"""Strict reading of requests, and the commit before the response is sent.

`StrictRoute` is the route class of every JSON endpoint. It reads the body with the route's own limit and refuses what a
JSON library accepts silently: duplicate keys (the last would win), NaN, UTF-16, lone surrogates; and repeated or
unknown query parameters. So every accepted request has exactly one meaning.
"""

import asyncio
import contextlib
import json
import math
import re
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, get_args, get_origin

import orjson
from fastapi import Request
from fastapi.dependencies.models import Dependant
from fastapi.responses import Response
from fastapi.routing import APIRoute
from starlette.requests import ClientDisconnect

from identity_service.database.failures import retry_serialization
from identity_service.errors import Problem, Unprocessable

BODY_LIMIT = 64 * 1024
BATCH_LIMIT = 4 * 1024 * 1024
"""Bytes of a body that is a list: 10,000 of the longest addresses fit, and 1,000 of the longest history entries."""
BODY_SECONDS = 30.0
"""Seconds that a body may take; `app.state.body_seconds` holds the value of an application."""
MAXIMUM_DEPTH = 32
"""How deeply arrays and objects may be nested; no request model needs more than a few levels."""
_API_PATHS = ("/v1/", "/oauth/", "/webhooks/")
_FOR_BROWSERS = re.compile(r"/oauth/(authorize|logout)(/.*)?")


def is_api_path(path: str) -> bool:
    """Return whether a path is for programs: it returns JSON and cannot be opened as a page.

    Of OAuth's paths browsers open those where a customer signs in to an application, and signs out.
    """
    return path.startswith(_API_PATHS) and not _FOR_BROWSERS.fullmatch(path)


MERGE_PATCH = "application/merge-patch+json"
"""The media type of a PATCH (RFC 7396); plain JSON is accepted for one, too."""
_LENGTH = re.compile(r"[0-9]{1,15}")


class MalformedJson(Problem):
    """The body isn't valid JSON, or it's ambiguous, for example because a key appears twice."""


class BodyTooLarge(Problem):
    """The body is larger than this route accepts."""

    status = 413


class BodyTooSlow(Problem):
    """The body didn't arrive in time. Send it again."""

    status = 408


class UnsupportedMediaType(Problem):
    """This route doesn't accept this media type."""

    status = 415


class RepeatedParameter(Problem):
    """A query parameter was sent more than once. Send it only once."""


class UnknownParameter(Unprocessable):
    """This route doesn't know this query parameter."""


class UnreadableParameter(Problem):
    """A query parameter isn't valid UTF-8, or contains a NUL character."""


class RepeatedHeader(Problem):
    """A header was sent more than once. Send it only once."""


class StrictRoute(APIRoute):
    """A JSON route that reads its body and query strictly. `openapi_extra={"x-body-limit": …}` raises the limit."""

    def get_route_handler(self) -> Callable[[Request], Awaitable[Response]]:  # type: ignore[override]
        """Wrap FastAPI's handler: check query, headers and body first."""
        inner = super().get_route_handler()
        limit = (self.openapi_extra or {}).get("x-body-limit", BODY_LIMIT)
        takes_body = self.body_field is not None
        known, headers = query_names(self), header_names(self)
        repeatable = repeatable_names(self)

        async def handle(request: Request) -> Response:
            check_query(request, known, repeatable)
            for name in headers:
                if len(request.headers.getlist(name)) > 1:
                    raise RepeatedHeader(f"Send {name} once.")
            body = await read_body(request, limit)
            if takes_body:
                request._json = read_json(request, body)
            elif body:
                raise UnsupportedMediaType("This route accepts no body.")
            return await answer_and_commit(request, inner)

        return handle


async def answer_and_commit(request: Request, inner: Callable[[Request], Awaitable[Response]]) -> Response:
    """Return FastAPI's response after the commit; retry after a serialization failure or deadlock (REL-38).

    FastAPI ends the request's transaction with the exit stack in the scope, so each attempt gets a stack of its own.
    """

    async def attempt() -> Response:
        async with contextlib.AsyncExitStack() as stack:
            request.scope["fastapi_function_astack"] = stack
            response = await inner(request)
            before_commit = getattr(request.state, "before_commit", None)
            if before_commit is not None:
                await before_commit(response)
            return Response(status_code=304, headers=_kept(response)) if _is_known(request, response) else response

    return await retry_serialization(attempt)


def _is_known(request: Request, response: Response) -> bool:
    """Return whether the caller has this answer already: `If-None-Match`, compared weakly (RFC 9110, 13.1.2)."""
    tag, wanted = response.headers.get("etag"), ",".join(request.headers.getlist("if-none-match"))
    if not wanted or tag is None or request.method != "GET" or response.status_code != 200:
        return False
    return wanted.strip() == "*" or tag in {part.strip().removeprefix("W/") for part in wanted.split(",")}


def _kept(response: Response) -> dict[str, str]:
    return {name: value for name, value in response.headers.items() if not name.startswith("content-")}


def query_names(route: APIRoute) -> frozenset[str]:
    """Return the names of a route's query parameters, those of its dependencies included."""
    return frozenset(field.alias for dependant in _all_dependants(route) for field in dependant.query_params)


def repeatable_names(route: APIRoute) -> frozenset[str]:
    """Return the names of a route's query parameters that are lists: they may be sent more than once."""
    fields = [field for dependant in _all_dependants(route) for field in dependant.query_params]
    kinds: dict[str, Any] = {field.alias: field.field_info.annotation for field in fields}
    return frozenset(name for name, kind in kinds.items() if list in {get_origin(k) for k in (kind, *get_args(kind))})


def header_names(route: APIRoute) -> frozenset[str]:
    """Return the names of the headers that a route reads, those of its dependencies included."""
    return frozenset(field.alias for dependant in _all_dependants(route) for field in dependant.header_params)


def _all_dependants(route: APIRoute) -> Iterator[Dependant]:
    todo = [route.dependant]
    while todo:
        dependant = todo.pop()
        todo += dependant.dependencies
        yield dependant


def check_query(
    request: Request,
    known: frozenset[str],
    repeatable: frozenset[str] = frozenset(),
    *,
    ignore_unknown: bool = False,
) -> None:
    """Refuse a query parameter that is repeated, unknown, not UTF-8, or contains NUL (PostgreSQL cannot store it).

    With `ignore_unknown` only known parameters count: newsletters, advertisements and scanners append others to a page.
    """
    if not request.scope["query_string"]:
        return
    given = [(n, value) for n, value in request.query_params.multi_items() if n in known or not ignore_unknown]
    names = [name for name, _ in given]
    once = [name for name in names if name not in repeatable]
    if len(once) != len(set(once)):
        raise RepeatedParameter
    if any("\0" in value or "\ufffd" in value for _, value in given):
        raise UnreadableParameter
    for name in names:
        if name not in known:
            raise UnknownParameter("Known parameters: " + (", ".join(sorted(known)) or "none") + ".")


async def read_body(request: Request, limit: int) -> bytes:
    """Return the body; refuse a compressed one, and more than `limit` bytes once declared or received (ATT-55)."""
    if request.headers.get("content-encoding", "identity").strip().lower() not in ("identity", ""):
        refusal = UnsupportedMediaType("Send the body uncompressed, without Content-Encoding.")
        refusal.headers = {"Accept-Encoding": "identity"}  # type: ignore[misc]
        raise refusal
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
    except ClientDisconnect as disconnected:
        raise MalformedJson("The connection closed before the body was complete.") from disconnected
    body = b"".join(chunks)
    request._body = body
    return body


def read_json(request: Request, body: bytes) -> Any:  # noqa: ANN401
    """Return the value of a JSON body; refuse one that is malformed or ambiguous (RFC 8259; FACT-5)."""
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json" and (request.method, media_type) != ("PATCH", MERGE_PATCH):
        raise UnsupportedMediaType("Send application/json.")
    if len(request.headers.getlist("content-type")) > 1:
        raise UnsupportedMediaType("Send the header Content-Type once.")
    try:
        orjson.loads(body)
        value = json.loads(
            body, object_pairs_hook=_without_duplicates, parse_constant=_no_constant, parse_float=_finite
        )
        if body.count(b"[") + body.count(b"{") > MAXIMUM_DEPTH:
            _check_depth(value, MAXIMUM_DEPTH)
        return value
    except (ValueError, RecursionError) as refused:
        raise MalformedJson(_what_is_wrong(refused, body)) from refused


class _Refused(ValueError):
    pass


_FAULTS = {
    "Expecting property name enclosed in double quotes": 'a name in double quotes, or "}", is expected',
    "Expecting value": "a value is expected",
    "Expecting ',' delimiter": "a comma, or the closing bracket, is expected",
    "Expecting ':' delimiter": "a colon is expected",
    "Extra data": "something stands behind the end",
    "Unterminated string starting at": "a text begins here and has no end",
    "Invalid control character at": "a text has a control character, such as a line break",
}


def _what_is_wrong(refused: Exception, body: bytes) -> str | None:
    """Return what is wrong, and where; nothing of the body is repeated."""
    if isinstance(refused, _Refused):
        return str(refused)
    try:
        json.loads(body.decode())
    except json.JSONDecodeError as fault:
        text, at = fault.doc[: fault.pos].rstrip(), f"line {fault.lineno}, column {fault.colno}"
        known = _FAULTS.get(fault.msg, "it cannot be read")
        if "trailing comma" in fault.msg or (text.endswith(",") and fault.doc[fault.pos : fault.pos + 1] in ("}", "]")):
            # Before Python 3.13 the bracket behind the comma is named, not the comma.
            comma = fault.doc.rindex(",", 0, fault.pos + 1)
            column = comma - fault.doc.rfind("\n", 0, comma)
            known, at = "a trailing comma", f"line {fault.doc.count(chr(10), 0, comma) + 1}, column {column}"
        return f"The body isn't valid JSON: {known} at {at}."
    except (ValueError, RecursionError):
        pass
    return None


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _Refused("An object contains the same key twice.")
    return found


def _check_depth(value: Any, left: int) -> None:  # noqa: ANN401
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    if inside and not left:
        raise _Refused("Arrays and objects are nested too deeply.")
    for item in inside:
        _check_depth(item, left - 1)


def _no_constant(name: str) -> None:  # noqa: ARG001
    raise _Refused("NaN and Infinity are not JSON.")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise _Refused("A number is too large.")
    return value
