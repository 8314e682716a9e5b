"""Looking up by address or by one's own reference: exact, in a body, and masked as scopes say."""

import pytest

from tests.accounts.given import an_account, close, erase


async def test_an_address_is_found_in_any_spelling(caller):
    user_id = await an_account(caller, email="anna@bücher.example")
    found = await caller.post("/v1/accounts/search", {"email": "ANNA@xn--bcher-kva.example"})
    assert found.status_code == 200
    assert [item["user_id"] for item in found.json()["items"]] == [user_id]
    assert found.json()["next"] is None


@pytest.mark.parametrize("near", ["ann@example.com", "anna+x@example.com", "anna@example.org", "%@example.com"])
async def test_nothing_but_the_whole_address_finds_an_account(caller, near):
    await an_account(caller, email="anna@example.com")
    found = await caller.post("/v1/accounts/search", {"email": near})
    assert found.status_code in (200, 422)
    assert found.json().get("items", []) == []


async def test_a_reference_finds_only_for_the_client_that_gave_it(service, caller):
    user_id = await an_account(caller, external_ref="17")
    mine = await caller.post("/v1/accounts/search", {"external_ref": "17"})
    assert [item["user_id"] for item in mine.json()["items"]] == [user_id]
    billing = await service.caller(name="billing")
    assert (await billing.post("/v1/accounts/search", {"external_ref": "17"})).json()["items"] == []


async def test_an_erased_account_is_found_by_nothing(caller, owner):
    user_id = await an_account(caller, email="anna@example.com", external_ref="17")
    await erase(owner, user_id)
    for wanted in ({"email": "anna@example.com"}, {"external_ref": "17"}):
        assert (await caller.post("/v1/accounts/search", wanted)).json()["items"] == []


async def test_a_closed_account_is_found_and_says_so(caller, owner):
    user_id = await an_account(caller, email="anna@example.com")
    await close(owner, user_id)
    (found,) = (await caller.post("/v1/accounts/search", {"email": "anna@example.com"})).json()["items"]
    assert (found["user_id"], found["state"]) == (user_id, "closed")


async def test_what_is_found_is_masked_without_the_scope(service, caller):
    """ASVS 8.2.3."""
    await an_account(caller, email="anna@example.com")
    desk = await service.caller("accounts:read", name="desk")
    (found,) = (await desk.post("/v1/accounts/search", {"email": "anna@example.com"})).json()["items"]
    assert found["email"] == "a…@example.com"


@pytest.mark.parametrize(
    "body",
    [{}, {"email": None}, {"email": "a@example.com", "external_ref": "17"}, {"email": 1}, {"name": "Anna"}, []],
)
async def test_a_search_takes_exactly_one_of_the_two(caller, body):
    refused = await caller.post("/v1/accounts/search", body)
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid_shape")


async def test_a_search_needs_the_scope_to_read(service):
    desk = await service.caller("accounts:verify", name="desk")
    refused = await desk.post("/v1/accounts/search", {"email": "anna@example.com"})
    assert (refused.status_code, refused.json()["code"]) == (403, "missing_scope")


async def test_an_address_in_the_query_is_refused(caller):
    refused = await caller.post("/v1/accounts/search?email=anna@example.com", {"email": "anna@example.com"})
    assert (refused.status_code, refused.json()["code"]) == (422, "unknown_parameter")
    assert "anna" not in refused.text
