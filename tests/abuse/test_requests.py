"""Generated requests against a running service: whatever is sent, the answer is one that the document promises."""

import asyncio
import contextlib
import copy
import itertools
import json
import secrets
import time
from collections.abc import Iterator, MutableMapping

import hypothesis
import hypothesis.errors
import hypothesis.stateful
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase
from schemathesis import GenerationMode, checks

from identity_service import app
from tests.abuse import budget
from tests.accounts.given import an_account

DOCUMENT = json.loads(app.openapi_document())
GOOD, BAD = GenerationMode.POSITIVE, GenerationMode.NEGATIVE
CASES = [
    (method.upper(), path, mode)
    for path, ways in DOCUMENT["paths"].items()
    for method, told in ways.items()
    for mode in (GOOD, BAD)
    if mode is GOOD or "requestBody" in told or {p["name"] for p in told.get("parameters", [])} - {"user_id", "number"}
]
LEFT_OUT = {
    "object_level_authorization": "wants two owners of objects; here services act for all customers, and scopes decide"
    " (decision 12), which tests/test_matrix.py holds for every route",
}
"""Checks of the library that are not made, with the reason."""
checks.load_all_checks()
CHECKS = [check for check in checks.CHECKS.get_all() if check.__name__ not in LEFT_OUT]
MADE_BY_OTHERS = {"/webhooks/{provider}", "/oauth/introspect", "/oauth/par", "/oauth/revoke"}
EXAMPLES = budget.examples(30, 5)
CHAINED = 200
"""So many requests of chains are answered as promised, at least."""


@schemathesis.deserializer("application/json")
def read_answer(_context, response):
    """Read JSON, and a JWT as the text that it is (RFC 7519, 10.3.1): the library takes one for JSON, too."""
    if response.headers["content-type"] == ["application/jwt"]:
        return response.content.decode("ascii")
    return response.json()


async def a_merged_account(caller) -> str:
    """Merge two accounts that have no mailbox to ask; return the User ID that leads to the other now."""
    survivor, duplicate = [await an_account(caller, external_ref=ref) for ref in ("survivor", "duplicate")]
    merged = await caller.post(f"/v1/accounts/{survivor}/merge", {"duplicate": duplicate})
    assert merged.json()["pending"] is None, merged.text
    return duplicate


def promised(base: str, *also: str, document: dict = DOCUMENT):
    """Return the document as the library checks it; `also` are statuses that valid data may get beside the usual."""
    schema = schemathesis.openapi.from_dict(document)
    schema.config.update(base_url=base)
    rejection = schema.config.checks.negative_data_rejection
    rejection.expected_statuses = [*rejection.expected_statuses, "413"]  # what is too large is refused unread
    acceptance = schema.config.checks.positive_data_acceptance
    # What no schema can say: a check digit, a purpose that there is not, a letter that was used, a version gone by.
    acceptance.expected_statuses = [*acceptance.expected_statuses, "410", "412", "422", *also]
    return schema


def linked() -> dict:
    """Return the document with links (OpenAPI 3.1, 4.8.20): what an answer names leads to all paths about it."""
    document = copy.deepcopy(DOCUMENT)
    operations = [(path, told) for path, ways in document["paths"].items() for told in ways.values()]
    for path, told in operations:
        for status, answer in told["responses"].items():
            schema = answer.get("content", {}).get("application/json", {}).get("schema") if status < "300" else None
            named = {name: pointer for name, pointer in _named(schema or {}) if name not in path}
            if path.endswith("/caller-checks"):
                named = {"check_id": "/id"}
            answer["links"] = {
                f"{target['operationId']}_{name}": {
                    "operationId": target["operationId"], "parameters": {name: f"$response.body#{pointer}"},
                }
                for name, pointer in named.items() for to, target in operations if f"{{{name}}}" in to
            }  # fmt: skip
    return document


