"""Whatever a desk tool changes, the clerk did: the event's actor names them, and a change without a name is refused."""

import pytest

from tests.life.given import COMPANY, WORDING, call, two_accounts

CHANGES = {
    "register": ("POST", "/v1/accounts", {"email": "new@example.com"}),
    "change": ("PATCH", "/v1/accounts/{anna}", {"display_name": "Ann"}),
    "address": ("POST", "/v1/accounts/{anna}/email-changes", {"email": "new@example.com"}),
    "business": ("PUT", "/v1/accounts/{anna}/business", COMPANY),
    "consumer": ("DELETE", "/v1/accounts/{anna}/business", None),
    "close": ("POST", "/v1/accounts/{anna}/close", None),
    "erase": ("POST", "/v1/accounts/{anna}/erase", None),
    "merge": ("POST", "/v1/accounts/{anna}/merge", {"duplicate": "{firm}"}),
    "propose": ("PUT", "/v1/accounts/{anna}/consents/email", {"granted": True, "wording": WORDING}),
    "withdraw": ("PUT", "/v1/accounts/{anna}/consents/email", {"granted": False}),
    "reset": ("POST", "/v1/resets", {"user_id": "{anna}"}),
    "send again": ("POST", "/v1/messages/{message}/retry", {"relay": "first"}),
    "history": (
        "POST", "/v1/accounts/{anna}/history",
        {"entries": [{"reference": "n1", "kind": "note", "occurred_at": "2026-01-02T03:04:05Z"}]},
    ),
}  # fmt: skip


def filled(value, names):
    if isinstance(value, str):
        for name, text in names.items():
            value = value.replace(f"{{{name}}}", text)
    return {key: filled(one, names) for key, one in value.items()} if isinstance(value, dict) else value


@pytest.fixture
async def named(service, caller):
    """What the paths and bodies of the changes name."""
    anna, firm = await two_accounts(caller)
    message = await service.rows("SELECT id::text FROM message LIMIT 1")
    return {"anna": anna, "firm": firm, "message": message[0][0]}


@pytest.mark.parametrize("change", CHANGES)
async def test_the_actor_of_a_desks_change_is_the_clerk(service, named, change):
    """B14."""
    desk = await service.caller(name="desk tool", desk=True)
    method, path, body = CHANGES[change]
    before = (await service.rows("SELECT max(id) FROM event"))[0][0]
    answer = await call(desk, method, filled(path, named), filled(body, named), **{"X-Clerk-ID": "clerk-7"})
    assert answer.status_code in (200, 201, 202), answer.text
    actors = await service.rows("SELECT DISTINCT actor FROM event WHERE id > :before", before=before)
    assert actors == [(f"client:{desk.client_id}/clerk-7",)]


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("clerk", [None, "", "two words", "Ä"])
async def test_a_desks_change_without_a_name_is_refused_and_changes_nothing(service, named, change, clerk):
    desk = await service.caller(name="desk tool", desk=True)
    method, path, body = CHANGES[change]
    before = await service.rows("SELECT count(*) FROM event")
    headers = {} if clerk is None else {"X-Clerk-ID": clerk.encode("latin-1")}
    answer = await call(desk, method, filled(path, named), filled(body, named), **headers)
    assert (answer.status_code, answer.json()["code"]) == (422, "missing_clerk")
    assert await service.rows("SELECT count(*) FROM event") == before


async def test_a_service_names_nobody_and_acts_itself(service, caller, named):
    await call(caller, "PATCH", f"/v1/accounts/{named['anna']}", {"display_name": "Ann"}, **{"X-Clerk-ID": "clerk-7"})
    ((actor,),) = await service.rows("SELECT actor FROM event WHERE name = 'account.updated'")
    assert actor == f"client:{caller.client_id}"
