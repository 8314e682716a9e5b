"""The data of events about brands."""

from typing import Literal

from identity_service.events.data_models import EventData


class BrandProofData(EventData):
    """The host, or the sender (domain, return domain and DKIM selector), and the brands that use it."""

    what: Literal["host", "sender"]
    name: str
    brands: list[str]


class BrandWordsData(EventData):
    """The email, and the brand's own sentences in it: `hash` is SHA-256 of their JSON with sorted keys, `version` the
    start of that of all the brand's sentences in the language, which every attempt to send names."""

    brand: str
    language: str
    version: str
    kind: str
    hash: str
