"""The browser's side of a sign-in at an application: the request, the page that asks, the answer, and signing out.

An application sends the browser to `/oauth/authorize`; the request is stored, and the browser led to a path of its own.
Wherever the customer signs in on the way, it comes back there, and `rules.decide` judges it anew.
"""

import secrets
from datetime import datetime
from urllib.parse import parse_qsl, urlencode

from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response

from identity_service.clients import redirect_uris, registration, resource_servers
from identity_service.clients import rules as client_rules
from identity_service.clients.rules import Application
from identity_service.database.transactions import DatabaseSession
from identity_service.errors import Problem
from identity_service.openid import grants, logout, requests, rules, tokens
from identity_service.openid.requests import Waiting
from identity_service.openid.rules import RequestRefused
from identity_service.sign_in import actions as sign_in
from identity_service.sign_in import dependencies as sign_in_dependencies
from identity_service.sign_in import rules as sign_in_rules
from identity_service.sign_in.actions import SignedIn
from identity_service.web import dependencies, forms, pages, routing
from identity_service.web.dependencies import Now, Session
from identity_service.web.forms import Form, FormRoute

PER_NETWORK = "120/minute; 2000/hour"
_LEADING = ("client_id", "redirect_uri", "request_uri")
"""What says where an answer goes: twice, nothing may be sent anywhere (OID-03)."""
router = APIRouter(include_in_schema=False)
"""What other sites send browsers to: any parameter may stand there, and forms come from elsewhere."""
own_pages = APIRouter(route_class=FormRoute, include_in_schema=False)


class UnknownApplication(Problem):
    """The website or app that sent you here isn't registered for this. Tell its operator; nothing is wrong with your
    account.
    """


@router.get("/oauth/authorize")
@router.post("/oauth/authorize")
async def authorize(request: Request, now: Now) -> Response:
    """Take an authorization request (OpenID Connect Core 1.0, 3.1.2.1), and lead to its own path.

    A form of another site brings no cookie, so its request is bound to the browser when it is led here by GET.
    """
    given, repeated = rules.take_once(await _parameters(request))
    state, network = request.app.state, dependencies.client_network(request)
    await state.throttle.hit_network("authorize", PER_NETWORK, network)
    browser = request.cookies.get(forms.AUTHORIZE_COOKIE) or secrets.token_urlsafe(16)

    async def take(session: DatabaseSession) -> str | Response:
        application = await registration.find_application(session, given.get("client_id", ""))
        if application is None or repeated in _LEADING:
            raise UnknownApplication
        uri, client_id = given.get("request_uri", ""), application.client_id
        if not uri.startswith(requests.URN):
            bound = None if request.method == "POST" else browser
            stored = await _store(request, session, application, given, repeated, browser=bound, now=now)
            if bound is not None or isinstance(stored, Response):
                return stored
            uri = f"{requests.URN}{stored}"
        if request.method == "POST":
            return _by_get("/oauth/authorize", [("client_id", client_id), ("request_uri", uri)])
        taken = await requests.take_pushed(session, uri, client_id, browser=browser, now=now)
        if taken is None:
            raise requests.SignInEnded
        return taken

    taken = await dependencies.database_of(request).in_transaction(take)
    if isinstance(taken, Response):
        return taken
    response = RedirectResponse(f"{requests.PATH}{taken}", 303)
    forms.set_cookie(response, forms.AUTHORIZE_COOKIE, browser, same_site="lax", seconds=24 * 3600)
    return response


@own_pages.get("/oauth/authorize/{request_id}")
async def go_on(request: Request, request_id: str, session: Session, now: Now) -> Response:
    """Answer the application, or lead to what is needed first: a sign-in, or the page that asks."""
    waiting, customer, step = await _judge(request, request_id, session, now)
    if step.step == "sign_in":
        return RedirectResponse(f"/signin?next={requests.PATH}{request_id}", 303)
    if step.step == "set_up":
        return RedirectResponse(sign_in_rules.set_up_for(f"{requests.PATH}{request_id}"), 303)
    if step.step == "grant":
        return await _grant_page(request, session, waiting)
    return await _answer(request, session, waiting, customer, step.error, now=now)


