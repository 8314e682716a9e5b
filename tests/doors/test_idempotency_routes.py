"""Every POST that changes something honours `Idempotency-Key`: the table of routes is walked, and each is tried."""

import contextlib
import json

import httpx2
import pytest

from identity_service import app
from identity_service.web import idempotency
from tests.accounts.given import an_account
from tests.contacts.given import a_tool
from tests.contracts import with_answers
from tests.life.given import an_entry, confirm, merge

ASKING = {
    "/v1/accounts/verifications": "reads",
    "/v1/accounts/search": "reads",
    "/v1/accounts/{user_id}/business/preview": "reads",
    "/v1/accounts/{user_id}/merge/preview": "reads",
    "/v1/messages/search": "reads",
    "/v1/marketing/permissions": "reads; the answer holds the addresses of many customers and is kept nowhere else",
    "/v1/password-checks": "holds a password",
}
"""Every POST of the API that needs no key, with the reason."""
BY_OTHER_MEANS = ("/oauth/", "/webhooks/")
"""Repeated tokens are new tokens; a provider's notice has an id of its own."""


def honours_key(operation: dict) -> bool:
    return any(p["name"] == "Idempotency-Key" and p["in"] == "header" for p in operation.get("parameters", []))


def test_every_post_that_changes_something_honours_the_key():
    """API-02: a new POST that forgets it fails here."""
    paths = with_answers(json.loads(app.openapi_document()))["paths"]
    operations = {path: methods["post"] for path, methods in paths.items() if "post" in methods}
    without = {path for path, operation in operations.items() if not honours_key(operation)}
    assert {path for path in without if not path.startswith(BY_OTHER_MEANS)} == set(ASKING)
    codes = {problem.code() for problem in idempotency.IDEMPOTENCY_ERRORS}
    for path in operations.keys() - without:
        told = " ".join(answer.get("description", "") for answer in operations[path]["responses"].values())
        assert all(f"`{code}`" in told for code in codes), path


class _Killed(BaseException):
    """The end of the process; no handler catches it."""


async def send_and_lose_the_answer(service, caller, path: str, body, headers: dict) -> None:
    """Send a POST to the application, which is killed as soon as it wants to answer: after its commit."""

    async def killed(scope, receive, _):
        async def send(message):
            raise _Killed

        await service.app(scope, receive, send)

    transport = httpx2.ASGITransport(app=killed)
    lost = httpx2.AsyncClient(transport=transport, base_url=str(caller.http.base_url))
    with contextlib.suppress(_Killed):
        await lost.post(path, json=body, headers={**caller.headers, **headers})


async def two_accounts(service, caller) -> tuple[str, str]:
    made = [await an_account(caller, email=f"{name}@example.com") for name in ("anna", "berta")]
    await service.deliver()
    return made[0], made[1]


async def an_erasure(service, caller):
    user_id = await an_account(caller, email="anna@example.com")
    return caller, f"/v1/accounts/{user_id}/erase", None, {}


async def a_closing(service, caller):
    user_id = await an_account(caller, email="anna@example.com")
    return caller, f"/v1/accounts/{user_id}/close", None, {}


async def a_merge(service, caller):
    survivor, duplicate = await two_accounts(service, caller)
    return caller, f"/v1/accounts/{survivor}/merge", {"duplicate": duplicate}, {}


async def an_undoing(service, caller):
    survivor, duplicate = await two_accounts(service, caller)
    await merge(service, caller, survivor, duplicate, "anna@example.com", "berta@example.com")
    return caller, f"/v1/accounts/{duplicate}/merge/undo", None, {}


async def some_history(service, caller):
    user_id = await an_account(caller)
    return caller, f"/v1/accounts/{user_id}/history", {"entries": [an_entry("1"), an_entry("2")]}, {}


async def a_hand_over(service, caller):
    tool = await a_tool(service)
    number = await tool.contact()
    return tool.caller, f"/v1/contacts/{number}/hand-over", {"desk": "business", "note": "over to you"}, tool.headers


