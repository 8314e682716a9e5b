"""What `docs/protection.md` says of limits and times is what the code does."""

import re

import pytest

from identity_service.privacy import inventory
from identity_service.web import routing
from identity_service.web.server import LimitedProtocol
from tests import protection, tables

TEXT = protection.PAGE.read_text("utf-8")


@pytest.mark.parametrize("heading", protection.of_code())
def test_the_tables_are_what_the_code_says(heading):
    """ASVS 2.1.3, 7.1.1: a limit or a time that changes changes the page."""
    assert tables.rows_under(heading, TEXT) == protection.of_code()[heading], "run `make tables`"
    assert len(protection.of_code()[heading]) >= 15


def test_every_limit_in_the_code_is_told():
    """A new one has to be named; one that is gone must not stay."""
    assert set(protection.WHOSE) == set(protection.rates())


def test_the_sizes_are_those_of_the_doors():
    assert (routing.BODY_LIMIT, routing.BATCH_LIMIT) == (64 << 10, 4 << 20)
    text = " ".join(TEXT.split())
    assert "has at most 64 KiB, a permission question or a batch of history entries or IDs 4 MiB." in text
    assert (LimitedProtocol.head_seconds, LimitedProtocol.head_bytes, routing.BODY_SECONDS) == (10, 32 << 10, 30)
    assert "The head of a request has at most ten seconds and 32 KiB, its body 30 seconds." in text


def test_the_classes_of_data_are_those_of_the_map():
    """ASVS 14.1.2."""
    part = TEXT.partition("\n## Classes of data\n")[2].partition("\n## ")[0]
    classes = {kind for table in inventory.INVENTORY.values() for kind in table.columns.values()}
    assert set(re.findall(r"(?m)^\| (\w+) \|", part)) - {"class"} == classes
