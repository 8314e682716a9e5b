"""The contract is usable: a typed client made from it by others' hands registers, verifies and reads the feed.

The generator's packages do not agree with ours, so it lives in an environment of its own (`make contract`).
"""

import asyncio
import json
import os
import re
import subprocess
from pathlib import Path

import pytest

from identity_service.web.server import Server
from tests.accounts.given import an_account
from tests.source import ROOT

PYTHON = ROOT / ".contract/bin/python"
GENERATOR = ROOT / ".contract/bin/openapi-python-client"
CONTRACT = ROOT / "openapi/openapi.json"
STORY = """
import json, os
from identity_client import AuthenticatedClient
from identity_client.api.accounts import read_account, register_account, verify_accounts
from identity_client.api.events import list_events
from identity_client.models import NewAccount, Problem, VerificationRequest

with AuthenticatedClient(os.environ["BASE"], os.environ["TOKEN"], raise_on_unexpected_status=True) as client:
    made = register_account.sync(client=client, body=NewAccount(email="anna@example.com"))
    again = register_account.sync(client=client, body=NewAccount(email="Anna@Example.com"))
    verified = verify_accounts.sync(client=client, body=VerificationRequest(user_ids=[made.user_id, "nonsense"]))
    account = read_account.sync(made.user_id, client=client)
    refused = read_account.sync("nonsense", client=client)
    assert isinstance(refused, Problem)
    feed = list_events.sync(client=client)
    print(json.dumps({
        "made": made.user_id, "again": again.user_id, "kind": account.kind, "refused": refused.code,
        "statuses": [result.status for result in verified.results], "events": [event.type_ for event in feed.items],
    }))
"""

pytestmark = pytest.mark.skipif(not GENERATOR.exists(), reason="openapi-python-client is not there: `make contract`")


@pytest.fixture(scope="module")
def generated(tmp_path_factory) -> tuple[Path, str]:
    """The folder with the generated package, and what the generator said."""
    folder = tmp_path_factory.mktemp("contract")
    made = subprocess.run(
        [GENERATOR, "generate", "--path", CONTRACT, "--meta", "none", "--output-path", folder / "identity_client"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return folder, made.stdout + made.stderr


def test_the_generator_understands_all_but_what_it_says_it_cannot(generated):
    """Only the signed receipt is beyond it: an answer of application/jwt."""
    assert re.findall(r"WARNING parsing (.+)", generated[1]) == [
        "GET /v1/accounts/{user_id}/consents/receipt within consents."
    ]


def test_no_shape_is_named_for_a_module_of_ours():
    """Two shapes of one name get the names of their modules, which is nobody's business."""
    shapes = json.loads(CONTRACT.read_text("utf-8"))["components"]["schemas"]
    assert [name for name in shapes if "__" in name] == []


async def test_a_generated_client_walks_the_first_road(service, caller, generated):
    await an_account(caller)
    await service.seal()
    server = Server(service.app, host="127.0.0.1", port=0, lifespan="off")
    running = asyncio.create_task(server.serve())
    port = await server.started_up()
    walking = await asyncio.create_subprocess_exec(
        PYTHON, "-c", STORY, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(generated[0]), "BASE": f"http://127.0.0.1:{port}", "TOKEN": caller.token},
    )  # fmt: skip
    said, wrong = await walking.communicate()
    server.should_exit = True
    await running
    assert walking.returncode == 0, wrong.decode()
    told = json.loads(said)
    assert told["made"] == told["again"]
    assert told["statuses"] == ["valid", "malformed"]
    assert "account.registered" in told["events"]
    assert (told["kind"], told["refused"]) == ("consumer", "malformed_user_id")
