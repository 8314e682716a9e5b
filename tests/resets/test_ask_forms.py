"""What is typed where an address belongs: look-alikes, lists, line breaks, megabytes, and headers that lie."""

import pytest

from tests.accounts.given import an_account
from tests.browser import PAGE
from tests.conftest import BASE
from tests.resets.given import ANNA, a_browser, ask, everything

LOOK_ALIKES = [
    "mıke@example.org",
    "mike@examp\u217ce.org",
    "ｍike@example.org",
    "miſs@example.org",
    "mi\u212ae@example.org",
    "miﬁ@example.org",
    "m\u0456ke@example.org",
    "mike@ex\u0430mple.org",
    "mike\u200b@example.org",
]


@pytest.mark.parametrize("typed", LOOK_ALIKES)
async def test_a_look_alike_of_an_address_never_reaches_it(service, caller, typed):
    """ATT-02, ATT-43: refused, or another mailbox; no letter goes to the one on file, and none to two."""
    for address in ("mike@example.org", "miss@example.org", "mifi@example.org"):
        await an_account(caller, email=address)
    await service.deliver()
    before = len(service.mailbox.letters())
    browser = a_browser(service)
    await browser.open("/reset")
    page = await browser.send("/reset", email=typed)
    await service.deliver()
    new = service.mailbox.letters()[: len(service.mailbox.letters()) - before]
    assert page.status_code in (200, 422)
    kinds = await service.rows("SELECT kind, recipient_ascii FROM message WHERE kind IN ('reset', 'no_account')")
    if page.status_code == 422:
        assert kinds == []
    elif "\u217c" in typed or typed.startswith("ｍ"):
        # Full-width and compatibility forms are the same mailbox after the one parser's mapping, or another's.
        assert all(to in ("mike@example.org",) or kind == "no_account" for kind, to in kinds)
    else:
        assert [kind for kind, _ in kinds] == ["no_account"]
    assert len(new) <= 1


async def test_case_is_folded_and_the_letter_goes_to_the_address_on_file(service, caller):
    """ATT-02: mail to the stored spelling, never to the typed one."""
    await an_account(caller, email="Mike@example.org")
    await ask(a_browser(service), "MIKE@EXAMPLE.ORG")
    assert await service.rows("SELECT kind, recipient FROM message WHERE kind <> 'welcome'") == [
        ("reset", "Mike@example.org")
    ]


BODIES = {
    "two fields": "email=anna%40example.org&email=eve%40example.org",
    "an array": "email%5B%5D=anna%40example.org&email%5B%5D=eve%40example.org",
    "a comma": "email=anna%40example.org%2Ceve%40example.org",
    "a semicolon": "email=anna%40example.org%3Beve%40example.org",
    "a blank": "email=anna%40example.org+eve%40example.org",
    "a line": "email=anna%40example.org%0D%0ABcc%3A+eve%40example.org",
    "a NUL": "email=anna%40example.org%00",
    "no UTF-8": "email=anna%FF%40example.org",
    "an encoded word": "email=%3D%3Futf-8%3Fq%3Fa%3D40evil.com%3F%3D%40example.org",
    "nothing": "",
    "another field": "email=anna%40example.org&user_id=1",
}


@pytest.mark.parametrize("body", BODIES)
async def test_a_form_that_means_two_things_is_refused_and_nothing_is_mailed(service, caller, body):
    """ATT-01, ATT-06, ATT-37: and what was typed does not come back in a header."""
    await an_account(caller, email=ANNA)
    browser = a_browser(service)
    await browser.open("/reset")
    token = browser.page.text.split('name="form_token" value="')[1].split('"')[0]
    content = f"{BODIES[body]}&form_token={token}".lstrip("&")
    answer = await browser.http.post(
        "/reset", content=content, headers={"Content-Type": "application/x-www-form-urlencoded"}
    )
    assert answer.status_code in (400, 422)
    assert not any("eve" in value for value in answer.headers.values())
    assert await service.rows("SELECT count(*) FROM message WHERE kind <> 'welcome'") == [(0,)]


