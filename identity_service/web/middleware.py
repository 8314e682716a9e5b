"""The outermost middleware: request id, security headers, access log, metrics, and the 500 of last resort.

Pure ASGI: Starlette's `BaseHTTPMiddleware` would halve the throughput (measured: factor 2.05).
"""

import re
import secrets
import time

import structlog
from fastapi.routing import iter_route_contexts
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from identity_service import logs
from identity_service.brands import proofs as brand_proofs
from identity_service.errors import Problem
from identity_service.web import dependencies, problems, routing

_HOST = re.compile(r"\[?([a-z0-9.:-]+?)\]?\.?(?::[0-9]{0,5})?", re.ASCII | re.IGNORECASE)
_REQUEST_ID = re.compile(rb"[A-Za-z0-9_-]{8,64}")
_ON_BRAND_HOSTS = re.compile(
    r"/|/(confirm|confirmed|welcome|without-email|messages|receipt|static|brand|language)(/.*)?"
    r"|/\.well-known/security\.txt|/robots\.txt|/favicon\.ico"
)
"""What a brand's own host serves; sign-in, passwords and accounts are on the issuer's host alone (BRD-05)."""
_UNDER_ANY_HOST = ("/livez", "/readyz", "/metrics")
"""Load balancers and Prometheus send an address as Host, or none; `/metrics` is on the internal port in production."""
_FOR_SCRIPTS = frozenset(
    {
        "/oauth/token", "/oauth/userinfo", "/oauth/revoke", "/oauth/jwks.json", "/.well-known/openid-configuration",
        "/.well-known/oauth-authorization-server",
    }
)  # fmt: skip
"""What scripts of an application in a browser call; authorization and logout are for the browser itself."""
_PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; object-src 'none'; frame-ancestors 'none'"
)
_API_POLICY = "default-src 'none'; frame-ancestors 'none'; sandbox"
_HEADERS = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "strict-transport-security": "max-age=63072000; includeSubDomains",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}


class AmbiguousHost(Problem):
    """The request must have exactly one Host header."""


class NotForDocuments(Problem):
    """This address is for programs. You can't open it as a page."""

    status = 403


class HttpMiddleware:
    """Handles every request and response; see the module."""

    def __init__(self, app: ASGIApp) -> None:
        """Wrap `app`; the methods of each path are read at the first request."""
        self.app = app
        self._methods: dict[str, set[str]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request; anything but HTTP is passed on."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = time.perf_counter()
        given, method, scope = scope, scope["method"], _as_routed(scope)
        request_id = scope["request_id"] = _request_id_header(scope) or secrets.token_hex(12)
        status = 0

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            begins = message["type"] == "http.response.start"
            if begins:
                status = message["status"]
                _response_headers(message, scope)
            if begins or method != "HEAD":
                await send(message)
            if begins and method == "HEAD":
                await send({"type": "http.response.body"})

        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=request_id)
        request = Request(scope, receive)
        try:
            scope["methods"] = self._methods or self._read_methods(request)
            await (_answer_at_once(request) or self.app)(scope, receive, send_with_headers)
        except Exception as problem:  # noqa: BLE001
            # Last resort for every layer below: the caller gets a 500, and the process goes on (ASVS 16.5.4).
            logs.log.error("request.failed", exc_info=problem)
            if not status:
                await problems.answer(request, problems.InternalError())(scope, receive, send_with_headers)
        finally:
            given.update(route=scope.get("route"), request_id=request_id)
            _log_request(request, method, status, time.perf_counter() - started)

    def _read_methods(self, request: Request) -> dict[str, set[str]]:
        """Return the methods by path template; `/x/search` and `/x/{id}` are two entries."""
        for route in iter_route_contexts(request.app.routes):
            if route.path is not None and route.methods:
                also = {"HEAD"} if "GET" in route.methods else set()
                self._methods.setdefault(route.path, set()).update(route.methods, also)
        return self._methods


def _as_routed(scope: Scope) -> Scope:
    """Return the scope for the router: HEAD as GET, whose headers it gets (RFC 9110, 9.3.2), no slash behind a page.

    It is a copy: the server needs the method that was sent. The route is written back, for spans are made around this.
    """
    path, method = scope["path"], scope["method"]
    if path.endswith("/") and not routing.is_api_path(path) and not path.startswith("/static/"):
        path = path.rstrip("/") or "/"
    return {**scope, "path": path, "method": "GET" if method == "HEAD" else method}


