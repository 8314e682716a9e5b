"""A production start that lacks something is refused by name and reason; no secret is shown; files may carry values."""

import base64
import json
import os
import secrets

import pytest
from pydantic import ValidationError

from identity_service import settings as configuration
from identity_service import start_checks
from identity_service.cli import defaults
from identity_service.settings import Settings
from tests.given import PRODUCTION, run


def _key(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def _relay(**changes) -> str:
    return json.dumps([{"name": "first", "host": "relay.example.com", "port": 465, "tls": "implicit", **changes}])


_CARRIER = {"name": "one", "api": "twilio", "url": "https://api.example.com", "secret": "x-4711", "sender": "Shop"}


def _carrier(**changes) -> str:
    return json.dumps([_CARRIER | changes])


REMOTE = "postgresql://identity_app:pw-4711@db.example.com/identity"

REFUSED = {
    "no public URL": ("IDENTITY_PUBLIC_URL", None, "must be an https URL"),
    "a public URL in clear": ("IDENTITY_PUBLIC_URL", "http://id.example.com", "must be an https URL"),
    "a public URL in clear on loopback": ("IDENTITY_PUBLIC_URL", "http://localhost:8080", "must be an https URL"),
    "a public URL with a path": ("IDENTITY_PUBLIC_URL", "https://id.example.com/app", "a scheme and a host"),
    "a public URL of another kind": ("IDENTITY_PUBLIC_URL", "javascript:alert(1)", "a scheme and a host"),
    "no master key": ("IDENTITY_MASTER_KEY", None, "must be set"),
    "an empty master key": ("IDENTITY_MASTER_KEY", "", "must be set"),
    "a sample master key": ("IDENTITY_MASTER_KEY", "changeme-changeme-changeme-changeme-12345678", "is a sample value"),
    "a short master key": ("IDENTITY_MASTER_KEY", _key(secrets.token_bytes(31)), "must be 32 bytes; this has 31"),
    "a long master key": ("IDENTITY_MASTER_KEY", _key(secrets.token_bytes(33)), "must be 32 bytes; this has 33"),
    "a master key of one byte": ("IDENTITY_MASTER_KEY", _key(bytes(32)), "repeats itself"),
    "a master key of a word": ("IDENTITY_MASTER_KEY", _key(b"abcdefgh" * 4), "repeats itself"),
    "a master key of two halves": ("IDENTITY_MASTER_KEY", _key(secrets.token_bytes(16) * 2), "repeats itself"),
    "a master key that counts": ("IDENTITY_MASTER_KEY", _key(bytes(range(32))), "repeats itself"),
    "a master key with a stray sign": ("IDENTITY_MASTER_KEY", _key(secrets.token_bytes(32)) + "!", "not base64url"),
    "no relay": ("IDENTITY_RELAYS", None, "at least one relay with TLS"),
    "no relay in the list": ("IDENTITY_RELAYS", "[]", "at least one relay with TLS"),
    "a relay in clear": ("IDENTITY_RELAYS", _relay(tls="none"), "only for a relay on loopback"),
    "a relay with TLS if it likes": ("IDENTITY_RELAYS", _relay(tls="opportunistic"), "'starttls' or 'none'"),
    "half a relay login": ("IDENTITY_RELAYS", _relay(username="x"), "set both username and password, or neither"),
    "a carrier without countries and budget": ("IDENTITY_CARRIERS", _carrier(), "needs IDENTITY_TEXT_PRICES"),
    "a carrier in clear": ("IDENTITY_CARRIERS", _carrier(url="http://api.example.com"), "must be an https URL"),
    "a carrier with a secret in its URL": ("IDENTITY_CARRIERS", _carrier(url="https://a:b@x.example"), "neither"),
    "a country that is none": ("IDENTITY_TEXT_PRICES", '{"XX": 0.08}', "names no country: XX"),
    "texts that cost nothing": ("IDENTITY_TEXT_PRICES", '{"DE": 0}', "greater than 0"),
    "no sender": ("IDENTITY_MAIL_FROM", None, "must be the sender's address"),
    "no database": ("DATABASE_URL", None, "must be set"),
    "a database that is no URL": ("DATABASE_URL", "identity at db", "is not a URL"),
    "a database in clear": ("DATABASE_URL", REMOTE, "must contain sslmode=verify-full"),
    "a database behind ?host=": ("DATABASE_URL", "postgresql://localhost/x?host=db.example.com", "sslmode=verify-full"),
    "one of two databases in clear": ("DATABASE_URL", "postgresql:///x?host=localhost,db.example.com", "verify-full"),
    "an owner in clear": ("DATABASE_OWNER_URL", REMOTE, "must contain sslmode=verify-full"),
    "a replica in clear": ("DATABASE_READ_URL", REMOTE, "must contain sslmode=verify-full"),
    "a port that is none": ("IDENTITY_PORT", "70000", "less than or equal to 65535"),
    "an environment nobody knows": ("IDENTITY_ENVIRONMENT", "staging", "'production' or 'development'"),
}  # fmt: skip


def refused(monkeypatch, **changes: str | None) -> list[str]:
    """Return what a production start with these changes is refused for, as the command line says it."""
    for name, value in {**PRODUCTION, **changes}.items():
        monkeypatch.delenv(name, raising=False)
        if value is not None:
            monkeypatch.setenv(name, value)
    try:
        return start_checks.refusals(configuration.read())
    except ValidationError as wrong:
        found = wrong.errors(include_input=False)
        return [f"{configuration.variable(str(e['loc'][0] if e['loc'] else ''))} {e['msg']}" for e in found]


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch):
    for name in map(configuration.variable, Settings.model_fields):
        monkeypatch.delenv(name, raising=False)


