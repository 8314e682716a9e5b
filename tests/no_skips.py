"""With IDENTITY_NO_SKIPS=1 a skipped test is red: `.ci/run` has everything that a test could want to be skipped for.

Without it a machine that lacks Postfix or Chromium runs what it can, and each skip says what is missing.
"""

import os

import pytest


def _skipped(config: pytest.Config) -> int:
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    wanted = os.environ.get("IDENTITY_NO_SKIPS") == "1" and reporter is not None
    return len(reporter.stats.get("skipped", [])) if wanted else 0


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    if exitstatus == pytest.ExitCode.OK and _skipped(session.config):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter, config: pytest.Config) -> None:
    if count := _skipped(config):
        terminalreporter.write_line(f"IDENTITY_NO_SKIPS=1: {count} skipped, which is red here", red=True)
