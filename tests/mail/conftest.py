"""What the tests of returned mail share."""

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.mail.sns import Sns


@pytest.fixture(scope="session")
def key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@pytest.fixture
def sns(service, key) -> Sns:
    return Sns(service, key)
