"""Error responses: `application/problem+json` (RFC 9457), rendered in this one place.

The caller's input is never repeated: it may contain a password sent by mistake. An unavailable database is a 503 with
`Retry-After`; an unexpected error is a 500 with the request's id, and the traceback is only logged.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import asyncpg
import orjson
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import PlainTextResponse, RedirectResponse, Response
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from starlette.exceptions import HTTPException

from identity_service.database.failures import DatabaseUnavailable, is_unavailable
from identity_service.errors import Problem, Unprocessable
from identity_service.settings import Settings
from identity_service.web import forms, pages, routing

MEDIA_TYPE = "application/problem+json"
SCHEMA = "Problem"
_OAUTH_PATHS = ("/oauth/token", "/oauth/introspect", "/oauth/revoke", "/oauth/par")


class InvalidShape(Unprocessable):
    """The request doesn't match the schema. `errors` lists each place."""


class UnknownPath(Problem):
    """We can't find anything at this address. Check it for typing mistakes."""

    status = 404


class MethodNotAllowed(Problem):
    """This path doesn't support this method. The header `Allow` lists those it does."""

    status = 405

    @classmethod
    def at(cls, methods: Iterable[str]) -> "MethodNotAllowed":
        """Return the problem with an `Allow` header of these methods."""
        refusal = cls()
        refusal.headers = {"Allow": ", ".join(sorted(methods))}  # type: ignore[misc]
        return refusal


class MisdirectedRequest(Problem):
    """We don't serve this host name. The operator can add names in IDENTITY_ALLOWED_HOSTS."""

    status = 421

    @classmethod
    def on_issuer(cls, settings: Settings, path: str) -> "MisdirectedRequest":
        """Return the problem of a path that the issuer's host serves, and a brand's host does not: pages lead there."""
        refusal = cls()
        if not routing.is_api_path(path):
            refusal.leads_to = f"{settings.public_url}{path}"  # type: ignore[misc]
        return refusal


class UnprovenHost(Problem):
    """We don't serve this host name yet. The operator first proves it in DNS: `identity-service brand prove`."""

    status = 421


class BadRequest(Problem):
    """We can't read this request."""


class InternalError(Problem):
    """Something unexpected went wrong on our side. We've logged it under this request_id."""

    status = 500


def install(app: FastAPI) -> None:
    """Register the handlers that turn every failure into a problem, and the route `/problems/{code}`."""
    app.add_exception_handler(Problem, _expected)
    app.add_exception_handler(RequestValidationError, _wrong_shape)
    app.add_exception_handler(HTTPException, _from_framework)
    for kind in _OF_DATABASE:
        app.add_exception_handler(kind, _from_database)
    app.add_api_route("/problems/{code}", explain, methods=["GET"], include_in_schema=False)


def answer(request: Request, problem: Problem, headers: Mapping[str, str] | None = None) -> Response:
    """Return the response for a problem: a page for a browser outside the API paths, JSON otherwise."""
    request.scope["problem"] = problem.code()
    if request.scope["path"].startswith(_OAUTH_PATHS):
        return _oauth_error(request, problem, headers or {})
    if pages.wants_page(request) and not routing.is_api_path(request.scope["path"]):
        return _page(request, problem, {**problem.extra_headers(), **(headers or {})})
    body = {
        "type": _type_uri(request, problem),
        "title": problem.short_title(),
        "status": problem.status,
        "code": problem.code(),
        "detail": problem.detail or problem.title(),
        "request_id": request.scope.get("request_id"),
        **problem.members,
    }
    return Response(
        orjson.dumps(body), problem.status, {**problem.extra_headers(), **(headers or {})}, media_type=MEDIA_TYPE
    )


def _oauth_error(request: Request, problem: Problem, headers: Mapping[str, str]) -> Response:
    """Return the error in OAuth's form; `error_uri` names the kind (RFC 6749, 5.2)."""
    error = "server_error" if problem.status == 500 else "invalid_request"
    if problem.status in (429, 503):
        error = "temporarily_unavailable"
    body = {"error": error, "error_description": problem.sentence(), "error_uri": _type_uri(request, problem)}
    return Response(
        orjson.dumps(body), problem.status, {**problem.extra_headers(), **headers}, media_type="application/json"
    )


def _type_uri(request: Request, problem: Problem) -> str:
    return f"{request.app.state.database.settings.public_url}/problems/{problem.code()}"


def _page(request: Request, problem: Problem, headers: Mapping[str, str]) -> Response:
    """Return a page: the refused form, filled in as it was sent, or the error page, or a redirect."""
    if problem.leads_to is not None and (request.method == "GET" or problem.leads_always):
        return RedirectResponse(problem.leads_to, 303, headers)
    form, template, facts = forms.FormData(getattr(request.state, "form", {})), None, {}
    may_redisplay = getattr(request.state, "may_redisplay", False)
    if may_redisplay:
        template = request.state.form_template if problem.leads_to is None else None
        facts = (
            {**request.path_params, **getattr(request.state, "form_facts", {})} if template else {"kept": form.kept()}
        )
    if problem.leads_to is not None:
        # The cookie of the ended session is replaced before this form is sent again.
        request.state.signed_out = True
    other = "console/refused.html" if request.scope["path"].startswith("/console") else "problem.html"
    page = pages.render_page(
        request, template or other, status=problem.status, problem=problem,
        values=form.shown() if may_redisplay else {}, **facts,
    )  # fmt: skip
    page.headers.update(headers)
    return page


