"""Where no skip is allowed, each test that `docs/asvs.md` counts as a proof has passed in this run, or it is red."""

import os
from collections.abc import Iterable

import pytest

from tests import asvs

PASSED: set[str] = set()


def not_passed(counted: Iterable[str], passed: set[str]) -> list[str]:
    """Return the tests that are counted as proofs and did not pass."""
    return sorted(set(counted) - passed)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.when == "call" and report.passed:
        PASSED.add(report.nodeid.split("[")[0])


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    config = session.config
    if hasattr(config, "workerinput"):
        # One of several processes, which knows of its own tests alone; the one that began them hears of all.
        return
    chosen = config.args_source != pytest.Config.ArgsSource.TESTPATHS or config.option.keyword or config.option.markexpr
    if chosen or os.environ.get("IDENTITY_NO_SKIPS") != "1" or exitstatus != pytest.ExitCode.OK:
        return
    missing = not_passed((test for test, ids in asvs.claims(config.rootpath / "tests").items() if ids), PASSED)
    if missing:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
        reporter = config.pluginmanager.get_plugin("terminalreporter")
        for test in missing:
            reporter.write_line(f"counted as a proof, and did not run: {test}", red=True)
