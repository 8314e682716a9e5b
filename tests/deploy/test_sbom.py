"""The bill of materials: which packages run here, in a form that other tools read (CycloneDX; `make sbom`)."""

import json
import re
import shutil
import subprocess

import pytest

from tests.source import ROOT

LOCKED = re.compile(r"^([a-z0-9.-]+)(?:\[[a-z,]+\])?==([^ ;]+)", re.MULTILINE)

pytestmark = pytest.mark.skipif(
    not (ROOT / ".sbom/.installed").exists() or shutil.which("make") is None, reason="not installed: `make sbom`"
)


@pytest.fixture(scope="module")
def bill() -> dict:
    subprocess.run(["make", "-s", "sbom"], cwd=ROOT, check=True)
    return json.loads((ROOT / "sbom.cdx.json").read_text("utf-8"))


def test_it_names_every_package_of_the_lock_and_no_other(bill):
    """DEP-01, ASVS 15.1.2."""
    locked = set(LOCKED.findall((ROOT / "requirements/production.txt").read_text("utf-8")))
    assert {(one["name"], one["version"]) for one in bill["components"]} == locked
    assert ("fastapi", dict(locked)["fastapi"]) in locked
    for one in bill["components"]:
        assert one["purl"].startswith(f"pkg:pypi/{one['name']}@{one['version']}")


def test_it_has_a_hash_of_every_file_that_may_be_installed(bill):
    lock = (ROOT / "requirements/production.txt").read_text("utf-8")
    hashes = re.findall(r"--hash=sha256:([0-9a-f]{64})", lock)
    told = [
        one["content"] for part in bill["components"] for file in part["externalReferences"] for one in file["hashes"]
    ]
    assert sorted(told) == sorted(hashes)
    assert bill["metadata"]["component"]["name"] == "identity-service"
