"""Generated requests against the real server: whatever is sent, the answer is one that the document promises."""

import asyncio
import json
from collections.abc import MutableMapping

import hypothesis
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase
from schemathesis import GenerationMode
from schemathesis.checks import CheckFunction
from schemathesis.specs.openapi import checks

from identity_service import processes
from identity_service.server import Server
from tests.accounts.given import an_account

DOCUMENT = json.loads(processes.openapi_document())
GOOD, BAD = GenerationMode.POSITIVE, GenerationMode.NEGATIVE
CASES = [
    (method.upper(), path, mode)
    for path, ways in DOCUMENT["paths"].items()
    for method, told in ways.items()
    for mode in (GOOD, BAD)
    if mode is GOOD or "requestBody" in told or {p["name"] for p in told.get("parameters", [])} - {"user_id", "number"}
]
CHECKS: list[CheckFunction] = [
    schemathesis.checks.not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
    checks.negative_data_rejection,
    checks.unsupported_method,
]
EXAMPLES = 100


@schemathesis.deserializer("application/json")
def read_answer(_context, response):
    """Read JSON, and a JWT as the text that it is (RFC 7519, 10.3.1): the library takes one for JSON, too."""
    if response.headers["content-type"] == ["application/jwt"]:
        return response.content.decode("ascii")
    return response.json()


@pytest.fixture
async def base(service):
    """The application behind a real port, so that generated requests come in as bytes."""
    server = Server(service.app, host="127.0.0.1", port=0, lifespan="off")
    running = asyncio.create_task(server.serve())
    yield f"http://localhost:{await server.started_up()}"
    server.should_exit = True
    await running


async def a_merged_account(caller) -> str:
    """Merge two accounts that have no mailbox to ask; return the User ID that leads to the other now."""
    survivor, duplicate = await an_account(caller), await an_account(caller)
    merged = await caller.post(f"/v1/accounts/{survivor}/merge", {"duplicate": duplicate})
    assert merged.json()["pending"] is None, merged.text
    return duplicate


def explore(base: str, path: str, method: str, mode: GenerationMode, headers: dict[str, str], known: dict) -> set[int]:
    """Send generated requests to one operation, half of them about what exists; check and return what was answered."""
    schema = schemathesis.openapi.from_dict(DOCUMENT)
    schema.config.update(base_url=base)
    rejection = schema.config.checks.negative_data_rejection
    rejection.expected_statuses = [*rejection.expected_statuses, "413"]  # what is too large is refused unread
    operation = schema[path][method]
    seen: list[int] = []

    @hypothesis.given(case=operation.as_strategy(generation_mode=mode))
    @hypothesis.settings(
        max_examples=EXAMPLES,
        derandomize=True,
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
        seen.append(case.call_and_validate(headers=headers, checks=CHECKS, timeout=10).status_code)

    send()
    return set(seen)


@pytest.mark.parametrize(("method", "path", "mode"), CASES, ids=[f"{m} {p} {g.value}" for m, p, g in CASES])
async def test_every_answer_is_one_that_was_promised(service, caller, base, method, path, mode):
    """API-01, API-10, ASVS 4.1.1, 4.1.4: no 5xx, and no status, media type or shape outside the document."""
    user_id = await an_account(caller, email="anna@example.com", external_ref="17")
    ((message_id,),) = await service.rows("SELECT id FROM message")
    reset = (await caller.post("/v1/resets", {"user_id": user_id})).json()
    clerk = {"X-Clerk-ID": "kim"}
    contact = (await caller.post("/v1/contacts", {"desk": "consumer"}, headers=clerk)).json()["number"]
    check = await caller.post(f"/v1/accounts/{user_id}/caller-checks", {"contact": contact}, headers=clerk)
    await service.seal()
    if path.endswith("/merge/undo"):
        user_id = await a_merged_account(caller)
    known = clerk | {
        "contact": contact, "number": contact, "check_id": check.json()["id"], "desk": "consumer",
        "user_id": user_id, "duplicate": await an_account(caller, email="ben@example.com"),
        "message_id": str(message_id), "email": "anna@example.com", "relay": "first",
        "reset_id": reset["reset_id"], "purpose": "email", "wording": "email-2026-11",
    }  # fmt: skip
    if path.endswith("/stream"):
        # The stream of a message that exists lasts for minutes; it has its own tests.
        del known["message_id"]
    answered = await asyncio.to_thread(explore, base, path, method, mode, caller.headers, known)
    if mode is BAD:
        assert max(answered) >= 400
    elif path.startswith("/v1"):
        assert min(answered) < 300 or path.endswith(("/stream", "/lift"))
