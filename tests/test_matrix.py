"""Who reaches which door: one line for each route, held against every scope, role, customer and stranger.

The routes come from the application itself: a new one without a line here is red, and so is a line without a route.
`anybody` is a page or document that tells nothing of anybody; `customer` is whoever is signed in at /me, and his own
alone; `recoverer` is whoever has entered a recovery
code; `staff: …` names the roles; everything else is the scope that a client's token needs.
"""

import re
import uuid

import httpx2
import pytest

from identity_service import app as web
from identity_service.clients import actions as clients
from identity_service.web import scopes as client_rules
from tests.console.given import an_account
from tests.passkeys.given import with_a_password
from tests.resets.given import a_browser

MATRIX = """
DELETE /v1/accounts/{user_id}/business                     | accounts:convert
DELETE /v1/accounts/{user_id}/history/{entry_id}           | history:write
GET /                                                      | anybody
GET /.well-known/change-password                           | anybody
GET /.well-known/mail-transparency                         | anybody
GET /.well-known/oauth-authorization-server                | anybody
GET /.well-known/openid-configuration                      | anybody
GET /.well-known/passkey-endpoints                         | anybody
GET /account-closed                                                 | anybody
GET /brand/{key}/logo                                      | anybody
GET /brand/{key}/{mark}/colors.css                         | anybody
GET /confirm/{handle}                                      | anybody
GET /confirmed/{result}                                    | anybody
GET /console                                               | staff: clerk lead auditor
GET /console/accounts/{user_id}                            | staff: clerk lead
GET /console/accounts/{user_id}/history                    | staff: clerk lead
GET /console/accounts/{user_id}/messages                   | staff: clerk lead
GET /console/approvals                                     | staff: clerk lead
GET /console/audit                                         | staff: auditor
GET /console/audit/export                                  | staff: auditor
GET /console/contacts/{number}                             | staff: clerk lead
GET /console/enrol                                         | anybody
GET /console/find                                          | staff: clerk lead auditor
GET /console/operations                                         | staff: clerk lead auditor
GET /console/passkeys                                      | staff: clerk lead auditor
GET /console/signin                                        | anybody
GET /console/staff                                         | staff: lead
GET /erased                                                | anybody
GET /me                                                    | customer
GET /me/addresses                                          | customer
GET /me/business                                           | customer
GET /me/close                                              | customer
GET /me/consumer                                           | customer
GET /me/email                                              | customer
GET /me/end                                                | customer
GET /me/erase                                              | customer
GET /me/everything                                         | customer
GET /me/history                                            | customer
GET /me/name                                                | customer
GET /me/numbers                                            | customer
GET /me/passkeys                                           | customer
GET /me/receipt                                            | customer
GET /me/recovery-code                                      | customer
GET /me/support                                            | customer
GET /me/support/state                                      | anybody
GET /me/second-factor                                      | customer
GET /messages/{handle}/stream                               | anybody
GET /oauth/authorize                                       | anybody
GET /oauth/authorize/{request_id}                          | anybody
GET /oauth/jwks.json                                       | anybody
GET /oauth/logout                                          | anybody
GET /oauth/userinfo                                        | customer's token
GET /receipt                                               | anybody
GET /recover                                               | anybody
GET /recover/choose                                        | recoverer
GET /recover/done                                          | anybody
GET /recover/support                                       | recoverer
GET /recover/support/state                                 | anybody
GET /reset                                                 | anybody
GET /reset/choose                                          | anybody
GET /reset/choose/{handle}                                 | anybody
GET /reset/done                                            | anybody
GET /reset/{handle}                                        | anybody
GET /reset/{handle}/code                                   | anybody
GET /reset/{handle}/elsewhere                              | anybody
GET /signin                                                | anybody
GET /signin/second-factor                                  | anybody
GET /signin/second-factor/lost                             | anybody
GET /signin/{handle}                                       | anybody
GET /v1/accounts/{user_id}                                 | accounts:read
GET /v1/accounts/{user_id}/caller-checks/{check_id}        | callers:check
GET /v1/accounts/{user_id}/consents                        | consents:read
GET /v1/accounts/{user_id}/consents/receipt                | consents:read
GET /v1/accounts/{user_id}/desk-suggestion                            | accounts:read
GET /v1/accounts/{user_id}/events                          | events:read
GET /v1/accounts/{user_id}/export                          | accounts:read_personal
GET /v1/accounts/{user_id}/history                         | history:read
GET /v1/accounts/{user_id}/summary                         | history:read
GET /v1/approvals                                          | audit:read
GET /v1/audit/checkpoints                                        | anybody
GET /v1/audit/events                                      | audit:read
GET /v1/contacts                                           | contacts:read
GET /v1/contacts/{number}                                  | contacts:read
GET /v1/events                                             | events:read
GET /v1/mail/health                                        | mail:operate
GET /v1/messages                                           | messages:read
GET /v1/messages/{message_id}                              | messages:read
GET /v1/messages/{message_id}/stream                       | messages:read
GET /v1/relays                                             | mail:operate
GET /v1/resets/{reset_id}                                  | messages:read
GET /v1/suppressions                                       | mail:operate
GET /v1/wordings                                           | anybody
GET /v1/wordings/{wording_id}                              | anybody
GET /welcome/{handle}                                      | anybody
PATCH /v1/accounts/{user_id}                               | accounts:write
POST /                                                     | anybody
POST /confirm/{handle}                                     | anybody
POST /console/accounts/open                                | staff: clerk lead
POST /console/accounts/{user_id}/ask                       | staff: clerk lead
POST /console/accounts/{user_id}/business                  | staff: clerk lead
POST /console/accounts/{user_id}/check                     | staff: clerk lead
POST /console/accounts/{user_id}/check/{check_id}          | staff: clerk lead
POST /console/accounts/{user_id}/messages/{message_id}/retry | staff: clerk lead
POST /console/accounts/{user_id}/receipt                   | staff: clerk lead
POST /console/accounts/{user_id}/reopen                    | staff: lead
POST /console/accounts/{user_id}/reset                     | staff: clerk lead
POST /console/accounts/{user_id}/sessions/end              | staff: clerk lead
POST /console/approvals/{change_id}                        | staff: clerk lead
POST /console/approvals/{change_id}/decline                | staff: clerk lead
POST /console/contacts                                     | staff: clerk lead
POST /console/contacts/{number}/close                      | staff: clerk lead
POST /console/contacts/{number}/hand-over                  | staff: clerk lead
POST /console/contacts/{number}/issue                      | staff: clerk lead
POST /console/contacts/{number}/notes                      | staff: clerk lead
POST /console/contacts/{number}/pick-up                    | staff: clerk lead
POST /console/enrol                                        | anybody
POST /console/enrolled                                     | anybody
POST /console/find                                         | staff: clerk lead
POST /console/operations/lift-limit                                   | staff: lead
POST /console/operations/limits                                 | staff: lead
POST /console/passkeys                                     | staff: clerk lead auditor
POST /console/passkeys/options                             | staff: clerk lead auditor
POST /console/passkeys/sign-in                             | anybody
POST /console/passkeys/sign-in/options                     | anybody
POST /console/passkeys/{passkey_id}/remove                 | staff: clerk lead auditor
POST /console/signin                                       | anybody
POST /console/signout                                      | staff: clerk lead auditor
POST /console/staff/{name}/renew                           | staff: lead
POST /language                                             | anybody
POST /me/applications/{client_id}/end                      | customer
POST /me/addresses                                         | customer
POST /me/addresses/{address_id}/main                       | customer
POST /me/addresses/{address_id}/remove                     | customer
POST /me/business                                          | customer
POST /me/close                                             | customer
POST /me/consents/{purpose}                                | customer
POST /me/consumer                                          | customer
POST /me/email                                             | customer
POST /me/email/cancel                                      | customer
POST /me/erase                                             | customer
POST /me/export                                            | customer
POST /me/name                                               | customer
POST /me/numbers                                           | customer
POST /me/numbers/{number_id}/allow                         | customer
POST /me/numbers/{number_id}/code                          | customer
POST /me/numbers/{number_id}/confirm                       | customer
POST /me/numbers/{number_id}/remove                        | customer
POST /me/passkeys                                          | customer
POST /me/passkeys/only                                     | customer
POST /me/passkeys/only/end                                 | customer
POST /me/passkeys/options                                  | customer
POST /me/passkeys/{passkey_id}/remove                      | customer
POST /me/password                                          | customer
POST /me/recovery-code                                     | customer
POST /me/second-factor/confirm                             | customer
POST /me/second-factor/remove                              | customer
POST /me/second-factor/set-up                              | customer
POST /me/sessions/end                                      | customer
POST /me/sessions/{session_id}/end                         | customer
POST /me/support                                           | customer
POST /me/support/answer                                    | customer
POST /me/support/not-me                                    | customer
POST /me/support/preference                                | customer
POST /me/support/unexpected                                | customer
POST /messages/{handle}/reroute                               | anybody
POST /oauth/authorize                                      | anybody
POST /oauth/authorize/{request_id}                         | anybody
POST /oauth/introspect                                     | client secret
POST /oauth/logout                                         | anybody
POST /oauth/logout/confirmed                               | anybody
POST /oauth/par                                            | client secret
POST /oauth/revoke                                         | client secret
POST /oauth/token                                          | client secret
POST /oauth/userinfo                                       | customer's token
POST /passkeys/new                                         | anybody
POST /passkeys/new/options                                 | anybody
POST /passkeys/sign-in                                     | anybody
POST /passkeys/sign-in/options                             | anybody
POST /receipt                                              | anybody
POST /recover                                              | anybody
POST /recover/app-code                                     | recoverer
POST /recover/address                                      | recoverer
POST /recover/kept                                         | recoverer
POST /recover/passkey                                      | recoverer
POST /recover/passkey/options                              | recoverer
POST /recover/password                                     | recoverer
POST /recover/second-code                                  | recoverer
POST /recover/second-code/send                             | recoverer
POST /recover/support                                      | recoverer
POST /recover/support/new                                  | anybody
POST /recover/support/not-me                               | recoverer
POST /recover/support/unexpected                           | recoverer
POST /recovery-codes/new                                   | anybody
POST /reset                                                | anybody
POST /reset/choose                                         | anybody
POST /reset/choose/{handle}                                | anybody
POST /reset/opened                                         | anybody
POST /reset/strength                                       | anybody
POST /reset/{handle}/code                                  | anybody
POST /reset/{handle}/elsewhere                             | anybody
POST /signin                                               | anybody
POST /signin/code                                          | anybody
POST /signin/second-factor                                 | anybody
POST /signin/second-factor/lost                            | anybody
POST /signin/{handle}                                      | anybody
POST /signin/{handle}/elsewhere                            | anybody
POST /signout                                              | customer
POST /v1/accounts                                          | accounts:write
POST /v1/accounts/search                                   | accounts:read
POST /v1/accounts/verifications                            | accounts:verify
POST /v1/accounts/{user_id}/business/preview               | accounts:convert
POST /v1/accounts/{user_id}/caller-checks                  | callers:check
POST /v1/accounts/{user_id}/caller-checks/{check_id}/answer | callers:check
POST /v1/accounts/{user_id}/close                          | accounts:erase
POST /v1/accounts/{user_id}/email-changes                  | accounts:write
POST /v1/accounts/{user_id}/erase                          | accounts:erase
POST /v1/accounts/{user_id}/external-refs/remove           | accounts:write
POST /v1/accounts/{user_id}/history                        | history:write
POST /v1/accounts/{user_id}/merge                          | accounts:merge
POST /v1/accounts/{user_id}/merge/preview                  | accounts:merge accounts:read
POST /v1/accounts/{user_id}/merge/undo                     | accounts:merge
POST /v1/contacts                                          | contacts:write
POST /v1/contacts/{number}/account-access                           | contacts:write
POST /v1/contacts/{number}/close                           | contacts:write
POST /v1/contacts/{number}/hand-over                       | contacts:write
POST /v1/contacts/{number}/notes                           | contacts:write
POST /v1/contacts/{number}/pick-up                         | contacts:write
POST /v1/marketing/permissions                             | marketing:check
POST /v1/messages/search                                   | messages:read
POST /v1/messages/{message_id}/retry                  | messages:send
POST /v1/password-checks                                   | passwords:check
POST /v1/resets                                            | resets:create
POST /v1/suppressions/{suppression_id}/lift                | mail:operate
POST /webhooks/texts/{carrier}                             | signature
POST /webhooks/texts/{carrier}/{message_id}                | signature
POST /webhooks/{provider}                                     | signature
POST /without-email                                        | anybody
PUT /v1/accounts/{user_id}/business                        | accounts:convert
PUT /v1/accounts/{user_id}/consents/{purpose}              | consents:write
PUT /v1/accounts/{user_id}/external-refs                   | accounts:write
"""
LINES = dict(tuple(part.strip() for part in line.split("|")) for line in MATRIX.strip().splitlines())
ROUTES = {
    f"{method} {route.path}": route
    for router in web.ROUTERS
    for route in router.routes
    for method in sorted(route.methods - {"HEAD"})
}
BY_SCOPE = {name: who for name, who in LINES.items() if re.fullmatch(r"[a-z]+:[a-z_]+( [a-z]+:[a-z_]+)*", who)}
BY_ROLE = {name: who.partition(": ")[2].split() for name, who in LINES.items() if who.startswith("staff: ")}
BY_CUSTOMER = [name for name, who in LINES.items() if who == "customer"]
GUARDED = {
    "PUT /v1/accounts/{user_id}/business", "DELETE /v1/accounts/{user_id}/business",
    "POST /v1/accounts/{user_id}/merge", "POST /v1/accounts/{user_id}/merge/undo",
    "POST /v1/accounts/{user_id}/email-changes", "POST /v1/accounts/{user_id}/close",
    "POST /v1/accounts/{user_id}/erase", "GET /v1/accounts/{user_id}/export",
}  # fmt: skip
NAMED = {name for name, scope in BY_SCOPE.items() if scope == "callers:check"} | {
    name for name, scope in BY_SCOPE.items() if scope == "contacts:write"
}
CHANGES = ("accounts:write", "accounts:convert", "accounts:erase", "accounts:merge", "consents:write", "history:write")
NAMED |= {name for name, scope in BY_SCOPE.items() if scope in (*CHANGES, "messages:send", "resets:create")}
BODIES = {
    "PUT /v1/accounts/{user_id}/business": {"company_name": "Berg GmbH", "country": "DE"},
    "POST /v1/accounts/{user_id}/email-changes": {"email": "thief@example.com"},
}


