"""The rule for merged, closed and erased accounts is one table of the documentation, and every endpoint keeps it."""

import re

import pytest

from identity_service import app as web
from identity_service.accounts import actions as accounts
from identity_service.values.user_ids import UserId
from tests.life.given import COMPANY, WORDING, an_entry, append, call, row_id
from tests.source import ROOT

ROW = re.compile(
    r"\| `(?P<verb>\w+ \S+)`(?P<how>[^|]*) \| (?P<merged>[^|]+) \| (?P<closed>[^|]+) \| (?P<erased>[^|]+) \|"
)
TABLE = [row.groupdict() for row in ROW.finditer((ROOT / "docs" / "account-states.md").read_text(encoding="utf-8"))]
STATES = ("merged", "closed", "erased")
BODIES = {
    "PATCH /v1/accounts/{user_id}": {"display_name": "Ann"},
    "POST /v1/accounts/{user_id}/email-changes": {"email": "new@example.com"},
    "PUT /v1/accounts/{user_id}/business": COMPANY,
    "POST /v1/accounts/{user_id}/business/preview": COMPANY,
    "POST /v1/accounts/{user_id}/history": {"entries": [an_entry("late", kind="refund")]},
}
ELSEWHERE = {
    "GET /v1/accounts/{user_id}/caller-checks/{check_id}": "what a check has come to is read in every state",
    "POST /v1/accounts/{user_id}/caller-checks/{check_id}/answer": "a check ends with its account's other tokens",
}
NEVER = "00000000-0000-4000-8000-000000000000"
"""An id that no entry has: of a closed account it is looked for, of the others the account is judged first."""
DESK = {"X-Clerk-ID": "clerk7"}


class Staged:
    """One customer in one state, and the account that answers for them, if that is another one."""

    def __init__(self, state: str, user_id: str, answers: str, other: str) -> None:
        self.state, self.user_id, self.answers, self.other = state, user_id, answers, other
        self.email, self.reference = f"{state}@example.com", state


async def register(caller, **given) -> str:
    return (await caller.post("/v1/accounts", given)).json()["user_id"]


async def stage(service, caller, state: str) -> Staged:
    """A merged account lies at the beginning of a chain: merged into one that was merged itself."""
    user_id = await register(caller, email=f"{state}@example.com", external_ref=state)
    middle, end, other = [await register(caller, email=f"{state}-{n}@example.com") for n in (1, 2, 3)]
    if state == "merged":
        for duplicate, into in ((user_id, middle), (middle, end)):
            await service.database.in_transaction(
                lambda s, duplicate=duplicate, into=into: accounts.mark_merged(
                    s, UserId(row_id(duplicate)), UserId(row_id(into)), actor="operator", now=service.clock()
                )
            )
        return Staged(state, user_id, end, other)
    verb = {"closed": "close", "erased": "erase"}[state]
    assert (await caller.post(f"/v1/accounts/{user_id}/{verb}")).status_code == 200
    return Staged(state, user_id, user_id, other)


async def body_of(caller, verb: str, how: str, one: Staged):  # noqa: PLR0911
    match verb:
        case "POST /v1/accounts/verifications":
            return {"user_ids": [one.user_id]}
        case "POST /v1/accounts/search":
            return {"email": one.email}
        case "POST /v1/accounts":
            return {"email": one.email} if "address" in how else {"external_ref": one.reference}
        case "POST /v1/accounts/{user_id}/external-refs/remove" | "PUT /v1/accounts/{user_id}/external-refs":
            return {"external_ref": one.reference}
        case "POST /v1/accounts/{user_id}/merge" | "POST /v1/accounts/{user_id}/merge/preview":
            return {"duplicate": one.other}
        case "PUT /v1/accounts/{user_id}/consents/{purpose}":
            return {"granted": False} if "withdrawn" in how else {"granted": True, "wording": WORDING}
        case "POST /v1/resets":
            return {"user_id": one.user_id}
        case "POST /v1/contacts":
            return {"user_id": one.user_id, "desk": "consumer"}
        case "POST /v1/accounts/{user_id}/caller-checks":
            contact = await call(caller, "POST", "/v1/contacts", {"desk": "consumer"}, **DESK)
            return {"contact": contact.json()["number"], "purpose": "identify"}
    return BODIES.get(verb)


