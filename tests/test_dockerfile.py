"""The image: from the lock with hashes, without rights, secrets, tests or the embedded database; its health."""

import asyncio
import fnmatch
import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import NamedTuple

import pytest

from identity_service.database.transactions import Database
from identity_service.passwords import cpu
from identity_service.settings import Settings
from identity_service.web.server import Server
from tests.source import ROOT

SECRET = re.compile(r"(?i)(key|secret|password|token|database_url)\s*=\s*[^\s\"']")


class Stage(NamedTuple):
    """One stage: its name, and its instructions as (word, rest)."""

    name: str
    base: str
    steps: list[tuple[str, str]]

    def all(self, word: str) -> list[str]:
        return [rest for name, rest in self.steps if name == word]


def stages(text: str) -> list[Stage]:
    found: list[Stage] = []
    lines = re.sub(r"\\\n\s*", " ", re.sub(r"(?m)^\s*#.*\n", "", text)).splitlines()
    for line in filter(None, map(str.strip, lines)):
        word, _, rest = line.partition(" ")
        if word == "FROM":
            base, _, name = rest.partition(" AS ")
            found.append(Stage(name, base, []))
        else:
            found[-1].steps.append((word, rest.strip()))
    return found


STAGES = stages((ROOT / "Dockerfile").read_text("utf-8"))
LAST = STAGES[-1]


def test_it_is_built_in_stages_from_one_slim_python():
    """ASVS 13.4.1, 15.2.3: what builds is not what runs."""
    assert [stage.name for stage in STAGES] == ["wheel", "packages", ""]
    assert {stage.base for stage in STAGES} == {"python:3.13-slim"}
    assert LAST.all("COPY") == ["--from=packages /opt/identity /opt/identity"]


def test_everything_is_installed_from_the_lock_with_hashes():
    """ASVS 15.2.4: an index cannot slip in another file, and no index is named."""
    installs = [
        command for stage in STAGES for run in stage.all("RUN")
        for command in run.split(" && ") if "pip install" in command or "pip wheel" in command
    ]  # fmt: skip
    assert len(installs) == 6
    for command in installs:
        ours = command.endswith("pip wheel --no-deps --no-build-isolation --wheel-dir /wheels .")
        assert ours or "--require-hashes" in command or "--no-index --no-deps" in command, command
        assert "index-url" not in command
    (copied,) = [rest for rest in STAGES[1].all("COPY") if "requirements" in rest]
    assert copied == "requirements/production.txt /tmp/production.txt"
    assert not any("embedded" in rest for stage in STAGES for _, rest in stage.steps)
    assert "pixeltable" not in (ROOT / "requirements/production.txt").read_text("utf-8")


def test_argon2_is_built_for_one_kind_of_cpu_from_the_locked_source_on_demand_alone():
    """ASVS 15.2.4: what builds it is locked as well, stays in the first stage, and its hash is checked."""
    (built,) = [run for run in STAGES[0].all("RUN") if "ARGON2_MARCH" in run]
    assert '"") exit 0' in built
    assert set(re.findall(r"x86-64-v\d(?=[|)])", built)) == set(cpu.LEVELS)
    assert "--require-hashes --no-deps --no-build-isolation --no-binary argon2-cffi-bindings" in " ".join(built.split())
    assert all(stage.all("ARG") == ['ARGON2_MARCH=""'] for stage in (STAGES[0], LAST))
    assert "ARGON2_MARCH=$ARGON2_MARCH" in LAST.all("ENV")[0]
    assert LAST.all("LABEL") == ["argon2-march=$ARGON2_MARCH"]
    lock = (ROOT / "requirements/argon2.txt").read_text("utf-8")
    for line in re.findall(r"(?m)^\S+==\S+.*$", lock):
        assert line.endswith("\\"), "a version without hashes"
    locked = (ROOT / "requirements/production.txt").read_text("utf-8")
    (bindings,) = re.findall(r"(?ms)^argon2-cffi-bindings==.*?^ *#", locked)
    assert bindings.count("==") == 1
    assert bindings.count("--hash=sha256:") > 10


def test_the_hash_that_the_build_asks_for_is_argon2s():
    """What the image's build checks, checked on the wheel that runs here."""
    (run,) = [run for run in STAGES[1].all("RUN") if "somesalt" in run]
    (program,) = re.findall(r'-c "(from argon2[^"]+)"', run)
    subprocess.run([sys.executable, "-c", program], check=True)
    wrong = subprocess.run(
        [sys.executable, "-c", program.replace("somesalt", "otherone")], check=False, capture_output=True
    )
    assert wrong.returncode == 1


def cpuinfo(tmp_path, *flags: str) -> Path:
    (tmp_path / "cpuinfo").write_text(f"processor\t: 0\nflags\t\t: fpu {' '.join(flags)}\n", "utf-8")
    return tmp_path / "cpuinfo"


@pytest.mark.parametrize("march", cpu.LEVELS)
def test_a_cpu_that_lacks_an_instruction_is_told_in_a_sentence(tmp_path, march):
    needed = cpu.LEVELS[march]
    assert cpu.cpu_problem(march, cpuinfo(tmp_path, *needed)) is None
    for lacking in needed:
        said = cpu.cpu_problem(march, cpuinfo(tmp_path, *(needed - {lacking})))
        assert said is not None
        assert f"lacks {lacking}:" in said


def test_each_level_holds_the_one_before():
    two, three, four = cpu.LEVELS.values()
    assert two < three < four


