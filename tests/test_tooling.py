"""The repository's own tools say what they do, call one another, and fetch nothing that is not pinned."""

import configparser
import json
import re
import stat
import subprocess
import tomllib

import pytest
import yaml
from aiosmtpd.smtp import Envelope

from identity_service.dev import mailbox
from tests import migration_sql
from tests.source import ROOT

MAKEFILE = (ROOT / "Makefile").read_text("utf-8")
WORKFLOW = (ROOT / ".github/workflows/ci.yml").read_text("utf-8")
PUBLIC = re.findall(r"(?m)^([a-z-]+):", MAKEFILE)


def make(*arguments: str) -> str:
    """Return what make prints; nothing is built."""
    run = subprocess.run(["make", *arguments], cwd=ROOT, capture_output=True, text=True, check=True)
    return run.stdout


def test_make_lists_every_target_with_a_sentence():
    said = dict(re.findall(r"(?m)^make ([a-z-]+) +(\S.*)\.$", make("--no-print-directory")))
    assert list(said) == PUBLIC
    assert {"help", "run", "test", "test-unit", "lint"} <= set(said)


@pytest.mark.parametrize(
    ("arguments", "called"),
    [
        (("test",), "-m pytest -n auto --maxprocesses 4 --dist loadfile"),
        (("test", "T=tests/test_tokens.py::test_one[a b]"), "-m pytest -n 0 'tests/test_tokens.py::test_one[a b]'"),
        (("test", "T=tests/clients", "ARGS=-x"), "-m pytest -n 0 'tests/clients' -x"),
        (("test-unit",), "-m pytest -n 0 tests/unit"),
    ],
)
def test_make_test_runs_what_it_is_told(arguments, called):
    (line,) = [line for line in make("--dry-run", *arguments).splitlines() if " pytest " in line]
    assert line.partition("/python ")[2].strip() == called


def test_the_workflow_only_calls_the_script_of_ci():
    (job,) = yaml.safe_load(WORKFLOW)["jobs"].values()
    commands = [step["run"] for step in job["steps"] if "run" in step]
    assert commands[-1] == ".ci/run"
    assert all(command.startswith("git config ") for command in commands[:-1])


def test_the_workflow_may_only_read_and_its_actions_are_pinned():
    workflow = yaml.safe_load(WORKFLOW)
    assert workflow["permissions"] == {"contents": "read"}
    assert not any("permissions" in job for job in workflow["jobs"].values())
    used = re.findall(r"(?m)uses: (.+)$", WORKFLOW)
    assert used
    for action in used:
        assert re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", action), action


def test_the_workflow_runs_on_pythons_that_the_package_supports():
    (job,) = yaml.safe_load(WORKFLOW)["jobs"].values()
    classifiers = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["classifiers"]
    supported = [name.rpartition(" :: ")[2] for name in classifiers]
    assert job["strategy"]["matrix"]["python"][0] == "3.11"
    assert set(job["strategy"]["matrix"]["python"]) <= set(supported)


HOOKS = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text("utf-8"))["repos"]


def test_hooks_run_what_the_lock_installed():
    assert [group["repo"] for group in HOOKS] == ["local"]
    for hook in HOOKS[0]["hooks"]:
        assert hook["language"] == "pygrep" or hook["entry"].startswith(".venv/bin/"), hook["id"]
    called = {hook["entry"].removeprefix(".venv/bin/").split(" --")[0] for hook in HOOKS[0]["hooks"]}
    assert {"ruff check", "ruff format", "mypy", "typos"} <= called


