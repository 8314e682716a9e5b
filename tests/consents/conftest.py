"""An implementation of JOSE that is not ours: the npm package `jose`, run with Node."""

import asyncio
import json
import shutil
from pathlib import Path

import pytest

from tests.clients.conftest import command, ring  # noqa: F401

NODE = Path(__file__).parent.parent / "node"


@pytest.fixture
def jose(service):
    """Check a JWS against the published key set; return header and claims, or why it was refused."""
    node = shutil.which("node")
    if node is None or not (NODE / "node_modules" / "jose").is_dir():
        pytest.skip("Node and its package jose are not installed: run `npm ci --prefix tests/node`")

    async def verify(token: str, *, typ: str, issuer=None, audience=None, at: float | None = None, jwks=None) -> dict:
        published = jwks or (await service.http.get("/oauth/jwks.json")).json()
        moment = service.clock().timestamp() if at is None else at
        asked = {"token": token, "jwks": published, "typ": typ, "issuer": issuer, "audience": audience}
        process = await asyncio.create_subprocess_exec(
            node, NODE / "verify.mjs", stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
        )
        out, _ = await process.communicate(json.dumps({**asked, "now": moment * 1000}).encode())
        return json.loads(out)

    return verify
