"""What the README and `identity-service run` tell a newcomer to paste works as it stands; Ctrl-C ends it cleanly."""

import asyncio
import contextlib
import json
import os
import re
import shutil
import signal
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.given import COMMAND
from tests.source import ROOT

pytestmark = pytest.mark.skipif(
    not shutil.which("curl") or not shutil.which("bash"), reason="the lines are for bash and curl, and one is not here"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A folder that is kept from test to test, as a clone is from day to day."""
    return tmp_path_factory.mktemp("clone")


@pytest.fixture(scope="module")
def port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@contextlib.asynccontextmanager
async def running(folder: Path, port: int) -> AsyncIterator[str]:
    """Start everything as `make run` does; yield what it prints; end it with Ctrl-C."""
    known = {name: value for name, value in os.environ.items() if not name.startswith(("IDENTITY_", "DATABASE_"))}
    process = await asyncio.create_subprocess_exec(
        COMMAND, "run", cwd=folder, env=known | {"IDENTITY_PORT": str(port)}, stdout=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(60):
            told = ""
            while "/v1/events\n" not in told:
                told += (await process.stdout.readline()).decode()
        reading = asyncio.create_task(process.stdout.read())
        yield told
    finally:
        process.send_signal(signal.SIGINT)
        async with asyncio.timeout(40):
            last = (await reading).decode()
            assert await process.wait() == 0
    assert "Stopped. The data is kept in" in last


async def bash(script: str, folder: Path) -> str:
    process = await asyncio.create_subprocess_exec(
        "bash", "-eu", "-o", "pipefail", "-c", script, cwd=folder, stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    said, errors = await process.communicate()
    assert (process.returncode, errors) == (0, b"")
    return said.decode()


def answers(said: str) -> list[dict]:
    return [json.loads(line) for line in said.splitlines() if line.startswith("{")]


async def test_the_first_requests_of_the_readme_work(folder, port):
    part = (ROOT / "README.md").read_text("utf-8").partition("\n## First requests\n")[2].partition("\n## ")[0]
    script = "".join(re.findall(r"```sh\n(.*?)```", part, re.DOTALL)).replace("localhost:8080", f"localhost:{port}")
    async with running(folder, port):
        said = await bash(script, folder)
    made, verified, listed, message, _, refused, *life, feed, more = answers(said)
    asked, reset, proposed, permission, history, business, summary = life
    user_id = made["user_id"]
    assert f"Your User ID is {user_id}" in said
    right, wrong = verified["results"]
    assert (right["status"], wrong["status"]) == ("valid", "malformed")
    assert user_id in [suggestion["user_id"] for suggestion in wrong["suggestions"]]
    assert listed["items"][0]["id"] == message["id"]
    assert [step["kind"] for step in message["timeline"]] == ["queued", "accepted"]
    assert [item["state"] for item in refused["items"]] == ["rejected"]
    assert asked["reset_id"] == reset["reset_id"]
    assert reset["message"]["kind"] == "reset"
    assert (proposed["permission"], permission["allowed"]) == ("never", [])
    assert [result["status"] for result in history["results"]] == ["added"]
    assert (business["account"]["kind"], summary["orders"]) == ("business", 1)
    assert {"account.registered", "mail.accepted", "mail.rejected"} <= {event["type"] for event in feed["items"]}
    assert more["items"] == [] or {event["sequence"] for event in more["items"]}.isdisjoint(
        event["sequence"] for event in feed["items"]
    )


async def test_the_printed_lines_work_and_a_second_start_finds_the_data_again(folder, port):
    before = json.loads((folder / ".data" / "anna.json").read_text())["user_id"]
    async with running(folder, port) as told:
        assert f"http://localhost:{port}/dev/mailbox" in told
        assert "client_secret" in told
        secret = json.loads((folder / ".data" / "client.json").read_text())["client_secret"]
        assert secret not in told
        lines = told.partition("Paste these lines into another terminal:\n")[2]
        made, verified, _, permission, _, _, summary, feed = answers(
            await bash(lines.replace("/tmp/anna.json", "anna.json"), folder)
        )
    assert made["user_id"] == before
    assert permission["allowed"] == []
    assert (summary["kind"], summary["orders"]) == ("business", 1)
    assert [result["status"] for result in verified["results"]] == ["valid", "malformed"]
    assert before in {event["subject"] for event in feed["items"]}


@pytest.mark.parametrize("name", ["client.json", "master.key"])
def test_what_is_secret_is_readable_by_its_owner_alone(folder, name):
    """ASVS 13.2.3: one client in development, its secret made at start."""
    assert (folder / ".data" / name).stat().st_mode & 0o777 == 0o600