def test_every_verb_of_an_account_has_a_row():
    routes = {
        f"{method} {route.path}"
        for router in web.ROUTERS
        for route in router.routes
        for method in route.methods - {"HEAD"}
        if "/v1/accounts/{user_id}" in route.path
    }
    told = {row["verb"].partition("?")[0] for row in TABLE}
    assert routes - ELSEWHERE.keys() <= told
    assert not ELSEWHERE.keys() & told


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row["verb"] + row["how"])
async def test_every_verb_answers_as_the_table_says(service, caller, row):
    method, path = row["verb"].split(" ")
    for state in STATES:
        one = await stage(service, caller, state)
        status, code = re.match(r"(\d+)(?: `(\w+)`)?", row[state]).groups()
        body = await body_of(caller, row["verb"], row["how"], one)
        where = path.replace("{user_id}", one.user_id).replace("{purpose}", "email").replace("{entry_id}", NEVER)
        answer = await call(caller, method, where, body, **DESK)
        assert (answer.status_code, state) == (int(status), state), answer.text
        if code is not None:
            assert answer.json()["code"] == code
        if code == "account_moved":
            assert answer.json()["moved_to"] == one.answers
        if "answers now" in row[state]:
            found = answer.json().get("items", [answer.json()])
            assert [item["user_id"] for item in found] == [one.answers]
            assert found[0].get("state", "active") == "active"


@pytest.mark.parametrize("state", STATES)
async def test_a_merge_is_refused_for_either_side(service, caller, state):
    one = await stage(service, caller, state)
    first = await caller.post(f"/v1/accounts/{one.user_id}/merge", {"duplicate": one.other})
    second = await caller.post(f"/v1/accounts/{one.other}/merge", {"duplicate": one.user_id})
    assert first.status_code == second.status_code
    assert first.json()["code"] == second.json()["code"]


async def test_the_end_of_the_chain_is_named_everywhere(service, caller):
    """Kind 36: not the next account, which was merged itself."""
    one = await stage(service, caller, "merged")
    read = (await caller.get(f"/v1/accounts/{one.user_id}")).json()
    asked = {"user_ids": [one.user_id, one.other, one.user_id.lower()]}
    results = (await caller.post("/v1/accounts/verifications", asked)).json()["results"]
    assert (read["state"], read["moved_to"]) == ("merged", one.answers)
    assert [result.get("moved_to") for result in results] == [one.answers, None, one.answers]


async def test_nothing_is_written_into_a_merged_row(service, caller):
    one = await stage(service, caller, "merged")
    before = await service.rows("SELECT * FROM account WHERE user_id = :id", id=row_id(one.user_id))
    await caller.patch(f"/v1/accounts/{one.user_id}", {"display_name": "Ann"})
    await append(caller, one.user_id, an_entry("a1"))
    assert await service.rows("SELECT * FROM account WHERE user_id = :id", id=row_id(one.user_id)) == before
    assert await service.rows("SELECT count(*) FROM history_entry") == [(0,)]


async def test_the_reference_of_a_merged_account_stays_where_it_is(service, caller):
    """Registering with address and reference of one customer, of which one was merged, is no conflict."""
    one = await stage(service, caller, "merged")
    again = await caller.post("/v1/accounts", {"email": "merged-2@example.com", "external_ref": "merged"})
    assert (again.status_code, again.json()["user_id"]) == (200, one.answers)
    assert again.json()["external_refs"] == ["merged"]
    rows = await service.rows("SELECT user_id FROM external_reference WHERE reference = 'merged'")
    assert rows == [(row_id(one.user_id),)]


async def test_a_withdrawal_by_the_old_id_counts_for_the_account_that_answers(service, caller):
    one = await stage(service, caller, "merged")
    await call(caller, "PUT", f"/v1/accounts/{one.user_id}/consents/email", {"granted": False})
    items = (await caller.get(f"/v1/accounts/{one.answers}/consents")).json()["items"]
    assert {item["purpose"]: item["decision"] for item in items}["email"] == "withdrawn"