def error_responses(*problems: type[Problem]) -> dict[int | str, dict[str, Any]]:
    """Return the `responses` of an endpoint: its own problems and those of every endpoint."""
    found: dict[int, list[str]] = {}
    for problem in (*problems, *_COMMON):
        found.setdefault(problem.status, []).append(f"`{problem.code()}`: {problem.title()}")
    content = {MEDIA_TYPE: {"schema": {"$ref": f"#/components/schemas/{SCHEMA}"}}}
    return {status: {"description": "\n\n".join(lines), "content": content} for status, lines in sorted(found.items())}


def all_problems(root: type[Problem] = Problem) -> Iterable[type[Problem]]:
    """Return every class of problem in the imported modules, sorted by code."""
    seen: dict[str, type[Problem]] = {}
    todo = [root]
    while todo:
        problem = todo.pop()
        todo += problem.__subclasses__()
        seen[problem.code()] = problem
    return [seen[code] for code in sorted(seen)]


async def explain(code: str) -> Response:
    """Describe a problem type as text (RFC 9457, 3.1.1: the type URI resolves to its documentation)."""
    found = next((problem for problem in all_problems() if problem.code() == code), None)
    if found is None:
        raise UnknownPath
    return PlainTextResponse(f"{found.short_title()} ({found.code()}, {found.status})\n\n{found.title()}\n")


_COMMON: tuple[type[Problem], ...] = (
    routing.MalformedJson, routing.RepeatedParameter, routing.UnreadableParameter, routing.RepeatedHeader,
    routing.BodyTooLarge, routing.BodyTooSlow, routing.UnsupportedMediaType,
    routing.UnknownParameter, InvalidShape, MisdirectedRequest, InternalError, DatabaseUnavailable,
)  # fmt: skip


async def _expected(request: Request, problem: Exception) -> Response:
    assert isinstance(problem, Problem)  # noqa: S101
    return answer(request, problem)


async def _wrong_shape(request: Request, problem: Exception) -> Response:
    assert isinstance(problem, RequestValidationError)  # noqa: S101
    errors = [_described(error, problem.body) for error in problem.errors()]
    # Each way of a union that does not fit is an error of its own, at the same place.
    different = {orjson.dumps(error): error for error in errors}
    return answer(request, InvalidShape(errors=list(different.values())[:20]))


def describe_errors(errors: Sequence[Mapping[str, Any]], body: Any) -> str:  # noqa: ANN401
    """Return one sentence for what pydantic found wrong in `body`: each place with its reason, at most three."""
    return "; ".join(f"{_pointer(error['loc'], body) or 'the entry'}: {_sentence(error)}" for error in errors[:3])


def _described(error: Mapping[str, Any], body: Any) -> dict[str, str]:  # noqa: ANN401
    kind, *steps = error["loc"]
    place = {"pointer": _pointer(steps, body)} if kind == "body" else {"parameter": str(steps[0]), "in": kind}
    return {**place, "code": _shape_code(error["type"]), "detail": _sentence(error)}


def _pointer(steps: Sequence[int | str], body: Any) -> str:  # noqa: ANN401
    """Return the pointer to the place in the body (RFC 6901), for a missing member to what lacks it.

    pydantic also names ways of a union and missing members, which the body does not have.
    """
    pointer = ""
    for step in steps:
        holds = isinstance(step, int) if isinstance(body, list) else isinstance(body, Mapping) and step in body
        if not holds:
            continue
        body = body[step]
        pointer += "/" + str(step)[:100].replace("~", "~0").replace("/", "~1")
    return pointer


SHAPE_CODES: Final = {
    "missing": "It is required.",
    "unknown": "There is no such member.",
    "wrong_type": "It has another JSON type.",
    "too_short": "It has too few characters or items.",
    "too_long": "It has too many characters or items.",
    "too_small": "The number is too small.",
    "too_large": "The number is too large.",
    "not_allowed": "It is none of the allowed values.",
    "malformed": "It does not have the expected form.",
}
"""What `errors[].code` may be; pydantic's own names are more, and change with its versions."""
_OF_PYDANTIC: Final = {
    "missing": "missing", "extra_forbidden": "unknown", "literal_error": "not_allowed", "enum": "not_allowed",
    "int_from_float": "wrong_type", "uuid_parsing": "malformed",
}  # fmt: skip


def _shape_code(kind: str) -> str:
    if kind in _OF_PYDANTIC:
        return _OF_PYDANTIC[kind]
    if kind.startswith(("greater_than", "less_than")):
        return "too_small" if kind.startswith("greater") else "too_large"
    if kind.endswith(("too_short", "too_long")):
        return "too_short" if kind.endswith("too_short") else "too_long"
    return "wrong_type" if kind.endswith(("_type", "_parsing")) else "malformed"


def _sentence(error: Mapping[str, Any]) -> str:
    if error["type"] == "missing":
        return f"{error['loc'][-1]} is missing."
    # pydantic's messages name the rule; it puts "Value error, " before those of our own validators.
    return str(error["msg"]).removeprefix("Value error, ")[:200]


async def _from_framework(request: Request, problem: Exception) -> Response:
    assert isinstance(problem, HTTPException)  # noqa: S101
    kinds: dict[int, type[Problem]] = {404: UnknownPath}
    if problem.status_code == 405:
        # Starlette lists the methods of one route only, but a path may have several routes (RFC 9110, 15.5.6).
        template = getattr(request.scope.get("route"), "path", "")
        return answer(request, MethodNotAllowed.at(request.scope["methods"].get(template, ("GET", "HEAD"))))
    return answer(request, kinds.get(problem.status_code, BadRequest)(), problem.headers)


_OF_DATABASE: tuple[type[Exception], ...] = (
    DBAPIError, PoolTimeout, OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError,
    asyncpg.InternalClientError,
)  # fmt: skip


async def _from_database(request: Request, problem: Exception) -> Response:
    if is_unavailable(problem) or isinstance(problem, TimeoutError):
        return answer(request, DatabaseUnavailable())
    raise problem
