"""What several tests begin with: the command line in a process of its own, with an environment of its own."""

import os
import subprocess
import sys
from pathlib import Path

from tests import commands
from tests.conftest import MASTER_KEY

COMMAND = Path(sys.executable).parent / "identity-service"

PRODUCTION = {
    "DATABASE_URL": "postgresql://identity_app@127.0.0.1:1/identity",
    "IDENTITY_PUBLIC_URL": "https://id.example.com",
    "IDENTITY_MASTER_KEY": MASTER_KEY,
    "IDENTITY_MAIL_FROM": "service@id.example.com",
    "IDENTITY_RELAYS": '[{"name": "first", "host": "relay.example.com", "port": 465, "tls": "implicit"}]',
}
"""What a production start needs, and no more."""


def run(*arguments: str, folder: Path, **environment: str | None) -> subprocess.CompletedProcess[str]:
    """Run the command line in `folder`, with these variables of ours and no others; None takes one away."""
    foreign = {
        name: value for name, value in os.environ.items() if not name.startswith(("IDENTITY_", "DATABASE_", "TEST_"))
    }
    given = {name: value for name, value in environment.items() if value is not None}
    return subprocess.run(
        commands.command_line(*arguments), cwd=folder, env=foreign | given | commands.where(), capture_output=True,
        text=True, timeout=60, check=False,
    )  # fmt: skip
