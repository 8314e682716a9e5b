"""What surrounds every page: policies, cookies, caches; and where pages lead."""

import io
import re

import pytest

from identity_service import logs
from identity_service.app import STATIC
from tests.accounts.given import an_account
from tests.browser import PAGE
from tests.resets.given import ANNA, OTHER, a_browser, a_password, a_reset, choose, everything, sign_in

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; object-src 'none'; frame-ancestors 'none'"
)
PAGES = [
    "/",
    "/reset",
    "/reset/choose",
    "/reset/done",
    "/signin",
    "/me",
    "/receipt",
    "/confirm/x",
    "/confirmed/address",
    "/reset/nothing",
    "/nothing",
    "/signin/nothing",
    "/welcome/nothing",
    "/me/nothing",
    "/reset/x.css",
    "/me/x.css",
]


@pytest.mark.parametrize("path", PAGES)
@pytest.mark.parametrize("signed", [False, True])
async def test_every_page_carries_what_browsers_must_know(service, caller, path, signed):
    """ATT-34, ATT-35, ASVS 3.4.1, 3.4.2, 3.4.3, 3.4.4, 3.4.5, 3.4.6, 3.4.8, 3.3.1, 14.2.2, 13.4.6: errors too."""
    browser = a_browser(service)
    if signed:
        await a_password(service, caller)
        await sign_in(browser)
    for options in ({}, {"Origin": "https://evil.example"}, {"Origin": "null"}):
        answer = await browser.http.get(path, headers={**PAGE, **options}, follow_redirects=False)
        headers = answer.headers
        assert answer.status_code in (200, 303, 404)
        assert headers["content-security-policy"] == POLICY
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["strict-transport-security"] == "max-age=63072000; includeSubDomains"
        assert headers["cross-origin-opener-policy"] == headers["cross-origin-resource-policy"] == "same-origin"
        assert headers["cache-control"] == "no-store"
        assert not [
            name for name in headers if name.startswith("access-control-") or name in ("server", "x-powered-by")
        ]
        for cookie in answer.headers.get_list("set-cookie"):
            assert re.fullmatch(
                r"__Host-(form|session)=\S+; HttpOnly;( Max-Age=\d+;)? Path=/; SameSite=(strict|lax); Secure", cookie
            )


@pytest.mark.parametrize("path", ["/", "/reset", "/reset/choose", "/signin", "/reset/done", "/receipt", "/confirm/x"])
async def test_no_page_needs_anything_of_others_or_inline(service, path):
    """ATT-15, ASVS 3.4.3, 3.4.7, 3.6.1, 1.2.3, 14.2.3: our own host alone, no script, style or handler in the page."""
    text = (await a_browser(service).open(path)).text
    assert not re.search(r"<script(?! src=\"/static/[a-z]+\.js\" defer>)|<style|\son[a-z]+=|\sstyle=|javascript:", text)
    for address in re.findall(r'(?:src|href|action)="([^"]*)"', text):
        assert address.startswith(("/", "#main"))
        assert not address.startswith("//")
    assert '<meta name="robots" content="noindex">' in text


async def test_static_files_are_the_same_for_all_and_hold_no_danger(service):
    """ASVS 3.2.2, 3.2.3, 3.5.7, 3.7.1, 5.3.2, 13.4.3, 13.4.7: no HTML by scripts, nothing stored, no way out of the
    folder, and in it what pages need alone."""
    browser = a_browser(service)
    assert {path.suffix for path in STATIC.iterdir()} == {".css", ".js", ".svg", ".json"}
    for name in ("link.js", "me.js", "password.js", "watch.js", "style.css", "icon.svg"):
        answer = await browser.http.get(f"/static/{name}")
        assert answer.status_code == 200
        danger = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|localStorage|sessionStorage|https?://(?!www\.w3\.org)"
        assert not re.search(danger, answer.text)
    assert (await browser.http.get("/static/")).status_code == 404
    for path in ("/static/../cli.py", "/static/%2e%2e/cli.py", "/static/..%2fcli.py", "/static/%00"):
        assert (await browser.http.get(path)).status_code in (400, 404)


NEXT = [
    "//evil.example",
    "/\\evil.example",
    "https:evil.example",
    "/%09/evil.example",
    "@evil.example",
    "https://evil.example",
    "https://id.example.com.evil.example",
    "javascript:alert(1)",
    "/me",
]


@pytest.mark.parametrize("where", NEXT)
@pytest.mark.parametrize("name", ["next", "return_url", "redirect", "redirect_uri", "continue", "returnTo", "url"])
async def test_there_is_no_parameter_that_leads_elsewhere(service, where, name):
    """ATT-60, ASVS 1.2.2, 3.7.2: in query and form."""
    browser = a_browser(service)
    for path in ("/signin", "/reset"):
        answer = await browser.http.get(path, params={name: where})
        assert (answer.status_code, answer.history) == (200, [])
        assert "evil" not in answer.text + str(answer.headers)
    await browser.open("/signin")
    answer = await browser.send("/signin", email=ANNA, password="x", **{name: where})
    assert (answer.status_code, answer.history) == (422, [])


