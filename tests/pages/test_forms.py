"""Forms: read in one way only, and only where our own page in this browser sent them."""

import re
from urllib.parse import urlencode

import pytest

from tests.accounts.given import an_account
from tests.browser import PAGE
from tests.resets.given import ANNA, GOOD, OTHER, a_browser, a_password, a_reset, everything, sign_in

FORM = {"Content-Type": "application/x-www-form-urlencoded"}
POSTS = {
    "/": {"email": "new@example.org"},
    "/reset": {"email": ANNA},
    "/reset/choose": {"link": "LINK", "password": OTHER},
    "/reset/opened": {"link": "LINK"},
    "/reset/strength": {"password": OTHER},
    "/signin": {"email": ANNA, "password": GOOD},
    "/signin/code": {"email": ANNA},
    "/signout": {},
    "/me/sessions/end": {},
    "/me/consents/email": {"decision": "granted", "wording": "x"},
}
"""Every form whose path holds no handle, as it is sent when all is well."""


def token_in(page) -> str:
    return re.search(r'name="form_token" value="([^"]+)"', page.text)[1]


@pytest.fixture
async def anna(service, caller):
    """Anna's browser, signed in, and a link of hers that is alive."""
    await a_password(service, caller)
    reset = await a_reset(service)
    browser = a_browser(service)
    await sign_in(browser)
    browser.link = reset.link
    return browser


def fields(browser, path: str) -> dict[str, str]:
    return {name: browser.link if value == "LINK" else value for name, value in POSTS[path].items()}


CROSS = {
    "another site": {"Sec-Fetch-Site": "cross-site"},
    "a sibling": {"Sec-Fetch-Site": "same-site"},
    "the address bar": {"Sec-Fetch-Site": "none"},
    "an origin": {"Origin": "https://evil.example"},
    "a sibling's origin": {"Origin": "https://allowed.id.example.com"},
    "a prefix": {"Origin": "https://id.example.com.evil.example"},
    "clear text": {"Origin": "http://id.example.com"},
}


@pytest.mark.parametrize("path", POSTS)
async def test_a_form_of_another_site_changes_nothing(service, owner, anna, path):
    """ATT-33, ASVS 3.5.1, SES-03: whatever the browser says of where it comes from; even with the right value."""
    page = await anna.open("/me")
    before = await everything(service, owner)
    for headers in CROSS.values():
        content = {"form_token": token_in(page), **fields(anna, path)}
        answer = await anna.http.post(path, data=content, headers={**PAGE, **headers})
        assert answer.status_code == 403
    assert await everything(service, owner) == before


@pytest.mark.parametrize("path", POSTS)
async def test_a_form_without_this_browsers_value_changes_nothing(service, owner, anna, caller, path):
    """ATT-33, SES-03: none, another browser's, another session's, an altered one; with Origin `null` or none."""
    await anna.open("/me")
    mine = token_in(anna.page)
    stranger = a_browser(service, "192.0.2.44")
    foreign = token_in(await stranger.open("/signin"))
    before = await everything(service, owner)
    for token in (None, "", foreign, mine[:-1], mine + "A", mine.swapcase(), "é", "0" * 10_000):
        content = {**fields(anna, path), **({} if token is None else {"form_token": token})}
        for origin in ({"Origin": "null"}, {}):
            sent = await anna.http.post(path, content=urlencode(content), headers={**PAGE, **FORM, **origin})
            assert sent.status_code == 403
    assert await everything(service, owner) == before


async def test_the_value_of_another_session_is_refused(service, caller, anna):
    """SES-03: two customers, each with a session; neither's value counts for the other."""
    await a_password(service, caller, "berta@example.org", OTHER)
    berta = a_browser(service, "192.0.2.3")
    await sign_in(berta, "berta@example.org", OTHER)
    token = token_in(await berta.open("/me"))
    assert token != token_in(await anna.open("/me"))
    refused = await anna.http.post("/me/sessions/end", data={"form_token": token})
    assert refused.status_code == 403
    assert (await anna.open("/me")).url.path == "/me"


async def test_a_value_without_a_cookie_counts_for_nothing(service, owner):
    """ATT-33: neither the one that fits no cookie at all."""
    browser = a_browser(service)
    token = token_in(await browser.open("/reset"))
    browser.http.cookies.clear()
    for cookie in ("", "__Host-form=", "__Host-session=", "form=x"):
        headers = {"Cookie": cookie} if cookie else {}
        answer = await browser.http.post("/reset", data={"form_token": token, "email": ANNA}, headers=headers)
        assert answer.status_code == 403
    assert await service.rows("SELECT count(*) FROM message") == [(0,)]


TYPES = [
    "text/plain",
    "multipart/form-data; boundary=x",
    "application/json",
    "",
    "text/html",
    "application/xml",
    "application/x-www-form-urlencoded-not",
]


