"""What surrounds every request: its host, its method, its parameters; and what surrounds every answer."""

import re

import pytest

from tests.accounts.given import an_account

MEMBERS = {"type", "title", "status", "code", "detail", "request_id"}


@pytest.mark.parametrize(
    "host",
    ["evil.example", "id.example.com.evil.example", "evil.example:443", "id.example.com..", "id.example.com@evil.net",
     "evil.example#id.example.com", "id.example.com:x", "", "127.0.0.2", "[::2]", "id.example.com, evil.example",
     "id.example.com::", "evil.example:", ":443"],
)  # fmt: skip
async def test_a_host_that_is_not_ours_is_misdirected(caller, host):
    """ATT-32."""
    refused = await caller.get("/v1/events", headers={"Host": host})
    assert (refused.status_code, refused.json()["code"]) == (421, "misdirected_request")
    assert not host or host not in refused.text


@pytest.mark.parametrize("host", ["id.example.com", "ID.Example.COM", "id.example.com:8443", "localhost:1",
                                  "[::1]:80", "id.example.com.", "ID.EXAMPLE.COM.:443", "localhost.:80",
                                  "id.example.com:", "ID.example.com.:", "[::1]:"])  # fmt: skip
async def test_our_host_is_answered_in_any_case_and_on_any_port(caller, host):
    """RFC 3986, 3.2.2 and 3.2.3: a final dot names the same host, and an empty port is the usual one."""
    assert (await caller.get("/v1/events", headers={"Host": host})).status_code == 200


@pytest.mark.parametrize("path", ["/livez", "/readyz"])
async def test_health_is_told_under_any_name(service, path):
    """A load balancer asks by address, or by a name of its own."""
    for host in ("10.0.0.7", "10.0.0.7:8080", "health-check", "", "_probe", "a b", "[fe80::1%eth0]"):
        assert (await service.http.get(path, headers={"Host": host})).status_code == 200, host


FORGED = {
    "X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "http", "X-Forwarded-For": "\\r\\n::evil",
    "X-Forwarded-Prefix": "/evil.example", "X-Forwarded-Uri": "/oauth/jwks.json", "Forwarded": "host=evil.example",
    "X-Original-Host": "evil.example", "X-Original-URL": "/livez", "X-Rewrite-URL": "/livez",
    "X-Real-IP": "evil.example", "X-Forwarded-User": "evil.example", "X-User-ID": "evil.example",
    "X-HTTP-Method-Override": "DELETE",
}  # fmt: skip


async def test_what_a_proxy_would_say_is_ignored_from_anybody_else(service, caller):
    """ATT-32, ATT-39, ASVS 4.1.3: links, actor, path and method come from elsewhere."""
    made = await caller.post("/v1/accounts", {"email": "anna@example.com"}, headers=FORGED)
    assert made.status_code == 201
    refused = await caller.get("/v1/accounts/x", headers=FORGED)
    assert refused.json()["type"] == "https://id.example.com/problems/malformed_user_id"
    for answer in (made, refused):
        assert "evil" not in answer.text + str(answer.headers)
    await service.deliver()
    (letter,) = service.mailbox.letters("anna@example.com")
    assert "evil" not in str(letter)
    assert await service.rows(
        "SELECT DISTINCT actor FROM event WHERE user_id IS NOT NULL AND name LIKE 'account.%'"
    ) == [(f"client:{caller.client_id}",)]


@pytest.mark.parametrize("header", FORGED)
async def test_no_such_header_stands_for_a_token(service, header):
    """ATT-39."""
    refused = await service.http.get("/v1/events", headers={header: FORGED[header]})
    assert refused.status_code == 401


QUERIES = {
    "limit=1&limit=2": "repeated_parameter",
    "limit=1&limit=1": "repeated_parameter",
    "limit=1&%6cimit=2": "repeated_parameter",
    "colour=red": "unknown_parameter",
    "colour": "unknown_parameter",
    "limit[]=1": "unknown_parameter",
    "LIMIT=1": "unknown_parameter",
    "callback=alert": "unknown_parameter",
    "access_token=x": "unknown_parameter",
    "after=%00": "unreadable_parameter",
    "after=%ff": "unreadable_parameter",
    "after=%c0%af": "unreadable_parameter",
    "limit=0": "invalid_shape",
    "limit=-1": "invalid_shape",
    "limit=201": "invalid_shape",
    "limit=1000000000": "invalid_shape",
    "limit=2147483648": "invalid_shape",
    "limit=9223372036854775808": "invalid_shape",
    "limit=1e400": "invalid_shape",
    "limit=1.5": "invalid_shape",
    "limit=": "invalid_shape",
    "limit=true": "invalid_shape",
    "limit=%2540": "invalid_shape",
    "wait=31": "invalid_shape",
    "after=x": "invalid_cursor",
    "after=" + "x" * 300: "invalid_shape",
}


