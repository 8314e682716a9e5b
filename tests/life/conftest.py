"""The real command line, beside the service on the same database."""

from tests.clients.conftest import command  # noqa: F401
