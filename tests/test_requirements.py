"""docs/requirements.md explains every requirement id that the tree cites, once, and no other."""

import re
from pathlib import Path

import pytest

from tests import asvs
from tests.source import ROOT

PAGE = ROOT / "docs/requirements.md"
FOLDERS = ("identity_service", "tests", "docs", "migrations", "openapi", "deploy", "clients", "bench", ".ci")
# asvs.md is generated and lists ids that nothing cites; test_asvs.py plants ids that do not exist.
SKIPPED = {
    PAGE.name,
    "asvs.md",
    "test_asvs.py",
    Path(__file__).name,
    "node_modules",
    "package-lock.json",
    "__pycache__",
}


def _ids(path: Path) -> set[str]:
    try:
        return {name for name in asvs.ids(path.read_text("utf-8")) if name[0].isalpha()}
    except UnicodeDecodeError:  # a picture
        return set()


def _cited() -> set[str]:
    paths = [*ROOT.glob("*"), *(path for folder in FOLDERS for path in (ROOT / folder).rglob("*"))]
    return set().union(*(_ids(path) for path in paths if path.is_file() and not SKIPPED & {*path.parts}))


def _faults(page: str, cited: set[str]) -> set[str]:
    """Return what is wrong with a page; a section with "not yet built" in its heading holds ids that nothing cites."""
    built: list[str] = []
    planned: list[str] = []
    for section in page.split("\n## "):
        is_planned = "not yet built" in section.partition("\n")[0].lower()
        (planned if is_planned else built).extend(re.findall(r"(?m)^- \*\*([A-Z]{3,4}-\d+)\*\* \w.*\.$", section))
    return {
        *(f"missing: {name}" for name in cited - {*built, *planned}),
        *(f"twice: {name}" for name in built + planned if (built + planned).count(name) > 1),
        *(f"cited nowhere: {name}" for name in {*built} - cited),
        *(f"built by now: {name}" for name in {*planned} & cited),
    }


def test_every_cited_id_has_one_sentence_and_no_other_id_has_one():
    assert _faults(PAGE.read_text("utf-8"), _cited()) == set()


@pytest.mark.parametrize(
    ("page", "fault"),
    [
        ("## A\n- **AAA-01** One.\n- **AAA-02**\n", {"missing: AAA-02"}),
        ("## A\n- **AAA-01** One.\n- **AAA-02** Two.\n\n## B\n- **AAA-01** Again.\n", {"twice: AAA-01"}),
        ("## A\n- **AAA-01** One.\n- **AAA-02** Two.\n- **AAA-03** Three.\n", {"cited nowhere: AAA-03"}),
        ("## A\n- **AAA-01** One.\n\n## Not yet built\n- **AAA-02** Two.\n", {"built by now: AAA-02"}),
        ("## A\n- **AAA-01** One.\n- **AAA-02** Two.\n\n## B (not yet built)\n- **AAA-03** Three.\n", set()),
    ],
)
def test_a_planted_fault_is_found(page, fault):
    assert _faults(page, {"AAA-01", "AAA-02"}) == fault
