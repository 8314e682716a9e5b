"""What cannot run must not look as if it had run, where everything it needs is installed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SKIPPED = "import pytest\n\ndef test_one():\n    pytest.skip('no such thing here')\n"
ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize(
    ("module", "wanted", "status"),
    [
        (SKIPPED, "1", 1),
        (SKIPPED, "", 0),
        ("import pytest\npytest.skip('nor here', allow_module_level=True)\n", "1", 5),
        (SKIPPED + "\ndef test_two():\n    pass\n", "1", 1),
        ("def test_two():\n    pass\n", "1", 0),
    ],
)
def test_a_skip_is_red_where_none_is_allowed(tmp_path: Path, module: str, wanted: str, status: int):
    (tmp_path / "test_it.py").write_text(module)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    alone = {"IDENTITY_NO_SKIPS": wanted, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "tests.no_skips", "-p", "no:cacheprovider", str(tmp_path)],
        env={**os.environ, **alone}, cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert run.returncode == status, run.stdout
    assert ("which is red here" in run.stdout) == ("skip" in module and wanted == "1")
