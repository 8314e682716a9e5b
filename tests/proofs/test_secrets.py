"""What a stolen dump and a stolen key are worth, and which door takes which secret."""

import hashlib
import re
import secrets

import pytest

from identity_service.keys import encoding
from identity_service.keys import ring as keys_ring
from identity_service.one_time_tokens import rules as token_rules
from tests.accounts.given import an_account, sql
from tests.resets.given import ANNA, a_browser, a_reset, choose, everything, forget_limits, sign_in, type_code

CODE = re.compile(r"^ {4}([0-9A-Z]{5}-[0-9A-Z]{5})\s*$", re.M)


async def a_signin(service, address=ANNA):
    """Ask for a code to sign in; the browser, its page and the code."""
    browser = a_browser(service, "192.0.2.40")
    await browser.open("/signin")
    page = await browser.send("/signin/code", email=address)
    await service.deliver()
    return browser, page.url.path, CODE.search(service.letter(address, "Your sign-in code")["text"])[1]


async def a_confirmation(service, address="carla@example.org"):
    """Register by the page; the browser, its page, the link, the code, and the confirmation's path."""
    browser = a_browser(service, "192.0.2.41")
    await browser.open("/")
    page = await browser.send("/", email=address)
    await service.deliver()
    text = service.letter(address, "Please confirm your email address")["text"]
    path, link = re.search(r"https://id\.example\.com(/confirm/\S+?)#(\S+)", text).groups()
    return browser, page.url.path, link, CODE.search(text)[1], path


async def test_a_dump_holds_neither_link_nor_code_nor_a_hash_of_them(service, caller, owner):
    """RST-04, RST-05, ATT-13, ASVS 6.5.2: every table is searched, for text, hex and digests, and for handles."""
    await an_account(caller, email=ANNA)
    reset = await a_reset(service)
    _, page, signin_code = await a_signin(service)
    _, _, link, code, _ = await a_confirmation(service)
    dump = await everything(service, owner)
    secret = reset.link.split(".")[2]
    assert reset.link.split(".")[1] in dump
    handles = [reset.watch.split("/")[2], page.split("/")[2]]
    for one in (secret, link.split(".")[2], reset.code, signin_code, code, *handles):
        for told in (one, one.replace("-", ""), one.lower()):
            assert told not in dump
            assert told.encode().hex() not in dump
    for one in (secret, reset.code, reset.code.replace("-", ""), reset.link, signin_code):
        for digest in ("sha256", "sha1", "md5", "sha512"):
            assert hashlib.new(digest, one.encode()).hexdigest() not in dump
    assert encoding.base64url_decode(secret).hex() not in dump


async def test_a_dump_without_the_key_opens_nothing(service, caller):
    """ATT-13: nonce and key's name are there; another key makes another secret."""
    await an_account(caller, email=ANNA)
    reset = await a_reset(service)
    ((handle, nonce, key_id),) = await service.rows("SELECT handle, nonce, key_id FROM one_time_token")
    for key in (secrets.token_bytes(32), nonce * 2, key_id.encode()):
        forged = f"v1.{handle}.{token_rules.derive_secret(key, 'reset', nonce)}"
        assert (await choose(reset.browser, forged)).status_code == 410
    assert (await choose(reset.browser, reset.link)).url.path == "/reset/done"


async def test_a_key_without_the_dump_opens_nothing(service, caller):
    """ATT-13: and with both it is the link, which shows that the test looks at the right thing."""
    await an_account(caller, email=ANNA)
    reset = await a_reset(service)
    ((handle, nonce, key_id),) = await service.rows("SELECT handle, nonce, key_id FROM one_time_token")
    key = service.database.keys.link_key(key_id)[1]
    for guess in (b"\0" * 16, secrets.token_bytes(16)):
        forged = f"v1.{handle}.{token_rules.derive_secret(key, 'reset', guess)}"
        assert (await choose(reset.browser, forged)).status_code == 410
    assert f"v1.{handle}.{token_rules.derive_secret(key, 'reset', nonce)}" == reset.link


async def test_a_secret_outlives_another_key_but_not_its_own(service, caller, owner):
    """RST-04, ASVS 11.2.2: the row names its key; one that is not in the ring makes nothing."""
    await an_account(caller, email=ANNA)
    reset = await a_reset(service)
    ring: keys_ring.KeyRing = service.database.keys
    assert (await service.rows("SELECT key_id FROM one_time_token")) == [(ring.link_key()[0],)]
    await sql(owner, "UPDATE one_time_token SET key_id = 'gone'")
    assert (await choose(reset.browser, reset.link)).status_code in (410, 500)
    assert await service.rows("SELECT count(*) FROM password") == [(0,)]


