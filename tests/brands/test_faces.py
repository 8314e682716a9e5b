"""BRD-04 to BRD-06, BRD-09: each page and email wears one brand, and shows nothing of another."""

import hashlib
import json
import re

import httpx2
import pytest

from identity_service import translations
from identity_service.brands.files import Brands
from identity_service.brands.rules import Brand
from identity_service.clients import actions as clients
from identity_service.dev import previews
from identity_service.messages.copy import COPY
from identity_service.web import scopes
from tests.brands.given import MARKS
from tests.browser import Browser
from tests.conftest import BASE

KEYS = ("acme", "zeta", "default")


async def a_client(service, brand: str | None):
    """Return a caller whose client belongs to a brand."""
    made = await service.database.in_transaction(
        lambda s: clients.add_client(
            s, f"shop of {brand}", list(scopes.SCOPES), desk=False, source=f"shop_{brand or 'own'}", brand=brand,
            jwks=None, now=service.clock(),
        )
    )  # fmt: skip
    await service.app.state.gate.reload()
    answer = await service.http.post(
        "/oauth/token", data={"grant_type": "client_credentials"}, auth=(made.client_id, made.client_secret)
    )
    return {"Authorization": f"Bearer {answer.json()['access_token']}"}


def foreign(text: str, key: str) -> list[str]:
    """Return the marks of other brands in a text."""
    return [mark for other in KEYS if other != key for mark in MARKS[other] if mark in text]


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("language", translations.languages())
def test_every_email_of_every_brand_in_every_language_wears_its_brand_alone(settings, key, language):
    """BRD-04: names, hosts, colours, senders."""

    brand = settings.brands.find(key)
    for words in COPY:
        made = previews.sample(words, language, brand)
        whole = made.subject + made.text + made.html
        assert foreign(whole, key) == [], (words, language)
        assert brand.name in made.text
        assert brand.colors.accent in made.html


def whole(letter: dict) -> str:
    """Return everything that an email says."""
    return "\n".join([*letter["headers"].values(), letter["from"], letter["text"], letter["html"]])


async def register(service, headers: dict, address: str | None, **more) -> dict:
    answer = await service.http.post("/v1/accounts", json={"email": address, **more}, headers=headers)
    assert answer.status_code == 201, answer.text
    return answer.json()


@pytest.mark.parametrize(("key", "sender", "bounce", "language"), [
    ("acme", "Acme <konto@acme.example>", "@bounce.acme.example", "de"),
    ("zeta", "Zeta Tools <compte@zeta.example>", "@zeta.example", "fr"),
    (None, "Example Shop <service@identity.example>", "@identity.example", "en"),
])  # fmt: skip
async def test_a_client_s_account_and_emails_wear_its_brand(service, key, sender, bounce, language):
    headers = await a_client(service, key)
    account = await register(service, headers, "anna@example.com")
    assert (account["brand"], account["locale"]) == (key or "default", language)
    assert account["promise"] == translations.catalogue(language).gettext(account["promise"]) or language == "en"
    await service.deliver()
    (letter,) = service.mailbox.letters("anna@example.com")
    head = letter["headers"]
    assert head["From"] == sender
    assert letter["from"].endswith(bounce)
    assert head["Message-ID"].endswith(sender.rpartition("@")[2])
    assert head.get("Reply-To") == ("hilfe@acme.example" if key == "acme" else None)
    assert head["Content-Language"] == language
    assert foreign(whole(letter), key or "default") == []


async def test_a_brand_without_a_sender_writes_in_its_own_name(service):
    """BRD-04: from the default brand's address, and never in its name."""
    plain = await a_client(service, "plain")
    await register(service, plain, "anna@example.com")
    await service.deliver()
    (letter,) = service.mailbox.letters("anna@example.com")
    assert letter["headers"]["From"] == "Plain <service@identity.example>"
    assert "Example Shop" not in whole(letter)