async def a_closed_contact(service, caller):
    tool = await a_tool(service)
    return tool.caller, f"/v1/contacts/{await tool.contact()}/close", {"note": "all is well"}, tool.headers


async def an_account_access(service, caller):
    tool, user_id = await a_tool(service), await an_account(caller, email="anna@example.org")
    body = {"user_id": user_id, "reason": "order arrived broken"}
    return tool.caller, f"/v1/contacts/{await tool.contact(user_id)}/account-access", body, tool.headers


async def a_caller_check(service, caller):
    tool, user_id = await a_tool(service), await an_account(caller, email="anna@example.org")
    body = {"contact": await tool.contact(user_id)}
    return tool.caller, f"/v1/accounts/{user_id}/caller-checks", body, tool.headers


async def a_wrong_code(service, caller):
    tool, user_id = await a_tool(service), await an_account(caller, email="anna@example.org")
    check = await tool.check(user_id, await tool.contact(user_id))
    path = f"/v1/accounts/{user_id}/caller-checks/{check['id']}/answer"
    return tool.caller, path, {"code": "000 000 000"}, tool.headers


ROUTES = [
    an_erasure, a_closing, a_merge, an_undoing, some_history, a_hand_over, a_closed_contact, an_account_access,
    a_caller_check, a_wrong_code,
]  # fmt: skip
EFFECTS = (
    "message",
    "event",
    "history_entry",
    "contact_entry",
    "caller_check",
    "account_access",
    "merge_request",
    "account",
)


async def effects(service) -> list:
    return [await service.rows(f"SELECT count(*) FROM {table}") for table in EFFECTS]


@pytest.mark.parametrize("prepare", ROUTES)
async def test_an_answer_that_was_lost_is_given_again_and_nothing_happens_again(service, caller, prepare):
    """API-02, API-03: the process ends between the commit and the answer; key and effect are both there."""
    who, path, body, headers = await prepare(service, caller)
    headers = {**headers, "Idempotency-Key": "k1"}
    await send_and_lose_the_answer(service, who, path, body, headers)
    done = await effects(service)
    answers = [await who.post(path, body, headers=headers) for _ in range(2)]
    for answer in answers:
        assert answer.status_code < 300, answer.text
        assert answer.headers["Idempotency-Replayed"] == "true"
    assert answers[0].content == answers[1].content
    assert await effects(service) == done


async def test_the_receipt_of_an_erasure_can_be_fetched_again(service, caller):
    """A lost answer is no lost receipt; without the key the customer is unknown."""
    _, path, _, _ = await an_erasure(service, caller)
    first = await caller.post(path, headers={"Idempotency-Key": "k1"})
    again = await caller.post(path, headers={"Idempotency-Key": "k1"})
    assert first.json()["receipt"] == again.json()["receipt"]
    assert (await caller.post(path)).status_code in (404, 410)


async def test_another_clerk_makes_another_request(service, caller):
    who, path, body, headers = await a_hand_over(service, caller)
    assert (await who.post(path, body, headers={**headers, "Idempotency-Key": "k1"})).status_code == 200
    refused = await who.post(path, body, headers={"X-Clerk-ID": "bob", "Idempotency-Key": "k1"})
    assert (refused.status_code, refused.json()["code"]) == (422, "idempotency_key_reused")


async def test_one_merge_is_asked_for_once_at_each_mailbox(service, caller):
    who, path, body, headers = await a_merge(service, caller)
    for _ in range(3):
        assert (await who.post(path, body, headers={**headers, "Idempotency-Key": "k1"})).status_code == 202
    await confirm(service, "berta@example.com", "Do you want to merge your two accounts?")
    subjects = [letter["subject"] for letter in service.mailbox.letters("berta@example.com")]
    assert sum("merge your two accounts" in subject for subject in subjects) == 1