def filled(name: str, user_id: str) -> tuple[str, str]:
    method, _, path = name.partition(" ")
    values = {"user_id": user_id, "number": "AAA-AAA", "purpose": "marketing", "provider": "ses", "handle": "x" * 22}
    return method, re.sub(r"\{(\w+)\}", lambda place: values.get(place[1], str(uuid.UUID(int=7))), path)


async def ask(http, name: str, user_id: str, token: str | None = None, **headers: str) -> httpx2.Response:
    method, path = filled(name, user_id)
    given = headers if token is None else {"Authorization": f"Bearer {token}", **headers}
    has_body = ROUTES[name].body_field is not None
    return await http.request(method, path, headers=given, json=BODIES.get(name, {}) if has_body else None)


async def token_of(service, *scopes: str, desk: bool = False) -> str:
    made = await service.database.in_transaction(
        lambda s: clients.add_client(
            s, "one of many", list(scopes), desk=desk, source="many", jwks=None, now=service.clock()
        )
    )
    answer = await service.http.post(
        "/oauth/token", data={"grant_type": "client_credentials"}, auth=(made.client_id, made.client_secret)
    )
    return answer.json()["access_token"]


def test_every_route_has_its_line_and_every_line_its_route():
    assert sorted(LINES) == sorted(ROUTES)


