"""A second process beside the first, as the tests of clients have it."""

from tests.clients.conftest import other

__all__ = ["other"]
