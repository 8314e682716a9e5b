"""RCP-03: each bad receipt has a sentence of its own, on the page and on the command line; both keep nothing."""

import json

import pytest
from joserfc.jwk import ECKey

from identity_service import database_schema
from identity_service.consents import receipts
from identity_service.keys import encoding, signing
from tests.accounts.given import an_account
from tests.browser import Browser
from tests.conftest import BASE
from tests.consents.given import a_customer, propose, withdraw
from tests.consents.test_receipts import receipt_of

OURS = "We issued this receipt, and nothing in it has been changed."
SENTENCES = {
    "another key": receipts.ReceiptOfUnknownKey,
    "another issuer": receipts.ReceiptOfAnotherIssuer,
    "an altered byte": receipts.ReceiptAltered,
    "an altered signature": receipts.ReceiptAltered,
    "another algorithm": receipts.ReceiptAltered,
    "a cut end": receipts.ReceiptIncomplete,
    "a cut signature": receipts.ReceiptIncomplete,
    "nothing": receipts.ReceiptIncomplete,
    "a letter": receipts.ReceiptIncomplete,
    "an access token": receipts.NotReceipt,
    "a permission statement": receipts.NotReceipt,
    "a checkpoint's type": receipts.NotReceipt,
    "a key id that is a list": receipts.ReceiptOfUnknownKey,
    "a clock in the future": receipts.ReceiptFromTheFuture,
}
"""What is wrong with it, and what is said."""


class Good:
    """A good receipt, taken apart."""

    def __init__(self, service, receipt: str) -> None:
        self.receipt = receipt
        self.head, self.body, self.signature = receipt.split(".")
        self.header, self.claims = signing.unverified(receipt, maximum=receipts.LARGEST)
        self.key = service.database.keys.signing(service.clock())

    def signed(self, typ: str = receipts.TYPE, key=None, **claims) -> str:
        return signing.sign({**self.claims, **claims}, key or self.key, typ=typ)

    def under(self, **header) -> str:
        """The same body and signature below another header."""
        return f"{encoded({**self.header, **header})}.{self.body}.{self.signature}"


def encoded(value: dict) -> str:
    return encoding.base64url_encode(json.dumps(value).encode())