def test_a_route_that_nobody_wrote_down_is_found():
    assert sorted({**ROUTES, "GET /v1/planted": None}) != sorted(LINES)


def test_every_scope_opens_a_door_or_changes_what_one_tells():
    """ASVS 8.2.1: those two widen the answer of doors that need another scope."""
    assert set(client_rules.SCOPES) - set(BY_SCOPE.values()) == {"marketing:addresses"}


async def test_no_door_for_services_opens_without_a_token(service, caller):
    """ASVS 8.2.1, ATT-52: 401, whatever is in path and body."""
    anna = await an_account(caller)
    found = {name: (await ask(service.http, name, anna)).status_code for name in BY_SCOPE}
    assert {name for name, status in found.items() if status != 401} == set()


async def test_every_scope_but_the_one_is_not_enough(service, caller):
    """ASVS 8.2.1, 8.3.1, 10.3.2, ATT-51: for each route a client with all scopes but its own → 403 that names it."""
    anna = await an_account(caller)
    wrong = []
    for scope in sorted(client_rules.SCOPES):
        token = await token_of(service, *(set(client_rules.SCOPES) - {scope}))
        for name in (name for name, wanted in BY_SCOPE.items() if scope in wanted.split()):
            answer = await ask(service.http, name, anna, token)
            if (answer.status_code, answer.json().get("scope")) != (403, scope):
                wrong.append((name, answer.status_code))
    assert wrong == []
    assert await service.rows("SELECT kind, state, email FROM account") == [("consumer", "active", "anna@example.org")]


