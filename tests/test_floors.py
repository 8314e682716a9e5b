"""No locked package is older than the version that mended a hole which would matter here."""

import re
import tomllib

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from tests.source import ROOT

LOCKS = ("production", "development")
FLOORS = {
    "aiosmtpd": "1.4.6",  # CVE-2024-34083: what follows STARTTLS in clear
    "aiosmtplib": "5.1.3",  # GHSA-v3q9-hj7j-63hq: commands in an address
    "authlib": "1.9.0",  # CVE-2026-27962, -28802, -28490, -41479, -44681
    "cryptography": "50",  # its wheels carry OpenSSL
    "fastapi": "0.109.1",  # CVE-2021-32677, CVE-2024-24762
    "httptools": "0.6.3",  # llhttp's reading of a message's length
    "idna": "3.15",  # CVE-2024-3651, CVE-2026-45409: quadratic time
    "joserfc": "1.7.4",
    "protobuf": "6.33.5",  # of the telemetry extra
    "requests": "2.33.0",  # of the telemetry extra
    "starlette": "1.3.0",  # CVE-2024-47874, CVE-2026-48710, -54282
    "urllib3": "2.7.0",  # of the telemetry extra; CVE-2026-44431, -44432
}


def below(lock: str) -> dict[str, str]:
    """Return the packages of a lock that lie below their floor, or are not in it."""
    locked = dict(re.findall(r"(?m)^([a-z0-9-]+)==([\w.]+)", lock))
    return {
        name: locked.get(name, "missing")
        for name, floor in FLOORS.items()
        if name not in locked or Version(locked[name]) < Version(floor)
    }


def read(lock: str) -> str:
    return (ROOT / f"requirements/{lock}.txt").read_text("utf-8")


@pytest.mark.parametrize("lock", LOCKS)
def test_no_locked_package_has_a_known_hole(lock):
    """DEP-01, FACT-7: compared here, without a network that could fail in silence."""
    assert below(read(lock)) == {}


@pytest.mark.parametrize("name", FLOORS)
def test_a_lowered_entry_is_found(name):
    """DEP-01: each floor, in a copy."""
    lowered = re.sub(rf"(?m)^{name}==[\w.]+", f"{name}==0.0.1", read("production"))
    assert below(lowered) == {name: "0.0.1"}
    assert name in below(re.sub(rf"(?m)^{name}==[\w.]+", "", read("production")))


def declared() -> dict[str, Version]:
    """Return the lowest version that pyproject.toml allows of each package, extras included."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = project["optional-dependencies"]
    wanted = map(Requirement, [*project["dependencies"], *(one for name in extras for one in extras[name])])
    return {
        one.name: Version(bound.version) for one in wanted for bound in one.specifier if bound.operator in (">=", "==")
    }


@pytest.mark.parametrize("name", FLOORS)
def test_whoever_installs_without_the_lock_gets_no_known_hole(name):
    """DEP-01, R31: the floors stand in pyproject.toml too."""
    assert declared()[name] >= Version(FLOORS[name])


def test_no_audit_runs_that_passes_without_its_feed():
    """FACT-7: pip-audit says that nothing is known when it could ask nobody; only --strict tells the two apart."""
    for name in ("Makefile", ".ci/run", "Dockerfile"):
        for line in (ROOT / name).read_text("utf-8").splitlines():
            assert "pip-audit" not in line or "--strict" in line, name
