"""Verifying many User IDs at once, as a support tool does while somebody is on the phone."""

import pytest

from identity_service.values import user_ids
from identity_service.verification import actions as verification
from tests.accounts.given import an_account, close, erase, merge


async def verify(caller, *ids: str) -> list[dict]:
    answer = await caller.post("/v1/accounts/verifications", {"user_ids": list(ids)})
    assert answer.status_code == 200, answer.text
    return answer.json()["results"]


async def test_results_come_in_the_order_of_the_questions(service, caller, owner):
    valid, closed, moved, erased = [await an_account(caller, email=f"a{n}@example.com") for n in range(4)]
    await close(owner, closed)
    await merge(owner, moved, into=valid)
    await erase(owner, erased)
    unknown = user_ids.show(user_ids.issue())
    asked = [erased, "nonsense", moved, unknown, closed, valid, valid]
    results = await verify(caller, *asked)
    assert [result["input"] for result in results] == asked
    assert [result["status"] for result in results] == [
        "erased", "malformed", "moved", "unknown", "closed", "valid", "valid"
    ]  # fmt: skip


async def test_a_merged_account_names_its_successor_and_nothing_else(caller, owner):
    old, new = await an_account(caller), await an_account(caller)
    await merge(owner, old, into=new)
    assert await verify(caller, old) == [{"input": old, "user_id": old, "status": "moved", "moved_to": new}]


async def test_a_closed_account_says_so(caller, owner):
    user_id = await an_account(caller)
    await close(owner, user_id)
    assert await verify(caller, user_id) == [
        {"input": user_id, "user_id": user_id, "status": "closed", "kind": "consumer", "marketing": "never"}
    ]


async def test_of_an_erased_account_nothing_is_told_but_that(caller, owner):
    """ATT-25."""
    erased, never = await an_account(caller, email="anna@example.com"), user_ids.show(user_ids.issue())
    await erase(owner, erased)
    assert await verify(caller, erased, never) == [
        {"input": erased, "user_id": erased, "status": "erased"},
        {"input": never, "user_id": never, "status": "unknown"},
    ]


async def test_any_readable_form_is_understood(caller):
    user_id = await an_account(caller)
    plain = user_id.replace("-", "")
    forms = [plain, plain.lower(), " ".join(plain), plain[:4] + "." + plain[4:8] + "\u2013" + plain[8:]]
    assert [result["user_id"] for result in await verify(caller, *forms)] == [user_id] * 4


async def test_a_misheard_id_comes_with_what_may_have_been_meant(caller):
    user_id = await an_account(caller)
    at = user_id[5]
    wrong = user_id[:5] + ("7" if at != "7" else "9") + user_id[6:]
    (result,) = await verify(caller, wrong)
    assert (result["status"], result["problem"]) == ("malformed", "check_failed")
    assert {"user_id": user_id, "reason": f"character 5 is {at}, not {wrong[5]}", "position": 5} in result[
        "suggestions"
    ]
    assert result["detail"].endswith(".")


async def test_a_suggestion_says_nothing_of_existence(caller):
    """ATT-25, IDN-06: the same arithmetic, whether the account is there or not."""
    real, never = await an_account(caller), user_ids.show(user_ids.issue())
    for user_id in (real, never):
        (result,) = await verify(caller, user_id[:-1] + "?")
        assert [suggestion["user_id"] for suggestion in result["suggestions"]] == [user_id]


@pytest.mark.parametrize(
    ("text", "problem"),
    [("", "too_short"), ("123", "too_short"), ("0" * 13, "too_long"), ("A00000000000", "impossible_symbol")],
)
async def test_what_is_wrong_with_an_id_is_said(caller, text, problem):
    (result,) = await verify(caller, text)
    assert (result["status"], result["problem"]) == ("malformed", problem)


async def test_a_long_input_is_not_echoed_whole(caller):
    (result,) = await verify(caller, "7" * 5000)
    assert result["input"] == "7" * 64


async def test_a_malformed_id_costs_no_query(service, caller):
    """ATT-25, IDN-09: with the read pool closed, what is malformed is still answered; what is well-formed is not."""
    await (await service.database.reads()).close()
    (result,) = await verification.verify_user_ids(service.database, ["3W08-K7QX-M1C"])
    assert result["status"] == "malformed"
    with pytest.raises(Exception, match="closed"):
        await verification.verify_user_ids(service.database, [user_ids.issue()])


async def test_a_desk_that_only_verifies_sees_no_address_and_no_name(service, caller):
    """ASVS 8.2.3: the members are exactly these."""
    user_id = await an_account(caller, email="anna@example.com", display_name="Anna Berg")
    desk = await service.caller("accounts:verify", name="desk")
    (result,) = await verify(desk, user_id)
    assert set(result) == {"input", "user_id", "status", "kind", "marketing"}
    assert (await desk.get(f"/v1/accounts/{user_id}")).status_code == 403


async def test_a_thousand_ids_are_answered_at_once(caller):
    user_id = await an_account(caller)
    asked = [user_ids.show(user_ids.issue()) for _ in range(999)] + [user_id]
    results = await verify(caller, *asked)
    assert [result["user_id"] for result in results] == asked
    assert [result["status"] for result in results[-2:]] == ["unknown", "valid"]


@pytest.mark.parametrize("ids", [[], ["1"] * 1001, [1], None, "3W08-K7QX-M1C4"])
async def test_a_batch_is_one_to_a_thousand_texts(caller, ids):
    refused = await caller.post("/v1/accounts/verifications", {"user_ids": ids})
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid_shape")


async def test_verifying_needs_its_scope(service):
    shop = await service.caller("accounts:read", "accounts:write", name="reader")
    refused = await shop.post("/v1/accounts/verifications", {"user_ids": ["1"]})
    assert (refused.status_code, refused.json()["code"]) == (403, "missing_scope")
