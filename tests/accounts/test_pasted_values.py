"""Pasted values at the inputs: the API and the pages take the same off, and say what they cannot read."""

import pytest

from tests.accounts.given import an_account
from tests.browser import Browser
from tests.conftest import BASE
from tests.console.given import a_clerk
from tests.resets.given import a_password, a_reset, choose

ANNA = "anna@example.org"
PASTED = [
    "\u202aanna@example.org\u202c",
    "mailto:anna@example.org",
    "Anna <anna@example.org>.",
    "anna\uff20example.org ",
    "anna@example.org <anna@example.org>",
    "anna@example.org<mailto:anna@example.org>",
    "Anna (anna@example.org)",
    "mailto:anna%40example.org",
]


@pytest.mark.parametrize("written", PASTED, ids=ascii)
async def test_the_api_reads_a_pasted_address(service, caller, written):
    user_id = await an_account(caller, email=written)
    assert await service.rows("SELECT email FROM account") == [(ANNA,)]
    found = await caller.post("/v1/accounts/search", {"email": written})
    assert [item["user_id"] for item in found.json()["items"]] == [user_id]


@pytest.mark.parametrize("path", ["/", "/reset", "/signin/code"])
@pytest.mark.parametrize("written", PASTED, ids=ascii)
async def test_a_page_reads_a_pasted_address(service, path, written):
    """A01c: at /reset, and at the other forms with an address."""
    browser = Browser(service.app, BASE)
    await browser.open("/signin" if path == "/signin/code" else path)
    assert (await browser.send(path, email=written)).status_code == 200, browser.text
    kept = await service.rows("SELECT recipient FROM message")
    assert kept == [(ANNA,)]


@pytest.mark.parametrize("path", ["/", "/reset", "/signin"])
async def test_the_browser_itself_refuses_no_pasted_address(service, path):
    """`type=email` would refuse it before the form is sent; the keyboard for addresses needs `inputmode` alone."""
    page = await Browser(service.app, BASE).open(path)
    assert 'inputmode="email"' in page.text
    assert 'type="email"' not in page.text


async def test_an_address_with_a_hidden_sign_is_refused_by_its_name(service, caller):
    hidden = "an\u200bna@example.org"
    assert "U+200B ZERO WIDTH SPACE" in (await caller.post("/v1/accounts", {"email": hidden})).json()["detail"]
    browser = Browser(service.app, BASE, language="de")
    await browser.open("/reset")
    page = await browser.send("/reset", email=hidden)
    assert (page.status_code, "enthält ein unsichtbares Zeichen: U+200B ZERO WIDTH SPACE" in page.text) == (422, True)


async def test_pasted_user_ids_are_verified(caller):
    user_id = await an_account(caller)
    wide = "".join(chr(ord(sign) + 0xFEE0) for sign in user_id)
    written = [
        f"\u200b{user_id}", f"User ID: {user_id}", wide, f"({user_id}).", user_id.replace("-", "\u2060\u2011"),
        f"#{user_id}", f"Nr. {user_id}", f"> {user_id}", f"{user_id}?",
    ]  # fmt: skip
    answer = await caller.post("/v1/accounts/verifications", {"user_ids": written})
    assert [result["status"] for result in answer.json()["results"]] == ["valid"] * len(written), answer.text


async def test_what_is_not_a_user_id_is_answered_with_the_sign(caller):
    user_id = await an_account(caller)
    answer = await caller.post("/v1/accounts/verifications", {"user_ids": ["\u2603" + user_id]})
    (result,) = answer.json()["results"]
    assert "It is U+2603 SNOWMAN" in result["detail"]


@pytest.mark.parametrize("written", [" Anna\u00a0", "\ufeffAnna", "\u2068Anna\u2069", "Anna\u200b\u00ad"], ids=ascii)
async def test_blanks_and_invisible_signs_at_the_ends_of_a_name_do_not_count(caller, written):
    made = await caller.post("/v1/accounts", {"display_name": written, "external_ref": written})
    assert (made.json()["display_name"], made.json()["external_refs"]) == ("Anna", ["Anna"])


