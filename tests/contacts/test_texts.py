"""What a clerk writes down can be kept and read; a number that nobody has is unknown, whatever stands in it."""

import pytest

from tests.accounts.given import an_account
from tests.contacts.given import Tool, a_tool

HIDDEN = ["a\0b", "\x1b[31m", "a\u202eb", "a\u2028b", "a\u0085b", "a\x0bb"]
PLAIN = ["one line", "two\nlines", "two\r\nlines", "a\ttab", "=?utf-8?q?x?=", "ä 漢 🙂"]


@pytest.fixture
async def tool(service) -> Tool:
    return await a_tool(service)


@pytest.mark.parametrize("text", HIDDEN)
async def test_what_hides_in_a_text_is_refused_by_its_place(service, caller, tool, text):
    """ATT-38, ATT-40: at every door that takes one."""
    anna = await an_account(caller, email="anna@example.com")
    number = await tool.contact(anna)
    for path, body, place in (
        ("", {"desk": "consumer", "note": text}, "/note"),
        (f"/{number}/notes", {"note": text}, "/note"),
        (f"/{number}/account-access", {"user_id": anna, "reason": text}, "/reason"),
        (f"/{number}/hand-over", {"desk": "technical", "note": text}, "/note"),
        (f"/{number}/close", {"note": text}, "/note"),
    ):
        refused = await tool.post(f"/v1/contacts{path}", body)
        assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, place), path


@pytest.mark.parametrize("text", PLAIN)
async def test_what_can_be_read_is_kept_as_it_was_written(service, tool, text):
    number = await tool.contact()
    assert (await tool.post(f"/v1/contacts/{number}/notes", {"note": text})).status_code < 300
    assert await service.rows("SELECT note FROM contact_entry WHERE note IS NOT NULL") == [(text,)]


async def test_a_number_with_nul_is_unknown(tool, caller):
    """PostgreSQL keeps none, and would refuse to be asked for it."""
    anna = await an_account(caller, email="anna@example.com")
    answers = [
        await tool.get("/v1/contacts/3%00R"),
        await tool.post("/v1/contacts/3%00R/notes", {"note": "x"}),
        await tool.post(f"/v1/accounts/{anna}/caller-checks", {"contact": "3\0R"}),
    ]
    assert [answer.status_code for answer in answers] == [404, 404, 404]