@own_pages.post("/oauth/authorize/{request_id}")
async def decide(request: Request, request_id: str, form: Form, session: Session, now: Now) -> Response:
    """Take the customer's decision from the page that asks, and answer the application."""
    (decision,) = form.take("decision")
    waiting, customer, step = await _judge(request, request_id, session, now)
    refused = None
    if decision == "allow":
        if step.step != "grant" or customer is None:
            return RedirectResponse(f"{requests.PATH}{request_id}", 303)
        scopes = waiting.asked.scope
        await grants.grant_scopes(session, customer.account.user_id, waiting.application, scopes, now=now)
    else:
        refused = RequestRefused("access_denied", "The customer said no.")
    return await _answer(request, session, waiting, customer, refused, now=now)


@router.get("/oauth/logout")
@router.post("/oauth/logout")
async def sign_out(request: Request, now: Now) -> Response:
    """Take a logout request (OpenID Connect RP-Initiated Logout 1.0): at once for a hint of this session, else ask.

    A form of another site brings no session cookie, so it is led here once more by GET.
    """
    pairs = await _parameters(request)
    if request.method == "POST":
        return _by_get("/oauth/logout", pairs)

    async def end(session: DatabaseSession) -> Response:
        asked = await logout.read_request(session, pairs)
        customer = await sign_in_dependencies.find_customer(request, session, now)
        if customer is None:
            return _signed_out(asked, signed_in=False)
        if not await logout.is_of_session(session, asked, customer):
            return _sign_out_page(request, asked)
        await sign_in.end_session(session, customer.account.user_id, customer.session.id, now=now)
        return _signed_out(asked, signed_in=True)

    response: Response = await dependencies.database_of(request).in_transaction(end)
    return response


@own_pages.post("/oauth/logout/confirmed")
async def confirm_sign_out(request: Request, form: Form, session: Session, now: Now) -> Response:
    """End the session after the customer said so, and lead back to the application if it asked for that."""
    (sealed,) = form.take("request")
    asked = logout.unseal_request(session, sealed)
    request.state.form_destination = asked.origin
    customer = await sign_in_dependencies.find_customer(request, session, now)
    if customer is not None:
        await sign_in.end_session(session, customer.account.user_id, customer.session.id, now=now)
    return _signed_out(asked, signed_in=customer is not None)


def _by_get(path: str, pairs: list[tuple[str, str]]) -> Response:
    return RedirectResponse(f"{path}?{urlencode(pairs)}", 303)


async def _parameters(request: Request) -> list[tuple[str, str]]:
    """Return the parameters of a query or form (OpenID Connect Core 1.0, 3.1.2.1)."""
    if request.method == "GET":
        return _readable(request.query_params.multi_items())
    body = await routing.read_body(request, routing.BODY_LIMIT)
    try:
        pairs = parse_qsl(body.decode("ascii"), keep_blank_values=True, max_num_fields=100)
    except ValueError as wrong:
        raise forms.UnreadableForm from wrong
    return _readable(pairs)