async def test_a_hidden_sign_within_a_name_is_refused_by_its_name(caller):
    """R31: two names that read the same, and tags, which hide whole sentences."""
    for sign, name in {"\u200b": "U+200B ZERO WIDTH SPACE", "\U000e0041": "U+E0041 TAG LATIN CAPITAL LETTER A"}.items():
        refused = await caller.post("/v1/accounts", {"display_name": f"An{sign}na"})
        assert refused.status_code == 422
        assert name in refused.json()["errors"][0]["detail"]


@pytest.mark.parametrize(
    ("kept", "asked"), [("Caf\u00e9 7", "Cafe\u0301 7"), ("Mu\u0308ller", "M\u00fcller"), ("\uac00", "\u1100\u1161")]
)
async def test_a_reference_is_found_in_either_form(caller, kept, asked):
    """J09: NFC and NFD are one text."""
    user_id = await an_account(caller, external_ref=kept)
    found = await caller.post("/v1/accounts/search", {"external_ref": asked})
    assert [item["user_id"] for item in found.json()["items"]] == [user_id]
    again = await caller.post("/v1/accounts", {"external_ref": asked})
    assert again.status_code in (200, 409), again.text


async def test_the_desk_finds_a_company_and_a_reference_in_either_form(service, caller):
    user_id = await an_account(caller, external_ref="Re\u0301f-1")
    company = {"company_name": "Cafe\u0301 Mu\u0308ller", "country": "DE"}
    assert (await caller.put(f"/v1/accounts/{user_id}/business", company)).status_code == 200
    ada = await a_clerk(service)
    for typed in ("Caf\u00e9 M\u00fc", "cafe\u0301 mu\u0308", "\u200bCaf\u00e9", "R\u00e9f-1", "Re\u0301f-1\u00a0"):
        await ada.do("/console/find", typed=typed)
        assert user_id in ada.page.text, typed


async def test_the_desk_writes_each_currency_with_its_own_decimals(service, caller):
    """J05."""
    user_id = await an_account(caller)
    amounts = {"KWD": "1.234", "JPY": "1500", "RSD": "1499.99"}
    entries = [
        {"reference": code, "kind": "order", "occurred_at": "2026-01-01T00:00:00Z", "amount": amount, "currency": code}
        for code, amount in amounts.items()
    ]
    assert (await caller.post(f"/v1/accounts/{user_id}/history", {"entries": entries})).status_code == 201
    ada = await a_clerk(service)
    await ada.open_account(user_id)
    for written in ("KWD 1.234", "JPY 1,500", "RSD 1,499.99"):
        assert f"· {written} " in ada.page.text.replace("<", " <")


@pytest.mark.parametrize("behind", [".", ">", ")", '"', "=\r\n", "%3E"])
async def test_a_link_works_with_a_sign_behind_it(service, caller, behind):
    """B05."""
    await a_password(service, caller)
    reset = await a_reset(service)
    assert (await choose(reset.browser, reset.link + behind)).url.path == "/reset/done"


async def test_a_tracking_page_opens_with_a_full_stop_behind_its_link(service, caller):
    await a_password(service, caller)
    reset = await a_reset(service)
    assert (await reset.browser.open(reset.watch + ".")).status_code == 200


@pytest.mark.parametrize("form", ["\u200b{0}", "Code: {0}", "{0}.", "full-width", "\u2068{0}\u2069", "#{0}", "{0}?"])
async def test_the_code_of_an_email_is_read_as_it_is_pasted(service, caller, form):
    await a_password(service, caller)
    reset = await a_reset(service)
    wide = "".join(chr(ord(sign) + 0xFEE0) for sign in reset.code)
    await reset.browser.open(f"{reset.watch}/code")
    typed = wide if form == "full-width" else form.format(reset.code)
    done = await reset.browser.send(f"{reset.watch}/code", code=typed, password="nine otters paint the harbour")
    assert done.url.path == "/reset/done", reset.browser.text
