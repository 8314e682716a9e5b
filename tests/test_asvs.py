"""The map of ASVS is what the tests say, no more: unknown ids, unproven decisions and stale pages are found."""

import os
import re
import subprocess
import sys

import pytest

from tests import asvs, ran

ROOT = asvs.ROOT


def test_the_page_is_what_the_tests_say():
    """ASVS-META-1: a test that names another number, or ceases to, changes it."""
    assert asvs.PAGE.read_text("utf-8") == asvs.page(), "docs/asvs.md is stale: run `make tables`"


def test_no_docstring_names_an_id_that_does_not_exist():
    """ASVS-META-1: a proof of nothing."""
    assert asvs.unknown(asvs.proofs()) == set()


@pytest.mark.parametrize("name", ["ATT-67", "PWD-00", "XYZ-01", "6.9.1", "18.1.1"])
def test_an_unknown_id_is_found(name):
    assert asvs.unknown({name: (), "ATT-65": (), "FACT-12": (), "6.2.1": ()}) == {name}


@pytest.mark.parametrize(
    ("docstring", "named"),
    [
        ("RST-01, RST-02: why", ["RST-01", "RST-02"]),
        ("REL-01…03, by the checker", ["REL-01", "REL-02", "REL-03"]),
        ("OAU-20 … OAU-22: why", ["OAU-20", "OAU-21", "OAU-22"]),
        ("OAU-09 to OAU-11.", ["OAU-09", "OAU-10", "OAU-11"]),
        ("ATT-14, ASVS 3.4.3, 3.4.7 and 14.2.2: TLS 1.2.3 is no number", ["ATT-14", "3.4.3", "3.4.7", "14.2.2"]),
        ("ASVS 1.1.1, 1.1.2,\n    15.3.6: over two lines", ["1.1.1", "1.1.2", "15.3.6"]),
        ("ASVS-META-1, FACT-7", ["META-1", "FACT-7"]),
        ("CVE-2026-9802, SHA-256, UTF-8, RFC 9068, 2.1.1, GHSA-wfm4-pq59-wg6r, SP 800-63B", []),
    ],
)
def test_ids_are_read_as_people_write_them(docstring, named):
    assert list(asvs.ids(docstring)) == named


def test_every_requirement_has_exactly_one_place():
    """ASVS-META-1: 345 of them, each with a level and words; nothing is the operator's and not applicable at once."""
    given = asvs.facts()
    assert len(given["requirement"]) == 345
    assert {level for level, _ in given["requirement"].values()} == {1, 2, 3}
    places = [set(given[table]) for table in ("written", "operator", "not_applicable", "open")]
    assert set.union(*places, set(given["covered"])) <= set(given["requirement"])
    assert sum(map(len, places)) == len(set.union(*places))


def test_what_is_said_of_a_requirement_is_still_needed():
    """A note about what a test proves by now would hide it, or tell of a gap that is closed."""
    proven = {row.number for row in asvs.rows() if row.state == "proven"}
    for table in ("written", "operator", "not_applicable", "open"):
        assert set(asvs.facts()[table]) & proven == set(), table


def test_what_covers_a_requirement_are_ids_of_ours():
    cover = {name for names in asvs.facts()["covered"].values() for name in names.split()}
    assert asvs.unknown(dict.fromkeys(cover, ())) == set()
    assert not any(name[0].isdigit() for name in cover)


def test_a_requirement_is_proven_by_all_that_cover_it_or_by_its_number():
    """ASVS-META-1: half is not proven, and neither is what nobody names."""
    every = dict.fromkeys(asvs.facts()["covered"]["6.6.3"].split(), ("tests/a.py::test_a",))
    half = dict(list(every.items())[1:])
    state = {name: {row.number: row.state for row in asvs.rows(proven)}["6.6.3"] for name, proven in (
        ("all", every), ("half", half), ("none", {}), ("number", {"6.6.3": ("tests/a.py::test_a",)}),
    )}  # fmt: skip
    assert state == {"all": "proven", "half": "open", "none": "open", "number": "proven"}


def test_each_document_is_where_it_is_said_to_be():
    """ASVS-META-1: the page, and the heading on it."""
    for place in asvs.facts()["written"].values():
        path, _, anchor = place.partition("#")
        headings = re.findall(r"(?m)^#+ (.+)$", (ROOT / path).read_text("utf-8"))
        assert not anchor or anchor in {re.sub(r"[^\w -]", "", h.lower()).replace(" ", "-") for h in headings}, place


@pytest.mark.parametrize("number", range(1, 26))
def test_each_of_the_25_that_decide_is_proven(number):
    """ASVS-META-1: by number; one of its ids without a test is red."""
    found = {place: by for place, _, by in asvs.decisive()}
    assert len(found) == 25
    assert found[number]
    assert [name for name, files in found[number].items() if not files] == []


def test_one_of_the_25_without_its_test_is_found():
    without = {name: tests for name, tests in asvs.proofs().items() if name != "ATT-49"}
    assert [place for place, _, by in asvs.decisive(without) if not all(by.values())] == [17]


TREE = {
    "passes": ('def test_one():\n    """ATT-49."""\n', 0),
    "skipped for good": ('import pytest\n\n@pytest.mark.skip\ndef test_one():\n    """ATT-49."""\n', 1),
    "never collected": ('__test__ = False\n\ndef test_one():\n    """ATT-49."""\n\ndef test_two():\n    pass\n', 1),
    "names nothing": ("def test_one():\n    pass\n", 0),
}


@pytest.mark.parametrize("tree", TREE)
def test_a_proof_that_did_not_run_is_red(tmp_path, tree):
    """ASVS-META-1, FACT-7: skipped, or left out when tests were collected; it is named."""
    module, status = TREE[tree]
    (tmp_path / "tests").mkdir()
    (tmp_path / "pytest.ini").write_text("[pytest]\ntestpaths = tests\n")
    (tmp_path / "tests/test_it.py").write_text(module)
    (tmp_path / "tests/test_other.py").write_text("def test_other():\n    pass\n")
    mine = {name: value for name, value in os.environ.items() if name != "PYTEST_ADDOPTS"}
    alone = {"IDENTITY_NO_SKIPS": "1", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONPATH": str(ROOT)}
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "tests.no_skips", "-p", "tests.ran", "-p", "no:cacheprovider"],
        env={**mine, **alone}, cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert run.returncode == status, run.stdout
    assert ("did not run: tests/test_it.py::test_one" in run.stdout) == (tree == "never collected")


def test_a_test_that_is_skipped_for_good_counts_for_nothing(tmp_path):
    """ASVS-META-1, FACT-7."""
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests/test_it.py").write_text(TREE["skipped for good"][0])
    assert asvs.claims(tmp_path / "tests") == {"tests/test_it.py::test_one": set()}
    assert ran.not_passed(["a", "b"], {"b"}) == ["a"]