def test_a_whole_set_starts(monkeypatch):
    assert refused(monkeypatch) == []


@pytest.mark.parametrize("case", REFUSED)
def test_a_start_that_lacks_something_is_refused_by_name_and_reason(monkeypatch, case):
    """ATT-63, ASVS 6.3.2, 12.2.1, 12.3.1, 13.2.3: what would be open or in clear does not start."""
    name, value, why = REFUSED[case]
    (said,) = refused(monkeypatch, **{name: value})
    assert said.startswith(name)
    assert why in said
    assert "4711" not in said


@pytest.mark.parametrize("mode", ["disable", "allow", "prefer", "require", "verify-ca", "verify-full"])
def test_only_a_checked_certificate_will_do_for_a_remote_database(monkeypatch, mode):
    """ASVS 12.3.1, 12.3.2: below verify-full anybody on the way may be the database."""
    said = refused(monkeypatch, DATABASE_URL=f"{REMOTE}?sslmode={mode}")
    assert bool(said) == (mode != "verify-full")


@pytest.mark.parametrize(
    "url",
    [
        "postgresql:///identity",
        "postgresql:///identity?host=/run/postgresql",
        "postgresql://localhost/identity",
        "postgresql://[::1]:5433/identity",
        "postgresql:///identity?host=127.0.0.1:5433,localhost",
    ],
)
def test_a_database_on_this_machine_needs_no_certificate(monkeypatch, url):
    assert refused(monkeypatch, DATABASE_URL=url) == []


def test_a_relay_on_loopback_may_be_in_clear(monkeypatch):
    """ASVS 12.3.1: loopback excepted, by name."""
    assert refused(monkeypatch, IDENTITY_RELAYS=_relay(host="127.0.0.1", tls="none")) == []


def test_everything_that_lacks_is_said_at_once(monkeypatch):
    said = refused(monkeypatch, **dict.fromkeys(PRODUCTION))
    assert {sentence.split()[0] for sentence in said} == set(PRODUCTION)


def test_a_developers_machine_is_refused_nothing(monkeypatch):
    assert refused(monkeypatch, **dict.fromkeys(PRODUCTION), IDENTITY_ENVIRONMENT="development") == []


