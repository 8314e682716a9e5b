"""The data of events about brands."""

from typing import Literal

from identity_service.events.data_models import EventData


class BrandProofData(EventData):
    """The host, or the sender (domain, return domain and DKIM selector), and the brands that use it."""

    what: Literal["host", "sender"]
    name: str
    brands: list[str]
