"""compose.yaml: what it starts is what production demands, and the secrets it names are those that prepare.sh makes.

Held structurally; the first half is what its JSON schema would find.
"""

import asyncio
import os
import re
import shutil
import stat
import subprocess
from pathlib import Path

import pytest
import yaml
from sqlalchemy.engine import make_url

from identity_service import settings as configuration
from identity_service import start_checks
from identity_service.dev import postgres
from identity_service.settings import Settings
from identity_service.web import routing
from tests.events.test_restored import BINARIES
from tests.source import ROOT

COMPOSE = yaml.safe_load((ROOT / "compose.yaml").read_text("utf-8"))
SERVICES = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if service.get("image") == "identity-service"}
ATTRIBUTES = {
    "build", "cap_drop", "command", "depends_on", "deploy", "environment", "healthcheck", "image", "logging",
    "network_mode", "networks", "ports", "pull_policy", "read_only", "restart", "secrets", "security_opt", "shm_size",
    "stop_grace_period", "volumes",
}  # fmt: skip
"""Attributes of the compose specification that are used here."""
NGINX = (ROOT / "deploy/nginx.conf").read_text("utf-8")
PREPARE = ROOT / "deploy/prepare.sh"


@pytest.fixture(scope="module")
def secrets(tmp_path_factory) -> Path:
    """What prepare.sh makes."""
    folder = tmp_path_factory.mktemp("deploy")
    (folder / "prepare.sh").write_bytes(PREPARE.read_bytes())
    subprocess.run(["sh", folder / "prepare.sh", "id.example.com"], check=True, capture_output=True)
    return folder / "secrets"


def test_it_is_made_of_what_the_specification_knows():
    assert {name for name in COMPOSE if not name.startswith("x-")} == {
        "name",
        "services",
        "networks",
        "volumes",
        "secrets",
    }
    for name, service in SERVICES.items():
        assert set(service) <= ATTRIBUTES, name
        assert not ("networks" in service and "network_mode" in service), name
        assert set(service.get("networks", ())) <= set(COMPOSE["networks"])
        assert set(service.get("secrets", ())) <= set(COMPOSE["secrets"])
        for volume in service.get("volumes", ()):
            source = volume.split(":")[0]
            assert source in COMPOSE["volumes"] or (ROOT / source).exists(), volume
        for other, how in service.get("depends_on", {}).items():
            assert other in SERVICES
            assert how["condition"] in {"service_healthy", "service_completed_successfully"}


def test_there_are_two_of_what_serves_and_of_what_works():
    commands = [service["command"][0] for service in OURS.values()]
    assert sorted(commands) == ["bounce-server", "migrate", "serve", "serve", "worker"]
    assert SERVICES["worker"]["deploy"] == {"replicas": 2}
    assert re.findall(r"server (serve-\w):8080", NGINX) == ["serve-a", "serve-b"]


def test_everything_waits_for_the_migrations_and_they_for_the_database():
    """REL-33."""
    assert SERVICES["migrate"]["depends_on"] == {"postgres": {"condition": "service_healthy"}}
    assert SERVICES["migrate"]["restart"] == "no"
    for name in OURS.keys() - {"migrate"}:
        assert SERVICES[name]["depends_on"] == {"migrate": {"condition": "service_completed_successfully"}}


def test_the_database_is_ready_when_the_server_that_stays_has_its_roles():
    """REL-33: the one that the image starts to make them listens at the same socket, and goes."""
    (shell, check) = SERVICES["postgres"]["healthcheck"]["test"]
    assert shell == "CMD-SHELL"
    assert check.split(" && ") == [
        "test -e /var/lib/postgresql/roles.done", "grep -qx postgres /proc/1/comm", "pg_isready --quiet",
    ]  # fmt: skip
    roles = (ROOT / "deploy/postgres/roles.sh").read_text("utf-8")
    assert "ROLES_DONE:-/var/lib/postgresql/roles.done" in roles.splitlines()[-1]


