"""A wrong reference is removed or moved by its own source; the version moves, and events tell of both customers."""

import pytest

from tests.life.given import call

ADDED, REMOVED = "account.external_ref_added", "account.external_ref_removed"


@pytest.fixture
async def anna(caller):
    """A guest typed Anna's address at the checkout: the shop's reference of the guest names Anna."""
    made = await caller.post("/v1/accounts", {"email": "anna@example.com", "external_ref": "guest-1"})
    return made.json()["user_id"]


@pytest.fixture
async def ben(caller):
    return (await caller.post("/v1/accounts", {"email": "ben@example.com"})).json()["user_id"]


async def put(caller, user_id, reference, **given):
    return await call(caller, "PUT", f"/v1/accounts/{user_id}/external-refs", {"external_ref": reference, **given})


async def remove(caller, user_id, reference):
    return await caller.post(f"/v1/accounts/{user_id}/external-refs/remove", {"external_ref": reference})


async def names(caller, reference):
    found = (await caller.post("/v1/accounts/search", {"external_ref": reference})).json()["items"]
    return [one["user_id"] for one in found]


async def told(service):
    rows = await service.rows("SELECT name, user_id, data FROM event WHERE name LIKE '%external_ref%' ORDER BY id")
    return [tuple(row) for row in rows]


async def test_a_reference_is_added_once_and_the_version_moves(service, caller, ben):
    first, again = [await put(caller, ben, "cust-1") for _ in range(2)]
    assert (first.status_code, first.json()["external_refs"], first.headers["ETag"]) == (200, ["cust-1"], '"2"')
    assert (again.status_code, again.headers["ETag"]) == (200, '"2"')
    assert await told(service) == [(ADDED, ben.replace("-", ""), {"source": caller.source, "moved_from": None})]


async def test_registering_with_a_further_reference_moves_the_version(service, caller, anna):
    """B13: a reader that compares entity tags has to see it."""
    for _ in range(2):
        again = await caller.post("/v1/accounts", {"email": "anna@example.com", "external_ref": "guest-2"})
        assert (again.status_code, again.headers["ETag"]) == (200, '"2"')
    assert await told(service) == [(ADDED, anna.replace("-", ""), {"source": caller.source, "moved_from": None})]


async def test_a_removed_reference_names_nobody_and_may_name_another(service, caller, anna, ben):
    removed = await remove(caller, anna, "guest-1")
    assert (removed.status_code, removed.json()["external_refs"], removed.json()["version"]) == (200, [], 2)
    assert await names(caller, "guest-1") == []
    assert (await put(caller, ben, "guest-1")).status_code == 200
    assert await names(caller, "guest-1") == [ben]
    assert [name for name, _, _ in await told(service)] == [REMOVED, ADDED]


async def test_a_reference_moves_from_the_account_that_is_named(service, caller, anna, ben):
    refused = await put(caller, ben, "guest-1")
    assert (refused.status_code, refused.json()["code"]) == (409, "external_ref_taken")
    for _ in range(2):
        moved = await put(caller, ben, "guest-1", moved_from=anna)
        assert (moved.status_code, moved.json()["external_refs"], moved.json()["version"]) == (200, ["guest-1"], 2)
    assert (await caller.get(f"/v1/accounts/{anna}")).json()["version"] == 2
    assert await told(service) == [
        (REMOVED, anna.replace("-", ""), {"source": caller.source, "moved_to": ben}),
        (ADDED, ben.replace("-", ""), {"source": caller.source, "moved_from": anna}),
    ]


async def test_a_move_from_somebody_else_is_refused(service, caller, anna, ben):
    carl = (await caller.post("/v1/accounts", {})).json()["user_id"]
    refused = await put(caller, ben, "guest-1", moved_from=carl)
    assert (refused.status_code, refused.json()["code"]) == (409, "external_ref_taken")
    assert await names(caller, "guest-1") == [anna]
    assert (await put(caller, ben, "guest-1", moved_from="nonsense")).json()["code"] == "malformed_user_id"


async def test_only_its_own_source_touches_a_reference(service, caller, anna, ben):
    other = await service.caller()
    assert (await remove(other, anna, "guest-1")).json()["code"] == "unknown_external_ref"
    assert (await put(other, ben, "guest-1", moved_from=anna)).json()["external_refs"] == ["guest-1"]
    assert await names(caller, "guest-1") == [anna]
    worker = await service.caller(source=caller.source)
    assert (await remove(worker, anna, "guest-1")).status_code == 200


@pytest.mark.parametrize("reference", ["guest-2", "GUEST-1", "guest"])
async def test_what_does_not_name_the_customer_cannot_be_removed(caller, anna, ben, reference):
    refused = await remove(caller, anna, reference)
    assert (refused.status_code, refused.json()["code"]) == (404, "unknown_external_ref")
    assert (await remove(caller, ben, "guest-1")).status_code == 404


async def test_a_reference_is_in_no_event(service, caller, anna, ben):
    """It is personal: erasing has to find it in one table."""
    await put(caller, ben, "guest-1", moved_from=anna)
    assert await service.rows("SELECT count(*) FROM event WHERE data::text LIKE '%guest-1%'") == [(0,)]