def _request_id_header(scope: Scope) -> str | None:
    for name, value in scope["headers"]:
        if name == b"x-request-id" and _REQUEST_ID.fullmatch(value):
            return str(value.decode())
    return None


def _answer_at_once(request: Request) -> Response | None:
    """Return the answer to a request that reaches no route: one that is refused, or a browser's question."""
    refused = _refuse(request)
    if refused is not None:
        return problems.answer(request, refused)
    return Response(status_code=204) if _is_preflight(request) else None


def _refuse(request: Request) -> Problem | None:
    hosts = request.headers.getlist("host")
    path, hosted = request.scope["path"], dependencies.database_of(request).settings.hosts
    under_any = path in _UNDER_ANY_HOST
    if len(hosts) != 1 and (hosts or not under_any or request.scope["http_version"] == "0.9"):
        return AmbiguousHost()
    name = None if under_any else _HOST.fullmatch(hosts[0])
    if not under_any and (name is None or name[1].lower() not in hosted):
        return problems.MisdirectedRequest()
    refused = None if name is None else _refuse_on_brand_host(request, name[1].lower())
    if refused is not None:
        return refused
    methods = request.scope["methods"].get(path)
    if methods is not None and not _is_preflight(request) and request.method not in methods:
        return problems.MethodNotAllowed.at(methods)
    if request.headers.get("sec-fetch-dest") == "document" and routing.is_api_path(path):
        return NotForDocuments()
    return None


def _refuse_on_brand_host(request: Request, host: str) -> Problem | None:
    """Let pages of a brand's own host wear it; return the problem of one that is not proven, or does not serve this."""
    database, path = dependencies.database_of(request), request.scope["path"]
    brand = database.settings.brands.of_host(host)
    if brand is None:
        return None
    if not database.proves(brand_proofs.host_subject(brand)):
        return problems.UnprovenHost()
    request.state.brand = brand.key
    return None if _ON_BRAND_HOSTS.fullmatch(path) else problems.MisdirectedRequest.on_issuer(database.settings, path)


def _response_headers(message: Message, scope: Scope) -> None:
    present = {name.lower() for name, _ in message["headers"]}
    path, request_id = scope["path"], scope["request_id"]
    policy = _API_POLICY if routing.is_api_path(path) else _PAGE_POLICY
    destination = scope.get("state", {}).get("form_destination")
    if destination is not None:
        # Chromium holds every redirect behind a form to this directive (OID-29).
        policy = policy.replace("form-action 'self'", f"form-action 'self' {destination}")
    wanted = {**_HEADERS, "content-security-policy": policy, "x-request-id": request_id, **_cors(scope)}
    message["headers"] = [
        *message["headers"],
        *((n.encode(), v.encode()) for n, v in wanted.items() if n.encode() not in present),
    ]


def _is_preflight(request: Request) -> bool:
    """Return whether a browser asks whether an application's script may call us (Fetch, 3.3.3)."""
    asks = request.method == "OPTIONS" and "access-control-request-method" in request.headers
    return asks and "access-control-allow-origin" in _cors(request.scope)


def _cors(scope: Scope) -> dict[str, str]:
    """Return the headers that let applications in a browser read an answer: their registered origins alone, and never
    with cookies (OID-41)."""
    if scope["path"] not in _FOR_SCRIPTS:
        return {}
    origin = Request(scope).headers.get("origin", "")
    if not scope["app"].state.gate.reads_answers(origin):
        return {"vary": "Origin"}
    return {
        "access-control-allow-origin": origin, "access-control-allow-headers": "Authorization, Content-Type",
        "access-control-allow-methods": "GET, POST", "access-control-max-age": "600", "vary": "Origin",
        "cross-origin-resource-policy": "cross-origin",
    }  # fmt: skip


def _log_request(request: Request, method: str, status: int, seconds: float) -> None:
    scope = request.scope
    # The route's template, never the path, which may contain personal data that a caller put there by mistake.
    route = getattr(scope.get("route"), "path", "-")
    request.app.state.metrics.observe(method, route, status, seconds)
    logs.log.info(
        "request.answered",
        method=method,
        route=route,
        status=status,
        problem=scope.get("problem"),
        ms=round(seconds * 1000, 1),
        source=dependencies.client_network(request),
        **scope.get("log_fields", {}),
    )