async def test_every_door_refuses_the_secrets_of_every_other(service, caller):
    """ATT-05: reset, sign-in and address; link for link, code for code, at each other's page and handle."""
    await an_account(caller, email=ANNA)
    reset = await a_reset(service)
    signin, signin_page, signin_code = await a_signin(service)
    fresh, welcome_page, link, code, confirm = await a_confirmation(service)
    handle = {
        "reset": reset.watch.split("/")[2],
        "signin": signin_page.split("/")[2],
        "address": welcome_page.split("/")[2],
    }
    refused = [
        await choose(reset.browser, link),
        await type_code(reset.browser, reset.watch, signin_code),
        await type_code(reset.browser, reset.watch, code),
    ]
    for other in (handle["signin"], handle["address"]):
        for typed in (signin_code, code, reset.code):
            await reset.browser.open("/reset")
            refused.append(
                await reset.browser.send(
                    f"/reset/{other}/code", code=typed, password="violet teapot argues with gravity"
                )
            )
    await forget_limits(service)
    for other in (handle["reset"], handle["address"]):
        for typed in (signin_code, code, reset.code):
            await signin.open("/signin")
            refused.append(await signin.send(f"/signin/{other}", code=typed))
    await forget_limits(service)
    for typed in (reset.code, code):
        await signin.open("/signin")
        refused.append(await signin.send(signin_page, code=typed))
    for secret in (
        {"link": reset.link, "code": ""},
        {"link": "", "code": reset.code},
        {"link": "", "code": signin_code},
    ):
        await fresh.open(confirm)
        refused.append(await fresh.send(confirm, **secret))
    assert {answer.status_code for answer in refused} <= {404, 410, 422}, [a.status_code for a in refused]
    assert await service.rows("SELECT count(*) FROM password") == [(0,)]
    assert await service.rows("SELECT count(*) FROM sign_in_session") == [(0,)]
    assert await service.rows("SELECT count(*) FROM one_time_token WHERE used_at IS NOT NULL") == [(0,)]
    assert (await choose(reset.browser, reset.link)).url.path == "/reset/done"
    assert (
        await fresh.send(confirm, link=link, code="") if await fresh.open(confirm) else None
    ).url.path == "/confirmed/address"


async def test_link_as_code_and_code_as_link_are_refused(service, caller):
    """ATT-05, RST-05."""
    await an_account(caller, email=ANNA)
    reset = await a_reset(service)
    _, handle, secret = reset.link.split(".")
    for text in (secret, reset.link, secret[:10], handle):
        assert (await type_code(reset.browser, reset.watch, text)).status_code in (410, 422)
    for text in (
        reset.code,
        f"v1.{handle}.{reset.code}",
        f"v1.{handle}.{reset.code.replace('-', '')}",
        f"v1.{handle}.",
    ):
        assert (await choose(reset.browser, text)).status_code == 410
    assert await service.rows("SELECT used_at FROM one_time_token") == [(None,)]


async def test_a_handle_of_another_purposes_letter_leads_nowhere(service, caller):
    """ATT-05, ATT-50: the page of a reset knows no handle of a sign-in, and the reverse; unknown ones read the same."""
    await an_account(caller, email=ANNA)
    reset = await a_reset(service)
    browser, signin_page, _ = await a_signin(service)
    mine, theirs = reset.watch.split("/")[2], signin_page.split("/")[2]
    pages = [
        await browser.open(path)
        for path in (
            f"/reset/{theirs}",
            f"/signin/{mine}",
            "/reset/nothing",
            f"/welcome/{mine}",
            f"/reset/{theirs}/code",
            "/reset/x.css",
            f"/messages/{'x' * 24}/stream",
        )
    ]
    assert {page.status_code for page in pages} == {404}
    assert await sign_in(browser) is not None


@pytest.mark.parametrize(
    "handle", ["%00", "a%00b", "x" * 5000, "%FF%FE", "..%2F..", "%F0%9F%90%99", "'--", "%0d%0aSet-Cookie:x"]
)
@pytest.mark.parametrize(
    "path", ["/reset/{}", "/reset/{}/code", "/signin/{}", "/confirm/{}", "/welcome/{}", "/messages/{}/stream"]
)
async def test_a_strange_handle_is_a_page_that_is_not_there(service, path, handle):
    """ATT-17, ASVS 1.3.3: no error of ours, and nothing comes back in a header."""
    answer = await a_browser(service).http.get(path.format(handle))
    assert answer.status_code in (200, 400, 404), answer.text
    assert "Set-Cookie:x" not in str(answer.headers)
