"""IDN-11: the parsers under atheris, which follows what an input reaches; no crash, and no input that takes seconds.

atheris is made for CPython 3.11 to 3.13 on Linux and x86-64, and lives in an environment of its own (`make fuzzing`).
Elsewhere `conftest.py` leaves this file out, and Hypothesis alone searches (`test_parsers.py`).
"""

import subprocess

import pytest

from tests.abuse import budget
from tests.abuse.parsers import PARSERS
from tests.source import ROOT
from tests.test_email_addresses import FACT_4, MORE_THAN_ONE
from tests.test_user_ids_read import HEARD_AS

PYTHON = ROOT / ".fuzzing/bin/python"
SHORT = 2
FROM_TABLES = {"address": [*FACT_4.values(), *MORE_THAN_ONE.values()], "user_id": [letter * 12 for letter in HEARD_AS]}
"""The ordinary tests' tables are a good corpus to begin with."""

pytestmark = pytest.mark.skipif(not PYTHON.exists(), reason="atheris is not there: `make fuzzing`")


def fuzz(name: str, folder, *options: str) -> subprocess.CompletedProcess[str]:
    corpus = folder / "corpus"
    corpus.mkdir()
    seeds = [*PARSERS[name].seeds, *(text.encode("utf-8", "surrogatepass") for text in FROM_TABLES.get(name, []))]
    for number, seed in enumerate(seeds):
        (corpus / str(number)).write_bytes(seed)
    # libFuzzer limits the memory that the kernel has ever counted for its process, and a process that is started takes
    # over the count of the one that starts it: the shell between them is small, whatever this process has grown to.
    between = ("sh", "-c", '"$@"; exit $?', "sh")
    return subprocess.run(
        [*between, PYTHON, "-m", "tests.abuse.fuzz", name, "-timeout=5", "-max_len=8192", f"-artifact_prefix={folder}/",
         *options, corpus],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.mark.timeout(120 + 2 * budget.SECONDS)
@pytest.mark.parametrize("name", PARSERS)
def test_nothing_that_a_fuzzer_finds_breaks_a_parser(name, tmp_path):
    """IDN-11, ASVS 1.3.12: no error but the documented ones, and less than 5 s for any 8 KiB."""
    ended = fuzz(name, tmp_path, f"-max_total_time={int(budget.SECONDS) or SHORT}")
    found = {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}
    assert (ended.returncode, found) == (0, {}), ended.stderr[-3000:]
    assert "Done " in ended.stderr