async def test_a_later_email_wears_the_brand_of_its_account_or_of_its_cause(service):
    """An account of one shop that another shop writes about: the message is from the one that caused it. What nobody's
    client or host caused is the account's.
    """
    acme, zeta = await a_client(service, "acme"), await a_client(service, "zeta")
    anna = await register(service, acme, "anna@example.com")
    await service.deliver()
    answer = await service.http.post("/v1/resets", json={"user_id": anna["user_id"]}, headers=acme)
    assert answer.status_code == 202, answer.text
    await service.deliver()
    assert service.letter("anna@example.com", "Ihr Kennwort bei Acme")
    service.clock.advance(minutes=5)
    answer = await service.http.post("/v1/resets", json={"user_id": anna["user_id"]}, headers=zeta)
    assert answer.status_code == 202, answer.text
    await service.deliver()
    assert "Zeta Tools" in whole(service.letter("anna@example.com", "neues Kennwort"))


async def test_what_a_stranger_watches_tells_nobody_s_brand(service):
    """Decision 5, BRD-06: page and email of a reset are the same for Acme's customer and for an unknown address."""
    acme = await a_client(service, "acme")
    await register(service, acme, "anna@example.com")
    await service.deliver()
    seen = []
    for address in ("anna@example.com", "eve@example.com"):
        browser = Browser(service.app, BASE)
        await browser.open("/reset")
        await browser.send("/reset", email=address)
        await service.deliver()
        await browser.open(browser.page.url.path)
        assert foreign(browser.page.text, "default") == []
        varying = r"[0-9A-Z]{4}-[0-9A-Z]{4}|\b(?:anna|eve)@|queued as \w+|\d\d:\d\d(:\d\d)?"
        seen.append(re.sub(varying, "", browser.text))
    assert seen[0] == seen[1]
    brands = await service.rows("SELECT DISTINCT brand FROM message WHERE kind IN ('reset', 'no_account')")
    assert brands == [("default",)]


async def test_the_attempt_remembers_the_version_of_the_brand_s_own_words(service):
    """BRD-09: what was sent can be found again."""
    acme = await a_client(service, "acme")
    anna = await register(service, acme, "anna@example.com")
    await service.deliver()
    await service.http.post("/v1/resets", json={"user_id": anna["user_id"]}, headers=acme)
    await service.deliver()
    found = dict(await service.rows("SELECT m.kind, a.words FROM attempt a JOIN message m ON m.id = a.message_id"))
    words = service.database.settings.brands.find("acme").words["de"]
    assert found["reset"] == found["welcome"]
    assert found["reset"] == hashlib.sha256(_sorted_json(words)).hexdigest()[:16]


def _sorted_json(value: dict) -> bytes:

    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


@pytest.fixture
async def at(service):
    """Return a page of a host."""

    async def open_page(host: str, path: str = "/", **options) -> httpx2.Response:
        headers = {"Host": host, "Accept": "text/html", **options.pop("headers", {})}
        return await service.http.get(path, headers=headers, **options)

    return open_page


async def test_a_brand_s_host_shows_its_name_colours_logo_links_and_languages(service, at):
    """BRD-02: the logo by itself runs and loads nothing."""
    page = await at("id.acme.example")
    assert page.status_code == 200
    assert '<html lang="de" dir="ltr">' in page.text
    for mark in ("Acme GmbH", "Musterstraße 1", "tel:+49301234567", "https://acme.example/impressum"):
        assert mark in page.text
    assert foreign(page.text, "acme") == []
    colors = page.text.partition('href="/brand/acme/')[2].partition('"')[0]
    css = await at("id.acme.example", f"/brand/acme/{colors}")
    assert "#0b4f9c" in css.text
    logo = await at("id.acme.example", "/brand/acme/logo")
    assert logo.headers["content-type"] == "image/svg+xml"
    assert logo.headers["content-security-policy"] == "default-src 'none'; style-src 'unsafe-inline'; sandbox"
    assert logo.headers["x-content-type-options"] == "nosniff"
    other = await at("compte.zeta.example", headers={"Accept-Language": "ar-EG,de;q=0.9"})
    assert '<html lang="ar" dir="rtl">' in other.text
    assert "Deutsch" not in other.text
    assert "العربية" in other.text


