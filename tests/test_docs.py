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
    str(path.relative_to(ROOT)): path.read_text("utf-8")
    for path in (*sorted(ROOT.glob("*.md")), *sorted(ROOT.glob("docs/**/*.md")))
}
README = DOCUMENTS["README.md"]
MAKEFILE = (ROOT / "Makefile").read_text("utf-8")
TARGETS = set(re.findall(r"(?m)^([a-z-]+):", MAKEFILE))


@pytest.mark.parametrize("heading", tables.of_code())
def test_a_page_of_the_reference_has_every_name_and_no_other(heading):
    written = tables.rows_under(heading, tables.page(heading).read_text("utf-8"))
    assert written == tables.of_code()[heading], "the table is not what the code says: run `make tables`"
    assert written != []


@pytest.mark.parametrize("heading", tables.of_code())
def test_a_planted_row_and_a_missing_one_are_found(heading):
    rows, text = tables.of_code()[heading], tables.page(heading).read_text("utf-8")
    for changed in (text.replace(rows[0] + "\n", ""), text.replace(rows[0], f"{rows[0]}\n| `colour` | – | x |")):
        assert tables.rows_under(heading, changed) != rows
        assert tables.renewed(changed, {heading: rows}) == text


def test_errors_are_those_that_a_caller_can_meet():
    codes = {problem.code() for problem in tables.errors()}
    assert {"email_taken", "missing_scope", "database_unavailable", "migrations_missing"} <= codes
    assert not {"problem", "not_found", "conflict"} & codes


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_variable_that_is_named_exists(name):
    known = {settings.variable(field) for field in Settings.model_fields} | {"TEST_DATABASE_URL", "IDENTITY_NO_SKIPS"}
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


def test_the_page_of_commands_has_every_command_and_no_other():
    listed = re.findall(r"(?m)^\| `identity-service ([a-z -]+)` \|", DOCUMENTS["docs/reference/commands.md"])
    assert sorted(listed) == sorted(name for name, _ in commands())


def test_the_readme_stays_short():
    assert len(README.splitlines()) <= 250


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


def test_the_architecture_shows_every_folder_of_the_product():
    part = DOCUMENTS["docs/architecture.md"].partition("\n### The folders\n")[2].partition("\n## ")[0]
    folders = {folder.name for folder in FOLDER.iterdir() if folder.is_dir() and folder.name != "__pycache__"}
    assert {folder for folder in folders if f"`{folder}/`" not in part} == set()


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


def test_decisions_are_numbered_and_listed():
    files = sorted((ROOT / "docs/decisions").glob("[0-9]*.md"))
    titles = [path.read_text("utf-8").splitlines()[0] for path in files]
    assert [int(path.name[:4]) for path in files] == list(range(1, len(files) + 1))
    listed = re.findall(r"(?m)^\| (\d+) \| \[(.+)\]\((.+)\) \|$", DOCUMENTS["docs/decisions/README.md"])
    assert [(f"# {number}. {title}", name) for number, title, name in listed] == [
        (title, path.name) for title, path in zip(titles, files, strict=True)
    ]


@pytest.mark.parametrize("name", [name for name in DOCUMENTS if name.startswith("docs/decisions/0")])
def test_a_decision_has_context_decision_consequences_and_refused_alternatives(name):
    parts = re.split(r"(?m)^## (.+)\n", DOCUMENTS[name])
    assert parts[1::2] == ["Context", "Decision", "Consequences", "Refused alternatives"]
    assert all(part.strip() for part in parts[2::2])
    assert re.search(r"(?m)^Status: (accepted|replaced by decision \d+)\b", parts[0])


def glossary_rows(text: str) -> list[list[str]]:
    """Return the rows of every table of the glossary, cell by cell."""
    rows = [line.strip("|").split("|") for line in text.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in row] for row in rows if row[0].strip() != "word"]


def test_the_glossary_explains_each_word_once_in_one_sentence():
    rows = glossary_rows(DOCUMENTS["docs/glossary.md"])
    words = [word.strip() for row in rows for word in row[0].split(",")]
    assert len(words) > 80
    assert sorted(words) == sorted(set(words))
    for row in rows:
        word, meaning, *others = row
        assert len(others) == 1, word
        assert others[0], word
        assert meaning.endswith("."), word
        assert ". " not in meaning, word


REPLACED = re.compile(r"\b(?:e-mails?|letters?|doors?|roads?|courier|fate|anew)\b", re.IGNORECASE)
"""Words that the glossary replaces (decision 23)."""
GENERATED = {f"docs/reference/{heading.lower()}.md" for heading in tables.of_code()} | {"docs/asvs.md"}
ABOUT_WORDS = {"docs/glossary.md", "docs/decisions/0023-names-are-for-strangers.md"}


def prose(text: str) -> str:
    """Return a page without code."""
    return re.sub(r"(?s)```.*?```|`[^`]*`", "", text)


@pytest.mark.parametrize("name", sorted(DOCUMENTS.keys() - GENERATED - ABOUT_WORDS))
def test_prose_uses_no_word_that_the_glossary_replaces(name):
    assert REPLACED.findall(prose(DOCUMENTS[name])) == []


def test_a_planted_house_word_is_found_and_one_in_code_is_not():
    planted = prose("An E-mail\n`mail letters`\n```sh\nletters\n```\nand the doors of a road")
    assert REPLACED.findall(planted) == ["E-mail", "doors", "road"]


def test_no_machine_and_no_index_is_named_in_any_file():
    """A lock with an address in it installs from there alone."""
    others = ("Makefile", "Dockerfile", ".dockerignore", "mkdocs.yml", "pyproject.toml", ".ci/run")
    files = [ROOT / name for name in (*DOCUMENTS, *others)]
    for path in [*files, *sorted((ROOT / "requirements").glob("*.txt"))]:
        found = re.findall(r"(?<!emit-)index-url|--find-links|/home/\w+|/root/", path.read_text("utf-8"))
        assert found == [], Path(path).name