JSON = [
    '{"email": ["anna@example.org", "eve@example.org"]}',
    '{"email": {"a": 1}}',
    '{"email": "anna@example.org,eve@example.org"}',
    '{"email": "anna@example.org", "email": "eve@example.org"}',
    '{"email": "anna@example.org\\r\\nBcc: eve@example.org"}',
    '{"email": "anna@example.org", "user_id": "K7M4-9XQ2-D5RW"}',
    "{}",
    '{"email": "anna@example.org", "verified": true}',
    '{"email": true}',
    '{"email": null}',
]


@pytest.mark.parametrize("body", JSON)
async def test_a_service_asks_for_one_address_or_none(service, caller, body):
    """ATT-01, ATT-30: arrays, objects, two keys, two addresses, line breaks."""
    await an_account(caller, email=ANNA)
    refused = await caller.http.post(
        "/v1/resets", content=body.encode(), headers={**caller.headers, "Content-Type": "application/json"}
    )
    assert refused.status_code in (400, 422)
    assert await service.rows("SELECT count(*) FROM message WHERE kind <> 'welcome'") == [(0,)]


@pytest.mark.parametrize("size", [20_000, 10_000_000])
async def test_a_body_that_is_too_large_is_refused_before_it_is_read(service, caller, size):
    """ASVS 1.3.3, PWD-11: 10 MB at the ask."""
    browser = a_browser(service)
    await browser.open("/reset")
    answer = await browser.send("/reset", email="a" * size + "@example.org")
    assert answer.status_code == 413


FORGED = {
    "X-Forwarded-Host": "evil.example",
    "Forwarded": "host=evil.example",
    "X-Original-Host": "evil.example",
    "X-Forwarded-Proto": "http",
    "X-Forwarded-Prefix": "/evil.example",
    "Origin": BASE,
    "Referer": "https://evil.example/",
}


async def test_no_header_changes_a_link(service, caller):
    """ATT-32, ATT-39: the link is built from the configured URL alone, and an unknown host is not answered."""
    await an_account(caller, email=ANNA)
    browser = a_browser(service)
    browser.http.headers.update(FORGED)
    await browser.open("/reset")
    await browser.send("/reset", email=ANNA)
    await service.deliver()
    letter = service.letter(ANNA, "Reset your password")
    assert "https://id.example.com/reset/choose/" in letter["text"]
    assert "evil" not in str(letter)
    refused = await browser.http.get("/reset", headers={"Host": "evil.example"})
    assert refused.status_code == 421
    absolute = await browser.http.request("GET", "https://evil.example/reset", headers=PAGE)
    assert absolute.status_code == 421


async def test_no_answer_to_a_service_holds_link_or_code(service, caller, owner):
    """ATT-09, ATT-10: neither with `debug` nor `fields`, nor in the message that the letter went out as."""
    user_id = await an_account(caller, email=ANNA)
    asked = (await caller.post("/v1/resets", {"user_id": user_id}, headers={"Prefer": "return=representation"})).json()
    await service.deliver()
    letter = service.letter(ANNA, "Reset your password")
    secrets = (letter["text"].split("#v1.")[1].split()[0].split(".")[1], letter["text"].split("    ")[1].split()[0])
    read = await caller.get(f"/v1/resets/{asked['reset_id']}")
    message_id = read.json()["message"]["id"]
    answers = [
        str(asked),
        read.text,
        (await caller.get(f"/v1/messages/{message_id}")).text,
        await everything(service, owner),
    ]
    for secret in (*secrets, secrets[1].replace("-", "")):
        assert not [answer for answer in answers if secret in answer]
    for path in (f"/v1/resets/{asked['reset_id']}?debug=1", f"/v1/resets/{asked['reset_id']}?fields=code"):
        assert (await caller.get(path)).status_code == 422
    assert (await caller.post("/v1/resets", {"user_id": user_id, "returnCode": True})).status_code == 422