@pytest.mark.parametrize(
    ("message", "taken"),
    [
        ("outbox: claim messages under a lease", True),
        (
            "outbox: claim messages under a lease\n\nA worker that dies must not keep them, whatever the reason is.",
            True,
        ),
        (f"outbox: {'x' * 52}", True),
        (f"outbox: {'x' * 53}", False),
        ("Claim messages under a lease", False),
        ("outbox:claim", False),
        ("\noutbox: claim", False),
        ("", False),
        ("fixup! outbox: claim messages under a lease", True),
        ("Merge branch 'main'", True),
    ],
)
def test_a_commit_says_its_area_in_60_characters(message, taken):
    (hook,) = [hook for hook in HOOKS[0]["hooks"] if hook["id"] == "commit-subject"]
    assert hook["args"] == ["--multiline", "--negate"]
    # The flags with which pre-commit reads a pattern over several lines.
    assert bool(re.search(hook["entry"], message, re.MULTILINE | re.DOTALL)) is taken


def test_forms_of_the_host_are_well_formed():
    for path in (ROOT / ".github/ISSUE_TEMPLATE").glob("*.yml"):
        form = yaml.safe_load(path.read_text("utf-8"))
        if path.name == "config.yml":
            continue
        assert {"name", "description", "body"} <= set(form), path.name
        ids = [field["id"] for field in form["body"] if field["type"] != "markdown"]
        assert ids, path.name
        assert len(ids) == len(set(ids)), path.name


def test_the_development_container_prepares_what_ci_prepares():
    container = json.loads((ROOT / ".devcontainer/devcontainer.json").read_text("utf-8"))
    assert container["postCreateCommand"] in (ROOT / ".ci/run").read_text("utf-8").splitlines()


def test_editors_and_the_linter_agree_on_the_length_of_a_line():
    editors = configparser.ConfigParser()
    editors.read_string("[top]\n" + (ROOT / ".editorconfig").read_text("utf-8"))
    ruff = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["ruff"]
    assert editors["*.py"]["max_line_length"] == str(ruff["line-length"])
    assert editors["Makefile"]["indent_style"] == "tab"


def test_the_sql_of_every_migration_is_written_without_a_database():
    written = migration_sql.written()
    assert written
    for revision, sql in written.items():
        assert f"version_num='{revision}'" in sql or f"VALUES ('{revision}')" in sql


@pytest.mark.parametrize(
    ("statement", "rule"),
    [
        ("ALTER TABLE account ADD CONSTRAINT ck CHECK (colour <> '');", "constraint-missing-not-valid"),
        ("CREATE INDEX ix ON account (colour);", "require-concurrent-index-creation"),
        ("ALTER TABLE account ALTER COLUMN colour SET NOT NULL;", "adding-not-nullable-field"),
        ("ALTER TABLE account DROP COLUMN colour;", "ban-drop-column"),
        ("ALTER TABLE account RENAME COLUMN colour TO tone;", "renaming-column"),
        ("DROP TABLE account;", "ban-drop-table"),
        ("ALTER TABLE account ADD COLUMN seen_at TIMESTAMP;", "prefer-timestamp-tz"),
    ],
)
def test_a_planted_statement_is_found_by_squawk(statement, rule):
    found = migration_sql.complaints({"9999": f"{migration_sql.TIMEOUTS}BEGIN;\n{statement}\nCOMMIT;\n"})
    assert any(rule in line for line in found), found
    assert migration_sql.complaints({"9999": f"{migration_sql.TIMEOUTS}BEGIN;\n{statement}\nCOMMIT;\n"}, rule) == []


@pytest.mark.parametrize("before", ["new", "open to all"])
def test_the_mailbox_of_development_is_its_owners_alone(tmp_path, before):
    """R31: the links in its emails work; other users of the machine must not read them."""
    folder = tmp_path / "mailbox"
    if before == "open to all":
        folder.mkdir(mode=0o755)
        folder.chmod(0o755)
    box = mailbox.Mailbox(folder)
    envelope = Envelope()
    envelope.mail_from, envelope.rcpt_tos, envelope.content = "a@example.org", ["b@example.org"], b"Subject: x\n\ny\n"
    box.keep(envelope)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert len(box.letters()) == 1