@pytest.mark.parametrize("media_type", TYPES)
@pytest.mark.parametrize("path", ["/reset", "/signin", "/reset/choose"])
async def test_another_media_type_is_not_read(service, path, media_type):
    """ATT-33, ATT-56, ASVS 3.5.1, 4.1.1: what other sites can send without asking."""
    browser = a_browser(service)
    token = token_in(await browser.open("/reset"))
    body = f"email=anna%40example.org&form_token={token}".encode()
    headers = {"Content-Type": media_type} if media_type else {}
    answer = await browser.http.post(path, content=body, headers=headers)
    assert answer.status_code == 415
    assert await service.rows("SELECT count(*) FROM message") == [(0,)]


STRANGE = {
    "twice the value": "form_token={t}&form_token={t}&email=a%40example.org",
    "an unknown field": "form_token={t}&email=a%40example.org&admin=1",
    "an array": "form_token={t}&email%5B0%5D=a%40example.org",
    "many": "form_token={t}&" + "&".join(f"x{n}=1" for n in range(25)),
    "a hundred thousand": "form_token={t}&" + "&".join(f"x{n}=" for n in range(2500)),
    "raw bytes": "form_token={t}&email=\xff",
    "half UTF-8": "form_token={t}&email=%C3",
    "a surrogate": "form_token={t}&email=%ED%A0%80",
    "a NUL": "form_token={t}&email=a%00b",
    "a NUL in a name": "form_token={t}&em%00ail=a",
}


@pytest.mark.parametrize("body", STRANGE)
async def test_a_form_that_cannot_be_read_in_one_way_is_refused(service, body):
    """ASVS 1.1.1, 2.2.1, 15.3.5, 15.3.7, ATT-01, ATT-56: never a 500, nothing done."""
    browser = a_browser(service)
    token = token_in(await browser.open("/reset"))
    content = STRANGE[body].format(t=token).encode("latin-1")
    answer = await browser.http.post("/reset", content=content, headers=FORM)
    assert answer.status_code in (400, 413, 422)
    assert await service.rows("SELECT count(*) FROM message") == [(0,)]


@pytest.mark.parametrize("path", [path for path in POSTS if path not in ("/reset/opened", "/reset/strength")])
async def test_a_megabyte_is_refused_before_it_is_parsed(service, path):
    """PWD-11, ASVS 1.3.3."""
    browser = a_browser(service)
    await browser.open("/reset")
    assert (await browser.send(path, password="x" * 1_000_000)).status_code == 413


async def test_a_refused_form_comes_back_without_its_secrets(service, caller):
    """LOG-03, ASVS 14.2.1: the address and a mistyped code are filled in again, password and link are not."""
    await an_account(caller, email=ANNA)
    browser = a_browser(service)
    await browser.open("/signin")
    page = await browser.send("/signin", email="Anna@Example.org", password="canary password for a test")
    assert page.status_code == 422
    assert 'value="Anna@Example.org"' in page.text
    assert "canary" not in page.text
    reset = await a_reset(service)
    for action, sent in (
        ("/reset/choose", {"link": "v1.canary.canary", "password": "canary"}),
        (f"{reset.watch}/code", {"code": "canar-ycana", "password": "canary"}),
    ):
        await browser.open("/reset")
        page = await browser.send(action, **sent)
        assert ('value="canar-ycana"' in page.text) == ("code" in sent)
        assert "canar" not in page.text.replace('value="canar-ycana"', "")


XSS = [
    "<svg onload=alert(1)>@example.org",
    '"><script>alert(1)</script>',
    "{{7*7}} @example.org",
    "${7*7}",
    "{% raw %}",
    "javascript:alert(1)",
    "an\u202ena@example.org",
    "x" * 10_000,
]


@pytest.mark.parametrize("text", XSS)
@pytest.mark.parametrize(
    ("path", "form"), [("/reset", "/reset"), ("/signin", "/signin"), ("/", "/"), ("/signin", "/signin/code")]
)
async def test_what_was_typed_comes_back_as_text(service, path, form, text):
    """ATT-38, ASVS 1.2.1, 1.3.7: the page has the same elements, and nothing was computed."""
    browser = a_browser(service)
    plain = await browser.open(path)
    harmless = await browser.send(form, email="not an address")
    browser.page = plain
    page = await browser.send(form, email=text)
    assert page.status_code == 422
    elements = re.compile(r"<[a-z!/]+")
    assert elements.findall(page.text) == elements.findall(harmless.text)
    assert "49" not in re.sub(r'form_token" value="[^"]+"', "", page.text)


HINT = r'<p id="hint"[^>]*>Use at least 20 characters\.'


async def test_what_a_form_may_send_again_is_seen_before_it_is_sent(service, caller):
    """RST-13: the least number of characters is the one that is set, on a refused form too."""
    await an_account(caller, email=ANNA)
    reset = await a_reset(service)
    settings = service.database.settings.model_copy(update={"password_minimum": 20})
    service.database.settings = settings
    for path in ("/reset/choose", f"{reset.watch}/code"):
        assert re.search(HINT, (await reset.browser.open(path)).text)
    page = await reset.browser.send("/reset/choose", link=reset.link, password="fifteen letters")
    assert page.status_code == 422
    assert re.search(HINT, page.text)
    assert "Your password is too short. Use at least 20 characters." in page.text
