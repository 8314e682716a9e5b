"""API-04: `If-Match` is heeded by every route that changes an account, and a stale one changes nothing."""

import pytest

from tests.contracts import with_answers
from tests.life.given import COMPANY, call, every_row, two_accounts

YES = {"granted": True, "wording": "email-2026-11", "channel": "app"}
CHANGES = {
    "PATCH ": {"display_name": "Ann"},
    "PUT /business": COMPANY,
    "DELETE /business": None,
    "PUT /consents/email": {"granted": False, "channel": "app"},
    "PUT /external-refs": {"external_ref": "A-99"},
    "POST /external-refs/remove": {"external_ref": "17"},
    "POST /email-changes": {"email": "new@example.com"},
    "POST /merge": {},
    "POST /close": None,
    "POST /erase": None,
}


@pytest.mark.parametrize("change", CHANGES)
async def test_a_change_of_an_old_version_is_refused(service, caller, change):
    anna, firm = await two_accounts(caller)
    method, path = change.split(" ")
    body = {"duplicate": firm} if path == "/merge" else CHANGES[change]
    before = await every_row(service)
    for stale in ('"99"', 'W/"1"', '"98", "99"', "nonsense"):
        refused = await call(caller, method, f"/v1/accounts/{anna}{path}", body, **{"If-Match": stale})
        assert (refused.status_code, refused.json()["code"]) == (412, "stale_version"), refused.text
    assert await every_row(service) == before
    version = (await caller.get(f"/v1/accounts/{anna}")).headers["ETag"]
    done = await call(caller, method, f"/v1/accounts/{anna}{path}", body, **{"If-Match": f'"98", {version}'})
    assert done.status_code in (200, 202), done.text


async def test_the_contract_names_it_where_it_is_heeded(caller):
    """A route that is added later and changes an account must heed it, too."""
    document = with_answers((await caller.get("/openapi.json")).json())
    for path, operations in document["paths"].items():
        for method, told in operations.items():
            headers = {parameter["name"] for parameter in told.get("parameters", [])}
            heeds = "stale_version" in told["responses"].get("412", {}).get("x-problem-codes", ())
            assert ("If-Match" in headers) == heeds, (method, path)
