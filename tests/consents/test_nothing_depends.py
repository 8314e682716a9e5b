"""Nothing depends on consent: who said nothing, no or yes walks the same roads and gets the same answers."""

import re

import pytest

from tests.consents.given import Customer, a_customer, allowed
from tests.life.given import COMPANY, an_entry, append, call, set_password, sign_in

GOOD = "violet teapot argues with gravity"
SAID = {"nothing": (), "no": ("withdraws",), "yes": ("grants",), "yes, then no": ("grants", "withdraws")}
CLERK = {"X-Clerk-ID": "clerk-7"}
MAY_DIFFER = {"marketing", "version", "number"}
"""The answer about marketing itself, how often the account was written, and what is counted."""


def alike(value, customer: Customer):
    """An answer without what differs by chance alone: whose it is, and when."""
    if isinstance(value, dict):
        return {name: alike(inner, customer) for name, inner in value.items() if name not in MAY_DIFFER}
    if isinstance(value, list):
        return [alike(inner, customer) for inner in value]
    if isinstance(value, str):
        value = value.replace(customer.user_id, "ID").replace(customer.email, "EMAIL")
        value = re.sub(r"\d{4}-\d\d-\d\dT[\d:.]+Z", "TIME", value)
        return re.sub(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "UUID", value)
    return value


async def walk(service, caller, customer: Customer) -> list:
    """Everything a customer and the services around him do; what each of them is answered."""
    of = f"/v1/accounts/{customer.user_id}"
    await set_password(service, customer.email, GOOD)
    page = (await sign_in(service, customer.email, GOOD)).page
    answers = [
        await caller.get(of),
        await caller.post("/v1/accounts/verifications", {"user_ids": [customer.user_id]}),
        await caller.post("/v1/accounts/search", {"email": customer.email}),
        await caller.post("/v1/accounts", {"email": customer.email}),
        await caller.post("/v1/password-checks", {"email": customer.email, "password": GOOD}),
        await append(caller, customer.user_id, an_entry(customer.user_id, amount="12.50", currency="EUR")),
        await caller.get(f"{of}/summary"),
        await caller.get(f"{of}/history"),
        await caller.get(f"{of}/desk-suggestion"),
        await caller.put(f"{of}/business", {**COMPANY, "vat_number": None}),
        await call(caller, "DELETE", f"{of}/business"),
        await caller.patch(of, {"display_name": "Anna"}),
        await caller.post("/v1/contacts", {"desk": "consumer", "user_id": customer.user_id}, headers=CLERK),
        await caller.post(f"{of}/email-changes", {"email": f"new.{customer.email}"}),
        await caller.post(f"{of}/close"),
    ]
    return [page.url.path, *((answer.status_code, alike(answer.json(), customer)) for answer in answers)]


@pytest.mark.parametrize("said", [name for name in SAID if name != "nothing"])
async def test_every_road_is_the_same_whatever_was_said(service, caller, said):
    """PRV-05: GDPR 7(4)."""
    seen = []
    for email, verbs in (("a@example.com", SAID["nothing"]), ("b@example.com", SAID[said])):
        customer = await a_customer(caller, service, email, source=f"10.1.0.{len(seen) + 1}")
        await customer.sign_in()
        for verb in verbs:
            await getattr(customer, verb)()
        expected = [customer.user_id] if said == "yes" and verbs else []
        assert await allowed(caller, customer.user_id) == expected
        seen.append(await walk(service, caller, customer))
    assert seen[0] == seen[1]
    assert {answer[0] for answer in seen[0][1:]} <= {200, 201, 202}
