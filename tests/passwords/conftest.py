"""The real command line and a second process, as the tests of clients have them; and how often argon2 is asked."""

import io

import pytest

from identity_service import logs
from tests.clients.conftest import command, other

__all__ = ["asked", "command", "other"]


class Counting:
    """The library's hasher, and what it was asked to do."""

    def __init__(self, inner) -> None:
        self.inner, self.verified, self.hashed = inner, [], 0

    def verify(self, phc, password):
        self.verified.append((phc, password))
        return self.inner.verify(phc, password)

    def hash(self, password):
        self.hashed += 1
        return self.inner.hash(password)

    def check_needs_rehash(self, phc):
        return self.inner.check_needs_rehash(phc)


@pytest.fixture
def asked(service) -> Counting:
    """What argon2 is asked by the application in this test."""
    hasher = service.app.state.hasher
    hasher._hasher = Counting(hasher._hasher)
    return hasher._hasher


@pytest.fixture
def written():
    """What is written to the log in this test."""
    stream = io.StringIO()
    logs.configure("json", stream=stream)
    yield stream
    logs.configure("json")
