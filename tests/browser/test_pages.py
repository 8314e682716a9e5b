"""Every page in three languages, light and dark, on a desk and on a phone: no barrier, nothing too wide, in order."""

import pytest

from tests.browser.walk import every_page

WAYS = {
    "english, desk, light": {"language": "en-GB"},
    "english, phone, dark": {"language": "en-GB", "phone": True, "dark": True},
    "arabic, phone, light": {"language": "ar-EG", "phone": True},
    "german, desk, dark": {"language": "de-AT", "dark": True},
}
STOPS = "[...document.querySelectorAll('a, button, input, textarea, select, summary')].filter(e => e.checkVisibility())"


@pytest.mark.timeout(300)
@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
async def test_no_page_has_a_barrier_or_is_too_wide(visit, service, letters, way: dict):
    one = await visit(**way)
    language = way["language"][:2]
    seen, titles = [], set()
    async for name in every_page(one, service, letters, language):
        assert await one.barriers() == [], name
        assert await one.overhang() <= 0, name
        assert await one.page.get_attribute("html", "lang") == language, name
        assert await one.page.locator("h1").count() == 1, name
        titles.add(await one.page.title())
        seen.append(name)
    assert len(seen) == len(set(seen)) > 20
    assert "" not in titles


async def test_english_stands_on_no_german_page(visit, service, letters):
    """A word that no catalogue was asked for would stay English; "the" stands in nearly every sentence of ours."""
    one = await visit(language="de-DE")
    async for name in every_page(one, service, letters, "de"):
        words = set((await one.page.locator("body").inner_text()).lower().split())
        assert words & {"the", "your", "letter", "with", "please", "password", "user"} == set(), name


async def test_the_tab_key_goes_through_every_page_as_it_is_read(visit, service, letters):
    """WCAG 2.2, 2.4.3 and 2.4.7: each stop is seen, and none is a trap."""
    one = await visit()
    async for name in every_page(one, service, letters, "en"):
        stops = await one.page.evaluate(f"{STOPS}.length")
        await one.page.evaluate("scrollTo(0, 0)")
        await one.page.mouse.click(1, 1)
        reached = []
        for _ in range(stops):
            await one.keys("Tab")
            place = await one.page.evaluate(f"{STOPS}.indexOf(document.activeElement)")
            outlined = await one.page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
            assert outlined != "none", (name, place)
            reached.append(place)
        assert reached == list(range(stops)), name


async def test_the_first_stop_leads_to_the_content(visit):
    one = await visit()
    await one.open("/reset")
    await one.keys("Tab")
    assert await one.page.locator(":focus").inner_text() == "Skip to content"
    await one.keys("Enter", "Tab")
    assert await one.page.evaluate("document.activeElement.id") == "email"


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
async def test_the_documentation_has_no_barrier(visit, dark: bool):
    one = await visit(dark=dark)
    await one.open("/docs#register_account")
    assert await one.page.locator("#register_account .request").is_visible()
    assert await one.barriers() == []


async def test_the_documentation_is_searched_and_fits_a_phone(visit):
    one = await visit()
    await one.page.set_viewport_size({"width": 390, "height": 800})
    await one.open("/docs")
    assert await one.page.evaluate("document.documentElement.scrollWidth") == 390
    await one.type("Find an operation", "/v1/resets reset_id")
    assert await one.page.locator("details.operation:visible").count() == 1
    await one.open("/docs#list_events")
    assert await one.page.locator("#list_events").is_visible()


async def test_a_refusal_is_announced_and_belongs_to_its_field(visit):
    """WCAG 2.2, 3.3.1: said in words, not by colour alone, and tied to the field."""
    one = await visit()
    one.expected = {422}
    await one.open("/")
    await one.type("Email address", "ben@localhost")
    await one.press("Get my User ID")
    field = one.page.get_by_label("Email address")
    assert await field.get_attribute("aria-invalid") == "true"
    told = one.page.locator(f"#{await field.get_attribute('aria-describedby')}")
    assert await told.get_attribute("role") == "alert"
    assert "isn't a valid domain" in await told.inner_text()
    assert await field.input_value() == "ben@localhost"


SECRET = "document.querySelector('form[data-link]')?.elements.link.value ?? ''"
FORM = "document.querySelector('.languages')"
ADDRESS = "location.pathname + location.search"
WITHOUT_ADDRESS = {"/signin/code": "/signin"}
"""Pages that only a form leads to, and where their language switch leads."""


async def test_the_language_switch_keeps_the_address_and_secret_of_every_page(visit, service, letters):
    """There and back on every page that an address leads to; a refused form names the page that asks again."""
    one, switched = await visit(), []
    async for name in every_page(one, service, letters, "en"):
        if not await one.page.evaluate(f"!!{FORM}"):
            continue
        here, secret = await one.page.evaluate(ADDRESS), await one.page.evaluate(SECRET)
        assert await one.page.evaluate(f"{FORM}.elements.back.value") in (here, WITHOUT_ADDRESS.get(one.path)), name
        if [request for request in one.requests if request.is_navigation_request()][-1].method != "GET":
            continue
        for tag in ("fr", "en"):
            await one.page.locator(f".languages button[value={tag}]").click()
            await one.page.wait_for_selector(f"html[lang={tag}]")
            assert await one.page.evaluate(ADDRESS) == here, name
            if secret:
                await one.page.wait_for_selector("body.has-link")
                assert await one.page.evaluate(SECRET) == secret, name
        switched.append(name)
    must = {"confirm by code", "choose", "watch waiting", "welcome", "code", "confirm another address", "reopen"}
    assert must < set(switched)
