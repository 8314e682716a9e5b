"""How failures are told: `application/problem+json` (RFC 9457), rendered in this one place.

The caller's input is never repeated, a password sent by mistake included. What the database cannot do right now is a
503 with `Retry-After`; what nobody expected is a 500 with the request's id, and the traceback stays in the log.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import asyncpg
import orjson
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import PlainTextResponse, RedirectResponse, Response
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from starlette.exceptions import HTTPException

from identity_service import doors, forms, pages
from identity_service.database import DatabaseAway, is_away
from identity_service.errors import Problem, Unprocessable

MEDIA_TYPE = "application/problem+json"
SCHEMA = "Problem"


class InvalidShape(Unprocessable):
    """The values have the wrong shape; `errors` says where."""


class UnknownPath(Problem):
    """There is nothing at this path."""

    status = 404


class MethodNotAllowed(Problem):
    """This path knows other methods; `Allow` names them."""

    status = 405

    @classmethod
    def at(cls, methods: Iterable[str]) -> "MethodNotAllowed":
        """Return the refusal of a path that knows these methods."""
        refusal = cls()
        refusal.headers = {"Allow": ", ".join(sorted(methods))}  # type: ignore[misc]
        return refusal


class BadRequest(Problem):
    """The request cannot be read."""


class InternalError(Problem):
    """Something unexpected happened here; it has been logged under this request_id."""

    status = 500


def install(app: FastAPI) -> None:
    """Make the application answer every failure in the one form."""
    app.add_exception_handler(Problem, _expected)
    app.add_exception_handler(RequestValidationError, _wrong_shape)
    app.add_exception_handler(HTTPException, _from_framework)
    for kind in _OF_DATABASE:
        app.add_exception_handler(kind, _from_database)
    app.add_api_route("/problems/{code}", explain, methods=["GET"], include_in_schema=False)


def answer(request: Request, problem: Problem, headers: Mapping[str, str] | None = None) -> Response:
    """Return the answer for a problem."""
    request.scope["problem"] = problem.code()
    if pages.wants_page(request) and not request.scope["path"].startswith(doors.FOR_SERVICES):
        return _page(request, problem, {**problem.extra_headers(), **(headers or {})})
    body = {
        "type": f"{request.app.state.database.settings.public_url}/problems/{problem.code()}",
        "title": problem.title(),
        "status": problem.status,
        "code": problem.code(),
        "detail": problem.detail or problem.title(),
        "request_id": request.scope.get("request_id"),
        **problem.members,
    }
    return Response(
        orjson.dumps(body), problem.status, {**problem.extra_headers(), **(headers or {})}, media_type=MEDIA_TYPE
    )


def _page(request: Request, problem: Problem, headers: Mapping[str, str]) -> Response:
    """Return the answer for a person: the form that was refused, filled in as it was sent, or a page of its own."""
    if problem.leads_to is not None and request.method == "GET":
        return RedirectResponse(problem.leads_to, 303, headers)
    template = getattr(request.state, "form_template", None) if problem.status < 500 else None
    values = forms.Fields(getattr(request.state, "form", {})).shown()
    page = pages.page(
        request, template or "problem.html", status=problem.status, problem=problem, values=values,
        **(request.path_params if template else {}), **(getattr(request.state, "form_facts", {}) if template else {}),
    )  # fmt: skip
    page.headers.update(headers)
    return page


def documented(*problems: type[Problem]) -> dict[int | str, dict[str, Any]]:
    """Return the `responses` of an endpoint: its own problems and those every door has."""
    found: dict[int, list[str]] = {}
    for problem in (*problems, *_EVERYWHERE):
        found.setdefault(problem.status, []).append(f"`{problem.code()}`: {problem.title()}")
    content = {MEDIA_TYPE: {"schema": {"$ref": f"#/components/schemas/{SCHEMA}"}}}
    return {status: {"description": "\n\n".join(lines), "content": content} for status, lines in sorted(found.items())}


def every(root: type[Problem] = Problem) -> Iterable[type[Problem]]:
    """Return every class of problem that the loaded code knows, once."""
    seen: dict[str, type[Problem]] = {}
    todo = [root]
    while todo:
        problem = todo.pop()
        todo += problem.__subclasses__()
        seen[problem.code()] = problem
    return [seen[code] for code in sorted(seen)]


async def explain(code: str) -> Response:
    """Say what a problem type means (RFC 9457, 3.1.1: the type URI leads to its documentation)."""
    found = next((problem for problem in every() if problem.code() == code), None)
    if found is None:
        raise UnknownPath
    return PlainTextResponse(f"{found.code()} ({found.status})\n\n{found.title()}\n")


_EVERYWHERE: tuple[type[Problem], ...] = (
    doors.MalformedJson, doors.RepeatedParameter, doors.UnreadableParameter, doors.RepeatedHeader,
    doors.BodyTooLarge, doors.BodyTooSlow, doors.UnsupportedMediaType,
    doors.UnknownParameter, InvalidShape, InternalError, DatabaseAway,
)  # fmt: skip


async def _expected(request: Request, problem: Exception) -> Response:
    assert isinstance(problem, Problem)  # noqa: S101
    return answer(request, problem)


async def _wrong_shape(request: Request, problem: Exception) -> Response:
    assert isinstance(problem, RequestValidationError)  # noqa: S101
    errors = [
        {"pointer": _pointer(error["loc"]), "code": error["type"], "detail": _sentence(error)}
        for error in problem.errors()[:20]
    ]
    return answer(request, InvalidShape(errors=errors))


def _pointer(location: tuple[int | str, ...]) -> str:
    where = location[1:] if location and location[0] in ("body", "query", "path", "header") else location
    return "".join("/" + str(step)[:100].replace("~", "~0").replace("/", "~1") for step in where)


def _sentence(error: Mapping[str, Any]) -> str:
    # pydantic's sentences name the rule; those of our own validators come behind "Value error, ".
    return str(error["msg"]).removeprefix("Value error, ")[:200]


async def _from_framework(request: Request, problem: Exception) -> Response:
    assert isinstance(problem, HTTPException)  # noqa: S101
    kinds: dict[int, type[Problem]] = {404: UnknownPath}
    if problem.status_code == 405:
        # The framework names the methods of one route only; a path may have several (RFC 9110, 15.5.6).
        template = getattr(request.scope.get("route"), "path", "")
        return answer(request, MethodNotAllowed.at(request.scope["methods"].get(template, ("GET", "HEAD"))))
    return answer(request, kinds.get(problem.status_code, BadRequest)(), problem.headers)


_OF_DATABASE: tuple[type[Exception], ...] = (
    DBAPIError, PoolTimeout, OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError,
    asyncpg.InternalClientError,
)  # fmt: skip


async def _from_database(request: Request, problem: Exception) -> Response:
    if is_away(problem) or isinstance(problem, TimeoutError):
        return answer(request, DatabaseAway())
    raise problem
