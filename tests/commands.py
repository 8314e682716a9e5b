"""The command line as tests call it: a process of its own for each command, forked from one that has it imported.

Importing takes two seconds of processor time, a fork a fiftieth of one. Arguments, environment, folder, streams and
exit status are the command's own; its clock begins at NOW, where the caller's clock stands, which may be ahead of the
real one. What kills a command, or counts its start, calls `identity-service` itself.
"""

import atexit
import importlib
import json
import os
import socket
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

VARIABLE = "TEST_COMMAND_SERVER"
NOW = "TEST_COMMAND_NOW"
CLIENT = """
import json, os, socket, sys
server = socket.socket(socket.AF_UNIX)
server.connect(os.environ.pop("TEST_COMMAND_SERVER"))
socket.send_fds(server, [b"!"], [0, 1, 2])
asked = [sys.argv[1:], os.getcwd(), dict(os.environ)]
server.sendall(json.dumps(asked).encode() + b"\\n")
sys.exit(int(server.makefile().readline() or 70))
"""


def command_line(*arguments: str) -> list[str]:
    """Return what to start for `identity-service arguments`; the environment needs `where()`, too."""
    return [sys.executable, "-IS", "-c", CLIENT, *arguments]


@cache
def where() -> dict[str, str]:
    """Start the process that forks, once in each process of tests; return the variable that names it."""
    folder = tempfile.mkdtemp(prefix="commands")
    path = str(Path(folder) / "socket")
    ours = ("IDENTITY_", "DATABASE_", "TEST_", "OTEL_")
    known = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.commands", path], env=known, cwd=Path(__file__).parent.parent,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
    )  # fmt: skip
    atexit.register(process.kill)
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    return {VARIABLE: path}


def _serve(path: str) -> None:
    main = importlib.import_module("identity_service.cli.main")
    for place, _ in main.COMMANDS.values():
        importlib.import_module(f"identity_service.cli.{place.partition(':')[0]}")
    importlib.import_module("identity_service.cli.failures")
    # Messages name the program as its script does, not as a module of the tests.
    sys.modules["__main__"].__package__ = None
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(path)
    listening.listen(16)
    os.write(1, b"ready\n")
    while True:
        asked, _ = listening.accept()
        if os.fork() == 0:
            listening.close()
            _answer(asked, main)
        asked.close()
        while _ended():
            pass


def _ended() -> bool:
    try:
        return os.waitpid(-1, os.WNOHANG)[0] != 0
    except ChildProcessError:
        return False


def _answer(asked: socket.socket, main) -> None:
    """Run one command in a process of its own, and answer with its exit status; this process ends."""
    _, streams, _, _ = socket.recv_fds(asked, 1, 3)
    arguments, folder, environment = json.loads(asked.makefile().readline())
    child = os.fork()
    if child == 0:
        asked.close()
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
        os.chdir(folder)
        os.environ.clear()
        _set_clock(environment.pop(NOW, None))
        os.environ.update(environment)
        sys.argv = ["identity-service", *arguments]
        os._exit(_status(main))
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    asked.sendall(f"{status}\n".encode())
    os._exit(0)


def _set_clock(now: str | None) -> None:
    """Let the command's clock run from this moment."""
    if now is not None:
        ahead = datetime.fromisoformat(now) - datetime.now(UTC)
        importlib.import_module("identity_service.clock").utc_now = lambda: datetime.now(UTC) + ahead


def _status(main) -> int:
    status: object = 0
    try:
        main.main()
    except SystemExit as ended:
        status = ended.code
        if isinstance(status, str):
            sys.stderr.write(f"{status}\n")
    except Exception:  # noqa: BLE001 (an interpreter prints it, and ends with 1)
        sys.excepthook(*sys.exc_info())
        status = 1
    sys.stdout.flush()
    sys.stderr.flush()
    return status if isinstance(status, int) else 0 if status is None else 1


if __name__ == "__main__":
    _serve(sys.argv[1])