def test_a_published_wheel_asks_for_nothing_and_a_level_that_nobody_knows_is_refused(tmp_path):
    assert cpu.cpu_problem("", tmp_path / "none") is None
    assert "must be one of" in cpu.cpu_problem("native", cpuinfo(tmp_path))
    assert "lacks" in cpu.cpu_problem("x86-64-v2", tmp_path / "none")


def test_serve_ends_with_a_sentence_on_a_cpu_that_argon2_was_not_built_for(tmp_path):
    """And not with an illegal instruction at the first password."""
    program = (
        "from identity_service.passwords.hashing import Hasher; from identity_service.settings import Settings; "
        "Hasher(Settings(environment='development', public_url='http://localhost:8000'))"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program], env={"ARGON2_MARCH": "pentium"}, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 1
    assert "UnsuitableCpu: ARGON2_MARCH is 'pentium'" in ended.stderr


def test_it_runs_without_rights_and_writes_nothing():
    assert LAST.all("USER") == ["10001:10001"]
    after = [word for word, _ in LAST.steps[LAST.steps.index(("USER", "10001:10001")) :]]
    assert not {"RUN", "COPY", "ADD"} & set(after)
    assert "PYTHONDONTWRITEBYTECODE=1" in LAST.all("ENV")[0]
    assert not LAST.all("VOLUME")
    assert not any("chmod" in run or "chown" in run for run in LAST.all("RUN"))


def test_pythons_own_library_is_compiled_when_it_is_built():
    """Its base keeps it uncompiled, so that every start and every health check would compile it anew."""
    (run,) = [run for run in LAST.all("RUN") if "compileall" in run]
    assert "--invalidation-mode unchecked-hash" in run
    (program,) = re.findall(r"-c '([^']+)'", run)
    told = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert Path(told.stdout.strip()) == Path(os.__file__).parent


def test_no_secret_stands_in_it():
    """ASVS 13.3.1: neither as a value nor as a build argument, which the image's history would keep."""
    for stage in STAGES:
        for word, rest in stage.steps:
            if word in ("ENV", "ARG", "LABEL"):
                assert not SECRET.search(rest), rest
        assert not any(re.match(r"\w*(KEY|SECRET|PASSWORD|TOKEN)", rest) for rest in stage.all("ARG"))
    assert SECRET.search("IDENTITY_MASTER_KEY=abc")


def test_it_starts_the_command_line_and_serves():
    assert json.loads(LAST.all("ENTRYPOINT")[0]) == ["identity-service"]
    assert json.loads(LAST.all("CMD")[0]) == ["serve"]
    assert "IDENTITY_HOST=0.0.0.0" in LAST.all("ENV")[0]


def kept(path: str) -> bool:
    """Tell whether `.dockerignore` lets a file through."""
    inside = False
    for line in (ROOT / ".dockerignore").read_text("utf-8").splitlines():
        pattern = line.removeprefix("!").removeprefix("**/")
        if not pattern or line.startswith("#"):
            continue
        parts = Path(path).parts
        if any(fnmatch.fnmatch("/".join(parts[: end + 1]), pattern) for end in range(len(parts))) or (
            line.startswith("**/") and any(fnmatch.fnmatch(part, pattern) for part in parts)
        ):
            inside = line.startswith("!")
    return inside


@pytest.mark.parametrize(
    "path", ["identity_service/app.py", "migrations/env.py", "requirements/production.txt", "pyproject.toml", "LICENSE"]
)
def test_what_the_image_is_made_of_reaches_the_builder(path):
    assert (ROOT / path).exists()
    assert kept(path)


@pytest.mark.parametrize(
    "path",
    [
        ".git/config", ".data/master.key", ".env", "production.env", "tests/conftest.py", ".venv/bin/python",
        "identity_service/__pycache__/app.cpython-313.pyc", "key.pem", ".ci/run",
    ],
)  # fmt: skip
def test_nothing_else_does(path):
    """ASVS 13.4.1, 15.2.3: no history, no tests, no keys, no data."""
    assert not kept(path)


def test_the_wheel_holds_the_service_its_migrations_and_nothing_else(tmp_path):
    """ASVS 15.2.3: built as the image builds it."""
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert {"identity_service/app.py", "identity_service/migrations/env.py"} <= set(names)
    # PEP 561: type checkers of packages that import this one read its annotations.
    assert "identity_service/py.typed" in names
    for folder in ("templates", "static", "locales", "migrations/versions"):
        assert any(name.startswith(f"identity_service/{folder}/") for name in names), folder
    assert {name.split("/")[0].split("-")[0] for name in names} == {"identity_service"}
    assert not [name for name in names if re.search(r"(^|/)(tests?|\.git|\.data)/|\.(key|pem|env)$", name)]


@pytest.mark.parametrize("broken", [False, True])
async def test_the_health_check_tells_ready_from_not(service, urls, monkeypatch, broken):
    """Asked as the image asks: by 127.0.0.1, which is no name that production answers to elsewhere."""
    there = service.database
    settings = Settings(**{**there.settings.model_dump(), "environment": "production"})
    database = Database(settings, "postgresql://nobody@127.0.0.1:1/nothing" if broken else urls.application)
    database.keys = there.keys
    monkeypatch.setattr(service.app.state, "database", database)
    server = Server(service.app, host="127.0.0.1", port=0, lifespan="off")
    running = asyncio.create_task(server.serve())
    port = await server.started_up()
    words = json.loads(LAST.all("HEALTHCHECK")[0].split(" CMD ")[1])
    asked = await asyncio.create_subprocess_exec(
        sys.executable, *words[1:], env={"IDENTITY_PORT": str(port)}, stderr=asyncio.subprocess.DEVNULL
    )
    assert await asked.wait() == (1 if broken else 0)
    server.should_exit = True
    await running
    await database.close()
