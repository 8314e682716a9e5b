"""What `docs/protection.md` says of limits and times is what the code does."""

import re

import pytest

from identity_service import doors
from identity_service.consents import api as consents
from identity_service.life import data_map
from identity_service.server import LimitedProtocol
from tests import protection, tables

TEXT = protection.PAGE.read_text("utf-8")


@pytest.mark.parametrize("heading", protection.of_code())
def test_the_tables_are_what_the_code_says(heading):
    """ASVS 2.1.3, 7.1.1: a limit or a time that changes changes the page."""
    assert tables.of_readme(heading, TEXT) == protection.of_code()[heading], "run `make tables`"
    assert len(protection.of_code()[heading]) >= 15


def test_every_limit_in_the_code_is_told():
    """A new one has to be named; one that is gone must not stay."""
    assert set(protection.WHOSE) == set(protection.rates())


def test_the_sizes_are_those_of_the_doors():
    assert (doors.BODY_LIMIT, consents.PERMISSIONS_LIMIT, doors.BATCH_LIMIT) == (64 << 10, 512 << 10, 1 << 20)
    assert "Bodies have at most 64 KiB, questions for permissions 512 KiB, batches of history and of IDs 1 MiB." in TEXT
    assert (LimitedProtocol.head_seconds, LimitedProtocol.head_bytes, doors.BODY_SECONDS) == (10, 32 << 10, 30)
    assert "The head of a request has ten seconds and 32 KiB, its body 30 seconds." in TEXT


def test_the_classes_of_data_are_those_of_the_map():
    """ASVS 14.1.2."""
    part = TEXT.partition("\n## Classes of data\n")[2].partition("\n## ")[0]
    classes = {kind for table in data_map.MAP.values() for kind in table.columns.values()}
    assert set(re.findall(r"(?m)^\| (\w+) \|", part)) - {"class"} == classes