async def test_each_scope_opens_its_own_doors_and_no_other(service, caller):
    """ASVS 8.2.1: every route × every scope."""
    anna = await an_account(caller)
    wrong = []
    for scope in sorted(client_rules.SCOPES):
        token = await token_of(service, scope)
        for name, wanted in BY_SCOPE.items():
            if wanted == scope:
                continue
            answer = await ask(service.http, name, anna, token)
            if answer.status_code != 403 or answer.json()["code"] != "missing_scope":
                wrong.append((scope, name, answer.status_code))
    assert wrong == []


async def test_no_page_of_a_recovery_opens_without_its_session(service, caller):
    """REC-24: for nobody, and for somebody who is signed in as little."""
    _, browser = await with_a_password(service, caller)
    stranger = a_browser(service, "192.0.2.9")
    for one, page in ((browser, "/me"), (stranger, "/signin")):
        await one.open(page)
        token = re.search(r'name="form_token" value="([^"]+)"', one.page.text)[1]
        for name in (name for name, who in LINES.items() if who == "recoverer"):
            method, path = filled(name, "")
            form = {"data": {"form_token": token}} if method == "POST" else {}
            done = await one.http.request(method, path, follow_redirects=False, **form)
            is_led = (done.status_code, done.headers.get("location")) == (303, "/recover")
            assert is_led or done.status_code == 401, (name, done.status_code)