async def test_every_redirect_leads_to_a_path_of_ours(service, caller):
    """ATT-60, ATT-32: all there are on the roads of a customer."""
    await a_password(service, caller)
    reset = await a_reset(service)
    browser = a_browser(service)
    browser.http.headers.update({"X-Forwarded-Host": "evil.example", "X-Original-URL": "//evil.example"})
    seen = []
    for path, action, fields in (
        ("/reset", "/reset", {"email": ANNA}),
        ("/reset/choose", "/reset/choose", {"link": reset.link, "password": OTHER}),
        ("/signin", "/signin/code", {"email": ANNA}),
        ("/", "/", {"email": "new@example.org"}),
        ("/signin", "/signin", {"email": ANNA, "password": OTHER}),
        ("/me", "/signout", {}),
    ):
        service.clock.advance(seconds=1)
        await browser.open(path)
        page = await browser.send(action, **fields)
        seen += [hop.headers["location"] for hop in page.history]
    assert len(seen) >= 6
    assert all(re.fullmatch(r"/[a-z][\w/#-]*(\?signed_out=yes)?", where) for where in seen), seen


async def test_looking_changes_no_row(service, caller, owner):
    """ASVS 3.5.3, RST-01: GET, HEAD and OPTIONS of every page, signed in."""
    await a_password(service, caller)
    reset = await a_reset(service)
    browser = a_browser(service)
    await sign_in(browser)
    handle = reset.watch.split("/")[2]
    before = await everything(service, owner)
    for path in (
        *PAGES,
        reset.watch,
        f"{reset.watch}/code",
        f"/confirm/{handle}",
        "/me/receipt",
        f"/messages/{handle}/reroute",
        "/signout",
        "/me/sessions/end",
        "/reset/opened",
    ):
        for method in ("GET", "HEAD", "OPTIONS", "TRACE"):
            answer = await browser.http.request(method, path, headers={**PAGE, "Sec-Purpose": "prefetch"})
            assert answer.status_code < 500
    assert await everything(service, owner) == before


LANGUAGES = [
    "de",
    "de-AT,en;q=0.5",
    "",
    "*",
    "x" * 10_000,
    "de_",
    ";;;",
    "\u00e9",
    "en;q=not",
    "-",
    "de-" * 50,
    "../../etc/passwd",
    "\x01",
]


@pytest.mark.parametrize("language", LANGUAGES)
async def test_any_language_header_gives_a_page(service, language):
    """ASVS 1.3.3: and one of the languages there are."""
    page = await a_browser(service).http.get("/reset", headers={"Accept-Language": language.encode("latin-1")})
    assert page.status_code == 200
    assert re.findall(r'<html lang="([^"]*)" dir="ltr">', page.text) == ["de" if language.startswith("de") else "en"]


async def test_a_program_gets_the_problem_and_a_person_a_page(service, caller):
    """ASVS 4.1.1, 16.5.1: neither tells of what stands behind."""
    await an_account(caller, email=ANNA)
    browser = a_browser(service)
    page = await browser.open("/reset/nothing")
    assert page.headers["content-type"].startswith("text/html")
    problem = await browser.http.get("/reset/nothing", headers={"Accept": "application/json"})
    assert problem.json()["code"] == "unknown_tracking"
    for answer in (page, problem):
        assert not re.search("Traceback|SELECT |sqlalchemy|starlette|jinja", answer.text, re.IGNORECASE)


@pytest.fixture
def written():
    """What is written to the log in this test."""
    stream = io.StringIO()
    logs.configure("json", stream=stream)
    yield stream
    logs.configure("json")


async def test_no_address_and_no_secret_reaches_a_log(service, caller, written):
    """ATT-14, LOG-03, ASVS 14.2.1: the whole road, by link; what is written is read."""
    await a_password(service, caller)
    reset = await a_reset(service)
    await reset.browser.open("/reset/choose")
    await reset.browser.send("/reset/opened", link=reset.link)
    await choose(reset.browser, reset.link, OTHER)
    service.clock.advance(seconds=1)
    browser = a_browser(service)
    await sign_in(browser, password=OTHER)
    assert "/reset/{handle}" in written.getvalue()
    handle = reset.watch.split("/")[2]
    for secret in (
        ANNA,
        reset.link,
        reset.link.split(".")[2],
        reset.code,
        "seven herons",
        handle,
        browser.http.cookies["__Host-session"],
    ):
        assert secret not in written.getvalue()
