"""Texts are on: two carriers, two countries, a budget."""

import ipaddress
from collections.abc import AsyncIterator
from decimal import Decimal

import pytest

from identity_service.settings import Settings
from identity_service.web import outbound
from tests.conftest import Service
from tests.texts.carrier import FakeCarrier
from tests.texts.given import Texts


@pytest.fixture
async def carriers() -> AsyncIterator[tuple[FakeCarrier, FakeCarrier]]:
    a, b = await FakeCarrier(name="a").start(), await FakeCarrier(name="b").start()
    yield a, b
    await a.stop()
    await b.stop()


@pytest.fixture
def settings(settings: Settings, carriers) -> Settings:
    return settings.model_copy(
        update={
            "carriers": tuple(one.settings for one in carriers),
            "text_prices": {"DE": Decimal("0.08"), "US": Decimal("0.01")},
            "text_day_budget": Decimal(100),
            "outbound_networks": (ipaddress.ip_network("127.0.0.0/8"),),
        }
    )


@pytest.fixture
def texts(service: Service, carriers, monkeypatch) -> Texts:
    monkeypatch.setattr(outbound, "WHOLE_SECONDS", 1.0)
    return Texts(service, *carriers)