@pytest.mark.parametrize("path", ["/signin", "/reset", "/me", "/console", "/me/email", "/signin/code"])
async def test_sign_in_and_passwords_are_on_the_issuer_s_host_alone(service, at, path):
    """BRD-05: a page leads there; nothing else answers."""
    page = await at("id.acme.example", path)
    assert (page.status_code, page.headers["location"]) == (303, f"{BASE}{path}")
    sent = await service.http.post(path, headers={"Host": "id.acme.example", "Accept": "text/html"})
    assert sent.status_code == 421


@pytest.mark.parametrize("path", ["/v1/wordings", "/oauth/jwks.json", "/.well-known/oauth-authorization-server"])
async def test_the_api_is_on_the_issuer_s_host_alone(service, path):
    assert (await service.http.get(path, headers={"Host": "id.acme.example"})).status_code == 421


async def test_an_unknown_host_is_refused_and_a_parameter_changes_no_brand(service, at):
    """BRD-06."""
    assert (await at("id.acme.example.evil.example")).status_code == 421
    assert foreign((await at("id.acme.example", "/?brand=zeta")).text, "acme") == []
    own = await at(BASE.partition("//")[2], "/?brand=acme")
    assert foreign(own.text, "default") == []


async def test_who_registers_on_a_brand_s_host_stays_there(service):
    """The account, its email, the link in it and the confirmation page are the brand's; the cookie is the host's."""
    browser = Browser(service.app, "https://id.acme.example")
    await browser.open("/")
    await browser.send("/", email="anna@example.com")
    assert "Acme" in browser.page.text
    assert foreign(browser.page.text, "acme") == []
    await service.deliver()
    (letter,) = service.mailbox.letters("anna@example.com")
    assert "https://id.acme.example/confirm/" in letter["text"]
    assert foreign(whole(letter), "acme") == []
    assert await service.rows("SELECT brand FROM account") == [("acme",)]


async def test_a_brand_s_host_offers_no_passkey(service):
    """BRD-05, PKY-02: passkeys are the issuer's; a page of another host that offered one could only fail."""
    for base, offers in (("https://id.acme.example", False), (BASE, True)):
        browser = Browser(service.app, base)
        await browser.open("/")
        await browser.send("/without-email")
        assert browser.page.status_code == 200
        assert ("/passkeys/new" in browser.page.text, "Add a passkey" in browser.text) == (offers, offers)
    refused = await service.http.post("/passkeys/new", headers={"Host": "id.acme.example"})
    assert refused.status_code == 421


async def test_a_customer_s_pages_on_the_issuer_s_host_wear_the_account_s_brand(service):
    """BRD-06: from the account; the page says whose it is, and the address bar where it is."""
    acme = await a_client(service, "acme")
    await register(service, acme, "anna@example.com")
    browser = Browser(service.app, BASE)
    await browser.open("/signin")
    await browser.send("/signin/code", email="anna@example.com")
    await service.deliver()
    # In the account's language, which is the brand's (ADR-11).
    text = service.letter("anna@example.com", "Ihr Code zum Anmelden")["text"]
    code = re.search(r"^    ([0-9A-Z]{5}-[0-9A-Z]{5})\r?$", text, re.M)[1]
    await browser.send(browser.page.url.path, code=code)
    assert browser.page.url.path == "/me"
    assert "Acme GmbH" in browser.page.text
    assert foreign(browser.page.text, "acme") == []


async def test_a_language_is_chosen_on_the_page_and_kept(service):
    browser = Browser(service.app, BASE)
    await browser.open("/reset")
    await browser.send("/language", language="fr", back="/reset")
    assert browser.page.url.path == "/reset"
    assert '<html lang="fr" dir="ltr">' in browser.page.text
    await browser.open("/")
    assert '<html lang="fr" dir="ltr">' in browser.page.text


@pytest.mark.parametrize("back", ["//evil.example", "https://evil.example", "/\\evil.example", "javascript:1", ""])
async def test_choosing_a_language_leads_nowhere_else(service, back):
    browser = Browser(service.app, BASE)
    await browser.open("/reset")
    await browser.send("/language", language="fr", back=back)
    assert browser.page.url.path == "/"


