"""Debian's Apache with mod_auth_openidc before an application, started by the test; no service of the system.

Modules, port, files and process id are its own; `customers` has the user of each request. The application behind it
answers with what Apache told it of the customer: the header fields `OIDC_…`, as JSON.
"""

import asyncio
import json
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

MODULES = Path("/usr/lib/apache2/modules")
_LOADED = "mpm_event authn_core authz_core authz_user auth_openidc proxy proxy_http".split()
_MAIN = """\
ServerRoot {folder}
DefaultRuntimeDir {folder}
PidFile {folder}/apache.pid
ErrorLog {folder}/log
CustomLog {folder}/customers %u
ServerName 127.0.0.1:{port}
Listen 127.0.0.1:{port}
StartServers 1
ThreadsPerChild 25
{modules}
{user}
ProxyPass /account/callback !
ProxyPass / http://127.0.0.1:{application}/
Include {folder}/sign-in.conf
"""


@asynccontextmanager
async def runs(folder: Path, port: int, configuration: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """Start it in the foreground; as root its children are the user whom Debian has for it."""
    application = await asyncio.start_server(_tell, "127.0.0.1", 0)
    modules = "\n".join(f"LoadModule {name}_module {MODULES}/mod_{name}.so" for name in _LOADED)
    user = "User www-data\nGroup www-data" if os.geteuid() == 0 else ""
    given = {"folder": folder, "port": port, "modules": modules, "user": user}
    (folder / "apache.conf").write_text(_MAIN.format(application=application.sockets[0].getsockname()[1], **given))
    (folder / "sign-in.conf").write_text(configuration)
    process = await asyncio.create_subprocess_exec(_program(), "-f", folder / "apache.conf", "-D", "FOREGROUND")
    try:
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()
        application.close()


async def _tell(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    body = json.dumps(dict(line.split(": ", 1) for line in lines if line.startswith("OIDC_"))).encode()
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    writer.write(f"{head}Connection: close\r\n\r\n".encode() + body)
    await writer.drain()
    writer.close()


def missing() -> str | None:
    """Tell why no Apache can be had here, in one plain sentence; None: it can."""
    if _program() is None or not (MODULES / "mod_auth_openidc.so").exists():
        return "needs Apache and mod_auth_openidc (apt-get install apache2-bin libapache2-mod-auth-openidc)"
    return None


def _program() -> str | None:
    return shutil.which("apache2", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
