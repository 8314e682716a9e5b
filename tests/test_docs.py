"""What the documents say is what the code does: tables, commands, links, versions. An undocumented setting fails."""

import re
import tomllib
from pathlib import Path

import pytest

from identity_service import __version__, settings
from identity_service.settings import Settings
from tests import tables
from tests.source import FOLDER, ROOT
from tests.test_command_line import commands

DOCUMENTS = {
    name: (ROOT / name).read_text("utf-8")
    for name in (
        "README.md",
        "CONTRIBUTING.md",
        "CHANGELOG.md",
        "SECURITY.md",
        "docs/runbook.md",
        "docs/scale.md",
        "docs/protection.md",
    )
}
README = DOCUMENTS["README.md"]
MAKEFILE = (ROOT / "Makefile").read_text("utf-8")
TARGETS = set(re.findall(r"(?m)^([a-z-]+):", MAKEFILE))


@pytest.mark.parametrize("heading", tables.of_code())
def test_every_name_stands_in_the_readmes_table_and_no_other(heading):
    said = tables.of_readme(heading, README)
    assert said == tables.of_code()[heading], "the table is not what the code says: run `make tables`"
    assert said != []


@pytest.mark.parametrize("heading", tables.of_code())
def test_a_planted_row_and_a_missing_one_are_found(heading):
    rows = tables.of_code()[heading]
    for changed in (README.replace(rows[0] + "\n", ""), README.replace(rows[0], f"{rows[0]}\n| `colour` | – | x |")):
        assert tables.of_readme(heading, changed) != rows
        assert tables.of_readme(heading, tables.renewed(changed)) == rows


def test_errors_are_those_that_a_caller_can_meet():
    codes = {problem.code() for problem in tables.errors()}
    assert {"email_taken", "missing_scope", "database_away", "migrations_missing"} <= codes
    assert not {"problem", "not_found", "conflict"} & codes


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_variable_that_is_named_exists(name):
    known = {settings.variable(field) for field in Settings.model_fields} | {"TEST_DATABASE_URL"}
    named = set(re.findall(r"\b(?:IDENTITY|DATABASE|TEST_DATABASE)_[A-Z_]+\b", DOCUMENTS[name]))
    assert {variable.removesuffix("_FILE") for variable in named} - known == set()


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_make_target_that_is_named_exists(name):
    named = set(re.findall(r"(?:`|^)make ([a-z-]+)", DOCUMENTS[name], re.MULTILINE))
    assert named - TARGETS == set()


def test_every_make_target_is_named():
    named = set(re.findall(r"make ([a-z-]+)", README + DOCUMENTS["CONTRIBUTING.md"]))
    assert TARGETS - named == set()
    (phony,) = re.findall(r"(?m)^\.PHONY: (.+)$", MAKEFILE)
    assert set(phony.split()) == TARGETS


def test_every_command_stands_in_the_readmes_table_and_no_other():
    part = README.partition("\n## Commands\n")[2].partition("\n## ")[0]
    said = re.findall(r"(?m)^\| `identity-service ([a-z -]+)` \|", part)
    assert sorted(said) == sorted(name for name, _ in commands())


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_command_that_is_named_exists(name):
    known = {name for name, _ in commands()}
    for said in re.findall(r"`identity-service ((?:[a-z-]+ ?)+)[A-Z]*`", DOCUMENTS[name]):
        assert said.strip() in known, said


def _anchors(text: str) -> set[str]:
    headings = re.findall(r"(?m)^#+ (.+)$", re.sub(r"(?ms)^```.*?^```", "", text))
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_relative_link_leads_somewhere(name):
    for target in re.findall(r"\]\(([^)\s]+)\)", DOCUMENTS[name]):
        path, _, anchor = target.partition("#")
        if re.match(r"[a-z]+:", target):
            assert target.startswith("https://"), target
            continue
        led = (ROOT / name).parent / path if path else ROOT / name
        assert led.exists(), target
        assert not anchor or anchor in _anchors(led.read_text("utf-8")), target


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_file_that_is_named_exists(name):
    places = re.findall(
        r"`((?:identity_service|tests|openapi|migrations|requirements|\.ci)/[\w./*-]*)`", DOCUMENTS[name]
    )
    for place in places:
        assert list(ROOT.glob(place.rstrip("/"))), place


def test_the_map_shows_every_folder_of_the_product():
    part = README.partition("\n## The map\n")[2].partition("\n## ")[0]
    for folder in FOLDER.iterdir():
        if folder.is_dir() and folder.name != "__pycache__":
            assert f"`identity_service/{folder.name}/`" in part, folder.name


def test_the_package_tells_its_concepts():
    """The map in ten lines, in the package itself."""
    told = (FOLDER / "__init__.py").read_text("utf-8")
    for folder in (path.parent for path in FOLDER.glob("*/__init__.py")):
        assert f"{folder.name}/" in told


def test_the_test_command_of_the_readme_is_the_one_that_ci_calls():
    called = (ROOT / ".ci/run").read_text("utf-8").splitlines()
    assert "make test" in called
    assert "make lint" in called
    assert "make test " in README.partition("## Two commands")[2].partition("## ")[0]


def test_there_is_one_version():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    newest = re.search(r"\d+\.\d+\.\d+(?=\.?\s)", DOCUMENTS["CHANGELOG.md"].partition("\n## ")[2])
    assert newest is not None
    assert project["version"] == __version__ == newest[0]
    assert f"Version {__version__};" in README


def test_the_changelog_keeps_its_form():
    text = DOCUMENTS["CHANGELOG.md"]
    assert re.findall(r"(?m)^## (.+)$", text)[0] == "Unreleased"
    assert set(re.findall(r"(?m)^### (.+)$", text)) <= {
        "Added",
        "Changed",
        "Deprecated",
        "Removed",
        "Fixed",
        "Security",
    }
    for line in re.findall(r"(?m)^- .*$", text):
        assert line.endswith("."), line


def test_every_decision_says_what_was_true_what_we_do_what_it_costs_and_what_we_refused():
    part = DOCUMENTS["CONTRIBUTING.md"].partition("\n## Decisions\n")[2]
    decisions = re.split(r"(?m)^### ", part)[1:]
    assert [int(decision.split(".")[0]) for decision in decisions] == list(range(1, len(decisions) + 1))
    assert len(decisions) >= 15
    for decision in decisions:
        assert re.findall(r"(?m)^\*(\w[\w ]+)\*:", decision) == ["True", "We do", "Costs", "Refused"], decision[:40]


def test_no_machine_and_no_index_is_named_in_any_file():
    """A lock with an address in it installs from there alone."""
    files = [
        ROOT / name for name in (*DOCUMENTS, "Makefile", "Dockerfile", ".dockerignore", "pyproject.toml", ".ci/run")
    ]
    for path in [*files, *sorted((ROOT / "requirements").glob("*.txt"))]:
        found = re.findall(r"(?<!emit-)index-url|--find-links|/home/\w+|/root/", path.read_text("utf-8"))
        assert found == [], Path(path).name
