"""What counts as a moment, and what a service may tell of a customer: a refusal is a sentence, never a 5xx."""

import pytest

from tests.accounts.given import an_account

AT = "2026-03-01T12:00:00Z"
MOMENTS = [
    "2026-03-01T12:00:00Z", "2026-03-01t12:00:00.250z", "2026-03-01 12:00:00+05:30", "1000-01-01T00:00:00Z",
    "2024-02-29T23:59:59Z", "2000-02-29T00:00:00+14:00", "1969-12-31T23:59:59Z", "1970-01-01T00:00:00-12:00",
    "2026-03-29T02:30:00+01:00", "2026-10-25T02:30:00+02:00",
    "2026-03-01T12:00:00-00:00",
]  # fmt: skip
NO_MOMENTS = [
    "yesterday", "", "5", "1772366400", "2026-03-01", "2026-03-01T12:00:00", "2026-03-01T12:00Z",
    "2026-13-01T12:00:00Z",
    "2026-03-01T12:00:00+0100", "0001-01-01T00:00:00Z", "0001-01-01T00:00:00+23:00", "9999-12-31T23:59:59-23:00",
    "２026-03-01T12:00:00Z", "2025-02-29T12:00:00Z", "1900-02-29T12:00:00Z", "2026-04-31T12:00:00Z",
    "9999-12-31T23:59:59Z", "2026-03-01T24:00:00Z", "2026-03-01T12:60:00Z", "2016-12-31T23:59:60Z",
    "2026-03-01T12:00:00+24:00",
]  # fmt: skip


async def refused(caller, user_id: str, **entry) -> bool:
    """Whether this entry is refused, alone and by its shape."""
    answer = await append(caller, user_id, **entry)
    (result,) = answer.json()["results"]
    return (answer.status_code, result["status"], result["code"]) == (200, "refused", "invalid_shape")


async def append(caller, user_id: str, **entry):
    whole = {"reference": "1", "kind": "order", "occurred_at": AT, **entry}
    return await caller.post(f"/v1/accounts/{user_id}/history", {"entries": [whole]})


@pytest.mark.parametrize("moment", MOMENTS)
async def test_a_moment_has_a_time_and_a_zone(caller, moment):
    """API-01: as RFC 3339 writes it, whatever the zone."""
    user_id = await an_account(caller)
    assert (await append(caller, user_id, occurred_at=moment)).status_code == 201
    assert (await caller.get("/v1/messages", params={"since": moment})).status_code == 200


@pytest.mark.parametrize("moment", [*NO_MOMENTS, 5, 5.5, None])
async def test_what_is_no_moment_is_refused(caller, moment):
    """API-01, API-10: a number is none, and neither is what has no place in UTC."""
    user_id = await an_account(caller)
    assert await refused(caller, user_id, occurred_at=moment)
    if isinstance(moment, str):
        answer = await caller.get("/v1/messages", params={"since": moment})
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_shape")


UNKEEPABLE = [
    {"details": {"note": "a\0b"}},
    {"details": {"a\0b": "note"}},
    {"details": {"": "note"}},
    {"details": {"k" * 41: "note"}},
    {"link": "https://shop.example/\0"},
    {"link": "https://shop.example/ a"},
    {"link": "http://shop.example/1"},
    {"link": "javascript:alert(1)"},
    {"reference": "a\0b"},
]


@pytest.mark.parametrize("entry", UNKEEPABLE)
async def test_what_cannot_be_kept_is_refused_by_name(caller, entry):
    """API-10: PostgreSQL keeps no NUL, in JSON neither; the answer is a sentence, not a 500."""
    assert await refused(caller, await an_account(caller), **entry)