async def test_the_scope_alone_is_enough(service, caller):
    """ASVS 8.2.1: whatever else is refused, it is not for want of rights."""
    wrong = []
    for scope in sorted(set(BY_SCOPE.values())):
        for name in (name for name, wanted in BY_SCOPE.items() if wanted == scope):
            # Each on an account of its own: some of these doors end it.
            user_id = await an_account(caller, None)
            answer = await ask(service.http, name, user_id, await token_of(service, *scope.split()))
            if answer.status_code in (401, 403) or answer.status_code >= 500:
                wrong.append((name, answer.status_code, answer.text))
    assert wrong == []


async def test_a_desk_tool_that_names_nobody_is_refused_where_a_name_is_needed(service, caller):
    """PHN-01"""
    anna, token = await an_account(caller), await token_of(service, *client_rules.SCOPES, desk=True)
    for name in sorted(NAMED):
        answer = await ask(service.http, name, anna, token)
        assert answer.status_code == 422, name


async def test_a_desk_with_every_scope_and_no_proof_changes_nothing(service, caller):
    """PHN-10, decision 12: around the console, at every guarded door."""
    anna = await an_account(caller)
    token = await token_of(service, *client_rules.SCOPES, desk=True)
    for name in sorted(GUARDED):
        answer = await ask(service.http, name, anna, token, **{"X-Clerk-ID": "ada"})
        assert answer.status_code in (202, 403, 404, 422), (name, answer.text)
    assert await service.rows("SELECT kind, state, email FROM account") == [("consumer", "active", "anna@example.org")]


