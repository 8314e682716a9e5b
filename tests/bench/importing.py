"""How fast customers come over from a file, and what the process holds meanwhile; beside a bare COPY of the file."""

import asyncio
import contextlib
import json
import time
from pathlib import Path
from typing import NamedTuple

import asyncpg
import bcrypt
from sqlalchemy.engine import make_url

from identity_service.dev import postgres
from tests.bench.roads import PASSWORD
from tests.bench.stage import Stage
from tests.bench.wrk import resident_mib
from tests.faults.processes import COMMAND

LOOK = 0.02
_COLUMNS = (
    "email", "display_name", "reference", "customer_since", "password_hash",
    "consent_purpose", "consent_decision", "consent_wording", "consent_evidence",
)  # fmt: skip
_TABLE = f"CREATE TABLE bench.customer ({', '.join(f'{name} text' for name in _COLUMNS)})"


class Imported(NamedTuple):
    """Rows a second, of the import and of the COPY; MiB of the process after a tenth of the rows, and at the end."""

    rate: float
    copied: float
    tenth: float
    end: float


async def measure(stage: Stage, count: int) -> Imported:
    """Import so many customers, each with a hash, an old number, and every tenth with a yes to marketing."""
    owner = await postgres.connect(make_url(stage.cluster.server.owner))
    try:
        started, *_ = await _run(stage, owner, _write(stage.folder, "one", 1), 1)
        file = _write(stage.folder, "all", count)
        took, tenth, end = await _run(stage, owner, file, count)
        await owner.execute(f"CREATE SCHEMA IF NOT EXISTS bench; SET statement_timeout = 0; {_TABLE}")
        began = time.perf_counter()
        await owner.copy_to_table("customer", schema_name="bench", source=file, format="csv", header=True)
        return Imported(count / (took - started), count / (time.perf_counter() - began), tenth, end)
    finally:
        await owner.close()


async def _run(stage: Stage, owner: asyncpg.Connection, file: Path, count: int) -> tuple[float, float, float]:
    """Return the seconds that the command took, and what it held at a tenth and at the end."""
    began, tenth, end = time.perf_counter(), 0.0, 0.0
    process = await asyncio.create_subprocess_exec(
        COMMAND, "import", str(file), "--json", env=stage.cluster.environment, stdout=asyncio.subprocess.PIPE
    )
    told = asyncio.create_task(process.communicate())
    while not told.done():
        await asyncio.wait([told], timeout=LOOK)
        with contextlib.suppress(OSError, IndexError):
            end = resident_mib(process.pid) or end
        if not tenth and (await owner.fetchval("SELECT max(done_line) FROM import_job") or 0) >= count / 10:
            tenth = end
    seconds = time.perf_counter() - began
    found = json.loads((await told)[0])
    if found["added"] != count:
        raise SystemExit(f"The import made {found['added']} accounts of {count} rows.")
    return seconds, tenth, end


def _write(folder: Path, name: str, count: int) -> Path:
    file, phc = folder / f"{name}.csv", bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()
    with file.open("w", encoding="utf-8") as out:
        out.write(f"{','.join(_COLUMNS)}\n")
        for number in range(count):
            said = f"email,granted,email-2026-11,form {number}" if number % 10 == 0 else ",,,"
            out.write(f"{name}{number}@example.com,Customer {number},{name}{number},2009-05-17,{phc},{said}\n")
    return file
