"""What a browser is kept from doing with our pages, and what a robot that follows every link cannot spoil."""

import pytest

from tests.browser.conftest import GOOD

INTRUSION = """() => {
  const script = document.createElement("script");
  script.textContent = "window.broken = 1";
  document.body.append(script);
  new Image().src = "https://elsewhere.example/x.png";
}"""


async def ask(one, service, to: str = "anna@example.org") -> None:
    await one.open("/reset")
    await one.type("Email address", to)
    await one.press("Send the email")
    await service.deliver()


def forget(one, heard) -> None:
    """What a foreign page did, or was kept from doing, is not what our own pages do."""
    one.complaints.clear()
    one.requests.clear()
    heard.clear()


async def test_a_robot_that_presses_every_button_does_not_spend_the_link(visit, service, letters, anna: str):
    """RST-01, RST-02: mail scanners open the link, run its script and press what can be pressed."""
    asker = await visit()
    await ask(asker, service)
    link = letters.link("anna@example.org", "Reset your password")
    for scripts in (True, False):
        robot = await visit(scripts=scripts)
        robot.expected = {410, 422}
        for number in range(20):
            await robot.open("about:blank")
            await robot.open(link)
            things = robot.page.locator("main button:visible, main input[type=checkbox]:visible, main a:visible")
            if number >= await things.count():
                break
            await things.nth(number).click()
            await robot.page.wait_for_load_state()
    anna_herself = await visit()
    await anna_herself.open(link)
    await anna_herself.type("New password", GOOD)
    await anna_herself.press("Save password")
    assert anna_herself.path == "/reset/done"


async def test_a_robot_that_presses_without_a_password_is_told_so_by_the_server(visit, service, letters, anna: str):
    """RST-02, ASVS 2.2.2: also one that removes what the browser checks by itself."""
    robot = await visit()
    robot.expected = {422}
    await ask(robot, service)
    await robot.open(letters.link("anna@example.org", "Reset your password"))
    await robot.page.evaluate("document.querySelector('form[data-link]').noValidate = true")
    await robot.press("Save password")
    assert "at least 15 characters" in await robot.text()
    await robot.type("New password", GOOD)
    await robot.press("Save password")
    assert robot.path == "/reset/done"


async def test_the_secret_leaves_the_address_bar_and_goes_nowhere(visit, service, letters, anna: str, heard):
    """ATT-14, ATT-15, RST-03: click everything on the page that holds the secret; no other host, no Referer, and no
    request line with it (`visit` looks at them all)."""
    one = await visit()
    await ask(one, service)
    link = letters.link("anna@example.org", "Reset your password")
    await one.open(link)
    assert one.page.url == link.partition("#")[0]
    secret = link.partition("#")[2]
    for number in range(await one.page.locator("nav a, main a:visible").count()):
        await one.open("about:blank")
        await one.open(link)
        await one.page.locator("nav a, main a:visible").nth(number).click()
        await one.page.wait_for_load_state()
        assert secret not in one.page.url
    secrets = [request for request in heard if secret in str(request)]
    assert secrets == []


async def test_the_link_opens_where_somebody_is_signed_in(visit, service, letters, anna: str):
    """ASVS 3.3.2: the session's cookie is Lax, so the reader of a letter is still himself; Strict for the form's."""
    one = await visit()
    await one.open("/signin")
    await one.page.locator("#email").fill("anna@example.org")
    await one.press("Send me a code instead")
    await service.deliver()
    await one.type("Code from the email", letters.code("anna@example.org", "Your sign-in code"))
    await one.press("Sign in")
    cookies = {cookie["name"]: cookie for cookie in await one.context.cookies()}
    assert set(cookies) == {"__Host-form", "__Host-known", "__Host-session", "__Host-typed"}
    assert all(cookie["secure"] and cookie["httpOnly"] and cookie["path"] == "/" for cookie in cookies.values())
    assert {name: cookie["sameSite"] for name, cookie in cookies.items()} == {
        "__Host-form": "Strict", "__Host-known": "Lax", "__Host-session": "Lax", "__Host-typed": "Lax",
    }  # fmt: skip
    assert await one.page.evaluate("document.cookie") == ""


async def test_nothing_of_a_session_stays_in_the_browser(visit, service, letters, anna: str):
    """SES-06, ASVS 14.3.1: no storage of any kind while signed in, no cookie of the session after signing out."""
    one = await visit()
    await one.open("/signin")
    await one.page.locator("#email").fill("anna@example.org")
    await one.press("Send me a code instead")
    await service.deliver()
    await one.type("Code from the email", letters.code("anna@example.org", "Your sign-in code"))
    await one.press("Sign in")
    kept = "Promise.all([indexedDB.databases(), caches.keys(), navigator.serviceWorker.getRegistrations()])"
    assert await one.page.evaluate(kept) == [[], [], []]
    assert await one.page.evaluate("[localStorage.length, sessionStorage.length]") == [0, 0]
    await one.press("Sign out")
    assert one.path == "/signin"
    assert "__Host-session" not in {cookie["name"] for cookie in await one.context.cookies()}
    await one.page.go_back()
    assert anna not in await one.text()


@pytest.mark.parametrize("path", ["/", "/signin", "/reset", "/reset/choose", "/receipt", "/nothing-here"])
async def test_no_page_opens_in_a_frame(elsewhere, visit, site: str, heard, path: str):
    """ATT-34, ASVS 3.4.6: a page of another origin frames ours, and the browser refuses."""
    one = await visit()
    one.expected = {404}
    page = await elsewhere(f"<title>Other</title><iframe src='{site}{path}'></iframe>")
    async with one.page.expect_event("requestfailed") as failing:
        await one.page.goto(page)
    framed = await failing.value
    assert (framed.url, framed.failure) == (f"{site}{path}", "net::ERR_BLOCKED_BY_RESPONSE")
    assert heard[-1].line == f"GET {path}?"
    forget(one, heard)


async def test_a_script_from_nowhere_does_not_run(visit, heard):
    """ASVS 3.4.3: markup that slipped in would stay text; the policy is proven by breaking it once."""
    one = await visit()
    await one.open("/")
    async with one.page.expect_console_message(lambda line: "CSP img-src" in line.text):
        await one.page.evaluate(INTRUSION)
    assert await one.page.evaluate("window.broken") is None
    assert any("CSP script-src" in complaint for complaint in one.complaints)
    forget(one, heard)


async def test_a_foreign_page_cannot_send_our_forms(elsewhere, visit, site: str, service, heard):
    """ATT-33, ASVS 3.5.1: a form of another origin, posted by the browser with its cookies."""
    one = await visit()
    one.expected = {403}
    await one.open("/reset")
    form = f"<form method=post action='{site}/reset'><input name=email value=anna@example.org><button>Go"
    await one.page.goto(await elsewhere(form))
    await one.press("Go")
    assert "This page was open" in await one.text()
    assert await service.rows("SELECT 1 FROM message") == []
    forget(one, heard)