async def test_a_language_that_no_page_has_is_refused_in_words(service):
    browser = Browser(service.app, BASE)
    await browser.open("/reset")
    await browser.send("/language", language="tlh", back="/reset")
    assert browser.page.status_code == 422
    assert "no pages in that language" in browser.page.text


async def test_a_brand_s_host_shows_nothing_of_another(service, at):
    """BRD-04: neither colours and logo nor the pages of a message; these lead to the issuer's host."""
    browser = Browser(service.app, "https://compte.zeta.example")
    await browser.open("/")
    await browser.send("/", email="anna@example.com")
    path, handle = browser.page.url.path, browser.page.url.path.rpartition("/")[2]
    assert foreign((await at("compte.zeta.example", path)).text, "zeta") == []
    for led in (path, f"/messages/{handle}/stream"):
        page = await at("id.acme.example", led)
        assert (page.status_code, page.headers["location"]) == (303, f"{BASE}{led}")
        assert foreign(page.text, "acme") == []
    await service.deliver()
    text = service.mailbox.letters("anna@example.com")[0]["text"]
    link = re.search(r"https://compte\.zeta\.example(/confirm/[^#\s]+)", text)[1]
    assert (await at("id.acme.example", link)).headers["location"] == f"{BASE}{link}"
    for kept in ("/brand/zeta/logo", "/brand/zeta/0/colors.css"):
        assert (await at("id.acme.example", kept)).status_code == 404
        assert (await at("compte.zeta.example", kept)).status_code == 200


async def test_an_account_whose_brand_is_gone_has_the_default_one(service, at, monkeypatch):
    """BRD-04: pages and emails go on, in the face of whatever belongs to no brand; the old host is refused."""
    acme = await a_client(service, "acme")
    anna = await register(service, acme, "anna@example.com")
    await service.deliver()
    before, settings = service.mailbox.letters("anna@example.com"), service.database.settings
    left = {key: brand for key, brand in settings.brands.by_key.items() if key != "acme"}
    monkeypatch.setitem(settings.__dict__, "brands", Brands(left))
    monkeypatch.setitem(settings.__dict__, "hosts", settings.hosts - {"id.acme.example"})
    answer = await service.http.post("/v1/resets", json={"user_id": anna["user_id"]}, headers=acme)
    assert answer.status_code == 202, answer.text
    await service.deliver()
    (letter,) = [one for one in service.mailbox.letters("anna@example.com") if one not in before]
    assert letter["headers"]["From"] == "Example Shop <service@identity.example>"
    assert foreign(whole(letter), "default") == []
    page = await at(BASE.partition("//")[2], answer.json()["tracking_url"].removeprefix(BASE))
    assert page.status_code == 200
    assert foreign(page.text, "default") == []
    assert (await at("id.acme.example")).status_code == 421
    assert (await service.http.get(f"/v1/accounts/{anna['user_id']}", headers=acme)).json()["brand"] == "acme"


async def test_previews_are_in_sandboxed_frames_and_show_no_customer(service):
    """BRD-11: and a name is text."""
    acme = await a_client(service, "acme")
    anna = await register(service, acme, "anna@example.com", display_name="Berta Quandt")
    service.app.include_router(previews.router)
    page = await service.http.get("/dev/messages?brand=acme&language=de")
    frames = re.findall(r"<iframe [^>]+>", page.text)
    assert len(frames) == len(COPY)
    assert all(frame.startswith("<iframe sandbox title=") for frame in frames)
    for words in COPY:
        shown = await service.http.get(f"/dev/messages/{words}/de?brand=acme")
        assert shown.headers["content-security-policy"].endswith("; sandbox")
        assert not [known for known in ("anna@", "Quandt", anna["user_id"]) if known in page.text + shown.text]
    named = Brand(name='<script>alert("1")</script>', legal_name="<img src=x>")
    made = previews.sample("reset", "en", named)
    assert "<script" not in made.html
    assert "<img" not in made.html