def test_two_relays_have_two_names(monkeypatch):
    first = json.loads(_relay())[0]
    (said,) = refused(monkeypatch, IDENTITY_RELAYS=json.dumps([first, first]))
    assert "two relays have the same name" in said


@pytest.mark.parametrize("name", ["IDENTITY_MASTER_KEY", "DATABASE_URL", "IDENTITY_RELAYS", "IDENTITY_PORT"])
def test_a_value_may_come_from_a_file(monkeypatch, tmp_path, name):
    """ASVS 13.3.1: so no secret has to stand in the environment."""
    value = {**PRODUCTION, "IDENTITY_PORT": "9090"}[name]
    (tmp_path / "value").write_text(value + "\n")
    monkeypatch.setenv(name, "will be taken away")
    assert refused(monkeypatch, **{name: None, f"{name}_FILE": str(tmp_path / "value")}) == []
    rows = {row["variable"]: row for row in start_checks.explained(configuration.read())}
    assert rows[name]["source"] == f"file {tmp_path / 'value'}"
    assert name not in os.environ, "a file's secret does not reach the processes we start"


def test_a_variable_counts_more_than_a_file(monkeypatch, tmp_path):
    (tmp_path / "value").write_text("9091")
    monkeypatch.setenv("IDENTITY_PORT_FILE", str(tmp_path / "value"))
    monkeypatch.setenv("IDENTITY_PORT", "9090")
    assert configuration.read().port == 9090


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("IDENTITY_MASTER_KEY_FILE", "nowhere", "IDENTITY_MASTER_KEY_FILE names nowhere, which cannot be read: "),
        ("IDENTITY_RELAYS", "[{", "IDENTITY_RELAYS is not valid JSON."),
        ("IDENTITY_PORT", "many", "IDENTITY_PORT: Input should be a valid integer"),
    ],
)  # fmt: skip
def test_the_command_line_says_what_is_wrong_in_a_sentence(tmp_path, variable, value, said):
    """No traceback, and never `the database does not answer` for a file that is missing."""
    changed = {**PRODUCTION, "IDENTITY_MASTER_KEY": None} if variable.endswith("_FILE") else PRODUCTION
    ended = run("serve", folder=tmp_path, **{**changed, variable: value})
    assert ended.returncode == 1
    assert ended.stderr.startswith(said)
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("command", ["serve", "worker", "bounce-server"])
def test_no_process_of_production_starts_without_a_master_key(tmp_path, command):
    """ATT-63, ASVS 13.2.3: whichever of them is started."""
    ended = run(command, folder=tmp_path, **{**PRODUCTION, "IDENTITY_MASTER_KEY": None})
    assert (ended.returncode, ended.stderr) == (
        1,
        "IDENTITY_MASTER_KEY must be set: 32 random bytes in base64url.\n",
    )


SECRETS = {
    "DATABASE_URL": "postgresql://app:canary-1@127.0.0.1/x",
    "DATABASE_OWNER_URL": "postgresql://owner:canary-2@127.0.0.1/x",
    "DATABASE_READ_URL": "postgresql://app:canary-3@127.0.0.1/x",
    "IDENTITY_WEBHOOK_SECRET": "canary-4",
    "IDENTITY_MASTER_KEY": "canary-5",
    "IDENTITY_RELAYS": _relay(username="relay-user", password="canary-6"),
    "IDENTITY_RATE_LIMIT_STORAGE_URL": "async+rediss://u:canary-7@redis.example.com:6379",
}