@pytest.mark.parametrize(("query", "code"), QUERIES.items(), ids=lambda text: text[:30])
async def test_a_parameter_counts_once_or_not_at_all(caller, query, code):
    """API-08, ASVS 1.3.3, 3.5.6, 15.3.7: `?callback=` makes no script of an answer."""
    refused = await caller.get(f"/v1/events?{query}")
    assert refused.json()["code"] == code
    assert refused.status_code == (
        400 if code in ("repeated_parameter", "unreadable_parameter", "invalid_cursor") else 422
    )


async def test_a_parameter_on_the_hot_road_is_refused_too(caller):
    refused = await caller.post("/v1/accounts/verifications?limit=1", {"user_ids": ["x"]})
    assert (refused.status_code, refused.json()["code"]) == (422, "unknown_parameter")


@pytest.mark.parametrize("name", ["If-Match", "Idempotency-Key"])
async def test_a_header_that_decides_stands_once(service, caller, name):
    """ASVS 15.3.7."""
    user_id = await an_account(caller, display_name="Anna")
    headers = [*caller.headers.items(), (name, '"1"'), (name, '"2"')]
    path = f"/v1/accounts/{user_id}" if name == "If-Match" else f"/v1/accounts/{user_id}/email-changes"
    body = {"display_name": "Eve"} if name == "If-Match" else {"email": "eve@example.com"}
    refused = await service.http.request("PATCH" if name == "If-Match" else "POST", path, json=body, headers=headers)
    assert (refused.status_code, refused.json()["code"]) == (400, "repeated_header")
    assert await service.rows("SELECT display_name, email FROM account") == [("Anna", None)]


PATHS = {
    "/v1/accounts": "POST",
    "/v1/accounts/search": "POST",
    "/v1/accounts/3W08-K7QX-M1C4": "GET, HEAD, PATCH",
    "/v1/accounts/3W08-K7QX-M1C4/email-changes": "POST",
    "/v1/events": "GET, HEAD",
    "/oauth/token": "POST",
    "/oauth/jwks.json": "GET, HEAD",
    "/livez": "GET, HEAD",
    "/docs": "GET, HEAD",
    "/static/style.css": "GET, HEAD",
}
METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "QUERY", "BREW"]


@pytest.mark.parametrize("path", PATHS)
async def test_a_path_names_the_methods_it_knows_and_refuses_the_others(caller, path):
    """ASVS 4.1.4; RFC 9110, 15.5.6: `Allow` names every one."""
    for method in METHODS:
        if method in PATHS[path].split(", "):
            continue
        refused = await caller.http.request(method, path, headers=caller.headers)
        told = refused.json().get("code") or refused.json()["error_uri"].rsplit("/", 1)[-1]
        assert (refused.status_code, told) == (405, "method_not_allowed"), method
        assert refused.headers["Allow"] == PATHS[path]


@pytest.mark.parametrize(
    "path",
    ["/nothing", "/v1", "/v1/", "/v2/accounts", "/v1/accounts/", "//v1/accounts", "/v1//accounts", "/V1/accounts",
     "/v1/accounts/x/y", "/v1/accounts/a%2Fb", "/oauth", "/static/", "/static/x.css", "/static/..%2fapp.py",
     "/.env", "/.git/config", "/problems/nothing", "/me/x.css"],
)  # fmt: skip
async def test_where_there_is_nothing_there_is_a_404(caller, path):
    """ATT-35, API-09, ASVS 4.1.2, 13.4.3, 14.2.5: nothing is redirected, and no folder is shown."""
    answer = await caller.get(path)
    assert (answer.status_code, answer.json()["code"]) == (404, "unknown_path")


@pytest.mark.parametrize("path", ["/v1/events", "/oauth/jwks.json", "/v1/accounts/x", "/v1/nothing"])
async def test_an_answer_for_programs_does_not_open_as_a_page(caller, path):
    """ASVS 3.2.1."""
    refused = await caller.get(path, headers={"Sec-Fetch-Dest": "document"})
    assert (refused.status_code, refused.json()["code"]) == (403, "not_for_documents")


async def test_a_page_opens_as_a_page(service):
    assert (await service.http.get("/docs", headers={"Sec-Fetch-Dest": "document"})).status_code == 200