def test_one_builds_the_image_and_nobody_fetches_it():
    """Two that build one name at once are refused by Docker; ASVS 15.2.4: a stranger may have taken the name."""
    assert [name for name, service in SERVICES.items() if "build" in service] == ["migrate"]
    assert {service["pull_policy"] for service in OURS.values()} == {"never"}


@pytest.mark.parametrize("name", SERVICES)
def test_what_a_container_says_does_not_fill_the_disk(name):
    assert SERVICES[name]["logging"]["options"].keys() == {"max-size", "max-file"}


@pytest.mark.parametrize("name", OURS)
def test_ours_run_without_rights_and_write_nothing(name):
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    serves = service["command"] == ["serve"]
    assert service.get("healthcheck") == (None if serves else {"disable": True})


def test_only_what_migrates_knows_the_owner():
    """ASVS 13.2.2: and nobody of ours knows the superuser."""
    knowing = {name for name, service in SERVICES.items() if "database_owner_url" in service["secrets"]}
    assert knowing == {"migrate", "postgres"}
    assert {name for name, service in SERVICES.items() if "superuser_password" in service["secrets"]} == {"postgres"}


def test_the_database_has_no_network_and_takes_passwords_alone():
    """ASVS 12.3.1: nothing in clear on any wire."""
    database = SERVICES["postgres"]
    assert database["network_mode"] == "none"
    assert "ports" not in database
    assert "listen_addresses=" in database["command"]
    assert "--auth-local=scram-sha-256 --auth-host=reject" in database["environment"]["POSTGRES_INITDB_ARGS"]


def test_no_secret_stands_in_it():
    """ASVS 13.3.1: each comes as a file."""
    for service in SERVICES.values():
        for name, value in service.get("environment", {}).items():
            assert name.endswith("_FILE") or not re.search(
                "URL|KEY|PASSWORD|RELAYS|SECRET", name.replace("PUBLIC_URL", "")
            )
            assert not name.endswith("_FILE") or value.removeprefix("/run/secrets/") in service["secrets"]


@pytest.mark.parametrize("name", [name for name in OURS if name != "migrate"])
def test_what_it_sets_starts_in_production(monkeypatch, secrets, name):
    """Every variable is one of ours, and nothing is refused."""
    known = {configuration.variable(field) for field in Settings.model_fields}
    for variable in [*known, *(f"{one}_FILE" for one in known)]:
        monkeypatch.delenv(variable, raising=False)
    for variable, value in SERVICES[name]["environment"].items():
        assert variable.removesuffix("_FILE") in known
        given = value.replace("/run/secrets", str(secrets)).replace("/etc/identity", str(ROOT / "deploy"))
        given = re.sub(r"\$\{IDENTITY_PUBLIC_URL.*\}", "https://id.example.com", given)
        given = re.sub(r"\$\{IDENTITY_MAIL_FROM:.*\}", "service@id.example.com", given)
        monkeypatch.setenv(variable, re.sub(r"\$\{\w+:-(.*)\}", r"\1", given))
    settings = configuration.read()
    assert start_checks.refusals(settings) == []
    assert settings.environment == "production"
    if SERVICES[name]["command"] == ["serve"]:
        assert settings.trusted_proxy_count == 1
        assert settings.internal_port == 8081


def test_the_secrets_are_all_made_and_a_second_run_keeps_them(secrets):
    made = {path.name: path.read_bytes() for path in secrets.iterdir()}
    assert {Path(secret["file"]).name for secret in COMPOSE["secrets"].values()} == set(made)
    assert {secret["file"].rpartition("/")[0] for secret in COMPOSE["secrets"].values()} == {"deploy/secrets"}
    assert stat.S_IMODE(secrets.stat().st_mode) == 0o700
    subprocess.run(["sh", secrets.parent / "prepare.sh", "id.example.com"], check=True, capture_output=True)
    assert {path.name: path.read_bytes() for path in secrets.iterdir()} == made
    assert "deploy/secrets/" in (ROOT / ".gitignore").read_text("utf-8").splitlines()


