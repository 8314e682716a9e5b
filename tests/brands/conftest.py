"""A service with two brands."""

import pytest

from tests.brands.given import write_both


@pytest.fixture
def settings(settings, tmp_path):
    return settings.model_copy(update={"brands_dir": write_both(tmp_path / "brands")})