def _named(schema: dict, at: str = "") -> Iterator[tuple[str, str]]:
    """Return the names in an answer, also in the first of its items, and where each stands (RFC 6901)."""
    found = DOCUMENT["components"]["schemas"][schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema
    for name, inside in found.get("properties", {}).items():
        yield name, f"{at}/{name}"
        if name == "items":
            yield from _named(inside["items"], f"{at}/{name}/0")


def explore(base: str, path: str, method: str, mode: GenerationMode, headers: dict[str, str], known: dict) -> set[int]:
    """Send generated requests to one operation, half of them about what exists; check and return what was answered."""
    listed = {parameter["name"] for parameter in DOCUMENT["paths"][path][method.lower()].get("parameters", [])}
    # A cursor, a token, a provider's notice: only its maker knows which texts are one.
    made_by_others = path in MADE_BY_OTHERS or "after" in listed
    operation = promised(base, *["400"] * made_by_others)[path][method]
    seen: list[int] = []

    @hypothesis.given(case=operation.as_strategy(generation_mode=mode))
    @hypothesis.settings(
        max_examples=EXAMPLES,
        derandomize=not budget.SECONDS,
        database=None,
        deadline=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    def send(case) -> None:
        if mode is GOOD and len(seen) % 2:
            for place in (case.path_parameters, case.headers, case.body):
                if isinstance(place, MutableMapping):
                    place.update({name: value for name, value in known.items() if name in place})
        if mode is GOOD:
            # NUL is a text to every schema, and to no query of ours.
            for name, value in dict(case.query or {}).items():
                case.query[name] = value.replace("\0", "") if isinstance(value, str) else value
        # The feed would wait for events for longer than the client does.
        if isinstance((case.query or {}).get("wait"), int):
            case.query["wait"] = min(case.query["wait"], 1)
        seen.append(case.call_and_validate(headers=headers, checks=CHECKS, timeout=10).status_code)

    send()
    return set(seen)


@pytest.mark.parametrize(("method", "path", "mode"), CASES, ids=[f"{m} {p} {g.value}" for m, p, g in CASES])
async def test_every_answer_is_one_that_was_promised(served, process, method, path, mode):
    """API-01, API-10, ASVS 4.1.1, 4.1.4: no 5xx, and no status, media type or shape outside the document."""
    service, caller = served, await served.caller()
    user_id = await an_account(caller, email="anna@example.com", external_ref="17")
    ((message_id,),) = await service.rows("SELECT id FROM message")
    reset = (await caller.post("/v1/resets", {"user_id": user_id})).json()
    clerk = {"X-Clerk-ID": "kim"}
    contact = (await caller.post("/v1/contacts", {"desk": "consumer"}, headers=clerk)).json()["number"]
    check = await caller.post(f"/v1/accounts/{user_id}/caller-checks", {"contact": contact}, headers=clerk)
    history = {"entries": [{"reference": "1", "kind": "note", "occurred_at": "2026-01-02T03:04:05Z"}]}
    entry = (await caller.post(f"/v1/accounts/{user_id}/history", history)).json()["results"][0]["entry"]
    await service.seal()
    if path.endswith("/merge/undo"):
        user_id = await a_merged_account(caller)
    known = clerk | {
        "contact": contact, "number": contact, "check_id": check.json()["id"], "desk": "business",
        "user_id": user_id, "duplicate": await an_account(caller, email="ben@example.com"),
        "message_id": str(message_id), "email": "anna@example.com", "relay": "first",
        "reset_id": reset["reset_id"], "purpose": "email", "wording": "email-2026-11", "wording_id": "email-2026-11",
        "entry_id": entry["id"], "external_ref": "17", "country": "DE", "vat_number": "DE136695976",
        "registration_number": "HRB 12345",
    }  # fmt: skip
    if path.endswith("/stream"):
        # The stream of a message that exists lasts for minutes; it has its own tests.
        del known["message_id"]
    answered = await asyncio.to_thread(explore, process.base, path, method, mode, caller.headers, known)
    if mode is BAD:
        assert max(answered) >= 400
    elif path.startswith("/v1"):
        assert min(answered) < 300 or path.endswith(("/stream", "/lift"))


async def test_no_chain_of_requests_breaks_a_promise(served, process):
    """API-01: what one answer names is asked for by the next request, as the links between them say.

    Which request can come next depends on what we answered, and Hypothesis ends a search that does not repeat itself.
    Each search is therefore a short one, with a seed of its own, and what it found is kept here.
    """
    caller = await served.caller()
    kept: list[str] = []
    broken: list[str] = []

    class Chains(promised(process.base, "400", document=linked()).as_state_machine()):
        """Requests after one another, as this client."""

        def get_call_kwargs(self, _case):
            return {"headers": caller.headers, "timeout": 10}

        def validate_response(self, response, case, **_options) -> None:
            try:
                case.validate_response(response, checks=CHECKS, headers=caller.headers)
            except BaseException as failure:
                broken.append(f"{case.method} {case.formatted_path}: {failure}")
                raise
            kept.append(f"{case.method} {case.path}")

    profile = hypothesis.settings(
        max_examples=10, stateful_step_count=12, database=None, deadline=None, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip

    def search() -> None:
        until = time.monotonic() + budget.SECONDS
        for seed in itertools.count(0 if not budget.SECONDS else secrets.randbits(32)):
            if broken or (len(kept) >= CHAINED and time.monotonic() > until):
                return
            with contextlib.suppress(hypothesis.errors.FlakyStrategyDefinition):
                hypothesis.stateful.run_state_machine_as_test(hypothesis.seed(seed)(Chains), settings=profile)

    await asyncio.to_thread(search)
    assert not broken
    assert len(set(kept)) > 20