MADE = {
    "another key": lambda good: good.signed(key=ECKey.generate_key("P-256", {"kid": "stranger"})),
    "another issuer": lambda good: good.signed(iss="https://id.example.org"),
    "an altered byte": lambda good: f"{good.head}.{encoded({**good.claims, 'language': 'eo'})}.{good.signature}",
    "an altered signature": lambda good: f"{good.head}.{good.body}.{'A' * 86}",
    "another algorithm": lambda good: good.under(alg="EdDSA"),
    "a cut end": lambda good: good.receipt[: len(good.receipt) // 2],
    "a cut signature": lambda good: good.receipt[:-4],
    "a checkpoint's type": lambda good: good.signed("audit-checkpoint+jwt"),
    "a key id that is a list": lambda good: good.under(kid=[]),
    "a clock in the future": lambda good: good.signed(iat=good.claims["iat"] + 7200),
}


async def made(case: str, service, caller) -> str:
    """Return a receipt in which this is wrong."""
    user_id = await an_account(caller)
    if case == "nothing":
        return "."
    if case == "a letter":
        return "Dear customer, this is your receipt."
    if case == "an access token":
        return caller.token
    if case == "a permission statement":
        question = {"purpose": "email", "user_ids": [user_id]}
        return (await caller.post("/v1/marketing/permissions", question)).json()["statement"]
    return MADE[case](Good(service, await receipt_of(caller, user_id)))


async def on_page(service, receipt: str) -> Browser:
    browser = Browser(service.app, BASE)
    await browser.open("/receipt")
    await browser.send("/receipt", receipt=receipt)
    return browser


@pytest.mark.parametrize("case", SENTENCES)
async def test_the_page_says_what_is_wrong(service, caller, case):
    before = await service.rows("SELECT count(*) FROM event")
    bad = await made(case, service, caller)
    added = await service.rows("SELECT count(*) FROM event")
    browser = await on_page(service, bad)
    assert browser.page.status_code == 422
    assert SENTENCES[case].title() in browser.text
    assert OURS not in browser.text
    assert await service.rows("SELECT count(*) FROM event") == added != before


@pytest.mark.parametrize("case", SENTENCES)
async def test_a_program_is_told_the_same_by_code(service, caller, case):
    """RCP-03: who asks for JSON gets the problem that the sentence belongs to."""
    bad = await made(case, service, caller)
    browser = Browser(service.app, BASE)
    await browser.open("/receipt")
    browser.http.headers["Accept"] = "application/json"
    answer = await browser.send("/receipt", receipt=bad)
    assert (answer.status_code, answer.json()["code"]) == (422, SENTENCES[case].code())
    assert answer.json()["detail"] == SENTENCES[case].title()


def test_every_refusal_has_a_sentence_of_its_own():
    told = {problem.title() for problem in SENTENCES.values()}
    assert len(told) == len(set(SENTENCES.values())) == 6


async def test_the_page_explains_a_good_receipt_and_needs_no_account(service, caller):
    """RCP-03: pasted as mail programs wrap it."""
    customer = await a_customer(caller, service)
    await customer.grants("post")
    await withdraw(caller, customer.user_id, "phone")
    receipt = await receipt_of(caller, customer.user_id)
    wrapped = "\r\n ".join(receipt[start : start + 70] for start in range(0, len(receipt), 70))
    dressed = f"\u200b\u201e<{wrapped[:50]}\u00ad{wrapped[50:]}>\u201c."
    assert OURS in (await on_page(service, dressed)).text
    text = (await on_page(service, wrapped)).text
    assert OURS in text
    assert customer.user_id in text
    for sentence in (
        "yes, as the customer told us",
        "no, as the customer told us",
        "no, the customer has never answered",
    ):
        assert sentence in text
    assert "We'll never send you marketing" not in text


async def test_the_page_says_that_a_receipt_is_superseded(service, caller):
    """RCP-05: by a word of the customer, not by what somebody claims he would say."""
    customer = await a_customer(caller, service)
    old = await receipt_of(caller, customer.user_id)
    await propose(caller, customer.user_id)
    assert "answered again" not in (await on_page(service, old)).text
    await withdraw(caller, customer.user_id)
    text = (await on_page(service, old)).text
    assert OURS in text
    assert "The customer has answered again since then. A newer receipt replaces this one." in text


async def rows_of_all(service) -> dict[str, list]:
    """Everything that stands anywhere in the database."""
    tables = [table.name for table in database_schema.METADATA.sorted_tables]
    return {name: await service.rows(f"SELECT t::text FROM {name} t ORDER BY 1") for name in tables}


async def test_the_page_keeps_nothing(service, caller):
    """RCP-03, NOM-06."""
    receipt = await receipt_of(caller, await an_account(caller))
    before = await rows_of_all(service)
    page = await on_page(service, receipt)
    assert page.page.headers["cache-control"] == "no-store"
    assert await rows_of_all(service) == before


@pytest.mark.parametrize(
    "case", ["another key", "another issuer", "an altered byte", "a cut end", "a clock in the future"]
)
async def test_the_command_line_says_what_is_wrong(service, caller, command, tmp_path, case):
    """RCP-03: exit status 1, the sentence on standard error, no traceback."""
    file = tmp_path / "receipt.jwt"
    file.write_text(await made(case, service, caller))
    ended = await command("receipt", "check", str(file))
    assert (ended.status, ended.out) == (1, "")
    assert ended.err.strip() == SENTENCES[case].title()


async def test_the_command_line_checks_offline_with_the_published_keys(service, caller, command, tmp_path):
    """RCP-03: no database, no master key, no service; after a rotation too."""
    file, keys = tmp_path / "receipt.jwt", tmp_path / "jwks.json"
    user_id = await an_account(caller)
    file.write_text(await receipt_of(caller, user_id))
    keys.write_text((await service.http.get("/oauth/jwks.json")).text)
    away = {"DATABASE_URL": "postgresql://nobody@127.0.0.1:1/nothing", "IDENTITY_MASTER_KEY": ""}
    words = ("receipt", "check", str(file), "--jwks", str(keys), "--issuer", BASE)
    ended = await command(*words, **away)
    assert ended.status == 0, ended.err
    assert f"{OURS} User ID {user_id}" in ended.out
    assert "marketing by email: never (never asked)" in ended.out
    as_json = await command(*words, "--json", **away)
    assert as_json.json["sub"] == user_id


async def test_the_command_line_says_that_a_receipt_is_superseded(service, caller, command, tmp_path):
    """RCP-05."""
    user_id = await an_account(caller)
    file = tmp_path / "receipt.jwt"
    file.write_text(await receipt_of(caller, user_id))
    assert (await command("receipt", "check", str(file), "--json")).json["superseded"] is False
    await withdraw(caller, user_id)
    ended = await command("receipt", "check", str(file))
    assert (ended.status, "answered again since" in ended.out) == (0, True)
    assert (await command("receipt", "check", str(file), "--json")).json["superseded"] is True


BAD_KEYS = {"no.json": None, "empty.json": "", "list.json": "[]", "other.json": '{"keys": [{"kty": "oct"}]}'}


@pytest.mark.parametrize("name", BAD_KEYS)
async def test_keys_that_cannot_be_read_are_told_as_such(service, caller, command, tmp_path, name):
    file, keys = tmp_path / "receipt.jwt", tmp_path / name
    file.write_text("x")
    if BAD_KEYS[name] is not None:
        keys.write_text(BAD_KEYS[name])
    ended = await command("receipt", "check", str(file), "--jwks", str(keys))
    assert ended.status == 1
    assert str(keys) in ended.err
    assert "Traceback" not in ended.err


async def test_a_receipt_that_is_no_file_is_wrong_usage(command, tmp_path):
    ended = await command("receipt", "check", str(tmp_path / "nowhere.jwt"))
    assert ended.status == 2
    assert "does not exist" in " ".join(ended.err.replace("│", " ").split())
    (tmp_path / "picture.jwt").write_bytes(b"\xff\xd8\xff\xe0")
    binary = await command("receipt", "check", str(tmp_path / "picture.jwt"))
    assert binary.err.strip() == receipts.ReceiptIncomplete.title()