@pytest.mark.parametrize("as_json", [(), ("--json",)], ids=["text", "json"])
def test_settings_hides_every_secret_and_tells_where_each_value_comes_from(tmp_path, as_json):
    """ASVS 14.2.4, 13.3.1: and looking makes nothing on the disk."""
    ended = run("settings", *as_json, folder=tmp_path, **SECRETS, IDENTITY_PORT="9090")
    assert ended.returncode == 0
    assert "canary" not in ended.stdout + ended.stderr
    assert "relay-user" in ended.stdout
    assert list(tmp_path.iterdir()) == []
    if as_json:
        rows = {row.pop("variable"): row for row in json.loads(ended.stdout)}
        assert set(rows) == set(map(configuration.variable, Settings.model_fields))
        assert rows["IDENTITY_PORT"]["value"] == "9090"
        assert (rows["IDENTITY_PORT"]["source"], rows["IDENTITY_HOST"]["source"]) == ("environment", "default")
        assert rows["DATABASE_URL"]["value"] == "hidden"
    else:
        assert "IDENTITY_PORT=9090  (environment)" in ended.stdout
        assert "IDENTITY_HOST=127.0.0.1  (default)" in ended.stdout


def test_settings_tells_what_run_uses_instead(tmp_path):
    ended = run("settings", folder=tmp_path, DATABASE_URL=None, IDENTITY_MAIL_FROM="a@shop.example")
    assert ended.stdout.startswith("Environment production; ")
    assert f"its key and its client are in {tmp_path}/.data.\n" in ended.stdout
    assert "IDENTITY_ENVIRONMENT=production  (default; run: development)\n" in ended.stdout
    assert "IDENTITY_MAIL_FROM=a@shop.example  (environment)\n" in ended.stdout


def test_every_setting_gives_its_reason():
    assert [row["variable"] for row in start_checks.explained(Settings()) if not row["reason"]] == []


@pytest.mark.parametrize(
    ("python", "better"),
    [((3, 11, 7), "3.11.15"), ((3, 11, 15), None), ((3, 13, 2), "3.13.12"), ((3, 14, 3), None), ((3, 15, 0), None)],
)
def test_an_old_python_is_warned_about(python, better):
    """FACT-1: the guard against injected headers is ours, and the operator should still know."""
    said = start_checks.warnings(python)
    assert [better in sentence for sentence in said] == ([True] if better else [])


def test_commands_name_the_port_at_which_run_listens(tmp_path, monkeypatch):
    """`staff add` in another shell prints a link that opens: IDENTITY_PORT is set only where `run` was started."""
    monkeypatch.setenv("IDENTITY_DATA_DIR", str(tmp_path))
    assert defaults.with_dev_defaults(configuration.read()).public_url == "http://localhost:8080"
    defaults.keep_ports(tmp_path, public=8311)
    assert defaults.with_dev_defaults(configuration.read()).public_url == "http://localhost:8311"
    monkeypatch.setenv("IDENTITY_PORT", "9000")
    assert defaults.with_dev_defaults(configuration.read()).public_url == "http://localhost:9000"
    monkeypatch.setenv("IDENTITY_PUBLIC_URL", "http://id.example.com")
    assert defaults.with_dev_defaults(configuration.read()).public_url == "http://id.example.com"


@pytest.mark.parametrize("left_out", ["text_prices", "text_day_budget"])
def test_texts_need_a_carrier_countries_and_a_budget(left_out):
    """TXT-01: off unless all three are set; each alone opens nothing."""
    whole = {"carriers": [_CARRIER], "text_prices": {"DE": "0.08"}, "text_day_budget": "20"}
    assert Settings(**whole).text_regions == {"DE"}
    del whole[left_out]
    with pytest.raises(ValidationError, match="needs IDENTITY_TEXT_PRICES"):
        Settings(**whole)
    assert Settings(text_prices={"DE": "0.08"}, text_day_budget="20").text_regions == set()


def test_a_carrier_is_not_called_like_a_relay():
    """TXT-01: attempts and breakers are found by the name."""
    relay = {"name": "one", "host": "relay.example.com", "port": 465, "tls": "implicit"}
    with pytest.raises(ValidationError, match="have the same name"):
        Settings(relays=[relay], carriers=[_CARRIER], text_prices={"DE": "0.08"}, text_day_budget="20")