REFERENCE = {"user_id", "external_refs", "moved_to", "version"}
WHOLE = {
    "user_id", "kind", "state", "email", "email_state", "further_emails", "display_name", "locale", "brand",
    "marketing", "has_password", "customer_since", "sessions_valid_after", "business", "external_refs", "moved_to",
    "version",
}  # fmt: skip
CHANGES = {
    "PATCH /v1/accounts/{user_id}": {},
    "POST /v1/accounts/{user_id}/email-changes": {"email": "new@example.org"},
    "PUT /v1/accounts/{user_id}/business": {"company_name": "Berg GmbH", "country": "DE"},
    "DELETE /v1/accounts/{user_id}/business": None,
    "POST /v1/accounts/{user_id}/close": None,
    "POST /v1/accounts/{user_id}/merge": {"duplicate": "{other}"},
}
"""Routes that change an account and answer with it, and what is sent."""


def keys_of(answer: httpx2.Response) -> set[str]:
    body = answer.json()
    return set(body.get("account", body))


@pytest.mark.parametrize("reads", [False, True], ids=["it alone", "with accounts:read"])
async def test_the_keys_of_an_answer_follow_the_scopes(service, caller, reads):
    """R19, ASVS 8.2.3: who may only change an account is not told what stands in it; compared key by key."""
    wrong = []
    for name, body in CHANGES.items():
        given = {"display_name": "Anna Berg", "external_ref": f"ref {name}"}
        user_id = await an_account(caller, f"{uuid.uuid4().hex}@example.org", **given)
        other = await an_account(caller, f"{uuid.uuid4().hex}@example.org")
        sent = {key: other if value == "{other}" else value for key, value in (body or {}).items()}
        token = await token_of(service, BY_SCOPE[name], *["accounts:read"] * reads)
        method, path = filled(name, user_id)
        options = {} if body is None else {"json": sent}
        answer = await service.http.request(method, path, headers={"Authorization": f"Bearer {token}"}, **options)
        assert answer.status_code in (200, 202), (name, answer.text)
        if keys_of(answer) != (WHOLE if reads else REFERENCE) or ("Anna Berg" in answer.text) != reads:
            wrong.append((name, sorted(keys_of(answer))))
    assert wrong == []


@pytest.mark.parametrize("known_by", ["its address", "a reference of this client"])
@pytest.mark.parametrize("reads", [False, True], ids=["it alone", "with accounts:read"])
async def test_registering_a_known_customer_tells_a_writer_nothing_new(service, caller, known_by, reads):
    """R19: the promise is in the language that was sent, because the stored one is the customer's."""
    writer = await service.caller("accounts:write", *["accounts:read"] * reads, name="writer")
    mine = await writer.post("/v1/accounts", {"display_name": "Anna Berg", "external_ref": "17", "locale": "de"})
    assert set(mine.json()) == WHOLE | {"promise", "hints"}, "it wrote all of this itself"
    theirs = {"email": "anna@example.org", "display_name": "Anna Berg", "locale": "de"}
    company = {"company_name": "Berg GmbH", "country": "DE", "billing_address": "Bergstr. 1"}
    for one in (mine.json()["user_id"], (await caller.post("/v1/accounts", theirs)).json()["user_id"]):
        assert (await caller.put(f"/v1/accounts/{one}/business", company)).status_code == 200
    asked = {"email": "anna@example.org"} if known_by == "its address" else {"external_ref": "17"}
    answer = await writer.post("/v1/accounts", {**asked, "display_name": "Somebody", "locale": "en"})
    assert answer.status_code == 200
    assert set(answer.json()) == (WHOLE if reads else REFERENCE) | {"promise", "hints"}
    assert ("Berg" in answer.text) == reads
    assert answer.json()["promise"].startswith("Wir" if reads else "We")
