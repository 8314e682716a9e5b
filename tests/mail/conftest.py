"""What the tests of returned mail share."""

from collections.abc import Callable, Iterator

import pytest
import structlog
from cryptography.hazmat.primitives.asymmetric import rsa

from identity_service.messages.inbound import webhooks
from tests.mail.sns import Sns


@pytest.fixture(scope="session")
def key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@pytest.fixture
def sns(service, key) -> Sns:
    return Sns(service, key)


@pytest.fixture
def told() -> Iterator[Callable[[], list[str]]]:
    """Return what the log says about webhooks that are set up wrongly, as of a process that has just started."""
    webhooks.tell_misconfigured.cache_clear()
    with structlog.testing.capture_logs() as lines:
        yield lambda: [line["what"] for line in lines if line["event"] == "webhook.misconfigured"]