def test_without_openssl_no_secret_is_made_that_would_be_kept(tmp_path):
    """An empty password would stand in every file, and the next run leaves what is there."""
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in ("dirname", "mkdir", "chmod", "cat", "tr"):
        (tools / name).symlink_to(str(shutil.which(name)))
    script = tmp_path / "prepare.sh"
    script.write_bytes(PREPARE.read_bytes())
    sh = str(shutil.which("sh"))
    ran = subprocess.run([sh, script, "id.example.com"], env={"PATH": str(tools)}, check=False, capture_output=True)
    assert ran.returncode == 1
    assert b"openssl is needed" in ran.stderr
    assert not (tmp_path / "secrets").exists()


async def test_the_roles_script_makes_an_owner_who_migrates_and_a_role_that_does_not(secrets, tmp_path):
    """As the database's image calls it, on a real server; then the application's role makes no table."""
    server = await postgres.start(tmp_path)
    admin = make_url(server.owner).set(database="postgres")
    connection = await postgres.connect(admin)
    await connection.execute("DROP DATABASE identity")
    await connection.execute(f"DROP ROLE {postgres.ROLE}")
    script = (ROOT / "deploy/postgres/roles.sh").read_text("utf-8").replace("/run/secrets", str(secrets))
    environment = {
        "PATH": f"{BINARIES}:{os.environ['PATH']}", "PGHOST": admin.query["host"], "ROLES_DONE": str(tmp_path / "done"),
    }  # fmt: skip
    ran = await asyncio.create_subprocess_exec("sh", "-c", script, env=environment)
    assert await ran.wait() == 0
    assert (tmp_path / "done").exists()
    owner = await connection.fetchval("SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = 'identity'")
    assert owner == "identity_owner"
    hashed = await connection.fetchval("SELECT rolpassword FROM pg_authid WHERE rolname = 'identity_app'")
    assert hashed.startswith("SCRAM-SHA-256$")
    rights = "SELECT has_database_privilege('identity_app', 'identity', $1)"
    assert [await connection.fetchval(rights, right) for right in ("CONNECT", "CREATE", "TEMP")] == [True, False, False]
    await connection.close()


def test_the_proxy_overwrites_what_a_caller_says_of_himself():
    """ATT-39, IDENTITY_TRUSTED_PROXY_COUNT=1: exactly one address, the one that it saw."""
    assert "proxy_set_header X-Forwarded-For $remote_addr;" in NGINX
    assert "proxy_set_header Host $host;" in NGINX
    assert "non_idempotent" not in NGINX
    assert "access_log off;" in NGINX


def test_the_proxy_sees_who_calls():
    """ATT-39: a port without an address is open on IPv6 too, where Docker hands everything on from its own address."""
    assert SERVICES["proxy"]["ports"] == ["0.0.0.0:80:80", "0.0.0.0:443:443"]
    addresses = {port.rpartition(":")[0].rpartition(":")[0] for port in SERVICES["bounces"]["ports"]}
    assert addresses == {"127.0.0.1"}


def test_the_proxy_finds_a_container_that_came_back_at_another_address():
    """A name is otherwise looked up once; what looks again is in nginx from 1.27.3 on, and asks a shared zone."""
    (upstream,) = re.findall(r"upstream identity \{(.*?)\}", NGINX, re.S)
    servers = re.findall(r"server (.*);", upstream)
    assert servers
    assert all("resolve" in server.split() for server in servers)
    assert "zone identity " in upstream
    (seconds,) = re.findall(r"resolver 127\.0\.0\.11 valid=(\d+)s", NGINX)
    assert int(seconds) <= 5
    version = re.findall(r"^nginx:(\d+)\.(\d+)-", SERVICES["proxy"]["image"])[0]
    assert tuple(map(int, version)) >= (1, 28)


def test_the_proxy_lets_through_what_the_service_takes_and_waits_as_long():
    size = int(re.findall(r"client_max_body_size (\d+)m;", NGINX)[0]) * 1024 * 1024
    assert size >= max(routing.BODY_LIMIT, routing.BATCH_LIMIT)
    assert int(re.findall(r"proxy_read_timeout (\d+)s;", NGINX)[0]) > 30
    assert "proxy_buffering off;" in NGINX