ANSWERS = {
    200: ("GET", "/v1/events", {}),
    201: ("POST", "/v1/accounts", {"json": {}}),
    400: ("GET", "/v1/events?limit=1&limit=2", {}),
    401: ("GET", "/v1/events", {"headers": {"Authorization": "Bearer x"}}),
    403: ("GET", "/v1/events", {"headers": {"Sec-Fetch-Dest": "document"}}),
    404: ("GET", "/v1/nothing", {}),
    405: ("TRACE", "/v1/events", {}),
    413: ("POST", "/v1/accounts", {"content": b" " * 70_000, "headers": {"Content-Type": "application/json"}}),
    415: ("POST", "/v1/accounts", {"content": b"x"}),
    421: ("GET", "/v1/events", {"headers": {"Host": "evil.example"}}),
    422: ("POST", "/v1/accounts", {"json": {"email": "x"}}),
}


@pytest.mark.parametrize("status", ANSWERS)
async def test_every_answer_carries_what_browsers_must_know(caller, status):
    """API-01, API-07, ASVS 3.2.1, 3.4.1, 3.4.2, 3.4.4, 3.4.5, 3.4.6, 3.4.8, 3.5.8, 13.4.6: no software is named."""
    method, path, options = ANSWERS[status]
    options = {**options, "headers": {"Origin": "https://evil.example", **caller.headers, **options.get("headers", {})}}
    answer = await caller.http.request(method, path, **options)
    assert answer.status_code == status
    headers = answer.headers
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Strict-Transport-Security"] == "max-age=63072000; includeSubDomains"
    assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert headers["Content-Security-Policy"] == "default-src 'none'; frame-ancestors 'none'; sandbox"
    assert headers["Cache-Control"] == "no-store"
    assert re.fullmatch("[0-9a-f]{24}", headers["X-Request-ID"])
    assert not {"server", "x-powered-by", "via"} & set(headers)
    assert not [name for name in headers if name.startswith("access-control-")]
    assert not re.search('Traceback|File "|SELECT |uvicorn|starlette|pydantic|sqlalchemy', answer.text, re.IGNORECASE)
    if status >= 400:
        assert headers["Content-Type"] == "application/problem+json"
        assert answer.json().keys() >= MEMBERS
        assert (answer.json()["status"], answer.json()["request_id"]) == (status, headers["X-Request-ID"])


async def test_the_type_of_a_problem_leads_to_its_words(caller):
    """API-01; RFC 9457, 3.1.1."""
    problem = (await caller.get("/v1/nothing")).json()
    words = await caller.http.get(problem["type"])
    assert words.status_code == 200
    assert problem["title"] in words.text


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "https://id.example.com.evil.example", "http://a@b"]
)
async def test_no_other_origin_reads_an_answer(caller, origin):
    """ASVS 3.4.2."""
    asked = await caller.http.request(
        "OPTIONS", "/v1/accounts", headers={"Origin": origin, "Access-Control-Request-Method": "POST"}
    )
    assert asked.status_code == 405
    for answer in (asked, await caller.get("/v1/events", headers={"Origin": origin})):
        assert not [name for name in answer.headers if name.startswith("access-control-")]


@pytest.mark.parametrize("given", ["abcdefgh", "A-z_0-9-" * 8])
async def test_a_callers_request_id_is_taken(caller, given):
    assert (await caller.get("/v1/nothing", headers={"X-Request-ID": given})).json()["request_id"] == given


@pytest.mark.parametrize("given", ["short", "x" * 65, "a b c d e f", "abcdefg\\r\\nX: y", "abcdefgh;", "äbcdefgh", ""])
async def test_a_request_id_that_could_be_something_else_is_replaced(caller, given):
    """ATT-37: nothing of it is echoed."""
    answer = await caller.get("/v1/nothing", headers={"X-Request-ID": given.encode()})
    assert re.fullmatch("[0-9a-f]{24}", answer.headers["X-Request-ID"])


async def test_the_documentation_loads_nothing_from_elsewhere(service):
    """ASVS 3.4.3, 3.6.1."""
    page = await service.http.get("/docs")
    assert page.status_code == 200
    loaded = re.findall(r"""(?:src|href|action|srcset|data)\s*=\s*["']?([^"'\s>]+)""", page.text)
    assert loaded
    assert all(target.startswith(("/static/", "/openapi.json", "#")) for target in loaded)
    assert not re.search(r"<script(?! src=)|<iframe|<style|\son\w+=|\sstyle=|@import|url\(", page.text)
    policy = page.headers["Content-Security-Policy"]
    for part in (
        "default-src 'none'",
        "object-src 'none'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
        "style-src 'self'",
    ):
        assert part in policy
    assert "unsafe" not in policy
    assert "*" not in policy
    for target in {target for target in loaded if target.startswith("/static/")}:
        found = await service.http.get(target)
        assert found.status_code == 200
        assert not re.search(r"@import|url\(", found.text)