def _readable(pairs: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return the parameters unless one is not UTF-8, or contains NUL, which PostgreSQL cannot store."""
    if any(wrong in value for _, value in pairs for wrong in ("\0", "\ufffd")):
        raise forms.UnreadableForm
    return pairs


async def _store(
    request: Request,
    session: DatabaseSession,
    application: Application,
    given: dict[str, str],
    repeated: str | None,
    *,
    browser: str | None,
    now: datetime,
) -> str | Response:
    """Keep a request in order and return its id; tell the application of any other, where that is safe (OID-03)."""
    try:
        rules.check_destination(given, application)
    except RequestRefused as refused:
        raise UnknownApplication from refused
    try:
        if application.needs_par:
            raise RequestRefused("invalid_request", "This client must push its requests (RFC 9126).")
        asked = rules.parse(given, application, repeated=repeated)
        tokens.check_hint(asked, session.settings, session.keys)
    except RequestRefused as refused:
        return _deliver(request, given["redirect_uri"], application, given.get("state"), _error(refused))
    return await requests.store_request(session, asked, browser=browser, now=now)


async def _judge(
    request: Request, request_id: str, session: DatabaseSession, now: datetime
) -> tuple[Waiting, SignedIn | None, rules.Next]:
    """Return the request of this browser, who is signed in there, and what happens now."""
    browser = request.cookies.get(forms.AUTHORIZE_COOKIE, "")
    waiting = await requests.find_waiting(session, request_id, browser=browser, now=now)
    customer = await sign_in_dependencies.find_customer(request, session, now)
    asked, application, who, granted = waiting.asked, waiting.application, None, frozenset[str]()
    if customer is not None:
        account, signed_in = customer.account, customer.session
        proofs = signed_in.method, signed_in.second_factor
        who = rules.Browser(
            tokens.show_sub(account.user_id), rules.acr_of(*proofs), signed_in.proven_at,
            sign_in_rules.must_set_up(session.settings.second_factor_required, *proofs),
        )  # fmt: skip
        granted = await grants.granted_scopes(session, account.user_id, application.client_id)
        request.state.locale = account.locale
    request.state.shown_brand = application.brand
    try:
        hinted = tokens.check_hint(asked, session.settings, session.keys)
    except RequestRefused as refused:
        return waiting, customer, rules.Next("error", refused)
    step = rules.decide(
        asked, who, client=application, hinted=hinted, granted=granted, asked_at=waiting.requested_at, now=now
    )
    return waiting, customer, step


async def _grant_page(request: Request, session: DatabaseSession, waiting: Waiting) -> Response:
    """Ask the customer in words: who wants what, for how long (OID-30)."""
    asked = waiting.asked
    request.state.form_destination = redirect_uris.origin_of(asked.redirect_uri)
    wanted = [words for scope, words in client_rules.SIGN_IN_SCOPES.items() if scope in asked.scope]
    wanted += (await resource_servers.describe_scopes(session, asked.scope)).values()
    return pages.render_page(
        request, "openid/grant.html", application=waiting.application.name, wanted=wanted,
        host=request.state.form_destination.partition("://")[2] or request.state.form_destination,
    )  # fmt: skip


async def _answer(
    request: Request,
    session: DatabaseSession,
    waiting: Waiting,
    customer: SignedIn | None,
    refused: RequestRefused | None,
    *,
    now: datetime,
) -> Response:
    """Use the request up and send the code, or the error, to the application."""
    await requests.mark_answered(session, waiting.request_id, now=now)
    asked, application = waiting.asked, waiting.application
    if refused is None and customer is not None:
        answer = {"code": await grants.issue_code(session, asked, application, customer, now=now)}
    else:
        answer = _error(refused or RequestRefused("login_required", "The customer has to sign in."))
    return _deliver(request, asked.redirect_uri, application, asked.state, answer)


def _error(refused: RequestRefused) -> dict[str, str]:
    return {"error": refused.error, "error_description": refused.description}


def _deliver(
    request: Request, uri: str, application: Application, state: str | None, answer: dict[str, str]
) -> Response:
    """Send an answer with `state` and `iss` (RFC 9207) in the client's way; the URI was checked."""
    issuer = dependencies.database_of(request).settings.issuer
    kept = {} if state is None or len(state) > rules.LONGEST_STATE else {"state": state}
    fields = {**answer, **kept, "iss": issuer}
    if application.response_mode == "form_post":
        request.state.form_destination = redirect_uris.origin_of(uri)
        return pages.render_page(request, "openid/form_post.html", uri=uri, fields=fields, application=application.name)
    return RedirectResponse(redirect_uris.with_query(uri, fields), 303)


def _sign_out_page(request: Request, asked: logout.LogoutRequest) -> Response:
    database = dependencies.database_of(request)
    request.state.form_destination = asked.origin
    return pages.render_page(
        request, "openid/sign_out.html", application=asked.application,
        sealed=logout.seal_request(database.keys, asked), back=f"/oauth/logout?{request.url.query}",
    )  # fmt: skip


def _signed_out(asked: logout.LogoutRequest, *, signed_in: bool) -> Response:
    response = RedirectResponse(asked.destination or sign_in_rules.SIGNED_OUT, 303)
    return sign_in_dependencies.delete_session_cookie(response) if signed_in else response
